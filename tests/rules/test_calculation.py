"""The computing clauses C101 to C203: tax, rounding, due dates, fees and interest."""

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.domain.dates import Roll
from portal.domain.money import Rounding
from rules.calculation import (
    TaxCodeUnknown,
    c101_tax_is_rounded_on_each_line,
    c102_tax_is_rounded_on_the_total,
    c103_parts_of_a_minor_unit_are_rounded,
    c104_due_after_days,
    c201_late_fee_is_a_share_of_open_amount,
    c202_late_fee_is_flat,
    c203_interest_accrues_daily,
)
from rules.types import InvoiceFacts, LineFacts, TaxAmount

RATES = {"S": 1900, "R": 700, "Z": 0}
HALF_UP, HALF_EVEN, DOWN = Rounding.HALF_UP, Rounding.HALF_EVEN, Rounding.DOWN
FACTS = InvoiceFacts(
    invoice_id="1",
    kind="invoice",
    currency="EUR",
    payer_kind="company",
    payer_ref="P-1",
    has_default_payer=False,
    external_ref=None,
    purchase_order_ref=None,
    document_on=None,
    business_date=date(2026, 3, 20),
    is_duplicate=False,
    lines=(),
    total_minor=10_000,
    open_minor=10_000,
    due_on=date(2026, 3, 1),
)
LINES = st.lists(
    st.builds(
        LineFacts,
        st.integers(1, 99),
        st.integers(-(10**9), 10**12),
        st.sampled_from(["A", "B"]),
        st.sampled_from(sorted(RATES)),
    ),
    max_size=12,
).map(tuple)


def _lines(*lines: tuple[int, str]) -> tuple[LineFacts, ...]:
    return tuple(LineFacts(n, net, "R", code) for n, (net, code) in enumerate(lines, start=1))


def test_c101_and_c102_differ_where_lines_have_parts_of_a_cent() -> None:
    # 19 % of 0.13 is 0.0247: three times 0.02 by line, 0.0741 and so 0.07 in total.
    lines = _lines((13, "S"), (13, "S"), (13, "S"))
    (by_line,) = c101_tax_is_rounded_on_each_line(lines, rates=RATES, rounding=HALF_UP)
    (by_total,) = c102_tax_is_rounded_on_the_total(lines, rates=RATES, rounding=HALF_UP)
    assert (by_line.tax_minor, by_total.tax_minor) == (6, 7)


@pytest.mark.parametrize(
    "tax", [c101_tax_is_rounded_on_each_line, c102_tax_is_rounded_on_the_total]
)
def test_there_is_one_tax_amount_per_code_sorted_also_at_zero(tax: Any) -> None:
    lines = _lines((1000, "Z"), (1000, "S"), (500, "R"), (2000, "S"))
    assert tax(lines, rates=RATES, rounding=HALF_UP) == (
        TaxAmount("R", 700, 500, 35),
        TaxAmount("S", 1900, 3000, 570),
        TaxAmount("Z", 0, 1000, 0),
    )
    assert tax((), rates=RATES, rounding=HALF_UP) == ()


@pytest.mark.parametrize(
    "tax", [c101_tax_is_rounded_on_each_line, c102_tax_is_rounded_on_the_total]
)
def test_an_unknown_tax_code_stops_the_computation(tax: Any) -> None:
    with pytest.raises(TaxCodeUnknown, match="“X” is not agreed"):
        tax(_lines((1, "X")), rates=RATES, rounding=HALF_UP)


def test_the_mode_decides_about_a_half() -> None:
    lines = _lines((50, "F"), (150, "F"))  # 1 % of 0.50 and of 1.50: half a cent, one and a half
    for mode, tax_minor in ((HALF_UP, 3), (HALF_EVEN, 2), (DOWN, 1), (Rounding.UP, 3)):
        (tax,) = c101_tax_is_rounded_on_each_line(lines, rates={"F": 100}, rounding=mode)
        assert tax.tax_minor == tax_minor


@given(LINES, st.sampled_from(Rounding))
def test_taxes_stay_near_the_exact_tax_and_nets_are_complete(
    lines: tuple[LineFacts, ...], rounding: Rounding
) -> None:
    by_line = c101_tax_is_rounded_on_each_line(lines, rates=RATES, rounding=rounding)
    by_total = c102_tax_is_rounded_on_the_total(lines, rates=RATES, rounding=rounding)
    for taxes in (by_line, by_total):
        assert sum(tax.net_minor for tax in taxes) == sum(line.net_minor for line in lines)
        assert [tax.tax_code for tax in taxes] == sorted({line.tax_code for line in lines})
    for line_tax, total_tax in zip(by_line, by_total, strict=True):
        exact = Fraction(total_tax.net_minor * total_tax.rate_bps, 10_000)
        assert abs(total_tax.tax_minor - exact) < 1
        count = sum(1 for line in lines if line.tax_code == line_tax.tax_code)
        assert abs(line_tax.tax_minor - exact) < count + (exact == 0)


@given(LINES)
def test_a_credit_note_gives_back_exactly_what_the_invoice_took(
    lines: tuple[LineFacts, ...],
) -> None:
    turned = tuple(line._replace(net_minor=-line.net_minor) for line in lines)
    for tax in (c101_tax_is_rounded_on_each_line, c102_tax_is_rounded_on_the_total):
        for rounding in Rounding:
            there = tax(lines, rates=RATES, rounding=rounding)
            back = tax(turned, rates=RATES, rounding=rounding)
            assert [each.tax_minor for each in there] == [-each.tax_minor for each in back]


def test_c103_names_the_mode() -> None:
    assert c103_parts_of_a_minor_unit_are_rounded(mode="half_even") is Rounding.HALF_EVEN


@pytest.mark.parametrize(
    ("roll", "due_on"),
    [
        ("following", date(2026, 4, 7)),
        ("preceding", date(2026, 4, 2)),
        ("none", date(2026, 4, 3)),
    ],
)
def test_c104_counts_days_from_the_issue_and_rolls(roll: Roll, due_on: date) -> None:
    easter = frozenset({date(2026, 4, 3), date(2026, 4, 6)})
    facts = FACTS._replace(due_on=None)
    assert c104_due_after_days(facts, days=14, roll=roll, holidays=easter) == due_on


def test_c104_keeps_a_stated_due_date_unless_told_otherwise() -> None:
    none: frozenset[date] = frozenset()
    assert c104_due_after_days(FACTS, days=14, holidays=none) == date(2026, 3, 1)
    counted = c104_due_after_days(FACTS, days=14, keeps_stated=False, holidays=none)
    assert counted == date(2026, 4, 3)


def test_c201_begins_after_the_grace_days() -> None:
    # Due on the 1st: the 15th is the fourteenth day late, the last one of grace.
    def fee(day: int, open_minor: int = 10_000) -> int | None:
        facts = FACTS._replace(business_date=date(2026, 3, day), open_minor=open_minor)
        charge = c201_late_fee_is_a_share_of_open_amount(
            facts, rate_bps=75, grace_days=14, rounding=HALF_UP
        )
        return charge and charge.amount_minor

    assert (fee(15), fee(16)) == (None, 75)
    assert fee(16, 66) is None, "a fee that rounds to nothing is no document"
    assert (fee(16, 0), fee(16, 67)) == (None, 1)


def test_c202_is_the_same_for_each_amount() -> None:
    charge = c202_late_fee_is_flat(FACTS, amount_minor=1000, grace_days=7)
    assert charge is not None
    assert (charge.code, charge.amount_minor) == ("C202", 1000)
    assert c202_late_fee_is_flat(FACTS, amount_minor=1000, grace_days=19) is None
    assert c202_late_fee_is_flat(FACTS._replace(open_minor=0), amount_minor=1000) is None
    assert c202_late_fee_is_flat(FACTS._replace(due_on=None), amount_minor=1000) is None
    assert c202_late_fee_is_flat(FACTS, amount_minor=0) is None


def test_c203_counts_real_days_of_a_year_of_365() -> None:
    # 100.00 at 8 % for 19 days: 800 × 19 / 365 = 41.64.
    charge = c203_interest_accrues_daily(FACTS, yearly_rate_bps=800, rounding=HALF_UP)
    assert charge is not None
    assert charge.amount_minor == 42
    assert charge.description == "Interest for 19 days"
    down = c203_interest_accrues_daily(FACTS, yearly_rate_bps=800, rounding=DOWN)
    assert down is not None
    assert down.amount_minor == 41
    late = c203_interest_accrues_daily(FACTS, yearly_rate_bps=800, grace_days=19, rounding=HALF_UP)
    assert late is None
