"""Writing a schedule down, changing it, pausing it and letting it go on."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from portal.db import current_organisation_id, savepoint, transaction
from portal.domain.batches import list_startable_jobs
from portal.domain.errors import Conflict, Invalid
from portal.domain.schedules import DUE_MOVES, DueState, Misfire, OnHoliday, Rule, parse_rule
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.schedules import ScheduleMissing
from portal.queries.sequences import get_sequence
from portal.services.batches import JobUnknown
from portal.services.events import record_event
from portal.services.schedules._notes import note_dues
from portal.services.schedules._preview import (
    RuleNeverDue,
    find_next_due,
    load_surroundings,
)
from portal.sql import execute, fetch_one

NAME_CHARACTERS_MAX = 80


class ScheduleNameInvalid(Invalid):
    """The name of a schedule has 1 to 80 printable characters. Nothing was saved; write it so, and
    try again."""

    field = "name"


class ScheduleNameTaken(Conflict):
    """There is a schedule “{name}” already. Nothing was saved; choose another name."""

    name: str
    field = "name"


class ScheduleIsAboutBoth(Invalid):
    """A schedule starts either a job or a sequence. Nothing was saved; name one of them."""

    field = "job"


class ScheduleChanged(Conflict):
    """Somebody else has changed this schedule since you looked. Nothing was saved; look at it
    again, and change what you see now."""


class ScheduleWish(NamedTuple):
    """What a schedule is to be."""

    name: str
    job: str | None
    rule: str
    on_holiday: OnHoliday = OnHoliday.SKIP
    misfire: Misfire = Misfire.ONCE
    # Instead of a job.
    sequence_id: UUID | None = None


def add_schedule(
    *, wish: ScheduleWish, actor: Actor, now: datetime, is_active: bool = True
) -> UUID:
    """Write a new schedule of the organisation in scope down.

    Raises: ScheduleNameInvalid; JobUnknown; SequenceMissing; ScheduleIsAboutBoth; RuleInvalid;
    RuleNeverDue; ScheduleNameTaken.
    """
    schedule_id = new_id()
    with transaction():
        wish, next_at = _check(wish, now)
        _write(
            "INSERT INTO schedules (organisation_id, id, name, job, sequence_id, rule, on_holiday,"
            " misfire, is_active, next_at, wake_at, created_at) VALUES (%(o)s, %(id)s, %(name)s,"
            " %(job)s, %(sequence_id)s, %(rule)s, %(on_holiday)s, %(misfire)s, %(active)s,"
            " %(next)s, %(next)s, %(now)s)",
            wish,
            {
                "o": current_organisation_id(),
                "id": schedule_id,
                "active": is_active,
                "next": next_at if is_active else None,
                "now": now,
            },
        )
        record_event("schedule.added", schedule_id, actor=actor, now=now, details=_told(wish))
    return schedule_id


def change_schedule(
    *,
    schedule_id: UUID,
    wish: ScheduleWish,
    actor: Actor,
    now: datetime,
    version: int | None = None,
) -> None:
    """Let a schedule be another from now on; due times that have passed stay what they were.

    Shape: the version is the one that was seen; None takes any.
    Raises: ScheduleMissing; ScheduleChanged; what `add_schedule` raises.
    """
    with transaction():
        row = _lock_schedule(schedule_id, version, now)
        wish, next_at = _check(wish, now)
        _write(
            "UPDATE schedules SET name = %(name)s, job = %(job)s, sequence_id = %(sequence_id)s,"
            " rule = %(rule)s, on_holiday = %(on_holiday)s, misfire = %(misfire)s,"
            " next_at = %(next)s,"
            " wake_at = CASE WHEN EXISTS (SELECT FROM schedule_dues WHERE schedule_id = %(id)s"
            " AND state = 'waiting') THEN %(now)s ELSE %(next)s END,"
            " version = version + 1 WHERE id = %(id)s",
            wish,
            {"id": schedule_id, "next": next_at if row.is_active else None, "now": now},
        )
        record_event("schedule.changed", schedule_id, actor=actor, now=now, details=_told(wish))


def set_schedule_activity(
    *,
    schedule_id: UUID,
    is_active: bool,
    actor: Actor,
    now: datetime,
    version: int | None = None,
) -> None:
    """Pause a schedule or let it go on; what was due while it was paused is not made up for.

    Shape: a due time that waits for its start when the schedule is paused makes no run.
    Raises: ScheduleMissing; ScheduleChanged; RuleNeverDue.
    """
    with transaction():
        row = _lock_schedule(schedule_id, version, now)
        if row.is_active == is_active:
            return
        next_at = None
        if is_active:
            next_at = _next_due(parse_rule(row.rule, OnHoliday(row.on_holiday)), now)
        else:
            execute(
                "UPDATE schedule_dues SET state = %s, reason = %s"
                " WHERE schedule_id = %s AND state = 'waiting'",
                (
                    DUE_MOVES.next(DueState.WAITING, "refuse").value,
                    "The schedule was paused before the run could start.",
                    schedule_id,
                ),
            )
        execute(
            "UPDATE schedules SET is_active = %s, next_at = %s, wake_at = %s,"
            " version = version + 1 WHERE id = %s",
            (is_active, next_at, next_at, schedule_id),
        )
        kind = "schedule.resumed" if is_active else "schedule.paused"
        record_event(kind, schedule_id, actor=actor, now=now)


def _check(wish: ScheduleWish, now: datetime) -> tuple[ScheduleWish, datetime]:
    """Return the wish as it is stored, and when it is due first."""
    name = " ".join(wish.name.split())
    if not 0 < len(name) <= NAME_CHARACTERS_MAX or not name.isprintable():
        raise ScheduleNameInvalid
    known = [job.name for job in list_startable_jobs()]
    if (wish.job is None) == (wish.sequence_id is None):
        raise ScheduleIsAboutBoth
    if wish.sequence_id is not None:
        get_sequence(wish.sequence_id)
    elif wish.job not in known:
        raise JobUnknown(job=str(wish.job)[:40], known=", ".join(known))
    rule = parse_rule(wish.rule, wish.on_holiday)
    return wish._replace(name=name, rule=rule.text), _next_due(rule, now)


def _next_due(rule: Rule, now: datetime) -> datetime:
    next_at = find_next_due(rule, load_surroundings(now), now)
    if next_at is None:
        raise RuleNeverDue(text=rule.text)
    return next_at


def _write(statement: str, wish: ScheduleWish, further: dict[str, Any]) -> None:
    try:
        with savepoint():
            execute(statement, {**_told(wish), **further})
    except psycopg.errors.UniqueViolation:
        raise ScheduleNameTaken(name=wish.name) from None


def _told(wish: ScheduleWish) -> dict[str, str | None]:
    return {name: None if value is None else str(value) for name, value in wish._asdict().items()}


def _lock_schedule(schedule_id: UUID, version: int | None, now: datetime) -> Any:
    """Lock a schedule, and write down what it was due for while it was as it is."""
    row = fetch_one(
        "SELECT id, is_active, rule, on_holiday, version, next_at FROM schedules"
        " WHERE id = %s FOR UPDATE",
        (schedule_id,),
    )
    if row is None:
        raise ScheduleMissing
    if version is not None and version != row.version:
        raise ScheduleChanged
    if row.is_active:
        note_dues(row, load_surroundings(now), now=now)
    return row
