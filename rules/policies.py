"""Clauses about money after the invoice: retries, the order of credits, set-off, collecting.

Reading reasons is done in reasons; what a fee comes to in calculation.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from typing import Annotated, Final, Literal

from portal.domain.dates import next_business_day
from portal.domain.money import format_amount
from rules.clauses import Between, ClauseKind, clause
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
from rules.validation import DAYS, AmountMinor

NEEDS_PAYER: Final = "needs_payer"
HARD_DECLINE: Final = "hard_decline"
RETRIES_EXHAUSTED: Final = "retries_exhausted"
WORKLISTS: Final = (NEEDS_PAYER, HARD_DECLINE, RETRIES_EXHAUSTED)

InvoiceOrder = Literal["oldest_due", "smallest", "largest"]


@clause(ClauseKind.RETRY, Stage.RETRY)
def p101_retry_after_days(
    facts: PaymentFacts,
    *,
    attempts_max: Annotated[int, Between(1, 15)],
    days_between: Annotated[tuple[int, ...], Between(1, 60)],
    on_business_days: bool = True,
    days_total_max: Annotated[int, Between(1, 365)] = 60,
    holidays: AbstractSet[date],
) -> RetryDecision:
    """Try a retryable payment {attempts_max} times in all, {days_between} days apart (moved to
    business days: {on_business_days}), within {days_total_max} days of the first attempt.

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


@clause(ClauseKind.ORDER, Stage.APPLY)
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


@clause(ClauseKind.SET_OFF, Stage.APPLY)
def p103_deposit_is_set_off(source: SourceFacts, *, minimum_minor: AmountMinor = 1) -> bool:
    """Set off a deposit of at least {minimum_minor} minor units, if the payer has consented."""
    return source.may_set_off and source.available_minor >= minimum_minor


@clause(ClauseKind.CHECK, Stage.COLLECT, field="open_minor")
def p104_collected_amount_is_at_least(
    facts: InvoiceFacts, *, minimum_minor: AmountMinor
) -> str | None:
    """Do not collect an open amount below {minimum_minor} minor units."""
    if facts.open_minor >= minimum_minor:
        return None
    least = f"{format_amount(minimum_minor, facts.currency)} {facts.currency}"
    return f"The open amount is below {least}; it is collected with a later invoice."


@clause(ClauseKind.CHECK, Stage.COLLECT, field="due_on")
def p105_collection_begins_around_due_date(
    facts: InvoiceFacts,
    *,
    days_before: Annotated[int, DAYS] = 0,
    days_after: Annotated[int, DAYS] = 0,
) -> str | None:
    """Collect from {days_before} days before, or {days_after} days after, the due date."""
    if facts.due_on is None:
        return "The due date is missing; the invoice cannot be collected."
    begins_on = facts.due_on + timedelta(days=days_after - days_before)
    if facts.business_date >= begins_on:
        return None
    return f"The invoice is not collected before {begins_on}."


@clause(ClauseKind.CHECK, Stage.REMIND, field="open_minor")
def p106_reminded_amount_is_at_least(
    facts: InvoiceFacts, *, minimum_minor: AmountMinor
) -> str | None:
    """Do not remind of an open amount below {minimum_minor} minor units."""
    if facts.open_minor >= minimum_minor:
        return None
    least = f"{format_amount(minimum_minor, facts.currency)} {facts.currency}"
    return f"The open amount is below {least}; no reminder is sent."


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
