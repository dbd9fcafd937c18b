"""What a document comes to: tariffs, additions, reverse charge, tax, and rounding for cash.

A document that no tariff and no addition concerns is summed and taxed as it was drafted.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

from portal.domain.money import Rounding, check_amount, currency_exponent, round_ratio
from rules.calculation import MICRO, DatedRates
from rules.clauses import ClauseKind
from rules.compiling import BoundClause
from rules.types import (
    By,
    DatedRate,
    InvoiceFacts,
    InvoicePrice,
    LineFacts,
    MeteredLine,
    PricedLine,
    TaxAmount,
    TraceEntry,
)

Lines = tuple[LineFacts, ...]
Tax = Callable[[Lines], tuple[TaxAmount, ...]]


class Pricing:
    """The clauses of one agreement that make a price, ready to be asked."""

    __slots__ = (
        "_additions",
        "_cash",
        "_due_clauses",
        "_reversals",
        "_tariffs",
        "_tax",
        "_taxes",
        "exemptions",
        "metered_codes",
        "rates",
        "rounding",
        "tax_by",
    )

    def __init__(self, by_kind: Mapping[ClauseKind, Sequence[BoundClause]]) -> None:
        """Sort the clauses, and draw up the rates for each day on which they change."""
        (tax,) = by_kind[ClauseKind.TAX]
        self.rounding: Rounding = tax.rounding
        self.tax_by = tax.by
        self._additions = by_kind[ClauseKind.ADDITION]
        self._reversals = by_kind[ClauseKind.REVERSE_CHARGE]
        self._cash = by_kind[ClauseKind.CASH]
        self._tariffs = by_kind[ClauseKind.TARIFF]
        self._due_clauses = [(each.call, each.test, each.by) for each in by_kind[ClauseKind.DUE]]
        self.metered_codes = frozenset(
            code for each in self._tariffs for code in each.values["revenue_codes"]
        )
        changes: list[DatedRate] = [each.call() for each in by_kind[ClauseKind.TAX_CODE]]
        self.exemptions = {each.tax_code: each.exemption for each in changes if each.exemption}
        untaxed = [each.values["reverse_code"] for each in self._reversals]
        untaxed += [each.values["tax_code"] for each in self._cash]
        changes += [DatedRate(code, 0) for code in untaxed]
        self.rates = DatedRates(tax.values["rates"], changes)
        self._tax: Tax | None = None
        self._taxes = partial(tax.clause.function, rounding=self.rounding)
        if not self.rates.is_changing:
            self._tax = partial(self._taxes, rates=self.rates.latest)

    def price(self, facts: InvoiceFacts) -> tuple[InvoicePrice, Lines]:
        """Compute what a document comes to, and the lines it then has.

        Raises: TaxCodeUnknown; AmountTooLarge.
        """
        lines = facts.lines
        changed: dict[int, PricedLine] = {}
        steps: list[TraceEntry] = []
        if self._tariffs or self._additions or self._reversals:
            lines = self._price_lines(facts, changed, steps)
        taxes = self._tax(lines) if self._tax else self._taxes(lines, rates=self.rates.on(facts))
        if self._cash:
            lines, taxes = self._round_for_cash(facts, lines, taxes, changed, steps)
        revenues: dict[str, int] = {}
        net_minor = 0
        for _, line_minor, code, _, _ in lines:
            net_minor += line_minor
            revenues[code] = revenues.get(code, 0) + line_minor
        tax_minor = 0
        for tax in taxes:
            tax_minor += tax[3]
        due_on, due_by = self._due_on(facts)
        price = InvoicePrice(
            net_minor,
            tax_minor,
            check_amount(net_minor + tax_minor),
            taxes,
            tuple(sorted(revenues.items())),
            due_on,
            tuple(changed.values()) if changed else (),
            tuple(steps),
            self.tax_by,
            due_by,
        )
        return price, lines

    def _price_lines(
        self, facts: InvoiceFacts, changed: dict[int, PricedLine], steps: list[TraceEntry]
    ) -> Lines:
        """Apply tariffs and additions, which are for invoices only, and the reverse charge."""
        lines = facts.lines
        if facts.kind == "invoice":
            exponent = currency_exponent(facts.currency)
            if self._tariffs:
                scale = 10**exponent
                lines = tuple([self._meter(line, facts, scale, changed, steps) for line in lines])
            for each in self._additions:
                if each.test is None or each.test(facts):
                    so_far = lines
                    for added in each.call(facts._replace(lines=lines)):
                        check_amount(added.net_minor)
                        lines += (LineFacts(*added[:4]),)
                        price = Decimal(added.net_minor).scaleb(-exponent)
                        changed[added.position] = added._replace(unit_price=price)
                        steps.append(_trace_addition(each, added, so_far, facts.period_days))
        for each in self._reversals:
            if each.test is None or each.test(facts):
                lines = _reverse(lines, each.call(facts) or {}, each.by, changed, steps)
        return lines

    def _meter(
        self,
        line: LineFacts,
        facts: InvoiceFacts,
        scale: int,
        changed: dict[int, PricedLine],
        steps: list[TraceEntry],
    ) -> LineFacts:
        """Price a line by the first tariff that names its revenue code and applies."""
        quantity = line.quantity
        if quantity is None or line.revenue_code not in self.metered_codes:
            return line
        metered = MeteredLine(line.revenue_code, quantity, scale, facts.period_days)
        for each in self._tariffs:
            net_minor = each.call(metered) if each.test is None or each.test(facts) else None
            if net_minor is not None:
                check_amount(net_minor)
                unit_price = self._unit_price(net_minor, quantity, scale)
                code = each.clause.code
                priced = PricedLine(
                    line[0], net_minor, line.revenue_code, line.tax_code, unit_price, None, code
                )
                changed[line.position] = priced
                inputs: dict[str, Any] = {"line": line[0], "quantity": f"{quantity.normalize():f}"}
                if each.values.get("per_days") and facts.period_days is not None:
                    inputs["days"] = facts.period_days
                steps.append(TraceEntry(*each.by, inputs, net_minor))
                return line._replace(net_minor=net_minor)
        return line

    def _unit_price(self, net_minor: int, quantity: Decimal, scale: int) -> Decimal | None:
        """Say what one unit came to on average, as finely as a line can hold it."""
        if not quantity:
            return None
        count, parts = quantity.as_integer_ratio()
        sign = -1 if count < 0 else 1
        micro = round_ratio(sign * net_minor * parts * MICRO, abs(count) * scale, self.rounding)
        return Decimal(micro).scaleb(-6)

    def _round_for_cash(
        self,
        facts: InvoiceFacts,
        lines: Lines,
        taxes: tuple[TaxAmount, ...],
        changed: dict[int, PricedLine],
        steps: list[TraceEntry],
    ) -> tuple[Lines, tuple[TaxAmount, ...]]:
        """Add the line that brings the total to what coins can pay, if it is not there already."""
        total_minor = sum(tax.net_minor + tax.tax_minor for tax in taxes)
        for each in self._cash:
            if each.test is None or each.test(facts):
                part_minor, revenue_code, code = each.call(total_minor)
                break
        else:
            return lines, taxes
        if not part_minor:
            return lines, taxes
        price = Decimal(part_minor).scaleb(-currency_exponent(facts.currency))
        place = lines[-1].position + 1
        changed[place] = PricedLine(
            place, part_minor, revenue_code, code, price, "Rounding", each.clause.code
        )
        inputs = {"line": place, "tax_code": code, "total": total_minor}
        steps.append(TraceEntry(*each.by, inputs, part_minor))
        by_code = {tax.tax_code: tax for tax in taxes}
        known = by_code.get(code, TaxAmount(code, 0, 0, 0))
        by_code[code] = known._replace(net_minor=known.net_minor + part_minor)
        line = LineFacts(place, part_minor, revenue_code, code)
        return (*lines, line), tuple(by_code[each] for each in sorted(by_code))

    def _due_on(self, facts: InvoiceFacts) -> tuple[date, By]:
        for call, test, by in self._due_clauses:
            if test is None or test(facts):
                due_on: date | None = call(facts)
                if due_on is not None:
                    return due_on, by
        raise AssertionError("compiling made sure that the last due clause takes every case")


def _trace_addition(
    bound: BoundClause, added: PricedLine, lines: Lines, days: int | None
) -> TraceEntry:
    """Note an added line, with what the lines came to that it was computed from."""
    codes = bound.values["revenue_codes"]
    is_share = "rate_bps" in bound.values
    of_minor = sum(
        line.net_minor
        for line in lines
        if (not codes or line.revenue_code in codes)
        and (not is_share or line.tax_code == added.tax_code)
    )
    inputs: dict[str, Any] = {
        "line": added.position,
        "tax_code": added.tax_code,
        "of": of_minor,
        "text": added.description,
    }
    if bound.values.get("per_days") and days is not None:
        inputs["days"] = days
    return TraceEntry(*bound.by, inputs, added.net_minor)


def _reverse(
    lines: Lines,
    codes: Mapping[str, str],
    by: By,
    changed: dict[int, PricedLine],
    steps: list[TraceEntry],
) -> Lines:
    """Give lines the tax codes that stand for others."""
    if not codes:
        return lines
    turned: list[Any] = []
    for line in lines:
        tax_code = codes.get(line.tax_code)
        if tax_code is None:
            turned.append(line)
            continue
        turned.append(line._replace(tax_code=tax_code))
        before = changed.get(line.position)
        changed[line.position] = (
            before._replace(tax_code=tax_code, code=by.code)
            if before
            else PricedLine(*line[:3], tax_code, None, None, by.code)
        )
        inputs = {"line": line.position, "tax_code": line.tax_code}
        steps.append(TraceEntry(*by, inputs, tax_code))
    return tuple(turned)
