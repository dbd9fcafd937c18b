"""Checks of dates and periods."""

from collections.abc import Set as AbstractSet
from datetime import date, timedelta

from portal.domain.dates import is_business_day
from rules.clauses import ClauseKind, clause
from rules.limits import DOCUMENT_STAGES, Days
from rules.types import InvoiceFacts, Severity

_CHECK = ClauseKind.CHECK


@clause(_CHECK, *DOCUMENT_STAGES, field="due_on")
def v104_due_on_is_a_business_day(
    facts: InvoiceFacts, *, holidays: AbstractSet[date]
) -> str | None:
    """Refuse a due date on a day on which banks do not work."""
    if facts.due_on is None or is_business_day(facts.due_on, holidays):
        return None
    return f"The due date {facts.due_on} is no business day; choose the next one."


@clause(_CHECK, *DOCUMENT_STAGES, field="document_on")
def v111_document_date_is_not_in_the_future(
    facts: InvoiceFacts, *, days_tolerated: Days = 0
) -> str | None:
    """Refuse a document dated more than {days_tolerated} after the business date."""
    latest_on = facts.business_date + timedelta(days=days_tolerated)
    if facts.document_on is None or facts.document_on <= latest_on:
        return None
    return f"The document date {facts.document_on} is in the future; it may be {latest_on} at most."


@clause(_CHECK, *DOCUMENT_STAGES, field="document_on", severity=Severity.WARN)
def v112_document_date_is_recent(facts: InvoiceFacts, *, days_max: Days) -> str | None:
    """Tell when a document is dated more than {days_max} before the business date."""
    earliest_on = facts.business_date - timedelta(days=days_max)
    if facts.document_on is None or facts.document_on >= earliest_on:
        return None
    return f"The document date {facts.document_on} is before {earliest_on}; check the year."


@clause(_CHECK, *DOCUMENT_STAGES, field="due_on")
def v113_due_on_is_not_before_the_document(facts: InvoiceFacts) -> str | None:
    """Refuse a due date before the date of the document."""
    document_on = facts.document_on or facts.business_date
    if facts.due_on is None or facts.due_on >= document_on:
        return None
    return f"The due date {facts.due_on} is before the document date {document_on}; correct one."


@clause(_CHECK, *DOCUMENT_STAGES, field="period_from")
def v121_period_is_given(facts: InvoiceFacts) -> str | None:
    """Refuse an invoice that does not say the first and the last day of its period."""
    if facts.kind != "invoice" or (facts.period_from and facts.period_to):
        return None
    return "The period is missing; give the first and the last day of what is billed."


@clause(_CHECK, *DOCUMENT_STAGES, field="period_to")
def v122_period_is_plausible(
    facts: InvoiceFacts, *, days_min: Days = 1, days_max: Days = 400
) -> str | None:
    """Refuse a period that ends before it begins, or has not {days_min} to {days_max}."""
    if facts.period_from is None or facts.period_to is None:
        return None
    days = facts.period_days
    if days is None:
        return f"The period ends on {facts.period_to}, before it begins; correct one of the days."
    if days_min <= days <= days_max:
        return None
    return f"The period has {days} days; it may have {days_min} to {days_max}."


@clause(_CHECK, *DOCUMENT_STAGES, field="period_to")
def v123_period_is_over(facts: InvoiceFacts, *, days_ahead: Days = 0) -> str | None:
    """Refuse a period that ends more than {days_ahead} after the business date."""
    latest_on = facts.business_date + timedelta(days=days_ahead)
    if facts.period_to is None or facts.period_to <= latest_on:
        return None
    return f"The period ends on {facts.period_to}; it can be billed up to {latest_on}."
