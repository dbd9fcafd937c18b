"""Tax by code and day, how parts of a minor unit are rounded, and what is paid in coins."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

from portal.domain.errors import Invalid
from portal.domain.money import Rounding, round_ratio
from rules.clauses import ClauseKind, clause
from rules.limits import PositiveMinor, Rates, Share
from rules.types import DatedRate, InvoiceFacts, LineFacts, Stage, TaxAmount


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
    for _, net_minor, _, code, _ in lines:
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
    for _, net_minor, _, code, _ in lines:
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


@clause(ClauseKind.TAX_CODE, Stage.ISSUE)
def c108_tax_rate_changes_on_a_day(*, tax_code: str, rate_bps: Share, from_on: date) -> DatedRate:
    """Tax the code {tax_code} at {rate_bps} from {from_on} on, by the last day of the period, or
    else by the date of the document."""
    return DatedRate(tax_code, rate_bps, from_on)


@clause(ClauseKind.TAX_CODE, Stage.ISSUE)
def c109_tax_code_is_exempt(*, tax_code: str, reason: str) -> DatedRate:
    """Take no tax for the code {tax_code}, and say why: {reason}."""
    return DatedRate(tax_code, 0, exemption=reason)


@clause(ClauseKind.REVERSE_CHARGE, Stage.ISSUE)
def c110_payer_accounts_for_the_tax(
    facts: InvoiceFacts, *, tax_codes: tuple[str, ...], reverse_code: str
) -> Mapping[str, str] | None:
    """Turn the tax codes {tax_codes} into {reverse_code}, which takes no tax, for a payer with a
    VAT number: the payer accounts for it."""
    return dict.fromkeys(tax_codes, reverse_code) if facts.payer_vat_id else None


@clause(ClauseKind.CASH, Stage.ISSUE)
def c111_total_is_rounded_for_cash(
    total_minor: int,
    *,
    step_minor: PositiveMinor,
    revenue_code: str,
    tax_code: str,
    rounding: Rounding,
) -> tuple[int, str, str]:
    """Round the total to {step_minor} by a line of {revenue_code} that takes no tax ({tax_code}).

    Shape: what the line comes to, and its codes.
    """
    rounded_minor = round_ratio(total_minor, step_minor, rounding) * step_minor
    return rounded_minor - total_minor, revenue_code, tax_code


class DatedRates:
    """The rates of tax codes, which change from one day to the next.

    Shape: the days are ascending, and before the first of them the rates are those agreed at first.
    """

    __slots__ = ("_days", "_rates")

    def __init__(self, rates: Mapping[str, int], changes: Sequence[DatedRate]) -> None:
        """Draw up the rates for each stretch of days between two changes."""
        self._rates = [dict(rates)]
        self._days: list[date] = []
        ordered = sorted(changes, key=lambda each: each.from_on or date.min)
        for code, rate_bps, from_on, _ in ordered:
            if from_on is None:
                self._rates[0][code] = rate_bps
            elif self._days and self._days[-1] == from_on:
                self._rates[-1][code] = rate_bps
            else:
                self._days.append(from_on)
                self._rates.append({**self._rates[-1], code: rate_bps})

    @property
    def is_changing(self) -> bool:
        """Whether the day matters at all."""
        return bool(self._days)

    @property
    def latest(self) -> Mapping[str, int]:
        """The rates after the last change."""
        return self._rates[-1]

    def on(self, facts: InvoiceFacts) -> Mapping[str, int]:
        """Return the rates of the day on which a document is taxed."""
        if not self._days:
            return self._rates[0]
        return self.on_day(facts.period_to or facts.document_on or facts.business_date)

    def on_day(self, day: date) -> Mapping[str, int]:
        """Return the rates of a day."""
        return self._rates[bisect_right(self._days, day)]
