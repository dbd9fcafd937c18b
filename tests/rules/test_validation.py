"""The checks V101 to V116: what each lets through, and what each says."""

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

import pytest

from rules.types import InvoiceFacts, LineFacts
from rules.validation import (
    v101_total_is_at_least,
    v102_total_is_not_zero,
    v103_total_is_not_negative,
    v104_due_on_is_a_business_day,
    v105_external_reference_is_given,
    v106_purchase_order_is_given,
    v107_document_is_not_a_duplicate,
    v108_currency_is_agreed,
    v109_payer_is_known,
    v110_payer_is_not_the_default,
    v111_document_date_is_not_in_the_future,
    v112_document_date_is_recent,
    v113_due_on_is_not_before_the_document,
    v114_document_has_a_line,
    v115_total_is_at_most,
    v116_revenue_codes_are_agreed,
)

TODAY = date(2026, 4, 2)
GOOD_FRIDAY = date(2026, 4, 3)
FACTS = InvoiceFacts(
    invoice_id="1",
    kind="invoice",
    currency="EUR",
    payer_kind="company",
    payer_ref="P-1",
    has_default_payer=False,
    external_ref="A-1",
    purchase_order_ref=None,
    document_on=TODAY,
    business_date=TODAY,
    is_duplicate=False,
    lines=(LineFacts(1, 1000, "WATER", "S"),),
    total_minor=1190,
    open_minor=1190,
    due_on=date(2026, 4, 16),
)

Check = Callable[[InvoiceFacts], str | None]

V101 = partial(v101_total_is_at_least, minimum_minor=500)
V104 = partial(v104_due_on_is_a_business_day, holidays=frozenset({GOOD_FRIDAY}))
V105_PUBLIC = partial(v105_external_reference_is_given, payer_kinds=("public_body",))
V108 = partial(v108_currency_is_agreed, currencies=("EUR", "CHF"))
V111_3 = partial(v111_document_date_is_not_in_the_future, days_tolerated=3)
V112 = partial(v112_document_date_is_recent, days_max=30)
V115 = partial(v115_total_is_at_most, maximum_minor=2000)
V116 = partial(v116_revenue_codes_are_agreed, revenue_codes=("WATER", "WASTE"))


@pytest.mark.parametrize(
    ("check", "over"),
    [
        (V101, {"total_minor": 500}),
        (V101, {"total_minor": 0}),
        (V101, {"total_minor": 10, "kind": "credit_note"}),
        (v102_total_is_not_zero, {}),
        (v103_total_is_not_negative, {"total_minor": 0}),
        (V104, {"due_on": TODAY}),
        (V104, {"due_on": None}),
        (v105_external_reference_is_given, {}),
        (V105_PUBLIC, {"external_ref": None}),
        (v106_purchase_order_is_given, {}),
        (v106_purchase_order_is_given, {"payer_kind": "public_body", "purchase_order_ref": "4500"}),
        (v107_document_is_not_a_duplicate, {}),
        (V108, {"currency": "CHF"}),
        (v109_payer_is_known, {}),
        (v109_payer_is_known, {"payer_ref": None, "has_default_payer": True}),
        (v110_payer_is_not_the_default, {"has_default_payer": True}),
        (v110_payer_is_not_the_default, {"payer_ref": None}),
        (v111_document_date_is_not_in_the_future, {}),
        (v111_document_date_is_not_in_the_future, {"document_on": None}),
        (V111_3, {"document_on": date(2026, 4, 5)}),
        (V112, {"document_on": date(2026, 3, 3)}),
        (V112, {"document_on": None}),
        (v113_due_on_is_not_before_the_document, {"due_on": TODAY}),
        (v113_due_on_is_not_before_the_document, {"due_on": None}),
        (v114_document_has_a_line, {}),
        (V115, {"total_minor": 2000}),
        (V116, {}),
    ],
)
def test_what_is_right_passes(check: Check, over: dict[str, Any]) -> None:
    assert check(FACTS._replace(**over)) is None


@pytest.mark.parametrize(
    ("check", "over", "words"),
    [
        (V101, {"total_minor": 499}, "4.99 EUR is below the minimum of 5.00 EUR"),
        (v102_total_is_not_zero, {"total_minor": 0}, "nothing to bill"),
        (v103_total_is_not_negative, {"total_minor": -1}, "-0.01 EUR is negative; write a credit"),
        (V104, {"due_on": GOOD_FRIDAY}, "2026-04-03 is no business day"),
        (V104, {"due_on": date(2026, 4, 4)}, "2026-04-04 is no business day"),
        (v105_external_reference_is_given, {"external_ref": None}, "external reference is missing"),
        (v105_external_reference_is_given, {"external_ref": ""}, "external reference is missing"),
        (V105_PUBLIC, {"external_ref": None, "payer_kind": "public_body"}, "is missing"),
        (v106_purchase_order_is_given, {"payer_kind": "public_body"}, "purchase order reference"),
        (v107_document_is_not_a_duplicate, {"is_duplicate": True}, "A-1 is here already"),
        (V108, {"currency": "GBP"}, "GBP is not agreed; the agreement allows EUR, CHF"),
        (v109_payer_is_known, {"payer_ref": None}, "no default payer"),
        (v110_payer_is_not_the_default, {"payer_ref": None, "has_default_payer": True}, "default"),
        (v111_document_date_is_not_in_the_future, {"document_on": GOOD_FRIDAY}, "in the future"),
        (V111_3, {"document_on": date(2026, 4, 6)}, "it may be 2026-04-05 at most"),
        (V112, {"document_on": date(2026, 3, 2)}, "is before 2026-03-03"),
        (
            v113_due_on_is_not_before_the_document,
            {"due_on": date(2026, 4, 1)},
            "before the document",
        ),
        (
            v113_due_on_is_not_before_the_document,
            {"due_on": date(2026, 4, 1), "document_on": None},
            "before the document date 2026-04-02",
        ),
        (v114_document_has_a_line, {"lines": ()}, "no line"),
        (V115, {"total_minor": 2001}, "20.01 EUR is above the maximum of 20.00 EUR"),
        (V116, {"lines": (LineFacts(7, 1, "SALT", "S"),)}, "Line 7 has the revenue code “SALT”"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    check: Check, over: dict[str, Any], words: str
) -> None:
    message = check(FACTS._replace(**over))
    assert message is not None
    assert words in message
    assert message.endswith(".")
    assert message[0].isupper()
