"""Clauses about money after the invoice: retries, the order of credits, set-off, collecting.

Reading reasons is done in reasons; what a fee comes to in calculation.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from portal.domain.dates import next_business_day
from portal.domain.money import format_amount
from rules.clauses import Between, ClauseKind, Unit, clause
from rules.limits import AmountMinor, Days, PositiveMinor, Share
from rules.reasons import NEVER_RETRIED, ReasonClass, find_reason
from rules.types import (
    Allocation,
    InvoiceFacts,
    OpenInvoiceFacts,
    PaymentFacts,
    RetryDecision,
    SourceFacts,
    SourceKind,
    Stage,
)

NEEDS_PAYER: Final = "needs_payer"
HARD_DECLINE: Final = "hard_decline"
RETRIES_EXHAUSTED: Final = "retries_exhausted"
WORKLISTS: Final = (NEEDS_PAYER, HARD_DECLINE, RETRIES_EXHAUSTED)
_ARRANGED: Final[Mapping[str, str]] = {
    "hardship": "There is a hardship agreement with the payer; follow its plan.",
    "instalments": "Payment by instalments was agreed with the payer; follow its plan.",
}

InvoiceOrder = Literal["oldest_due", "smallest", "largest"]


@clause(ClauseKind.RETRY, Stage.ATTEMPT_FAILED)
def p101_retry_after_days(
    facts: PaymentFacts,
    *,
    attempts_max: Annotated[int, Between(1, 15, Unit.ATTEMPTS)],
    days_between: Annotated[tuple[int, ...], Between(1, 60, Unit.DAYS)],
    on_business_days: bool = True,
    days_total_max: Annotated[int, Between(1, 365, Unit.DAYS)] = 60,
    holidays: AbstractSet[date],
) -> RetryDecision:
    """Try a retryable payment in {attempts_max} in all, {days_between} apart (moved to
    business days: {on_business_days}), within {days_total_max} of the first attempt.

    Shape: the last gap serves all later attempts; other reasons go to a work list at once.
    """
    reason = find_reason(facts.reason_code)
    if reason.reason_class is ReasonClass.HARD or reason.code in NEVER_RETRIED:
        return _give_up(HARD_DECLINE, f"{reason.sentence} It is not tried again.")
    if reason.reason_class is ReasonClass.NEEDS_PAYER:
        return _give_up(NEEDS_PAYER, f"{reason.sentence} The payer must act first.")
    if facts.attempt_number >= attempts_max:
        tries = f"All {attempts_max} agreed attempts are used."
        return _give_up(RETRIES_EXHAUSTED, f"{reason.sentence} {tries}")
    gap_days = days_between[min(facts.attempt_number, len(days_between)) - 1]
    next_on = facts.business_date + timedelta(days=gap_days)
    if on_business_days:
        next_on = next_business_day(next_on, holidays)
    if (next_on - facts.first_attempt_on).days > days_total_max:
        late = f"The next attempt would be more than {days_total_max} days after the first."
        return _give_up(RETRIES_EXHAUSTED, f"{reason.sentence} {late}")
    number = facts.attempt_number + 1
    plan = f"Attempt {number} of {attempts_max} is on {next_on}."
    return RetryDecision("retry", next_on, None, f"{reason.sentence} {plan}")


@clause(ClauseKind.ORDER, Stage.APPLY_DEPOSIT)
def p102_credits_are_applied_in_order(
    sources: Sequence[SourceFacts],
    invoices: Sequence[OpenInvoiceFacts],
    *,
    source_order: tuple[SourceKind, ...] = ("credit_note", "payer_credit", "deposit"),
    invoice_order: InvoiceOrder = "oldest_due",
) -> tuple[list[SourceFacts], list[OpenInvoiceFacts]]:
    """Apply what the payer has in this order: {source_order}; to invoices in this order:
    {invoice_order}.

    Shape: kinds that are not named are not used; ties go to the older one, then by id.
    """
    rank = {kind: place for place, kind in enumerate(source_order)}
    usable = [source for source in sources if source.kind in rank]
    usable.sort(key=lambda source: (rank[source.kind], source.since, source.id))
    sign = {"oldest_due": 0, "smallest": 1, "largest": -1}[invoice_order]
    ordered = sorted(
        invoices,
        key=lambda each: (sign * each.open_minor, each.due_on, each.issued_on, each.id),
    )
    return usable, ordered


@clause(ClauseKind.SET_OFF, Stage.APPLY_DEPOSIT)
def p103_deposit_is_set_off(source: SourceFacts, *, minimum_minor: AmountMinor = 1) -> bool:
    """Set off a deposit of at least {minimum_minor}, if the payer has consented."""
    return source.may_set_off and source.available_minor >= minimum_minor


@clause(ClauseKind.CHECK, Stage.COLLECT, field="open_minor")
def p104_collected_amount_is_at_least(
    facts: InvoiceFacts, *, minimum_minor: AmountMinor
) -> str | None:
    """Do not collect an open amount below {minimum_minor}."""
    if facts.open_minor >= minimum_minor:
        return None
    least = f"{format_amount(minimum_minor, facts.currency)} {facts.currency}"
    return f"The open amount is below {least}; it is collected with a later invoice."


@clause(ClauseKind.CHECK, Stage.COLLECT, field="due_on")
def p105_collection_begins_around_due_date(
    facts: InvoiceFacts,
    *,
    days_before: Days = 0,
    days_after: Days = 0,
) -> str | None:
    """Collect from {days_before} before, or {days_after} after, the due date."""
    if facts.due_on is None:
        return "The due date is missing; the invoice cannot be collected."
    begins_on = facts.due_on + timedelta(days=days_after - days_before)
    if facts.business_date >= begins_on:
        return None
    return f"The invoice is not collected before {begins_on}."


@clause(ClauseKind.CHECK, Stage.COLLECT, field="payer_ref")
def p107_payer_has_a_mandate(facts: InvoiceFacts) -> str | None:
    """Collect only from payers with an active mandate."""
    if facts.has_mandate is not False:
        return None
    return "The payer has no active mandate; ask for one, or wait for a transfer."


@clause(ClauseKind.CHECK, Stage.COLLECT, Stage.REMIND, field="payer_ref")
def p108_payer_is_not_on_hold(facts: InvoiceFacts) -> str | None:
    """Leave payers alone that are on hold."""
    return "The payer is on hold; nothing is collected or reminded." if facts.is_on_hold else None


@clause(ClauseKind.CHECK, Stage.COLLECT, Stage.REMIND, field="open_minor")
def p109_invoice_is_not_disputed(facts: InvoiceFacts) -> str | None:
    """Leave invoices alone that the payer disputes, until that is decided."""
    return (
        "The payer disputes the invoice; decide the dispute first." if facts.is_disputed else None
    )


@clause(ClauseKind.CHECK, Stage.COLLECT, Stage.REMIND, field="payer_ref")
def p110_payer_has_no_arrangement(facts: InvoiceFacts) -> str | None:
    """Leave payers alone with whom a hardship agreement or payment by instalments was agreed."""
    if facts.arrangement is None:
        return None
    return _ARRANGED.get(facts.arrangement, "Less or later payment was agreed with the payer.")


@clause(ClauseKind.CHECK, Stage.REMIND, field="open_minor")
def p106_reminded_amount_is_at_least(
    facts: InvoiceFacts, *, minimum_minor: AmountMinor
) -> str | None:
    """Do not remind of an open amount below {minimum_minor}."""
    if facts.open_minor >= minimum_minor:
        return None
    least = f"{format_amount(minimum_minor, facts.currency)} {facts.currency}"
    return f"The open amount is below {least}; no reminder is sent."


@clause(ClauseKind.ORDER, Stage.APPLY_DEPOSIT, needs=("revenue_codes",))
def p111_named_revenue_is_paid_first(
    sources: Sequence[SourceFacts],
    invoices: Sequence[OpenInvoiceFacts],
    *,
    revenue_codes: tuple[str, ...],
    source_order: tuple[SourceKind, ...] = ("credit_note", "payer_credit", "deposit"),
) -> tuple[list[SourceFacts], list[OpenInvoiceFacts]]:
    """Apply what the payer has in this order: {source_order}; to invoices by the first of their
    revenue codes in this order: {revenue_codes}, then to all others, the oldest due first.

    Shape: as P102.
    """
    rank = {code: place for place, code in enumerate(revenue_codes)}
    usable, ordered = p102_credits_are_applied_in_order(
        sources, invoices, source_order=source_order
    )
    last = len(rank)
    ordered.sort(
        key=lambda each: min((rank.get(code, last) for code in each.revenue_codes), default=last)
    )
    return usable, ordered


def _days_rise(values: Mapping[str, Any]) -> str:
    days: Sequence[int] = values["days_late"]
    if any(later <= earlier for earlier, later in pairwise(days)):
        return "its days must rise from level to level"
    return ""


@clause(ClauseKind.LEVEL, Stage.REMIND, agrees=_days_rise)
def p112_reminders_rise_by_level(
    facts: InvoiceFacts, *, days_late: Annotated[tuple[int, ...], Between(1, 3660, Unit.DAYS)]
) -> int:
    """Remind of an overdue invoice, one level higher each time, {days_late} after it was due.

    Shape: the level that is reached on the business date, from one on; zero is none yet.
    """
    if facts.due_on is None or facts.open_minor <= 0:
        return 0
    return bisect_right(days_late, (facts.business_date - facts.due_on).days)


@clause(ClauseKind.TOLERANCE, Stage.SETTLE)
def p113_small_difference_is_tolerated(
    difference_minor: int, expected_minor: int, *, amount_minor: AmountMinor, rate_bps: Share = 0
) -> bool:
    """Accept a payout that differs by at most {amount_minor}, or by {rate_bps} of what was
    expected."""
    size = abs(difference_minor)
    return size <= amount_minor or size * 10_000 <= abs(expected_minor) * rate_bps


@clause(ClauseKind.LIMIT, Stage.REFUND)
def p114_refund_needs_a_second_person(amount_minor: int, *, limit_minor: PositiveMinor) -> bool:
    """Let a second person approve a refund of {limit_minor} or more."""
    return amount_minor >= limit_minor


@clause(ClauseKind.LIMIT, Stage.ISSUE, Stage.COLLECT)
def p115_run_needs_a_second_person(
    total_minor: int,
    documents: int,
    *,
    limit_minor: PositiveMinor,
    limit_documents: Annotated[int, Between(1, 100_000_000, Unit.DOCUMENTS)] = 100_000_000,
) -> bool:
    """Let a second person approve a run over {limit_minor} or more, or {limit_documents} or
    more."""
    return total_minor >= limit_minor or documents >= limit_documents


def apportion(
    sources: Sequence[SourceFacts], invoices: Sequence[OpenInvoiceFacts]
) -> tuple[Allocation, ...]:
    """Pour the sources into the invoices, both in the order given.

    Shape: never more than is open, never more than is available, no empty allocation; either all
    sources are used up or all invoices are met.
    """
    allocations: list[Allocation] = []
    waiting = iter(invoices)
    invoice_id, open_minor = "", 0
    for source in sources:
        left_minor = source.available_minor
        while left_minor > 0:
            while open_minor <= 0:
                following = next(waiting, None)
                if following is None:
                    return tuple(allocations)
                invoice_id, open_minor = following.id, following.open_minor
            part_minor = min(left_minor, open_minor)
            allocations.append(Allocation(source.kind, source.id, invoice_id, part_minor))
            left_minor -= part_minor
            open_minor -= part_minor
    return tuple(allocations)


def _give_up(worklist: str, explanation: str) -> RetryDecision:
    return RetryDecision("fail", None, worklist, explanation)
