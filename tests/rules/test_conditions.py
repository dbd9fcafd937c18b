"""Conditions: typed, absent compares false, `not` complements, and a sentence for each."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.conditions import (
    DEPTH_MAX,
    INVOICE_FIELDS,
    NODES_MAX,
    OPS,
    PAYMENT_FIELDS,
    ConditionInvalid,
    compile_condition,
    describe_condition,
    parse_condition,
)
from rules.types import InvoiceFacts, PaymentFacts

FACTS = InvoiceFacts(
    invoice_id="1",
    kind="invoice",
    currency="EUR",
    payer_kind="company",
    payer_ref="P-1",
    has_default_payer=False,
    external_ref=None,
    purchase_order_ref=None,
    document_on=date(2026, 3, 31),
    business_date=date(2026, 4, 2),
    is_duplicate=False,
    lines=(),
    total_minor=5000,
    open_minor=0,
)


def _holds(tree: dict[str, Any]) -> bool:
    return compile_condition(parse_condition(tree, INVOICE_FIELDS))(FACTS)


def _compare(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


@pytest.mark.parametrize(
    ("field", "op", "value", "holds"),
    [
        ("currency", "eq", "EUR", True),
        ("currency", "eq", "eur", False),
        ("currency", "ne", "GBP", True),
        ("payer_kind", "in", ["person", "company"], True),
        ("payer_kind", "in", ["person"], False),
        ("payer_ref", "starts_with", "P-", True),
        ("payer_ref", "starts_with", "Q", False),
        ("total_minor", "lt", 5000, False),
        ("total_minor", "le", 5000, True),
        ("total_minor", "gt", 5000, False),
        ("total_minor", "ge", 5000, True),
        ("open_minor", "eq", 0, True),
        ("document_on", "lt", "2026-04-01", True),
        ("document_on", "ge", date(2026, 4, 1), False),
        ("has_default_payer", "eq", False, True),
    ],
)
def test_comparisons(field: str, op: str, value: Any, holds: object) -> None:
    assert _holds(_compare(field, op, value)) is holds


@pytest.mark.parametrize("field", ["external_ref", "due_on"])
def test_what_is_absent_compares_false_and_not_is_the_complement(field: str) -> None:
    kind = INVOICE_FIELDS[field].type
    value = "2026-01-01" if kind == "day" else "A"
    for op in OPS[kind]:
        tree = {"field": field, "op": op}
        if op != "present":
            tree["value"] = [value] if op == "in" else value  # type: ignore[assignment]
        assert _holds(tree) is False
        assert _holds({"not": tree}) is True


def test_groups() -> None:
    yes, no = _compare("currency", "eq", "EUR"), _compare("currency", "eq", "GBP")
    assert _holds({"all": [yes, yes]})
    assert not _holds({"all": [yes, no]})
    assert _holds({"any": [no, yes]})
    assert not _holds({"any": [no, no]})
    assert _holds({"all": [yes, {"any": [no, {"not": no}]}]})


LEAVES = st.sampled_from(
    [
        _compare("currency", "eq", "EUR"),
        _compare("external_ref", "ne", "A"),
        _compare("total_minor", "gt", 9000),
        {"field": "document_on", "op": "present"},
    ]
)


@given(st.lists(LEAVES, min_size=1, max_size=4))
def test_de_morgan_holds_also_for_what_is_absent(leaves: list[dict[str, Any]]) -> None:
    negated = [{"not": leaf} for leaf in leaves]
    assert _holds({"not": {"all": leaves}}) == _holds({"any": negated})
    assert _holds({"not": {"any": leaves}}) == _holds({"all": negated})


def test_sentences() -> None:
    tree = {
        "all": [
            _compare("open_minor", "gt", 5000),
            {
                "any": [
                    _compare("payer_kind", "in", ["person", "company"]),
                    {"not": {"field": "due_on", "op": "present"}},
                ]
            },
        ]
    }
    assert describe_condition(parse_condition(tree, INVOICE_FIELDS)) == (
        "open amount is above 5000 minor units and "
        "(payer kind is one of “person”, “company” or it is not so that due on is given)"
    )
    day = parse_condition(_compare("document_on", "lt", "2026-04-01"), INVOICE_FIELDS)
    assert describe_condition(day) == "document on is before 2026-04-01"
    flag = parse_condition(_compare("is_duplicate", "eq", True), INVOICE_FIELDS)
    assert describe_condition(flag) == "is duplicate is true"


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ("total > 5", "must be a table"),
        ({}, "no field “None”"),
        ({"all": []}, "at least one part"),
        ({"any": "x"}, "at least one part"),
        ({"all": [_compare("currency", "eq", "EUR")], "any": []}, "no field"),
        (_compare("invoice_id", "eq", "1"), "no field “invoice_id”"),
        (_compare("__class__", "eq", "1"), "no field “__class__”"),
        (_compare("currency", "lt", "EUR"), "does not know “lt”"),
        (_compare("is_duplicate", "ne", True), "does not know “ne”"),
        (_compare("currency", "eq", 5), "must be a text"),
        (_compare("currency", "eq", ""), "must be a text"),
        (_compare("total_minor", "eq", True), "must be a number"),
        (_compare("total_minor", "eq", 1.5), "must be a number"),
        (_compare("total_minor", "eq", "5"), "must be a number"),
        (_compare("is_duplicate", "eq", 1), "must be a flag"),
        (_compare("due_on", "eq", "31.03.2026"), "is no day"),
        (_compare("due_on", "eq", 20260331), "must be a day"),
        (_compare("currency", "in", "EUR"), "needs a list"),
        (_compare("currency", "in", []), "needs a list"),
        (_compare("currency", "in", ["EUR", 5]), "must be a text"),
        ({"field": "currency", "op": "eq"}, "needs exactly"),
        (_compare("currency", "present", "EUR"), "needs exactly"),
        ({**_compare("currency", "eq", "EUR"), "else": 1}, "needs exactly"),
    ],
)
def test_wrong_conditions_are_refused_with_a_reason(tree: Any, words: str) -> None:
    with pytest.raises(ConditionInvalid) as caught:
        parse_condition(tree, INVOICE_FIELDS)
    assert words in caught.value.reason


def test_size_and_depth_are_bounded() -> None:
    leaf = _compare("currency", "eq", "EUR")
    deep: dict[str, Any] = leaf
    for _ in range(DEPTH_MAX):
        deep = {"not": deep}
    for tree in (deep, {"all": [leaf] * NODES_MAX}):
        with pytest.raises(ConditionInvalid, match="deeper than"):
            parse_condition(tree, INVOICE_FIELDS)
    assert _holds({"all": [leaf] * (NODES_MAX - 1)})


def test_payments_have_fields_of_their_own() -> None:
    with pytest.raises(ConditionInvalid):
        parse_condition(_compare("payer_kind", "eq", "person"), PAYMENT_FIELDS)
    third = compile_condition(parse_condition(_compare("attempt_number", "ge", 3), PAYMENT_FIELDS))
    payment = PaymentFacts("1", 100, "EUR", 3, "AM04", "return", date.min, date.min)
    assert third(payment)
    assert not third(payment._replace(attempt_number=2))
