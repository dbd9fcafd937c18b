"""What is to be tried again, why it must be, and when."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from portal.queries.payments._words import say_reason
from portal.sql import fetch

COMING_DAYS_MAX = 366


class CurrencySum(NamedTuple):
    """An amount of one currency."""

    currency: str
    amount_minor: int


class RetryCause(NamedTuple):
    """Why payments are tried again or wait for a person: one reason, with how many and how much.

    Shape: the code is that of the bank or gateway; where there is none, the name of the worklist.
    """

    code: str
    text: str
    payments_count: int
    scheduled_count: int
    worklist_count: int
    amounts: tuple[CurrencySum, ...]


class ComingRetries(NamedTuple):
    """The payments that are tried again on one day."""

    on: date
    payments_count: int
    amounts: tuple[CurrencySum, ...]


def list_retry_causes(rows_max: int) -> list[RetryCause]:
    """List why payments are planned again or failed onto a worklist, the most frequent first."""
    rows = fetch(
        "SELECT reason_code, list, sum(n)::int AS n, sum(scheduled)::int AS scheduled,"
        " sum(waiting)::int AS waiting, array_agg(currency ORDER BY currency) AS currencies,"
        " array_agg(amount ORDER BY currency) AS amounts FROM ("
        "SELECT reason_code, CASE WHEN reason_code IS NULL THEN worklist END AS list, currency,"
        " count(*) AS n, count(*) FILTER (WHERE state = 'scheduled' AND worklist IS NULL)"
        " AS scheduled, count(worklist) AS waiting, sum(amount_minor)::bigint AS amount"
        " FROM payments WHERE state = 'scheduled' OR state = 'failed' AND worklist IS NOT NULL"
        " GROUP BY 1, 2, 3) AS causes GROUP BY reason_code, list"
        " ORDER BY n DESC, reason_code, list LIMIT %s",
        (rows_max,),
    )
    return [
        RetryCause(
            row.reason_code or row.list or "",
            say_reason(row.reason_code, row.list) or "The reason is not known.",
            row.n,
            row.scheduled,
            row.waiting,
            _sums(row.currencies, row.amounts),
        )
        for row in rows
    ]


def list_coming_retries(on: date, days: int) -> list[ComingRetries]:
    """List the days from a date on with what is tried again on each.

    Shape: every day, also those with nothing; what should have been tried before is on the first.
    """
    days = max(1, min(days, COMING_DAYS_MAX))
    rows = fetch(
        "SELECT day, sum(n)::int AS n, array_agg(currency ORDER BY currency) AS currencies,"
        " array_agg(amount ORDER BY currency) AS amounts FROM ("
        "SELECT GREATEST(next_attempt_on, %(first)s) AS day, currency, count(*) AS n,"
        " sum(amount_minor)::bigint AS amount FROM payments WHERE state = 'scheduled'"
        " AND next_attempt_on <= %(last)s GROUP BY 1, 2) AS planned GROUP BY day",
        {"first": on, "last": on + timedelta(days=days - 1)},
    )
    planned = {
        row.day: ComingRetries(row.day, row.n, _sums(row.currencies, row.amounts)) for row in rows
    }
    every_day = (on + timedelta(days=place) for place in range(days))
    return [planned.get(day, ComingRetries(day, 0, ())) for day in every_day]


def _sums(currencies: Sequence[str], amounts: Sequence[int]) -> tuple[CurrencySum, ...]:
    pairs = zip(currencies, amounts, strict=True)
    return tuple(CurrencySum(currency, int(amount)) for currency, amount in pairs)
