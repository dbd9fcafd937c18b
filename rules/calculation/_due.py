"""When a document is due."""

from calendar import monthrange
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Annotated

from portal.domain.dates import Roll, add_business_days, due_date, next_business_day
from rules.clauses import Between, ClauseKind, Unit, clause
from rules.limits import BusinessDays, Days
from rules.types import InvoiceFacts, Stage

Months = Annotated[int, Between(0, 24, Unit.MONTHS)]


@clause(ClauseKind.DUE, Stage.ISSUE)
def c104_due_after_days(
    facts: InvoiceFacts,
    *,
    days: Days,
    roll: Roll = "following",
    keeps_stated: bool = True,
    holidays: AbstractSet[date],
) -> date:
    """Make a document due {days} after its issue (business day roll: {roll}; a due date the
    document states is kept: {keeps_stated}).

    Shape: the business date of the facts is the day of issue.
    """
    if keeps_stated and facts.due_on is not None:
        return facts.due_on
    return due_date(facts.business_date, days=days, holidays=holidays, roll=roll)


@clause(ClauseKind.DUE, Stage.ISSUE)
def c105_due_after_business_days(
    facts: InvoiceFacts,
    *,
    business_days: BusinessDays,
    keeps_stated: bool = True,
    holidays: AbstractSet[date],
) -> date:
    """Make a document due {business_days} after its issue (a due date the document states is kept:
    {keeps_stated}).

    Shape: zero is the day of issue, or the next business day.
    """
    if keeps_stated and facts.due_on is not None:
        return facts.due_on
    day = add_business_days(facts.business_date, business_days, holidays)
    return next_business_day(day, holidays)


@clause(ClauseKind.DUE, Stage.ISSUE)
def c106_due_at_the_end_of_a_month(
    facts: InvoiceFacts,
    *,
    months: Months = 0,
    keeps_stated: bool = True,
    holidays: AbstractSet[date],
) -> date:
    """Make a document due on the last day of its month of issue, or {months} later, moved to the
    next business day (a due date the document states is kept: {keeps_stated})."""
    if keeps_stated and facts.due_on is not None:
        return facts.due_on
    issued_on = facts.business_date
    year, month = divmod(issued_on.year * 12 + issued_on.month - 1 + months, 12)
    last_on = date(year, month + 1, monthrange(year, month + 1)[1])
    return next_business_day(last_on, holidays)


@clause(ClauseKind.DUE, Stage.ISSUE, needs=("has_mandate",))
def c107_due_after_the_notice_of_a_debit(
    facts: InvoiceFacts, *, business_days: BusinessDays, holidays: AbstractSet[date]
) -> date | None:
    """Make a document due {business_days} after its issue when the payer's account is debited, so
    that the payer has notice; never before a due date the document states."""
    if not facts.has_mandate:
        return None
    noticed_on = add_business_days(facts.business_date, business_days, holidays)
    return next_business_day(max(noticed_on, facts.due_on or noticed_on), holidays)
