"""The checks V117 to V128 and P107 to P110: what each lets through, and what each says."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from rules.policies import (
    p107_payer_has_a_mandate,
    p108_payer_is_not_on_hold,
    p109_invoice_is_not_disputed,
    p110_payer_has_no_arrangement,
)
from rules.types import InvoiceFacts, LineFacts
from rules.validation import (
    v117_buyer_reference_is_given,
    v118_cost_centre_is_given,
    v119_revenue_codes_are_given,
    v120_amount_was_not_billed_before,
    v121_period_is_given,
    v122_period_is_plausible,
    v123_period_is_over,
    v124_vat_number_is_right,
    v125_iban_is_right,
    v126_creditor_reference_is_right,
    v127_metered_lines_have_a_quantity,
    v128_vat_number_is_given,
)

TODAY = date(2026, 4, 2)
FIRST, LAST = date(2026, 1, 1), date(2026, 3, 31)
FACTS = InvoiceFacts(
    invoice_id="1",
    kind="invoice",
    currency="EUR",
    payer_kind="company",
    payer_ref="P-1",
    has_default_payer=False,
    external_ref="A-1",
    purchase_order_ref=None,
    document_on=None,
    business_date=TODAY,
    is_duplicate=False,
    lines=(LineFacts(1, 500, "water", "S", Decimal("0.001")),),
)
PERIOD = {"period_from": FIRST, "period_to": LAST}
METERED = partial(v127_metered_lines_have_a_quantity, revenue_codes=("water",))
Check = Callable[[InvoiceFacts], str | None]


def _line(quantity: Decimal | None, revenue_code: str = "water") -> dict[str, Any]:
    return {"lines": (LineFacts(7, 500, revenue_code, "S", quantity),)}


@pytest.mark.parametrize(
    ("check", "facts"),
    [
        (v117_buyer_reference_is_given, {}),
        (v117_buyer_reference_is_given, {"payer_kind": "public_body", "buyer_reference": "04011"}),
        (v118_cost_centre_is_given, {"cost_centre": "4711"}),
        (partial(v118_cost_centre_is_given, payer_kinds=("person",)), {}),
        (v119_revenue_codes_are_given, {}),
        (v119_revenue_codes_are_given, {"lines": ()}),
        (v120_amount_was_not_billed_before, {}),
        (v120_amount_was_not_billed_before, {"is_repeated": False}),
        (v121_period_is_given, PERIOD),
        (v121_period_is_given, {"kind": "credit_note"}),
        (v122_period_is_plausible, {}),
        (v122_period_is_plausible, {"period_from": FIRST}),
        (v122_period_is_plausible, {"period_from": FIRST, "period_to": FIRST}),
        (partial(v122_period_is_plausible, days_min=90, days_max=90), PERIOD),
        (v123_period_is_over, {}),
        (v123_period_is_over, {"period_to": TODAY}),
        (partial(v123_period_is_over, days_ahead=5), {"period_to": TODAY + timedelta(days=5)}),
        (v124_vat_number_is_right, {}),
        (v124_vat_number_is_right, {"payer_vat_id": "DE136695976"}),
        (v124_vat_number_is_right, {"payer_vat_id": "GB 980 7806 84"}),
        (v124_vat_number_is_right, {"payer_vat_id": "EL094259216"}),
        (v125_iban_is_right, {}),
        (v125_iban_is_right, {"payer_iban": "DE89 3704 0044 0532 0130 00"}),
        (v126_creditor_reference_is_right, {}),
        (v126_creditor_reference_is_right, {"payment_ref": "RF18 5390 0754 7034"}),
        (METERED, {}),
        (METERED, _line(None)),
        (METERED, _line(Decimal(0), "waste")),
        (v128_vat_number_is_given, {"payer_vat_id": "DE136695976"}),
        (v128_vat_number_is_given, {"payer_kind": "person"}),
        (p107_payer_has_a_mandate, {}),
        (p107_payer_has_a_mandate, {"has_mandate": True}),
        (p108_payer_is_not_on_hold, {}),
        (p108_payer_is_not_on_hold, {"is_on_hold": False}),
        (p109_invoice_is_not_disputed, {}),
        (p109_invoice_is_not_disputed, {"is_disputed": False}),
        (p110_payer_has_no_arrangement, {}),
        (p110_payer_has_no_arrangement, {"is_on_hold": True}),
    ],
)
def test_what_is_right_or_not_known_passes(check: Check, facts: dict[str, Any]) -> None:
    assert check(FACTS._replace(**facts)) is None


@pytest.mark.parametrize(
    ("check", "facts", "said"),
    [
        (v117_buyer_reference_is_given, {"payer_kind": "public_body"}, "buyer reference"),
        (v118_cost_centre_is_given, {"cost_centre": ""}, "cost centre is missing"),
        (v119_revenue_codes_are_given, _line(None, " "), "Line 7 has no revenue code"),
        (v120_amount_was_not_billed_before, {"is_repeated": True}, "already"),
        (v121_period_is_given, {}, "period is missing"),
        (v121_period_is_given, {"period_from": FIRST}, "period is missing"),
        (v122_period_is_plausible, {"period_from": LAST, "period_to": FIRST}, "before it begins"),
        (
            partial(v122_period_is_plausible, days_max=89),
            PERIOD,
            "has 90 days; it may have 1 to 89",
        ),
        (partial(v122_period_is_plausible, days_min=91), PERIOD, "has 90 days"),
        (v123_period_is_over, {"period_to": TODAY + timedelta(days=1)}, "up to 2026-04-02"),
        (v124_vat_number_is_right, {"payer_vat_id": "DE136695970"}, "DE136695970 is wrong"),
        (v124_vat_number_is_right, {"payer_vat_id": "ZZ1"}, "is wrong"),
        (v124_vat_number_is_right, {"payer_vat_id": "../1"}, "is wrong"),
        (v124_vat_number_is_right, {"payer_vat_id": "DE" + "1" * 10_000}, "is wrong"),
        (v124_vat_number_is_right, {"payer_vat_id": "DE１３６６９５９７６"}, "is wrong"),
        (
            v125_iban_is_right,
            {"payer_iban": "DE89370400440532013001"},
            "IBAN of the payer is wrong",
        ),
        (v126_creditor_reference_is_right, {"payment_ref": "RF19539007547034"}, "is wrong"),
        (v126_creditor_reference_is_right, {"payment_ref": "539007547034"}, "begins with RF"),
        (METERED, _line(Decimal(0)), "Line 7 is metered"),
        (METERED, _line(Decimal("-0.000001")), "Line 7 is metered"),
        (v128_vat_number_is_given, {}, "VAT number of the payer is missing"),
        (p107_payer_has_a_mandate, {"has_mandate": False}, "no active mandate"),
        (p108_payer_is_not_on_hold, {"is_on_hold": True}, "on hold"),
        (p109_invoice_is_not_disputed, {"is_disputed": True}, "disputes"),
        (p110_payer_has_no_arrangement, {"arrangement": "hardship"}, "a hardship agreement"),
        (p110_payer_has_no_arrangement, {"arrangement": "instalments"}, "ment by instalments was"),
        (p110_payer_has_no_arrangement, {"arrangement": "patience"}, "Less or later payment"),
    ],
)
def test_what_is_wrong_is_said(check: Check, facts: dict[str, Any], said: str) -> None:
    assert said in (check(FACTS._replace(**facts)) or "")
