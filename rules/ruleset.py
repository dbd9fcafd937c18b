"""A definition (data), checked and compiled once per run: what each stage asks of the agreement.

Reading, writing and hashing definitions is done in `rules.definitions`, the checking of a
definition clause by clause in `rules.compiling`.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from typing import Any

from portal.domain.money import (
    AMOUNT_MINOR_MAX,
    MAJOR_DIGITS_MAX,
    AmountTooLarge,
    Rounding,
    check_amount,
    currency_exponent,
    round_ratio,
)
from rules.calculation import TaxCodeUnknown
from rules.clauses import ClauseKind, say
from rules.compiling import BoundClause, Problem, RuleSetInvalid, bind_clauses
from rules.conditions import Test
from rules.definitions import definition_hash, dump_definition, load_definition
from rules.policies import apportion, p101_retry_after_days, p102_credits_are_applied_in_order
from rules.pricing import Pricing
from rules.types import (
    BY_NOBODY,
    Allocation,
    Assessment,
    Charge,
    Finding,
    InvoiceFacts,
    InvoicePrice,
    LineFacts,
    OpenInvoiceFacts,
    PaymentFacts,
    Reached,
    RetryDecision,
    Severity,
    SourceFacts,
    Stage,
)

__all__ = [
    "CompiledRuleSet",
    "Problem",
    "RuleSetInvalid",
    "compile_rule_set",
    "definition_hash",
    "dump_definition",
    "load_definition",
]

# A document is priced at these stages, and so needs tax codes that are known.
_PRICED_STAGES = frozenset({Stage.IMPORT, Stage.ISSUE})

Check = tuple[Callable[[InvoiceFacts], str | None], Test | None, str, Severity, str | None, int]


def compile_rule_set(
    definition: Mapping[str, Any], *, holidays: AbstractSet[date]
) -> "CompiledRuleSet":
    """Check a definition and bind its clauses.

    Raises: RuleSetInvalid, which carries every problem found.
    """
    return CompiledRuleSet(bind_clauses(definition, holidays=frozenset(holidays)), holidays)


class CompiledRuleSet:
    """What one organisation agreed, ready to be asked."""

    __slots__ = (
        "_bound",
        "_checks",
        "_fees",
        "_levels",
        "_limits",
        "_order",
        "_pricing",
        "_retries",
        "_set_offs",
        "_tolerances",
        "metered_codes",
        "needs",
        "rounding",
        "stages",
    )

    def __init__(self, bound: Sequence[BoundClause], holidays: AbstractSet[date]) -> None:
        """Sort bound clauses by what they do; `compile_rule_set` is the way in."""
        by_kind = {
            kind: [each for each in bound if each.clause.kind is kind] for kind in ClauseKind
        }
        self._bound = tuple(bound)
        self._pricing = Pricing(by_kind)
        self.rounding: Rounding = self._pricing.rounding
        # What has to be looked up for this agreement alone: facts, and the quantities of lines.
        self.needs = frozenset(fact for each in bound for fact in each.clause.needs)
        metered = (each.values["revenue_codes"] for each in bound if each.clause.code == "V127")
        self.metered_codes = self._pricing.metered_codes.union(*metered)
        self._fees = [(each.call, each.test, each.place) for each in by_kind[ClauseKind.FEE]]
        self._retries = [(each.call, each.test, each.by) for each in by_kind[ClauseKind.RETRY]]
        self._set_offs = [each.call for each in by_kind[ClauseKind.SET_OFF]]
        self._levels = [(each.call, each.test, each.by) for each in by_kind[ClauseKind.LEVEL]]
        self._tolerances = [each.call for each in by_kind[ClauseKind.TOLERANCE]]
        self._limits = {each.clause.code: each for each in by_kind[ClauseKind.LIMIT]}
        orders = by_kind[ClauseKind.ORDER]
        self._order = orders[0].call if orders else p102_credits_are_applied_in_order
        self._retries.append((_never_again(frozenset(holidays)), None, BY_NOBODY))
        self._checks: dict[str, list[Check]] = {stage: [] for stage in Stage}
        for each in by_kind[ClauseKind.CHECK]:
            entry = each.clause
            for stage in each.stages:
                place = each.place
                check = (each.call, each.test, entry.code, each.severity, entry.field, place)
                self._checks[stage].append(check)
        used = {stage for each in bound for stage in each.stages}
        self.stages: tuple[Stage, ...] = tuple(stage for stage in Stage if stage in used)

    @property
    def tax_codes(self) -> tuple[str, ...]:
        """The tax codes that are agreed, in the order of the definition."""
        return tuple(self._pricing.rates.latest)

    @property
    def exemptions(self) -> dict[str, str]:
        """Why no tax is taken for codes that are exempt, by code."""
        return dict(self._pricing.exemptions)

    @property
    def revenue_codes(self) -> tuple[str, ...]:
        """The revenue codes that are agreed, in the order of the definition; none when any is."""
        listed = (each.values["revenue_codes"] for each in self._bound if _lists_revenue(each))
        return tuple(dict.fromkeys(code for codes in listed for code in codes))

    def is_revenue_code_agreed(self, revenue_code: str) -> bool:
        """Say whether a line may have a revenue code, whatever the document is like otherwise."""
        return all(
            revenue_code in each.values["revenue_codes"]
            for each in self._bound
            if _lists_revenue(each)
            and each.test is None
            and each.severity is Severity.BLOCK
            and Stage.ISSUE in each.stages
        )

    def tax_rate_bps(self, tax_code: str, *, on: date | None = None) -> int:
        """Return the rate of a tax code on a day, or else after the last change that is agreed.

        Raises: TaxCodeUnknown.
        """
        rates = self._pricing.rates
        rate_bps = (rates.latest if on is None else rates.on_day(on)).get(tax_code)
        if rate_bps is None:
            raise TaxCodeUnknown(tax_code=tax_code)
        return rate_bps

    def line_net_minor(self, quantity: Decimal, unit_price: Decimal, currency: str) -> int:
        """Multiply exactly and round once, by the agreed mode.

        Raises: AmountTooLarge; CurrencyUnknown.
        """
        # Ratios of whole numbers, since Decimal would round at the context's precision first.
        for factor in (quantity, unit_price):
            if not factor.is_finite() or factor.adjusted() > MAJOR_DIGITS_MAX:
                raise AmountTooLarge(largest=AMOUNT_MINOR_MAX)
        count, parts = quantity.as_integer_ratio()
        price, price_parts = unit_price.as_integer_ratio()
        scale = 10 ** currency_exponent(currency)
        return check_amount(round_ratio(count * price * scale, parts * price_parts, self.rounding))

    def validate(self, stage: Stage | str, facts: InvoiceFacts) -> tuple[Finding, ...]:
        """Ask every check of a stage; an unknown tax code is found at import and issue by itself.

        Shape: in the order of the definition; empty when all is well.
        """
        findings: list[Finding] = []
        if stage in _PRICED_STAGES:
            rates = self._pricing.rates.on(facts)
            findings.extend(
                [self._unknown_tax(line) for line in facts.lines if line[3] not in rates]
            )
        for check, test, code, severity, field, place in self._checks[stage]:
            if test is None or test(facts):
                message = check(facts)
                if message is not None:
                    findings.append(Finding(code, severity, message, field, place))
        return tuple(findings)

    def collect_findings(self, facts: InvoiceFacts) -> tuple[Finding, ...]:
        """Say why an open invoice is not to be collected on its business date."""
        return self.validate(Stage.COLLECT, facts)

    def price(self, facts: InvoiceFacts) -> InvoicePrice:
        """Compute what a document comes to, credit notes with positive amounts as well.

        Raises: TaxCodeUnknown; AmountTooLarge.
        """
        return self._pricing.price(facts)[0]

    def assess(self, stage: Stage | str, facts: InvoiceFacts) -> Assessment:
        """Price a document, then ask the checks about the priced document.

        Shape: lines, total, open amount and due date of the facts are those of the price; without a
        price (an unknown tax code, a total too large) the findings that block it are there.
        """
        try:
            price, lines = self._pricing.price(facts)
        except TaxCodeUnknown:
            rates = self._pricing.rates.on(facts)
            unknown = [line for line in facts.lines if line.tax_code not in rates]
            return Assessment(None, tuple(self._unknown_tax(line) for line in unknown))
        except AmountTooLarge as error:
            code, place = self._pricing.tax_by
            finding = Finding(code, Severity.BLOCK, error.message, "total_minor", place)
            return Assessment(None, (finding,))
        total = price.total_minor
        priced = InvoiceFacts._make((*facts[:11], lines, total, total, price.due_on, *facts[15:]))
        return Assessment(price, self.validate(stage, priced))

    def decide_retry(self, facts: PaymentFacts) -> RetryDecision:
        """Say whether a failed payment is tried again, when, and otherwise whose work it is.

        Shape: the first retry clause that applies decides; without one nothing is tried again.
        """
        decide, by = next(
            (call, by) for call, test, by in self._retries if test is None or test(facts)
        )
        decision: RetryDecision = decide(facts)
        return decision._replace(by=by)

    def allocate(
        self, sources: Sequence[SourceFacts], invoices: Sequence[OpenInvoiceFacts]
    ) -> tuple[Allocation, ...]:
        """Settle a payer's open invoices from the payer's own money, all in one currency.

        Shape: deposits only by agreement and with the payer's consent.
        """
        usable = [each for each in sources if each.kind != "deposit" or self._may_set_off(each)]
        return apportion(*self._order(usable, invoices))

    def late_fee(self, facts: InvoiceFacts) -> tuple[Charge, ...]:
        """Compute the fees and interest of an overdue invoice on its business date."""
        charges = (
            (call(facts), place) for call, test, place in self._fees if test is None or test(facts)
        )
        return tuple(charge._replace(place=place) for charge, place in charges if charge)

    def reminder_level(self, facts: InvoiceFacts) -> int:
        """Say which level of reminder an overdue invoice has reached; zero is none."""
        return self.reach_level(facts).level

    def reach_level(self, facts: InvoiceFacts) -> Reached:
        """Say which level of reminder an overdue invoice has reached, and by which clause.

        Shape: the first clause that applies decides; without one nothing is reminded.
        """
        for call, test, by in self._levels:
            if test is None or test(facts):
                return Reached(call(facts), by)
        return Reached(0)

    def is_difference_tolerated(self, difference_minor: int, expected_minor: int) -> bool:
        """Say whether a payout may differ that much; without agreement not at all."""
        return not difference_minor or any(
            call(difference_minor, expected_minor) for call in self._tolerances
        )

    @property
    def refund_limit_minor(self) -> int | None:
        """The amount from which on a second person approves a refund; None where none is agreed."""
        limit = self._limits.get("P114")
        return limit.values["limit_minor"] if limit else None

    def needs_second_for_run(self, total_minor: int, documents: int) -> bool | None:
        """Say whether a second person approves a run; None where nothing is agreed."""
        limit = self._limits.get("P115")
        return limit.call(total_minor, documents) if limit else None

    def explain(self) -> list[str]:
        """Write the agreement as sentences, one per clause in the order of the definition."""
        return [each.explain() for each in self._bound]

    def _may_set_off(self, source: SourceFacts) -> bool:
        return source.may_set_off and any(call(source) for call in self._set_offs)

    def _unknown_tax(self, line: LineFacts) -> Finding:
        message = (
            f"Line {line.position} has the tax code “{line.tax_code}”, which is not agreed; "
            f"use one of {say(self.tax_codes)}."
        )
        code, place = self._pricing.tax_by
        return Finding(code, Severity.BLOCK, message, "lines", place)


def _lists_revenue(bound: BoundClause) -> bool:
    # Tariffs name revenue codes as well, but only those that they price.
    return bound.clause.code == "V116"


def _never_again(holidays: frozenset[date]) -> Callable[[PaymentFacts], RetryDecision]:
    """Decide where nothing about retries is agreed: the first attempt is the only one."""
    return lambda facts: p101_retry_after_days(
        facts, attempts_max=1, days_between=(1,), holidays=holidays
    )
