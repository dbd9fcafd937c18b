"""Tariffs: what a metered quantity costs, and what is added to the lines of a document.

An addition is told the document with its lines so far. Every amount is one exact fraction, rounded
once.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from portal.domain.money import Rounding, apply_rate, round_ratio
from rules.clauses import ClauseKind, clause
from rules.limits import AmountMinor, Days, Price, Prices, Quantities, Share
from rules.types import InvoiceFacts, LineFacts, MeteredLine, PricedLine, Stage

MICRO = 1_000_000


def _tiers_agree(values: Mapping[str, Any]) -> str:
    """Say why limits and prices do not fit each other; nothing when they do."""
    up_to: Sequence[int] = values["up_to"]
    if any(high <= low for low, high in pairwise(up_to)):
        return "its limits must rise from one to the next"
    if len(values["prices_micro"]) != len(up_to) + 1:
        return "it needs one price more than limits: the last is for all that is above"
    return ""


@clause(ClauseKind.TARIFF, Stage.ISSUE)
def c301_quantity_has_a_unit_price(
    line: MeteredLine,
    *,
    revenue_codes: tuple[str, ...],
    price_micro: Price,
    rounding: Rounding,
) -> int | None:
    """Price the lines of {revenue_codes} at {price_micro} for each unit."""
    if line.revenue_code not in revenue_codes:
        return None
    count, parts = line.quantity.as_integer_ratio()
    return round_ratio(count * price_micro * line.minor_per_major, parts * MICRO, rounding)


@clause(ClauseKind.TARIFF, Stage.ISSUE, agrees=_tiers_agree)
def c302_quantity_is_priced_in_tiers(
    line: MeteredLine,
    *,
    revenue_codes: tuple[str, ...],
    up_to: Quantities,
    prices_micro: Prices,
    per_days: Days = 0,
    rounding: Rounding,
) -> int | None:
    """Price the lines of {revenue_codes} in tiers up to {up_to} and above, each part of the
    quantity at the price of its tier: {prices_micro}; the limits are for {per_days} (0 days: for
    any period) and follow the days of the period.

    Shape: the same on both sides of zero.
    """
    if line.revenue_code not in revenue_codes:
        return None
    count, parts, limits = _measure(line, up_to, per_days)
    sign, left, low, numerator = (-1 if count < 0 else 1), abs(count), 0, 0
    for high, price in zip(limits, prices_micro, strict=False):
        numerator += (min(left, high) - low) * price
        low = high
        if left <= high:
            break
    else:
        numerator += (left - low) * prices_micro[-1]
    return round_ratio(sign * numerator * line.minor_per_major, parts * MICRO, rounding)


@clause(ClauseKind.TARIFF, Stage.ISSUE, agrees=_tiers_agree)
def c303_quantity_is_priced_by_its_block(
    line: MeteredLine,
    *,
    revenue_codes: tuple[str, ...],
    up_to: Quantities,
    prices_micro: Prices,
    per_days: Days = 0,
    rounding: Rounding,
) -> int | None:
    """Price the lines of {revenue_codes} by blocks up to {up_to} and above, the whole quantity at
    the price of the block it falls in: {prices_micro}; the limits are for {per_days} (0 days: for
    any period) and follow the days of the period."""
    if line.revenue_code not in revenue_codes:
        return None
    count, parts, limits = _measure(line, up_to, per_days)
    size = abs(count)
    price = next(
        (price for high, price in zip(limits, prices_micro, strict=False) if size <= high),
        prices_micro[-1],
    )
    return round_ratio(count * price * line.minor_per_major, parts * MICRO, rounding)


@clause(ClauseKind.ADDITION, Stage.ISSUE)
def c304_base_charge_is_added(
    facts: InvoiceFacts,
    *,
    amount_minor: AmountMinor,
    revenue_code: str,
    tax_code: str,
    text: str = "Base charge",
    revenue_codes: tuple[str, ...] = (),
    per_days: Days = 0,
    rounding: Rounding,
) -> list[PricedLine]:
    """Add “{text}” of {amount_minor} for {per_days} (0 days: for any period), by the days of the
    period, to documents with lines of {revenue_codes}; it is revenue of {revenue_code}, taxed as
    {tax_code}."""
    if not _list_concerned(facts.lines, revenue_codes):
        return []
    charge_minor = _prorate(amount_minor, facts.period_days, per_days, rounding)
    return _add(facts, charge_minor, revenue_code, tax_code, text, "C304")


@clause(ClauseKind.ADDITION, Stage.ISSUE)
def c305_minimum_charge_is_reached(
    facts: InvoiceFacts,
    *,
    minimum_minor: AmountMinor,
    revenue_code: str,
    tax_code: str,
    text: str = "Minimum charge",
    revenue_codes: tuple[str, ...] = (),
    per_days: Days = 0,
    rounding: Rounding,
) -> list[PricedLine]:
    """Add “{text}” where the lines of {revenue_codes} come to less than {minimum_minor} for
    {per_days} (0 days: for any period), by the days of the period; it is revenue of {revenue_code},
    taxed as {tax_code}."""
    concerned = _list_concerned(facts.lines, revenue_codes)
    if not concerned:
        return []
    least_minor = _prorate(minimum_minor, facts.period_days, per_days, rounding)
    missing_minor = least_minor - sum(line.net_minor for line in concerned)
    return _add(facts, max(0, missing_minor), revenue_code, tax_code, text, "C305")


@clause(ClauseKind.ADDITION, Stage.ISSUE)
def c306_surcharge_is_added(
    facts: InvoiceFacts,
    *,
    rate_bps: Share,
    revenue_code: str,
    text: str = "Surcharge",
    revenue_codes: tuple[str, ...] = (),
    rounding: Rounding,
) -> list[PricedLine]:
    """Add “{text}” of {rate_bps} of the lines of {revenue_codes}, with their tax codes; it is
    revenue of {revenue_code}."""
    return _add_share(facts, rate_bps, revenue_codes, revenue_code, text, "C306", rounding)


@clause(ClauseKind.ADDITION, Stage.ISSUE)
def c307_discount_is_taken_off(
    facts: InvoiceFacts,
    *,
    rate_bps: Share,
    revenue_code: str,
    text: str = "Discount",
    revenue_codes: tuple[str, ...] = (),
    rounding: Rounding,
) -> list[PricedLine]:
    """Take “{text}” of {rate_bps} off the lines of {revenue_codes}, with their tax codes; it is
    revenue of {revenue_code}."""
    return _add_share(facts, -rate_bps, revenue_codes, revenue_code, text, "C307", rounding)


def _measure(line: MeteredLine, up_to: Sequence[int], per_days: int) -> tuple[int, int, list[int]]:
    """Bring a quantity and the limits of its tiers to the same fraction of a unit.

    Shape: quantity and limits as whole numbers, and between them how many make one unit.
    """
    count, parts = line.quantity.as_integer_ratio()
    days = line.period_days
    if not per_days or days is None:
        return count, parts, [limit * parts for limit in up_to]
    return count * per_days, parts * per_days, [limit * days * parts for limit in up_to]


def _prorate(amount_minor: int, days: int | None, per_days: int, rounding: Rounding) -> int:
    """Take of an amount what the days of a period are worth; all of it when either is not known."""
    if not per_days or days is None:
        return amount_minor
    return round_ratio(amount_minor * days, per_days, rounding)


def _list_concerned(lines: Sequence[LineFacts], codes: tuple[str, ...]) -> list[LineFacts]:
    """List the lines with one of these revenue codes; no codes are all of them."""
    return [line for line in lines if not codes or line.revenue_code in codes]


def _add(
    facts: InvoiceFacts,
    net_minor: int,
    revenue_code: str,
    tax_code: str,
    text: str,
    code: str,
) -> list[PricedLine]:
    if not net_minor:
        return []
    position = max(line.position for line in facts.lines) + 1
    return [PricedLine(position, net_minor, revenue_code, tax_code, None, text, code)]


def _add_share(
    facts: InvoiceFacts,
    rate_bps: int,
    revenue_codes: tuple[str, ...],
    revenue_code: str,
    text: str,
    code: str,
    rounding: Rounding,
) -> list[PricedLine]:
    """Add a line for each tax code of the lines concerned, so that its tax stays what it is."""
    nets: dict[str, int] = {}
    for line in _list_concerned(facts.lines, revenue_codes):
        nets[line.tax_code] = nets.get(line.tax_code, 0) + line.net_minor
    shares = {tax: apply_rate(nets[tax], rate_bps, rounding) for tax in sorted(nets)}
    position = max((line.position for line in facts.lines), default=0)
    added: list[PricedLine] = []
    for tax_code, share_minor in shares.items():
        if share_minor:
            position += 1
            added.append(
                PricedLine(position, share_minor, revenue_code, tax_code, None, text, code)
            )
    return added
