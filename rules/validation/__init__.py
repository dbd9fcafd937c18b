"""Clauses that accept, warn about or refuse a document: the message of a finding, or None.

What a clause applies to, and how severe it is, belongs to the agreement and not to the function.
"""

from rules.validation._amounts import (
    v101_total_is_at_least,
    v102_total_is_not_zero,
    v103_total_is_not_negative,
    v108_currency_is_agreed,
    v114_document_has_a_line,
    v115_total_is_at_most,
    v127_metered_lines_have_a_quantity,
)
from rules.validation._dates import (
    v104_due_on_is_a_business_day,
    v111_document_date_is_not_in_the_future,
    v112_document_date_is_recent,
    v113_due_on_is_not_before_the_document,
    v121_period_is_given,
    v122_period_is_plausible,
    v123_period_is_over,
)
from rules.validation._identifiers import (
    v124_vat_number_is_right,
    v125_iban_is_right,
    v126_creditor_reference_is_right,
)
from rules.validation._references import (
    v105_external_reference_is_given,
    v106_purchase_order_is_given,
    v107_document_is_not_a_duplicate,
    v109_payer_is_known,
    v110_payer_is_not_the_default,
    v116_revenue_codes_are_agreed,
    v117_buyer_reference_is_given,
    v118_cost_centre_is_given,
    v119_revenue_codes_are_given,
    v120_amount_was_not_billed_before,
    v128_vat_number_is_given,
)

__all__ = [
    "v101_total_is_at_least",
    "v102_total_is_not_zero",
    "v103_total_is_not_negative",
    "v104_due_on_is_a_business_day",
    "v105_external_reference_is_given",
    "v106_purchase_order_is_given",
    "v107_document_is_not_a_duplicate",
    "v108_currency_is_agreed",
    "v109_payer_is_known",
    "v110_payer_is_not_the_default",
    "v111_document_date_is_not_in_the_future",
    "v112_document_date_is_recent",
    "v113_due_on_is_not_before_the_document",
    "v114_document_has_a_line",
    "v115_total_is_at_most",
    "v116_revenue_codes_are_agreed",
    "v117_buyer_reference_is_given",
    "v118_cost_centre_is_given",
    "v119_revenue_codes_are_given",
    "v120_amount_was_not_billed_before",
    "v121_period_is_given",
    "v122_period_is_plausible",
    "v123_period_is_over",
    "v124_vat_number_is_right",
    "v125_iban_is_right",
    "v126_creditor_reference_is_right",
    "v127_metered_lines_have_a_quantity",
    "v128_vat_number_is_given",
]
