"""Clauses that compute: tax, tariffs, rounding, due dates, late fees and interest.

Amounts are whole minor units; every division goes through one exact rounding.
"""

from rules.calculation._due import (
    c104_due_after_days,
    c105_due_after_business_days,
    c106_due_at_the_end_of_a_month,
    c107_due_after_the_notice_of_a_debit,
)
from rules.calculation._fees import (
    c201_late_fee_is_a_share_of_open_amount,
    c202_late_fee_is_flat,
    c203_interest_accrues_daily,
    c204_fee_of_the_reminder_level,
)
from rules.calculation._tariffs import (
    MICRO,
    c301_quantity_has_a_unit_price,
    c302_quantity_is_priced_in_tiers,
    c303_quantity_is_priced_by_its_block,
    c304_base_charge_is_added,
    c305_minimum_charge_is_reached,
    c306_surcharge_is_added,
    c307_discount_is_taken_off,
)
from rules.calculation._taxes import (
    DatedRates,
    TaxCodeUnknown,
    c101_tax_is_rounded_on_each_line,
    c102_tax_is_rounded_on_the_total,
    c103_parts_of_a_minor_unit_are_rounded,
    c108_tax_rate_changes_on_a_day,
    c109_tax_code_is_exempt,
    c110_payer_accounts_for_the_tax,
    c111_total_is_rounded_for_cash,
)

__all__ = [
    "MICRO",
    "DatedRates",
    "TaxCodeUnknown",
    "c101_tax_is_rounded_on_each_line",
    "c102_tax_is_rounded_on_the_total",
    "c103_parts_of_a_minor_unit_are_rounded",
    "c104_due_after_days",
    "c105_due_after_business_days",
    "c106_due_at_the_end_of_a_month",
    "c107_due_after_the_notice_of_a_debit",
    "c108_tax_rate_changes_on_a_day",
    "c109_tax_code_is_exempt",
    "c110_payer_accounts_for_the_tax",
    "c111_total_is_rounded_for_cash",
    "c201_late_fee_is_a_share_of_open_amount",
    "c202_late_fee_is_flat",
    "c203_interest_accrues_daily",
    "c204_fee_of_the_reminder_level",
    "c301_quantity_has_a_unit_price",
    "c302_quantity_is_priced_in_tiers",
    "c303_quantity_is_priced_by_its_block",
    "c304_base_charge_is_added",
    "c305_minimum_charge_is_reached",
    "c306_surcharge_is_added",
    "c307_discount_is_taken_off",
]
