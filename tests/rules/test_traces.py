"""Traces: each clause's part in an amount or a decision, and the same in sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.definitions import load_sample
from rules.ruleset import CompiledRuleSet, compile_rule_set
from rules.traces import (
    Explanation,
    explain_trace,
    trace_charges,
    trace_findings,
    trace_level,
    trace_price,
    trace_retry,
)
from rules.types import InvoiceFacts, LineFacts, PaymentFacts, Stage, TraceEntry

ON = date(2026, 12, 1)
RATES = {"S": 1900, "R": 700, "AE": 0}
TAX = {"code": "C102", "parameters": {"rates": {"S": 1900, "R": 700}}}
DUE = {"code": "C104", "parameters": {"days": 30, "roll": "none"}}
TARIFF = {
    "code": "C302",
    "parameters": {
        "revenue_codes": ["water"], "up_to": [10], "prices_micro": [1_500_000, 2_000_000],
        "per_days": 30,
    },
}  # fmt: skip
BASE = {
    "code": "C304",
    "parameters": {"amount_minor": 1_000, "revenue_code": "base", "tax_code": "S"},
}
DISCOUNT = {
    "code": "C307",
    "parameters": {"rate_bps": 1_000, "revenue_code": "off", "revenue_codes": ["water"]},
}
REVERSE = {"code": "C110", "parameters": {"tax_codes": ["S", "R"], "reverse_code": "AE"}}
CASH = {
    "code": "C111",
    "parameters": {"step_minor": 5, "revenue_code": "cash", "tax_code": "Z"},
}
FACTS = InvoiceFacts(
    "1", "invoice", "EUR", "person", "P-1", False, "A-1", None, ON, ON, False,
    (LineFacts(1, 10_000, "fee", "S"),), payment_ref=None,
)  # fmt: skip
FAILED = PaymentFacts("1", 5_000, "EUR", 1, "AM04", "decline", date(2026, 11, 30), ON)

HARBOUR = load_sample("harbour") or {}


def compiled(definition: Mapping[str, Any]) -> CompiledRuleSet:
    return compile_rule_set(definition, holidays=frozenset())


def of(*clauses: Mapping[str, Any]) -> dict[str, Any]:
    return {"title": "T", "clause": list(clauses)}


def priced(definition: Mapping[str, Any], facts: InvoiceFacts) -> list[TraceEntry]:
    price = compiled(definition).price(facts)
    return trace_price(price, on=facts.business_date, stated_due_on=facts.due_on)


def say(
    definition: Mapping[str, Any], entries: Sequence[TraceEntry], currency: str = "EUR"
) -> tuple[Explanation, ...]:
    """Explain a trace as it comes back from the database."""
    return explain_trace(definition, json.loads(json.dumps(entries)), currency)


def sentences(definition: Mapping[str, Any], entries: Sequence[TraceEntry]) -> list[str]:
    return [one.sentence for one in say(definition, entries)]


def test_tax_and_due_date_name_the_clause_that_decided() -> None:
    entries = priced(of(TAX, DUE), FACTS)
    assert entries == [
        TraceEntry("C102", 1, {"tax_code": "S", "rate_bps": 1900, "net": 10_000}, 1_900),
        TraceEntry("C104", 2, {"on": "2026-12-01"}, "2026-12-31"),
    ]
    assert sentences(of(TAX, DUE), entries) == [
        "C102 19.00 % of 100.00 EUR (tax code S) is 19.00 EUR.",
        "C104 Issued on 1 Dec 2026, so due on 31 Dec 2026.",
    ]
    tax, due = say(of(TAX, DUE), entries)
    assert tax.title == "Tax is rounded on the total"
    assert "round the tax once" in tax.agreed
    assert due.agreed.startswith("Make a document due 30 days after its issue")


def test_of_several_clauses_of_one_code_the_one_that_applied_is_named() -> None:
    public = {"code": "C104", "parameters": {"days": 60, "roll": "none"},
              "when": {"field": "payer_kind", "op": "eq", "value": "public_body"}}  # fmt: skip
    definition = of(DUE | {"when": {"field": "payer_kind", "op": "eq", "value": "company"}},
                    public, TAX, DUE)  # fmt: skip
    due = priced(definition, FACTS._replace(payer_kind="public_body"))[-1]
    assert (due.code, due.place, due.result) == ("C104", 2, "2027-01-30")
    assert "Applies when" in say(definition, [due])[0].agreed
    assert priced(definition, FACTS)[-1].place == 4
    stated = priced(definition, FACTS._replace(due_on=date(2026, 12, 5)))[-1]
    assert sentences(definition, [stated]) == [
        "C104 Issued on 1 Dec 2026, stating 5 Dec 2026, so due on 5 Dec 2026."
    ]


def test_lines_that_are_priced_added_turned_and_rounded_each_have_their_sentence() -> None:
    definition = of(TAX, DUE, TARIFF, BASE, DISCOUNT, REVERSE, CASH)
    lines = (LineFacts(1, 0, "water", "R", Decimal("12.50")), LineFacts(2, 333, "fee", "S"))
    facts = FACTS._replace(lines=lines, payer_vat_id="DE1", period_from=date(2026, 11, 1),
                           period_to=date(2026, 11, 30))  # fmt: skip
    said = sentences(definition, priced(definition, facts))
    assert said == [
        "C302 Line 1, a quantity of 12.5 in 30 days comes to 20.00 EUR.",
        "C304 Line 3, “Base charge” is 10.00 EUR.",
        "C307 Line 4, “Discount”, 10.00 % of 20.00 EUR (tax code R) is -2.00 EUR.",
        "C110 Line 1, drafted with tax code R, has tax code AE.",
        "C110 Line 2, drafted with tax code S, has tax code AE.",
        "C110 Line 3, drafted with tax code S, has tax code AE.",
        "C110 Line 4, drafted with tax code R, has tax code AE.",
        "C111 A total of 31.33 EUR is changed by 0.02 EUR.",
        "C102 0.00 % of 31.33 EUR (tax code AE) is 0.00 EUR.",
        "C102 0.00 % of 0.02 EUR (tax code Z) is 0.00 EUR.",
        "C104 Issued on 1 Dec 2026, so due on 31 Dec 2026.",
    ]  # fmt: skip


@given(
    lines=st.lists(
        st.tuples(
            st.integers(-(10**9), 10**9), st.sampled_from(["fee", "water"]),
            st.sampled_from(["S", "R"]), st.decimals(0, 10**4, places=3),
        ),
        min_size=1, max_size=6,
    ),
    extra=st.sets(st.integers(0, 4)),
    has_vat=st.booleans(),
)  # fmt: skip
def test_the_amounts_of_a_trace_add_up_to_the_price(
    *, lines: list[tuple[int, str, str, Decimal]], extra: set[int], has_vat: bool
) -> None:
    chosen = [(TARIFF, BASE, DISCOUNT, REVERSE, CASH)[at] for at in sorted(extra)]
    rule_set = compiled(of(TAX, DUE, *chosen))
    facts = FACTS._replace(
        lines=tuple(LineFacts(at, *line) for at, line in enumerate(lines, start=1)),
        payer_vat_id="DE1" if has_vat else None,
    )
    price = rule_set.price(facts)
    entries = trace_price(price, on=ON)
    taxes = [entry for entry in entries if "net" in entry.inputs]
    assert sum(tax.inputs["net"] for tax in taxes) == price.net_minor
    assert sum(tax.result for tax in taxes) == price.tax_minor
    nets = {line.position: line.net_minor for line in facts.lines}
    nets |= {step.inputs["line"]: step.result for step in price.steps if step.code != "C110"}
    assert sum(nets.values()) == price.net_minor
    assert entries[-1].result == price.due_on.isoformat()
    say(of(TAX, DUE, *chosen), entries)


def test_a_price_that_was_taken_over_has_no_trace() -> None:
    price = compiled(of(TAX, DUE)).price(FACTS)
    assert trace_price(type(price)(*price[:6]), on=ON) == []


def test_findings_say_what_they_do_and_by_which_clause() -> None:
    assessment = compiled(HARBOUR).assess(Stage.ISSUE, FACTS._replace(currency="GBP"))
    entries = trace_findings(assessment.findings)
    (said,) = say(HARBOUR, entries, "GBP")
    assert said.code == "V108"
    assert said.sentence.startswith("V108 The document is stopped: ")
    unknown = compiled(HARBOUR).assess(
        Stage.ISSUE, FACTS._replace(lines=(LineFacts(1, 1, "fee", "X"),))
    )
    (said,) = say(HARBOUR, trace_findings(unknown.findings))
    assert "“X”, which is not agreed" in said.sentence
    built_in = TraceEntry("negative", 0, {"severity": "block"}, "It comes to less than nothing.")
    (said,) = say(HARBOUR, [built_in])
    assert said.sentence == "The document is stopped: It comes to less than nothing."
    assert said.title == ""


@pytest.mark.parametrize(
    ("facts", "ending"),
    [
        (FAILED, "AM04: There was not enough money in the account), so tried again on 3 Dec 2026."),
        (FAILED._replace(attempt_number=4),
         "Not tried again. All 4 agreed attempts are used. It waits on the work list"
         " “retries exhausted”."),
        (FAILED._replace(reason_code="AC04"),
         "AC04: The account is closed): It is not tried again. It waits on the work list"
         " “hard decline”."),
    ],
)  # fmt: skip
def test_a_retry_says_when_or_why_not(facts: PaymentFacts, ending: str) -> None:
    entries = trace_retry(facts, compiled(HARBOUR).decide_retry(facts))
    (said,) = say(HARBOUR, entries)
    assert said.code == "P101"
    assert said.sentence.startswith("P101 Declined on 30 Nov 2026, try ")
    assert said.sentence.endswith(ending)
    assert "4 attempts in all" in said.agreed


def test_where_nothing_about_retries_is_agreed_the_portal_has_decided() -> None:
    decision = compiled(of(TAX, DUE)).decide_retry(FAILED)
    (said,) = say(of(TAX, DUE), trace_retry(FAILED, decision))
    assert (said.code, said.title) == ("", "")
    assert "All 1 agreed attempts are used" in said.sentence


def test_charges_and_levels_of_an_overdue_invoice() -> None:
    late = FACTS._replace(due_on=date(2026, 11, 1), open_minor=10_000, total_minor=10_000,
                          reminder_level=2)  # fmt: skip
    rule_set = compiled(HARBOUR)
    charges = trace_charges(late, rule_set.late_fee(late))
    assert sentences(HARBOUR, charges) == [
        "C204 100.00 EUR open, due on 1 Nov 2026, met on 1 Dec 2026, reminder 2, is charged"
        " 5.00 EUR.",
        "C201 100.00 EUR open, due on 1 Nov 2026, met on 1 Dec 2026, reminder 2, is charged"
        " 0.75 EUR.",
    ]
    reached = rule_set.reach_level(late)
    assert sentences(HARBOUR, trace_level(late, reached)) == [
        "P112 Due on 1 Nov 2026, met on 1 Dec 2026, so reminder level 2 is reached."
    ]
    assert trace_level(late, rule_set.reach_level(late._replace(due_on=ON))) == []


def test_a_clause_that_is_known_no_more_still_has_its_entry() -> None:
    entry = TraceEntry("C102", 9, {"net": 5}, 7)
    (said,) = say(of(TAX, DUE), [entry])
    assert said.sentence == "C102 net 5: 7."
    assert "known no more" in said.agreed
