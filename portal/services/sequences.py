"""Sequences: written and changed by people, started by hand or by a schedule.

How an execution goes on from run to run stands with the runs, in the transaction that ends each.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from portal.db import current_organisation_id, savepoint, transaction
from portal.domain.batches import list_startable_jobs
from portal.domain.errors import Conflict, Invalid
from portal.domain.sequences import SequenceState, Step, is_whole
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.sequences import SequenceMissing
from portal.services.batches import JobUnknown, SequenceUnfinished, begin_step, finish_run
from portal.services.events import record_event
from portal.sql import execute, fetch_one

NAME_CHARACTERS_MAX = 80


class SequenceNameInvalid(Invalid):
    """The name of a sequence has 1 to 80 printable characters. Nothing was saved; write it so, and
    try again."""

    field = "name"


class SequenceNameTaken(Conflict):
    """There is a sequence “{name}” already. Nothing was saved; choose another name."""

    name: str
    field = "name"


class SequenceStepsInvalid(Invalid):
    """A sequence has 1 to 12 steps. Nothing was saved; choose a job for each of them."""

    field = "steps"


class SequenceChanged(Conflict):
    """Somebody else has changed this sequence since you looked. Nothing was saved or started; look
    at it again, and go on from what you see now."""


class SequenceWish(NamedTuple):
    """What a sequence is to be."""

    name: str
    steps: Sequence[Step]


def add_sequence(*, wish: SequenceWish, actor: Actor, now: datetime) -> UUID:
    """Write a new sequence of the organisation in scope down.

    Raises: SequenceNameInvalid; SequenceStepsInvalid; JobUnknown; SequenceNameTaken.
    """
    wish = _check(wish)
    sequence_id = new_id()
    with transaction():
        _write(
            wish,
            "INSERT INTO sequences (organisation_id, id, name, created_at) VALUES (%s, %s, %s, %s)",
            (current_organisation_id(), sequence_id, wish.name, now),
        )
        _write_steps(sequence_id, 1, wish.steps)
        record_event("sequence.added", sequence_id, actor=actor, now=now, details=_told(wish))
    return sequence_id


def change_sequence(
    *,
    sequence_id: UUID,
    wish: SequenceWish,
    actor: Actor,
    now: datetime,
    version: int | None = None,
) -> None:
    """Let a sequence be another from now on; what was started before goes on as it was.

    Shape: the version is the one that was seen; None takes any.
    Raises: SequenceMissing; SequenceChanged; what `add_sequence` raises.
    """
    wish = _check(wish)
    with transaction():
        row = _lock(sequence_id, version)
        _write(
            wish,
            "UPDATE sequences SET name = %s, version = %s WHERE id = %s",
            (wish.name, row.version + 1, sequence_id),
        )
        _write_steps(sequence_id, row.version + 1, wish.steps)
        record_event("sequence.changed", sequence_id, actor=actor, now=now, details=_told(wish))


def start_sequence(
    *,
    sequence_id: UUID,
    business_on: date,
    actor: Actor,
    now: datetime,
    request_key: str | None = None,
    version: int | None = None,
) -> UUID:
    """Begin an execution with its first run, and return the id of the execution.

    Shape: the same request key yields the same execution for ever; the version is the one that was
    seen, None takes any.
    Raises: SequenceMissing; SequenceChanged; SequenceUnfinished when one is at work for that day;
    RunUnfinished and StarterUnknown, as a run of the first job would.
    """
    with transaction():
        row = _lock(sequence_id, None)
        known = fetch_one("SELECT id FROM sequence_runs WHERE request_key = %s", (request_key,))
        if known is not None:
            found: UUID = known.id
            return found
        if version is not None and version != row.version:
            raise SequenceChanged
        if _is_running(sequence_id, business_on):
            raise SequenceUnfinished(name=row.name, business_on=business_on)
        execution = fetch_one(
            "INSERT INTO sequence_runs (organisation_id, id, sequence_id, version, business_on,"
            " request_key, state, started_by, started_by_id, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id, business_on",
            (
                current_organisation_id(),
                new_id(),
                sequence_id,
                row.version,
                business_on,
                request_key,
                SequenceState.RUNNING.value,
                actor.name or actor.kind,
                actor.id,
                now,
            ),
        )
        assert execution is not None
        first = fetch_one(
            "SELECT job FROM sequence_steps WHERE sequence_id = %s AND version = %s AND number = 1",
            (sequence_id, row.version),
        )
        assert first is not None
        record_event("sequence.started", execution.id, actor=actor, now=now)
        run_id = begin_step(execution, 1, first.job, actor=actor, now=now)
        finish_run(run_id=run_id, now=now)
        execution_id: UUID = execution.id
    return execution_id


def _lock(sequence_id: UUID, version: int | None) -> Any:
    # Whoever starts it waits here too, so that two starts of one day come one after the other.
    row = fetch_one("SELECT name, version FROM sequences WHERE id = %s FOR UPDATE", (sequence_id,))
    if row is None:
        raise SequenceMissing
    if version is not None and version != row.version:
        raise SequenceChanged
    return row


def _is_running(sequence_id: UUID, business_on: date) -> bool:
    row = fetch_one(
        "SELECT id FROM sequence_runs WHERE sequence_id = %s AND business_on = %s AND state = %s",
        (sequence_id, business_on, SequenceState.RUNNING.value),
    )
    return row is not None


def _check(wish: SequenceWish) -> SequenceWish:
    """Return the wish as it is stored."""
    name = " ".join(wish.name.split())
    if not 0 < len(name) <= NAME_CHARACTERS_MAX or not name.isprintable():
        raise SequenceNameInvalid
    if not is_whole(wish.steps):
        raise SequenceStepsInvalid
    known = [job.name for job in list_startable_jobs()]
    for step in wish.steps:
        if step.job not in known:
            raise JobUnknown(job=step.job[:40], known=", ".join(known))
    return wish._replace(name=name)


def _write(wish: SequenceWish, statement: str, values: tuple[Any, ...]) -> None:
    try:
        with savepoint():
            execute(statement, values)
    except psycopg.errors.UniqueViolation:
        raise SequenceNameTaken(name=wish.name) from None


def _write_steps(sequence_id: UUID, version: int, steps: Sequence[Step]) -> None:
    execute(
        "INSERT INTO sequence_steps (organisation_id, sequence_id, version, number, job, condition)"
        " SELECT %s, %s, %s, number, job, condition"
        " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS steps (job, condition, number)",
        (
            current_organisation_id(),
            sequence_id,
            version,
            [step.job for step in steps],
            [step.condition.value for step in steps],
        ),
    )


def _told(wish: SequenceWish) -> dict[str, Any]:
    return {
        "name": wish.name,
        "steps": [f"{step.job}:{step.condition.value}" for step in wish.steps],
    }
