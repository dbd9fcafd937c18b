"""Turning due times into runs: noted once, started one after the other, never silently left out."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from portal.db import savepoint, sweeping, transaction
from portal.domain.errors import Conflict, PortalError, Unavailable
from portal.domain.schedules import (
    DUE_MOVES,
    DueState,
    Misfire,
    PlannedDue,
    plan_dues,
)
from portal.domain.users import Actor
from portal.services.batches import RunOrder, start_run
from portal.services.events import record_event
from portal.services.gateways import settings
from portal.services.schedules._notes import note_dues
from portal.services.schedules._preview import Surroundings, load_surroundings
from portal.services.sequences import start_sequence
from portal.sql import execute, fetch, fetch_one

RETRY_SECONDS = 15
BROKEN_RETRY_SECONDS = 60
WAIT_HOURS_MAX = 24
SCHEDULES_AT_ONCE = 200

_MADE_UP = "It was not started in time; a later due time makes it up."
_NEVER_AGAIN = "The rule is never due again, so the schedule was paused."

log = structlog.stdlib.get_logger(__name__)


class _Look(NamedTuple):
    """One look at one schedule: its row, what it is called in the records, and when."""

    schedule: Any
    actor: Actor
    around: Surroundings
    now: datetime


def start_due_runs(*, now: datetime | None = None) -> int:
    """Start the runs of every schedule of every organisation that is due, and count them.

    Shape: without an instant the clock of the database counts, which is the same for all. One
    statement when nothing is due; any number of callers at once start each run once.
    """
    with sweeping():
        rows = fetch(
            "SELECT organisation_id, id, COALESCE(%(now)s::timestamptz, now()) AS looked_at"
            " FROM schedules WHERE wake_at <= COALESCE(%(now)s::timestamptz, now())"
            " ORDER BY wake_at LIMIT %(most)s",
            {"now": now, "most": SCHEDULES_AT_ONCE},
        )
    started = 0
    for row in rows:
        try:
            with transaction(row.organisation_id):
                started += _look_at(row.id, row.looked_at)
        except Exception:
            # One that breaks must not keep the others from being looked at.
            log.exception("schedule.broke", schedule_id=str(row.id))
            _put_off(row.organisation_id, row.id, row.looked_at)
    return started


def _look_at(schedule_id: UUID, now: datetime) -> int:
    # Another clock that is at it does all there is to do.
    schedule = fetch_one(
        "SELECT id, name, job, sequence_id, rule, on_holiday, misfire, next_at FROM schedules"
        " WHERE id = %s AND wake_at <= %s FOR UPDATE SKIP LOCKED",
        (schedule_id, now),
    )
    if schedule is None:
        return 0
    actor = Actor("schedule", schedule.id, f"Schedule “{schedule.name}”")
    look = _Look(schedule, actor, load_surroundings(now), now)
    next_at = note_dues(schedule, look.around, now=now)
    started, is_one_left = _start_waiting(look)
    if next_at is None:
        _end(look)
        return started
    retry_at = now + timedelta(seconds=RETRY_SECONDS)
    execute(
        "UPDATE schedules SET next_at = %s, wake_at = %s WHERE id = %s",
        (next_at, min(retry_at, next_at) if is_one_left else next_at, schedule.id),
    )
    return started


def _end(look: _Look) -> None:
    """Pause a schedule that no day is left for, as when its calendar has changed."""
    execute(
        "UPDATE schedule_dues SET state = %s, reason = %s"
        " WHERE schedule_id = %s AND state = 'waiting'",
        (DUE_MOVES.next(DueState.WAITING, "refuse").value, _NEVER_AGAIN, look.schedule.id),
    )
    execute(
        "UPDATE schedules SET is_active = false, next_at = NULL, wake_at = NULL,"
        " version = version + 1 WHERE id = %s",
        (look.schedule.id,),
    )
    record_event(
        "schedule.paused", look.schedule.id, actor=look.actor, now=look.now, reason=_NEVER_AGAIN
    )


def _start_waiting(look: _Look) -> tuple[int, bool]:
    """Start what waits, the oldest first; say how many were started and whether one still waits."""
    waiting = fetch(
        "SELECT due_at, created_at, reason FROM schedule_dues"
        " WHERE schedule_id = %s AND state = 'waiting' ORDER BY due_at",
        (look.schedule.id,),
    )
    planned = plan_dues(
        [row.due_at for row in waiting], look.around.zone, Misfire(look.schedule.misfire)
    )
    made_up = [due.due_at for due in planned if not due.makes_run]
    if made_up:
        _settle(look, made_up, "miss", _MADE_UP)
    started = 0
    for row, due in zip(waiting, planned, strict=True):
        if not due.makes_run:
            continue
        outcome, reason = _try_start(look, due)
        if outcome is DueState.STARTED:
            started += 1
        elif outcome is DueState.REFUSED or _has_waited_long(row, look.now):
            _settle(look, [due.due_at], "refuse", reason)
        else:
            _give_reason(look, row, reason)
            # The later ones are about later days, and wait for this one.
            return started, True
    return started, False


def _try_start(look: _Look, due: PlannedDue) -> tuple[DueState, str]:
    """Start the run or the sequence of one due time; else say whether it waits, and why."""
    busy = _find_busy(look.schedule)
    if busy is not None:
        return DueState.WAITING, busy
    try:
        with savepoint():
            run_id = _start(look, due)
    except PortalError as refused:
        # What is not possible now may be so later; what is wrong stays wrong.
        waits = isinstance(refused, Conflict | Unavailable)
        return DueState.WAITING if waits else DueState.REFUSED, refused.message
    _settle(look, [due.due_at], "start", None, run_id)
    return DueState.STARTED, ""


def _find_busy(schedule: Any) -> str | None:
    """Say what is still at work of what a schedule starts; None when nothing is."""
    if schedule.sequence_id is not None:
        row = fetch_one(
            "SELECT business_on FROM sequence_runs WHERE sequence_id = %s AND state = 'running'"
            " LIMIT 1",
            (schedule.sequence_id,),
        )
        return f"The sequence of {row.business_on} is still at work." if row else None
    row = fetch_one(
        "SELECT number FROM batch_runs WHERE job = %s AND state IN ('started', 'stopping') LIMIT 1",
        (schedule.job,),
    )
    return f"Run {row.number} of the same job is still at work." if row else None


def _start(look: _Look, due: PlannedDue) -> UUID:
    """Start what a schedule is about, once for each due time, and return its (first) run."""
    schedule = look.schedule
    key = f"schedule:{schedule.id}:{due.due_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if schedule.sequence_id is None:
        order = RunOrder(
            schedule.job,
            due.business_on,
            request_key=key,
            chunk_items_max=settings().chunk_items_max,
            skip_limit=settings().skip_limit,
        )
        return start_run(order=order, actor=look.actor, now=look.now)
    execution_id = start_sequence(
        sequence_id=schedule.sequence_id,
        business_on=due.business_on,
        request_key=key,
        actor=look.actor,
        now=look.now,
    )
    first = fetch_one(
        "SELECT id FROM batch_runs WHERE sequence_run_id = %s AND step_number = 1", (execution_id,)
    )
    assert first is not None
    run_id: UUID = first.id
    return run_id


def _settle(
    look: _Look,
    due_ats: list[datetime],
    event: str,
    reason: str | None,
    run_id: UUID | None = None,
) -> None:
    """Write down what became of due times that waited."""
    state = DUE_MOVES.next(DueState.WAITING, event)
    execute(
        "UPDATE schedule_dues SET state = %s, reason = %s, run_id = %s"
        " WHERE schedule_id = %s AND due_at = ANY(%s) AND state = 'waiting'",
        (state.value, reason, run_id, look.schedule.id, due_ats),
    )
    record_event(
        f"schedule.{state.value}",
        look.schedule.id,
        actor=look.actor,
        now=look.now,
        reason=reason,
        details={"due_at": [due_at.isoformat() for due_at in due_ats], "run_id": _text(run_id)},
    )


def _give_reason(look: _Look, row: Any, reason: str) -> None:
    if reason == row.reason:
        return
    execute(
        "UPDATE schedule_dues SET reason = %s WHERE schedule_id = %s AND due_at = %s",
        (reason, look.schedule.id, row.due_at),
    )


def _has_waited_long(row: Any, now: datetime) -> bool:
    return bool(now - row.created_at >= timedelta(hours=WAIT_HOURS_MAX))


def _text(run_id: UUID | None) -> str | None:
    return str(run_id) if run_id else None


def _put_off(organisation_id: UUID, schedule_id: UUID, now: datetime) -> None:
    """Look at a schedule that broke less often than at the others."""
    with transaction(organisation_id):
        execute(
            "UPDATE schedules SET wake_at = %s WHERE id = %s AND is_active",
            (now + timedelta(seconds=BROKEN_RETRY_SECONDS), schedule_id),
        )
