"""How a run ends: finished, stopped, restarted; found again when its last worker died."""

from datetime import datetime
from typing import Any
from uuid import UUID

from portal.db import (
    savepoint,
    sweeping,
    transaction,
)
from portal.domain.batches import RUN_MOVES, RunState
from portal.domain.errors import NotFound
from portal.domain.users import Actor
from portal.queue import ring
from portal.services.batches._guards import BELL, BELLS_MAX, RunUnfinished, violated
from portal.services.batches._steps import follow_run, resume_sequence
from portal.services.events import record_event
from portal.sql import execute, fetch, fetch_one


class RunNotFound(NotFound):
    """There is no run {number} here; `portal run list` shows those there are."""


def finish_run(*, run_id: UUID, now: datetime) -> RunState | None:
    """Close a run that has nothing left to work; None while it has, or when it is closed already.

    Shape: more failures than the skip limit, or a chunk given up, fail the run; a stop that left
    chunks stops it. Of a sequence, the next step is prepared in the same transaction.
    """
    with transaction():
        run = fetch_one(
            "SELECT state, skip_limit, exit_message FROM batch_runs WHERE id = %s"
            " AND state IN ('started', 'stopping') FOR UPDATE",
            (run_id,),
        )
        if run is None:
            return None
        left = fetch_one(
            "SELECT count(*) FILTER (WHERE state = 'ready') AS ready,"
            " count(*) FILTER (WHERE state = 'leased') AS leased,"
            " count(*) FILTER (WHERE state = 'leased' AND lease_until < clock_timestamp()) AS lost,"
            " count(*) FILTER (WHERE state = 'failed') AS failed,"
            " COALESCE(sum(failed_count), 0) AS failures FROM batch_chunks WHERE run_id = %s",
            (run_id,),
        )
        assert left is not None
        state = RunState(run.state)
        over_limit = left.failures > run.skip_limit
        if over_limit and state is RunState.STARTED and left.ready:
            state = RunState.STOPPING
            execute("UPDATE batch_runs SET state = 'stopping' WHERE id = %s", (run_id,))
        if left.leased - (left.lost if state is RunState.STOPPING else 0):
            return None
        if left.ready + left.leased and state is RunState.STARTED:
            return None
        return _close(run_id, state, left, over_limit=over_limit, said=run.exit_message, now=now)


def _close(
    run_id: UUID,
    state: RunState,
    left: Any,
    *,
    over_limit: bool,
    said: str | None,
    now: datetime,
) -> RunState:
    event = "complete"
    message = None
    if said and left.failed:
        # Why it must not go on was written down when that was found.
        event, message = "fail", said
    elif over_limit:
        event, message = "fail", f"{left.failures} items failed: more than this run may skip"
    elif left.failed:
        event, message = "fail", f"{left.failed} chunks were given up; restart to try them again"
    elif left.ready + left.leased:
        event, message = "rest", f"stopped with {left.ready + left.leased} chunks left"
    target = RUN_MOVES.next(state, event)
    execute(
        "UPDATE batch_runs SET state = %s, exit_message = %s, finished_at = %s WHERE id = %s",
        (target.value, message, now, run_id),
    )
    record_event(f"run.{target.value}", run_id, actor=Actor("portal"), now=now, reason=message)
    following_id = follow_run(run_id, target, now=now)
    if following_id is not None:
        finish_run(run_id=following_id, now=now)
    return target


def stop_run(*, run_id: UUID, actor: Actor, now: datetime) -> None:
    """Let a run stop once the chunks that are being worked are done.

    Raises: RunNotFound; MoveNotAllowed when it does not run.
    """
    with transaction():
        state = _lock_run(run_id)
        target = RUN_MOVES.next(state, "stop")
        execute("UPDATE batch_runs SET state = %s WHERE id = %s", (target.value, run_id))
        record_event("run.stop_requested", run_id, actor=actor, now=now)
        finish_run(run_id=run_id, now=now)


def restart_run(*, run_id: UUID, actor: Actor, now: datetime) -> None:
    """Let a stopped or failed run go on at its first unfinished chunk.

    Shape: where chunks are left, the run may skip as many failures again as it was allowed. The
    sequence that ended with this run goes on.
    Raises: RunNotFound; MoveNotAllowed when it runs or is complete; RunUnfinished when another run
    over the same has begun since; SequenceUnfinished when its sequence has.
    """
    with transaction():
        state = _lock_run(run_id)
        target = RUN_MOVES.next(state, "restart")
        try:
            with savepoint():
                _reopen(run_id, target)
        except Exception as error:
            if violated(error) == "uq_batch_runs_unfinished":
                run = fetch_one("SELECT job, business_on FROM batch_runs WHERE id = %s", (run_id,))
                assert run is not None
                raise RunUnfinished(job=run.job, business_on=run.business_on) from error
            raise
        record_event("run.restarted", run_id, actor=actor, now=now)
        resume_sequence(run_id, actor=actor, now=now)
        ring(BELL, times=BELLS_MAX)
        finish_run(run_id=run_id, now=now)


def _reopen(run_id: UUID, target: RunState) -> None:
    execute(
        "UPDATE batch_runs r SET state = %s, exit_message = NULL, finished_at = NULL,"
        " skip_limit = r.skip_limit + CASE WHEN c.has_more THEN c.failures ELSE 0 END"
        " FROM (SELECT COALESCE(sum(failed_count), 0) AS failures,"
        " COALESCE(bool_or(state <> 'done'), false) AS has_more"
        " FROM batch_chunks WHERE run_id = %s) c WHERE r.id = %s",
        (target.value, run_id, run_id),
    )
    execute(
        "UPDATE batch_chunks SET state = 'ready', tries = 0, finished_at = NULL, lease_until = NULL"
        " WHERE run_id = %s AND (state IN ('ready', 'failed')"
        " OR (state = 'leased' AND lease_until < clock_timestamp()))",
        (run_id,),
    )


def find_run_id(*, number: int) -> UUID:
    """Return the id of the run that people call by its number.

    Raises: RunNotFound.
    """
    with transaction():
        row = fetch_one("SELECT id FROM batch_runs WHERE number = %s", (number,))
    if row is None:
        raise RunNotFound(number=number)
    found: UUID = row.id
    return found


def _lock_run(run_id: UUID) -> RunState:
    row = fetch_one("SELECT state FROM batch_runs WHERE id = %s FOR UPDATE", (run_id,))
    if row is None:
        raise RunNotFound(number=run_id)
    return RunState(row.state)


def list_runs_to_finish() -> list[tuple[UUID, UUID]]:
    """Name running or stopping runs with no chunk that anyone could still work.

    Shape: (organisation, run); found by the sweep when a worker died before it closed the run.
    """
    with sweeping():
        rows = fetch(
            "SELECT r.organisation_id, r.id FROM batch_runs r"
            " WHERE r.state IN ('started', 'stopping') AND NOT EXISTS (SELECT FROM batch_chunks c"
            " WHERE (c.organisation_id, c.run_id) = (r.organisation_id, r.id)"
            " AND (c.state = 'leased'"
            " AND c.lease_until >= clock_timestamp() OR r.state = 'started'"
            " AND c.state IN ('ready', 'leased')))"
        )
    return [(row.organisation_id, row.id) for row in rows]
