"""The figures of the overview, one statement each; every sum stands with its currency.

Each is what a list comes to (`portal/queries/tables`), so that the page can lead to the rows.
"""

from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple

from portal.domain.dates import Period
from portal.domain.invoices import AWAITING_INVOICE_STATUSES, InvoiceStatus
from portal.domain.payments import AttemptState, PaymentState
from portal.sql import fetch_one, fetch_plain

# Documents that somebody was asked to pay: neither drafts nor void ones nor credit notes.
BILLED_STATUSES = (*AWAITING_INVOICE_STATUSES, InvoiceStatus.IN_PAYMENT, InvoiceStatus.PAID)
COLLECTED_STATES = (PaymentState.SUCCEEDED, PaymentState.PARTIALLY_REFUNDED)
AWAITED_STATES = (AttemptState.PENDING, AttemptState.UNKNOWN)

# The expressions of the indexes ix_invoices_by_issued and ix_invoices_by_due.
_ISSUED_ON = "COALESCE(issued_on, 'infinity'::date)"
_DUE_ON = "COALESCE(due_on, 'infinity'::date)"
_WITHIN = "{day} >= %(starts_on)s AND {day} < %(ends_on)s"


class Age(NamedTuple):
    """How many days ago something fell due, from the least on; the last age has no end."""

    label: str
    least_days: int
    most_days: int | None


AGES = (
    Age("1–30 days", 1, 30),
    Age("31–60 days", 31, 60),
    Age("61–90 days", 61, 90),
    Age("Over 90 days", 91, None),
)


class When(StrEnum):
    """Whether a day lies in the period that is looked at, in the one before it, or in neither."""

    THIS = "this"
    BEFORE = "before"
    OTHER = "other"


class MonthSum(NamedTuple):
    """How many rows of a currency have their day in a month, and what they come to."""

    currency: str
    month_on: date
    rows_count: int
    amount_minor: int


class DueSum(NamedTuple):
    """What fell due in a month, and how much of it is still open."""

    currency: str
    month_on: date
    rows_count: int
    total_minor: int
    open_minor: int


class OverdueSum(NamedTuple):
    """What is open after its due date, by its age and by the period in which it fell due."""

    currency: str
    age: Age
    when: When
    rows_count: int
    open_minor: int


class WorklistSum(NamedTuple):
    """Payments that wait on a worklist for a person, by the period in which they were started."""

    currency: str
    worklist: str
    when: When
    rows_count: int
    amount_minor: int


class AttemptSum(NamedTuple):
    """Attempts whose outcome is not known yet, by the period in which they were made."""

    currency: str
    state: AttemptState
    when: When
    rows_count: int
    amount_minor: int


class MessageFigures(NamedTuple):
    """How many messages wait to be sent or read, and how many are parked for a person.

    Shape: `attempts_parked` counts the attempts they are about, `errands_parked` messages that are
    about no attempt.
    """

    waiting: int
    attempts_parked: int
    errands_parked: int
    inbox_waiting: int
    inbox_parked: int


class LatestDay(NamedTuple):
    """The last day on which something was invoiced or paid, if ever; and whether drafts wait."""

    latest_on: date | None
    has_drafts: bool


def sum_invoiced(within: Period) -> list[MonthSum]:
    """Sum up what was invoiced, by currency and month of issue."""
    rows = fetch_plain(
        f"SELECT currency, date_trunc('month', issued_on)::date, count(*), sum(total_minor)::bigint"
        f" FROM invoices WHERE status = ANY(%(statuses)s) AND {_WITHIN.format(day=_ISSUED_ON)}"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        {"statuses": _values(BILLED_STATUSES), **_bounds(within)},
    )
    return [MonthSum(*row) for row in rows]


def sum_collected(within: Period) -> list[MonthSum]:
    """Sum up the payments that have succeeded, by currency and month of their start."""
    rows = fetch_plain(
        "SELECT currency, date_trunc('month', started_on)::date, count(*),"
        " sum(amount_minor)::bigint FROM payments"
        f" WHERE state = ANY(%(states)s) AND {_WITHIN.format(day='started_on')}"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        {"states": _values(COLLECTED_STATES), **_bounds(within)},
    )
    return [MonthSum(*row) for row in rows]


def sum_fallen_due(within: Period) -> list[DueSum]:
    """Sum up what was invoiced and what is open of it, by currency and month of the due date."""
    rows = fetch_plain(
        "SELECT currency, date_trunc('month', due_on)::date, count(*), sum(total_minor)::bigint,"
        " sum(open_minor)::bigint FROM invoices"
        f" WHERE status = ANY(%(statuses)s) AND {_WITHIN.format(day=_DUE_ON)}"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        {"statuses": _values(BILLED_STATUSES), **_bounds(within)},
    )
    return [DueSum(*row) for row in rows]


def sum_overdue(*, today: date, this: Period, before: Period) -> list[OverdueSum]:
    """Sum up what is open after its due date, whenever that was."""
    starts = ", ".join(str(age.least_days) for age in AGES[1:])
    rows = fetch_plain(
        f"SELECT currency, width_bucket(%(today)s - due_on, ARRAY[{starts}]), {_when('due_on')},"
        " count(*), sum(open_minor)::bigint FROM invoices"
        f" WHERE status = ANY(%(statuses)s) AND {_DUE_ON} < %(today)s"
        " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        {
            "today": today,
            "statuses": _values(AWAITING_INVOICE_STATUSES),
            **_periods(this, before),
        },
    )
    return [OverdueSum(row[0], AGES[row[1]], When(row[2]), *row[3:]) for row in rows]


def sum_worklists(*, this: Period, before: Period) -> list[WorklistSum]:
    """Sum up the payments that wait for a person, whenever they were started."""
    rows = fetch_plain(
        f"SELECT currency, worklist, {_when('started_on')}, count(*), sum(amount_minor)::bigint"
        " FROM payments WHERE worklist IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 2, 1, 3",
        _periods(this, before),
    )
    return [WorklistSum(row[0], row[1], When(row[2]), *row[3:]) for row in rows]


def sum_awaited(*, this: Period, before: Period) -> list[AttemptSum]:
    """Sum up the attempts whose outcome is awaited or unknown, whenever they were made."""
    rows = fetch_plain(
        f"SELECT currency, state, {_when('business_on')}, count(*), sum(amount_minor)::bigint"
        " FROM payment_attempts WHERE state = ANY(%(states)s) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        {"states": _values(AWAITED_STATES), **_periods(this, before)},
    )
    return [AttemptSum(row[0], AttemptState(row[1]), When(row[2]), *row[3:]) for row in rows]


def count_messages() -> MessageFigures:
    """Count the messages that wait or are parked, in both directions."""
    (row,) = fetch_plain(
        "SELECT (SELECT count(*) FROM messages WHERE state = 'ready'), p.attempts, p.errands,"
        " (SELECT count(*) FROM inbox_messages WHERE state = 'ready'),"
        " (SELECT count(*) FROM inbox_messages WHERE state = 'parked')"
        " FROM (SELECT count(DISTINCT a.id) AS attempts,"
        " count(*) FILTER (WHERE a.id IS NULL) AS errands FROM messages m"
        " LEFT JOIN payment_attempts a"
        " ON (a.organisation_id, a.id) = (m.organisation_id, m.aggregate_id)"
        " WHERE m.state = 'parked') p"
    )
    return MessageFigures(*row)


def find_latest_day(*, currency: str) -> LatestDay:
    """Return the last day on which something was invoiced or paid in a currency."""
    row = fetch_one(
        "SELECT greatest("
        " (SELECT max(l.issued_on) FROM unnest(%(statuses)s::text[]) AS s (status)"
        " CROSS JOIN LATERAL (SELECT issued_on FROM invoices i WHERE i.status = s.status"
        f" AND i.currency = %(currency)s AND {_ISSUED_ON} < 'infinity'"
        f" ORDER BY {_ISSUED_ON} DESC LIMIT 1) l),"
        " (SELECT max(l.started_on) FROM unnest(%(states)s::text[]) AS s (state)"
        " CROSS JOIN LATERAL (SELECT started_on FROM payments p WHERE p.state = s.state"
        " AND p.currency = %(currency)s ORDER BY started_on DESC LIMIT 1) l)) AS latest_on,"
        " EXISTS (SELECT FROM invoices WHERE state = 'draft') AS has_drafts",
        {
            "statuses": _values(BILLED_STATUSES),
            "states": _values(COLLECTED_STATES),
            "currency": currency,
        },
    )
    assert row is not None
    return LatestDay(row.latest_on, row.has_drafts)


def _when(day: str) -> str:
    """Write which of the two periods a day lies in; the second begins where the first ends."""
    return (
        f"CASE WHEN {day} >= %(this_on)s AND {day} < %(ends_on)s THEN 'this'"
        f" WHEN {day} >= %(before_on)s AND {day} < %(this_on)s THEN 'before' ELSE 'other' END"
    )


def _periods(this: Period, before: Period) -> dict[str, Any]:
    assert before.ends_on == this.starts_on
    return {"before_on": before.starts_on, "this_on": this.starts_on, "ends_on": this.ends_on}


def _bounds(within: Period) -> dict[str, Any]:
    return {"starts_on": within.starts_on, "ends_on": within.ends_on}


def _values(states: tuple[StrEnum, ...]) -> list[str]:
    return [state.value for state in states]
