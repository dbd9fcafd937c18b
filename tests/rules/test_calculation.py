"""The computing clauses C101 to C204: tax, rounding, due dates, fees and interest."""

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.domain.dates import Roll
from portal.domain.money import Rounding
from rules.calculation import (
    DatedRates,
    TaxCodeUnknown,
    c101_tax_is_rounded_on_each_line,
    c102_tax_is_rounded_on_the_total,
    c103_parts_of_a_minor_unit_are_rounded,
    c104_due_after_days,
    c105_due_after_business_days,
    c106_due_at_the_end_of_a_month,
    c107_due_after_the_notice_of_a_debit,
    c108_tax_rate_changes_on_a_day,
    c109_tax_code_is_exempt,
    c110_payer_accounts_for_the_tax,
    c111_total_is_rounded_for_cash,
    c201_late_fee_is_a_share_of_open_amount,
    c202_late_fee_is_flat,
    c203_interest_accrues_daily,
    c204_fee_of_the_reminder_level,
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


EASTER = frozenset({date(2026, 4, 3), date(2026, 4, 6)})
NO_HOLIDAYS: frozenset[date] = frozenset()


@pytest.mark.parametrize(
    ("days", "due_on"),
    [
        (0, date(2026, 4, 7)),  # issued on Good Friday: the next business day
        (1, date(2026, 4, 7)),
        (5, date(2026, 4, 13)),
    ],
)
def test_due_after_business_days(days: int, due_on: date) -> None:
    facts = FACTS._replace(business_date=date(2026, 4, 3), due_on=None)
    found = c105_due_after_business_days(facts, business_days=days, holidays=EASTER)
    assert found == due_on
    stated = facts._replace(due_on=date(2026, 4, 4))
    kept = c105_due_after_business_days(stated, business_days=days, holidays=EASTER)
    assert kept == date(2026, 4, 4)


@pytest.mark.parametrize(
    ("issued_on", "months", "due_on"),
    [
        (date(2026, 3, 20), 0, date(2026, 3, 31)),
        (date(2026, 3, 31), 0, date(2026, 3, 31)),
        (date(2026, 1, 31), 1, date(2026, 3, 2)),  # the 28th of February is a Saturday
        (date(2026, 12, 31), 1, date(2027, 2, 1)),  # the 31st of January is a Sunday
        (date(2026, 3, 20), 24, date(2028, 3, 31)),
    ],
)
def test_due_at_the_end_of_a_month(issued_on: date, months: int, due_on: date) -> None:
    facts = FACTS._replace(business_date=issued_on, due_on=None)
    found = c106_due_at_the_end_of_a_month(facts, months=months, holidays=NO_HOLIDAYS)
    assert found == due_on
    stated = facts._replace(due_on=issued_on)
    asked: dict[str, Any] = {"months": months, "holidays": NO_HOLIDAYS}
    assert c106_due_at_the_end_of_a_month(stated, **asked) == issued_on
    assert c106_due_at_the_end_of_a_month(stated, **asked, keeps_stated=False) == due_on


def test_a_debit_is_due_after_its_notice() -> None:
    facts = FACTS._replace(business_date=date(2026, 4, 2), due_on=None, has_mandate=True)
    asked: dict[str, Any] = {"business_days": 2, "holidays": EASTER}
    assert c107_due_after_the_notice_of_a_debit(facts, **asked) == date(2026, 4, 8)
    early, late = (facts._replace(due_on=date(2026, 4, day)) for day in (3, 11))
    assert c107_due_after_the_notice_of_a_debit(early, **asked) == date(2026, 4, 8)
    assert c107_due_after_the_notice_of_a_debit(late, **asked) == date(2026, 4, 13)
    for unknown in (None, False):
        without = facts._replace(has_mandate=unknown)
        assert c107_due_after_the_notice_of_a_debit(without, **asked) is None


def test_rates_by_code_and_day() -> None:
    july = date(2026, 7, 1)
    change = c108_tax_rate_changes_on_a_day(tax_code="S", rate_bps=2000, from_on=july)
    later = c108_tax_rate_changes_on_a_day(tax_code="N", rate_bps=500, from_on=july)
    exempt = c109_tax_code_is_exempt(tax_code="E", reason="Article 132")
    assert exempt.exemption == "Article 132"
    rates = DatedRates({"S": 1900}, [later, change, exempt])
    assert rates.is_changing
    assert rates.on_day(date(2026, 6, 30)) == {"S": 1900, "E": 0}
    assert rates.on_day(july) == rates.latest == {"S": 2000, "E": 0, "N": 500}
    facts = FACTS._replace(business_date=july, document_on=None)
    assert rates.on(facts)["S"] == 2000
    assert rates.on(facts._replace(document_on=date(2026, 6, 30)))["S"] == 1900
    assert rates.on(facts._replace(document_on=date(2026, 6, 30), period_to=july))["S"] == 2000
    assert not DatedRates({"S": 1900}, [exempt]).is_changing


def test_the_payer_accounts_for_the_tax_with_a_vat_number() -> None:
    asked: dict[str, Any] = {"tax_codes": ("S", "R"), "reverse_code": "AE"}
    assert c110_payer_accounts_for_the_tax(FACTS, **asked) is None
    facts = FACTS._replace(payer_vat_id="DE136695976")
    assert c110_payer_accounts_for_the_tax(facts, **asked) == {"S": "AE", "R": "AE"}


@pytest.mark.parametrize(
    ("total_minor", "part_minor"),
    [(0, 0), (1_000, 0), (1_001, -1), (1_002, -2), (1_003, 2), (1_004, 1), (2, -2), (-3, -2)],
)
def test_a_total_is_rounded_for_cash(total_minor: int, part_minor: int) -> None:
    asked: dict[str, Any] = {"revenue_code": "round", "tax_code": "O", "rounding": HALF_UP}
    found = c111_total_is_rounded_for_cash(total_minor, step_minor=5, **asked)
    assert found == (part_minor, "round", "O")
    assert c111_total_is_rounded_for_cash(total_minor, step_minor=1, **asked)[0] == 0


@pytest.mark.parametrize(
    ("level", "fee_minor"), [(None, 0), (0, 0), (1, 0), (2, 500), (3, 1_500), (9, 1_500)]
)
def test_the_fee_of_a_reminder_level(level: int | None, fee_minor: int) -> None:
    facts = FACTS._replace(open_minor=1, reminder_level=level)
    charge = c204_fee_of_the_reminder_level(facts, amounts_minor=(0, 500, 1_500))
    assert (charge.amount_minor if charge else 0) == fee_minor
    settled = facts._replace(open_minor=0)
    assert c204_fee_of_the_reminder_level(settled, amounts_minor=(0, 500, 1_500)) is None


@given(days=st.integers(0, 3660), more=st.integers(0, 100), open_minor=st.integers(0, 10**12))
def test_interest_never_falls_from_day_to_day(days: int, more: int, open_minor: int) -> None:
    def charged(late: int) -> int:
        facts = FACTS._replace(
            open_minor=open_minor,
            due_on=date(2026, 3, 20),
            business_date=date(2026, 3, 20) + timedelta(days=late),
        )
        charge = c203_interest_accrues_daily(facts, yearly_rate_bps=912, rounding=HALF_UP)
        return charge.amount_minor if charge else 0

    assert type(charged(days)) is int
    assert charged(days) <= charged(days + more)
