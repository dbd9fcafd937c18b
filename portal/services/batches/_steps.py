"""Runs as steps of a sequence: when one has ended, the next is prepared, or it is said why not.

All of it happens in the transaction that ends the run, so nothing can come in between; the key of
execution and step makes sure of one run for each step, whoever comes.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from portal.db import savepoint
from portal.domain.batches import RunState, list_startable_jobs
from portal.domain.errors import Conflict, PortalError
from portal.domain.sequences import SEQUENCE_MOVES, SequenceState, StepCondition, why_not
from portal.domain.users import PORTAL, Actor
from portal.services.batches._guards import RunUnfinished, violated
from portal.services.batches._prepare import RunOrder, prepare_run
from portal.services.events import record_event
from portal.services.gateways import settings
from portal.sql import execute, fetch_one


class SequenceUnfinished(Conflict):
    """The sequence “{name}” is not over yet for {business_on}; nothing was started or restarted.
    Wait for its end."""

    name: str
    business_on: object
    field = "date"


def begin_step(execution: Any, number: int, job: str, *, actor: Actor, now: datetime) -> UUID:
    """Prepare the run of one step of an execution that the caller has locked or just written.

    Raises: RunUnfinished; StarterUnknown.
    """
    config = settings()
    order = RunOrder(
        job,
        execution.business_on,
        chunk_items_max=config.chunk_items_max,
        skip_limit=config.skip_limit,
        sequence_run_id=execution.id,
        step_number=number,
    )
    try:
        with savepoint():
            run_id, _ = prepare_run(order, actor=actor, now=now)
    except Exception as error:
        if violated(error) == "uq_batch_runs_unfinished":
            raise RunUnfinished(job=job, business_on=execution.business_on) from error
        raise
    return run_id


def follow_run(run_id: UUID, state: RunState, *, now: datetime) -> UUID | None:
    """Let a sequence go on after a run of it has ended, and return the run of the next step.

    Shape: None when there is none, be it that the run is no step, that it was the last one, or that
    its end does not let the next one begin.
    """
    execution = _lock_execution(run_id)
    if execution is None:
        return None
    number = execution.step_number + 1
    step = fetch_one(
        "SELECT job, condition FROM sequence_steps"
        " WHERE sequence_id = %s AND version = %s AND number = %s",
        (execution.sequence_id, execution.version, number),
    )
    condition = StepCondition(step.condition) if step else StepCondition.COMPLETED
    refusal = why_not(condition, state, _count_failed(run_id))
    if refusal is not None:
        event = "abandon" if state is RunState.ABANDONED else "stop"
        ended = f"Run {execution.run_number} {refusal}"
        _end(execution, event, f"{ended}{_unstarted(number, step)}", now)
        return None
    if step is None:
        _end(execution, "complete", None, now)
        return None
    starter = Actor("sequence", execution.started_by_id, execution.started_by)
    try:
        following_id = begin_step(execution, number, step.job, actor=starter, now=now)
    except PortalError as refused:
        _end(execution, "stop", f"{refused.message.rstrip('.')}{_unstarted(number, step)}", now)
        return None
    execute("UPDATE sequence_runs SET step_number = %s WHERE id = %s", (number, execution.id))
    record_event(
        "sequence.step_started",
        execution.id,
        actor=PORTAL,
        now=now,
        details={"step": number, "run_id": str(following_id)},
    )
    return following_id


def resume_sequence(run_id: UUID, *, actor: Actor, now: datetime) -> None:
    """Let a sequence that has stopped at a run go on with it.

    Raises: SequenceUnfinished when it was started anew for the same day meanwhile.
    """
    execution = _lock_execution(run_id)
    if execution is None or execution.state != SequenceState.STOPPED:
        return
    state = SEQUENCE_MOVES.next(SequenceState.STOPPED, "resume")
    try:
        with savepoint():
            execute(
                "UPDATE sequence_runs SET state = %s, reason = NULL WHERE id = %s",
                (state.value, execution.id),
            )
    except Exception as error:
        if violated(error) == "uq_sequence_runs_running":
            raise SequenceUnfinished(
                name=execution.name, business_on=execution.business_on
            ) from error
        raise
    record_event("sequence.resumed", execution.id, actor=actor, now=now)


def _lock_execution(run_id: UUID) -> Any:
    """Lock the execution that is at this run; None when there is none, or it is over or further."""
    return fetch_one(
        "SELECT e.id, e.sequence_id, e.version, e.step_number, e.state, e.business_on,"
        " e.started_by, e.started_by_id, s.name, r.number AS run_number"
        " FROM batch_runs r JOIN sequence_runs e"
        " ON (e.organisation_id, e.id) = (r.organisation_id, r.sequence_run_id)"
        " JOIN sequences s ON (s.organisation_id, s.id) = (e.organisation_id, e.sequence_id)"
        " WHERE r.id = %s AND e.step_number = r.step_number AND e.state IN ('running', 'stopped')"
        " FOR UPDATE OF e",
        (run_id,),
    )


def _end(execution: Any, event: str, reason: str | None, now: datetime) -> None:
    state = SEQUENCE_MOVES.next(SequenceState(execution.state), event)
    is_over = state in SEQUENCE_MOVES.final
    execute(
        "UPDATE sequence_runs SET state = %s, reason = %s, finished_at = %s WHERE id = %s",
        (state.value, reason, now if is_over else None, execution.id),
    )
    record_event(f"sequence.{state.value}", execution.id, actor=PORTAL, now=now, reason=reason)


def _unstarted(number: int, step: Any) -> str:
    if step is None:
        return "."
    title = next((job.title for job in list_startable_jobs() if job.name == step.job), step.job)
    return f"; step {number} ({title.lower()}) was not started."


def _count_failed(run_id: UUID) -> int:
    row = fetch_one(
        "SELECT COALESCE(sum(failed_count + skipped_count), 0)::int AS items FROM batch_chunks"
        " WHERE run_id = %s",
        (run_id,),
    )
    assert row is not None
    return int(row.items)
