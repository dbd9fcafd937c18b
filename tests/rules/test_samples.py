"""The same drafts under the three sample agreements, computed on paper in the docstrings."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

import rules
from rules.ruleset import CompiledRuleSet, compile_rule_set, load_definition
from rules.types import InvoiceFacts, LineFacts, Stage

SAMPLES = Path(rules.__file__).with_name("samples")
TODAY = date(2026, 4, 1)
EASTER = frozenset({date(2026, 4, 3), date(2026, 4, 6)})
WATER = InvoiceFacts(
    "1", "invoice", "GBP", "company", "P-1", False, "A-1", "PO-1", TODAY, TODAY, False,
    (LineFacts(1, 5_055, "metered_water", "R", Decimal("50.55")),
     LineFacts(2, 3_333, "waste", "S")),
    period_from=date(2026, 3, 1), period_to=date(2026, 3, 30),
)  # fmt: skip
RATES = {"harbour": ("R", "S"), "rivertown": ("R", "S"), "retail": ("Z", "Z")}


def _sample(code: str) -> CompiledRuleSet:
    text = (SAMPLES / f"{code}.toml").read_text(encoding="utf-8")
    return compile_rule_set(load_definition(text), holidays=EASTER)


def _draft(code: str) -> InvoiceFacts:
    """Write the draft with the tax codes that an organisation has."""
    lines = zip(WATER.lines, RATES[code], strict=True)
    return WATER._replace(
        currency="EUR" if code == "harbour" else "GBP",
        lines=tuple(line._replace(tax_code=tax_code) for line, tax_code in lines),
    )


@pytest.mark.parametrize(
    ("code", "net", "tax", "due_on"),
    [
        ("harbour", 8_388, 987, date(2026, 4, 15)),
        ("rivertown", 13_340, 1_137, date(2026, 5, 1)),
        ("retail", 8_388, 0, date(2026, 5, 1)),
    ],
)
def test_one_draft_under_three_agreements(code: str, net: int, tax: int, due_on: date) -> None:
    """Price 50.55 m³ drafted at 50.55, and waste at 33.33, for March of thirty days.

    Harbour takes the lines as they are: net 83.88; 7 % of 50.55 is 3.5385, 19 % of 33.33 is 6.3327,
    so tax is 3.54 + 6.33 = 9.87; due in 14 days.
    Rivertown prices the water in tiers: 10 × 1.25 + 30 × 1.875 + 10.55 × 2.40 = 12.50 + 56.25 +
    25.32 = 94.07, adds the base charge of 6.00, and 33.33: net 133.40. Tax on each line is 5 % of
    94.07 = 4.7035 → 4.70, 20 % of 33.33 = 6.666 → 6.67, and none of the base charge: 11.37.
    Retail takes the lines as they are and no tax; both are due in 30 days.
    """
    price = _sample(code).price(_draft(code))

    assert (price.net_minor, price.tax_minor, price.due_on) == (net, tax, due_on)
    assert price.total_minor == net + tax
    assert sum(amount for _, amount in price.revenues) == net
    assert sum(each.net_minor for each in price.taxes) == net


def test_only_the_water_utility_changes_lines() -> None:
    """See above: 94.07 for 50.55 m³ is 1.860930 on average."""
    assert not _sample("harbour").price(_draft("harbour")).lines
    assert not _sample("retail").price(_draft("retail")).lines
    changed, added = _sample("rivertown").price(_draft("rivertown")).lines
    assert changed == (1, 9_407, "metered_water", "R", Decimal("1.860930"), None, "C302")
    assert added == (3, 600, "connections", "Z", Decimal("6.00"), "Base charge", "C304")
    note = _draft("rivertown")._replace(kind="credit_note")
    assert not _sample("rivertown").price(note).lines, "tariffs are for invoices only"


def test_findings_are_about_the_priced_document() -> None:
    found = _sample("rivertown").assess(Stage.ISSUE, _draft("rivertown")._replace(period_to=None))
    assert found.price is not None
    assert not found.findings
    backwards = _draft("rivertown")._replace(period_to=date(2026, 2, 1))
    assert [each.code for each in _sample("rivertown").assess("issue", backwards).findings] == [
        "V122"
    ]


def test_being_late_costs_something_else_in_each_place() -> None:
    """Owe 100.00 for 42 days: harbour takes 0.75 % and 15.00 for the last notice; rivertown 10.00
    and 8 % a year: 100.00 × 0.08 × 42 / 365 = 0.9205; retail reminds of nothing."""
    late = WATER._replace(
        total_minor=10_000, open_minor=10_000, due_on=date(2026, 2, 18), business_date=TODAY
    )
    harbour = _sample("harbour")
    level = harbour.reminder_level(late)
    assert level == 3
    fees = {
        code: [each.amount_minor for each in _sample(code).late_fee(facts)]
        for code, facts in (
            ("harbour", late._replace(reminder_level=level)),
            ("rivertown", late),
            ("retail", late),
        )
    }
    assert fees == {"harbour": [1_500, 75], "rivertown": [1_000, 92], "retail": []}
    assert _sample("retail").reminder_level(late) == 0
