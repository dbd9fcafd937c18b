"""Clauses that compute: tax, rounding, due dates, late fees and interest.

Amounts are whole minor units; every division goes through one exact rounding.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Annotated, Literal

from portal.domain.dates import Roll, due_date
from portal.domain.errors import Invalid
from portal.domain.money import Rounding, apply_rate, round_ratio
from rules.clauses import Between, ClauseKind, clause
from rules.types import Charge, InvoiceFacts, LineFacts, Stage, TaxAmount
from rules.validation import DAYS, AmountMinor

BPS = Between(0, 10_000)
Rates = Annotated[Mapping[str, int], BPS]

# Interest is agreed per year and computed for real days, as money markets write it: act/365.
DAYS_PER_YEAR = 365


class TaxCodeUnknown(Invalid):
    """The tax code “{tax_code}” is not agreed. Nothing was computed; use a code of the rule set."""

    tax_code: str


@clause(ClauseKind.TAX, Stage.ISSUE)
def c101_tax_is_rounded_on_each_line(
    lines: tuple[LineFacts, ...], *, rates: Rates, rounding: Rounding
) -> tuple[TaxAmount, ...]:
    """Round the tax of each line and add it up per tax code; the rates are {rates}.

    Raises: TaxCodeUnknown.
    """
    nets: dict[str, int] = {}
    taxes: dict[str, int] = {}
    for _, net_minor, _, code in lines:
        rate_bps = rates.get(code)
        if rate_bps is None:
            raise TaxCodeUnknown(tax_code=code)
        nets[code] = nets.get(code, 0) + net_minor
        tax_minor = round_ratio(net_minor * rate_bps, 10_000, rounding) if rate_bps else 0
        taxes[code] = taxes.get(code, 0) + tax_minor
    return tuple([TaxAmount(code, rates[code], nets[code], taxes[code]) for code in sorted(nets)])


@clause(ClauseKind.TAX, Stage.ISSUE)
def c102_tax_is_rounded_on_the_total(
    lines: tuple[LineFacts, ...], *, rates: Rates, rounding: Rounding
) -> tuple[TaxAmount, ...]:
    """Add up the net amounts per tax code and round the tax once; the rates are {rates}.

    Raises: TaxCodeUnknown.
    """
    nets: dict[str, int] = {}
    for _, net_minor, _, code in lines:
        nets[code] = nets.get(code, 0) + net_minor
    taxes = []
    for code in sorted(nets):
        rate_bps = rates.get(code)
        if rate_bps is None:
            raise TaxCodeUnknown(tax_code=code)
        tax_minor = round_ratio(nets[code] * rate_bps, 10_000, rounding) if rate_bps else 0
        taxes.append(TaxAmount(code, rate_bps, nets[code], tax_minor))
    return tuple(taxes)


@clause(ClauseKind.ROUNDING, Stage.ISSUE)
def c103_parts_of_a_minor_unit_are_rounded(
    *, mode: Literal["half_up", "half_even", "down", "up"]
) -> Rounding:
    """Round parts of a minor unit {mode}."""
    return Rounding(mode)


@clause(ClauseKind.DUE, Stage.ISSUE)
def c104_due_after_days(
    facts: InvoiceFacts,
    *,
    days: Annotated[int, DAYS],
    roll: Roll = "following",
    keeps_stated: bool = True,
    holidays: AbstractSet[date],
) -> date:
    """Make a document due {days} days after its issue (business day roll: {roll}; a due date the
    document states is kept: {keeps_stated}).

    Shape: the business date of the facts is the day of issue.
    """
    if keeps_stated and facts.due_on is not None:
        return facts.due_on
    return due_date(facts.business_date, days=days, holidays=holidays, roll=roll)


@clause(ClauseKind.FEE, Stage.REMIND)
def c201_late_fee_is_a_share_of_open_amount(
    facts: InvoiceFacts,
    *,
    rate_bps: Annotated[int, BPS],
    grace_days: Annotated[int, DAYS] = 0,
    rounding: Rounding,
) -> Charge | None:
    """Charge {rate_bps} of what is still open once {grace_days} days of grace are over."""
    if _days_late(facts) <= grace_days:
        return None
    fee_minor = apply_rate(facts.open_minor, rate_bps, rounding)
    return Charge("C201", fee_minor, "Late fee, a share of the open amount") if fee_minor else None


@clause(ClauseKind.FEE, Stage.REMIND)
def c202_late_fee_is_flat(
    facts: InvoiceFacts, *, amount_minor: AmountMinor, grace_days: Annotated[int, DAYS] = 0
) -> Charge | None:
    """Charge a flat fee of {amount_minor} minor units once {grace_days} days of grace are over."""
    if _days_late(facts) <= grace_days or amount_minor == 0:
        return None
    return Charge("C202", amount_minor, "Late fee, a flat amount")


@clause(ClauseKind.FEE, Stage.REMIND)
def c203_interest_accrues_daily(
    facts: InvoiceFacts,
    *,
    yearly_rate_bps: Annotated[int, BPS],
    grace_days: Annotated[int, DAYS] = 0,
    rounding: Rounding,
) -> Charge | None:
    """Charge interest of {yearly_rate_bps} a year on what is still open, for each day since it was
    due, once {grace_days} days of grace are over."""
    days = _days_late(facts)
    if days <= grace_days:
        return None
    year = 10_000 * DAYS_PER_YEAR
    interest_minor = round_ratio(facts.open_minor * yearly_rate_bps * days, year, rounding)
    if not interest_minor:
        return None
    return Charge("C203", interest_minor, f"Interest for {days} days")


def _days_late(facts: InvoiceFacts) -> int:
    """Count the days since a document was due; zero when it is not due or nothing is open."""
    if facts.due_on is None or facts.open_minor <= 0:
        return 0
    return max(0, (facts.business_date - facts.due_on).days)
