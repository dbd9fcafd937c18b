"""Writing down each due time that has passed, once, whoever comes first."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from portal.db import current_organisation_id
from portal.domain.schedules import (
    CATCH_UP_DAYS,
    DUE_MOVES,
    DueState,
    OnHoliday,
    business_date,
    due_times,
    parse_rule,
)
from portal.services.schedules._preview import Surroundings, find_next_due
from portal.sql import execute

_INSTANT_BEFORE = timedelta(microseconds=1)
_TOO_FAR_BACK = (
    f"It was more than {CATCH_UP_DAYS} days back when it was found; what was due from then until"
    f" {CATCH_UP_DAYS} days back is not made up for."
)


def note_dues(schedule: Any, around: Surroundings, *, now: datetime) -> datetime | None:
    """Write down what a schedule was due for up to now, and return when it is due next.

    Shape: the schedule's row is locked by the caller; None when it is never due again.
    """
    next_at: datetime = schedule.next_at
    if next_at > now:
        return next_at
    rule = parse_rule(schedule.rule, OnHoliday(schedule.on_holiday))
    since = now - timedelta(days=CATCH_UP_DAYS)
    if next_at < since:
        missed = DUE_MOVES.next(DueState.WAITING, "miss")
        _insert(schedule, around, [next_at], missed, _TOO_FAR_BACK, now)
    after = max(next_at - _INSTANT_BEFORE, since)
    dues = due_times(rule, around.zone, around.calendar, after, now)
    _insert(schedule, around, dues, DueState.WAITING, None, now)
    return find_next_due(rule, around, now)


def _insert(
    schedule: Any,
    around: Surroundings,
    dues: Sequence[datetime],
    state: DueState,
    reason: str | None,
    now: datetime,
) -> None:
    execute(
        "INSERT INTO schedule_dues (organisation_id, schedule_id, due_at, business_on, state,"
        " reason, created_at) SELECT %s, %s, due_at, business_on, %s, %s, %s"
        " FROM unnest(%s::timestamptz[], %s::date[]) AS passed (due_at, business_on)"
        " ON CONFLICT (organisation_id, schedule_id, due_at) DO NOTHING",
        (
            current_organisation_id(),
            schedule.id,
            state.value,
            reason,
            now,
            list(dues),
            [business_date(due_at, around.zone) for due_at in dues],
        ),
    )
