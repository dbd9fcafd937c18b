"""What people decide about a run: a second person lets it begin, or it is given up for good."""

from datetime import datetime
from uuid import UUID

from portal.db import transaction
from portal.domain.batches import RUN_MOVES, RunState
from portal.domain.errors import Conflict, Forbidden, Invalid
from portal.domain.users import Actor
from portal.queue import ring
from portal.services.batches._end import RunNotFound, finish_run
from portal.services.batches._guards import BELL, BELLS_MAX, violated
from portal.services.batches._prepare import StarterUnknown
from portal.services.batches._steps import follow_run
from portal.services.events import record_event
from portal.sql import execute, fetch_one

REASON_CHARACTERS_MAX = 500


class ApproverIsStarter(Forbidden):
    """You prepared this run, so another person must approve it; nothing was started. Ask someone
    else who may approve runs."""


class ApproverUnknown(Conflict):
    """A run is approved by a person; nothing was started. Say who approves it."""


class AbandonReasonInvalid(Invalid):
    """Say in 1 to 500 characters why the run is given up. Nothing was changed."""

    field = "reason"


def approve_run(*, run_id: UUID, actor: Actor, now: datetime) -> None:
    """Let a run begin that waits for a second person.

    Raises: RunNotFound; MoveNotAllowed when it does not wait, as after another's approval;
    ApproverIsStarter; ApproverUnknown when the actor is no person; StarterUnknown when nobody
    knows who has prepared it: it must be declined, and started anew.
    """
    if actor.kind != "person" or actor.id is None:
        raise ApproverUnknown
    try:
        with transaction():
            _approve(run_id, actor, now)
    except Exception as error:
        if violated(error) == "ck_batch_runs_approved_by_another":
            raise ApproverIsStarter from error
        raise


def _approve(run_id: UUID, actor: Actor, now: datetime) -> None:
    run = fetch_one(
        "SELECT state, chunks_count, started_by_id FROM batch_runs WHERE id = %s FOR UPDATE",
        (run_id,),
    )
    if run is None:
        raise RunNotFound(number=run_id)
    state = RUN_MOVES.next(RunState(run.state), "approve")
    if run.started_by_id is None:
        # Written before a starter had to be known.
        raise StarterUnknown
    execute(
        "UPDATE batch_runs SET state = %s, approved_by = %s, approved_by_id = %s,"
        " approved_at = %s, started_at = %s WHERE id = %s",
        (state.value, actor.name, actor.id, now, now, run_id),
    )
    record_event("run.approved", run_id, actor=actor, now=now)
    if run.chunks_count:
        ring(BELL, times=min(run.chunks_count, BELLS_MAX))
    else:
        finish_run(run_id=run_id, now=now)


def abandon_run(*, run_id: UUID, reason: str, actor: Actor, now: datetime) -> None:
    """Give up a run for good that waits, was stopped or has failed; what it did stays done.

    Shape: a run that waits for approval is declined in this way; a worker that still holds a chunk
    has lost it; a sequence whose step it is ends.
    Raises: AbandonReasonInvalid; RunNotFound; MoveNotAllowed while it runs, or after its end.
    """
    said = " ".join(reason.replace("\0", "").split())
    if not 0 < len(said) <= REASON_CHARACTERS_MAX:
        raise AbandonReasonInvalid
    with transaction():
        run = fetch_one("SELECT state FROM batch_runs WHERE id = %s FOR UPDATE", (run_id,))
        if run is None:
            raise RunNotFound(number=run_id)
        before = RunState(run.state)
        state = RUN_MOVES.next(before, "abandon")
        execute(
            "UPDATE batch_runs SET state = %s, exit_message = %s, finished_at = %s WHERE id = %s",
            (state.value, f"given up by {actor.name}: {said.rstrip('.')}", now, run_id),
        )
        execute(
            "UPDATE batch_chunks SET state = 'ready', lease_token = lease_token + 1,"
            " lease_until = NULL WHERE run_id = %s AND state = 'leased'",
            (run_id,),
        )
        kind = "run.declined" if before is RunState.AWAITING_APPROVAL else "run.abandoned"
        record_event(kind, run_id, actor=actor, now=now, reason=said)
        follow_run(run_id, state, now=now)
