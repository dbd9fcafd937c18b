"""Batch runs: frozen in chunks, leased to workers, worked one transaction a chunk, finished.

A lease carries a fencing token: a worker that lost its lease cannot commit, because the update
that marks its chunk then touches no row.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb
from sqlalchemy.exc import IntegrityError

from portal.db import (
    current_organisation_id,
    is_transient,
    repeat_when_transient,
    savepoint,
    sweeping,
    transaction,
)
from portal.domain.batches import RUN_MOVES, ItemOutcome, RunState
from portal.domain.errors import Conflict, Invalid, NotFound, PortalError
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.populations import POPULATIONS
from portal.queue import ring
from portal.services.events import record_event
from portal.services.outcomes import ItemResult
from portal.sql import execute, fetch, fetch_one, stage_rows

log = structlog.stdlib.get_logger(__name__)

BELL = "jobs.engine.drain_chunks"
CHUNK_TRIES_MAX = 4
BELLS_MAX = 16


class RunUnfinished(Conflict):
    """A run of {job} for {business_on} is not finished yet; no second one was started."""


class RunNotFound(NotFound):
    """There is no run {number} here; `portal run list` shows those there are."""


class JobUnknown(Invalid):
    """There is no job {job}; choose one of {known}."""


class LeaseLost(Conflict):
    """Another worker has taken over chunk {number}; nothing of this try was kept."""


class RunOrder(NamedTuple):
    """What someone asks to be run."""

    job: str
    business_on: date
    parameters: Mapping[str, Any] = {}
    request_key: str | None = None
    chunk_items_max: int = 1000
    skip_limit: int = 1000


class Lease(NamedTuple):
    """A chunk that a worker holds for a while."""

    organisation_id: UUID
    run_id: UUID
    job: str
    business_on: date
    parameters: Mapping[str, Any]
    number: int
    token: int
    item_ids: Sequence[UUID]
    tries: int


Work = Callable[[Sequence[UUID]], Sequence[ItemResult]]


def start_run(*, order: RunOrder, actor: Actor, now: datetime) -> UUID:
    """Freeze what there is to do in chunks and let the workers begin.

    Shape: the same request key yields the same run for ever.
    Raises: JobUnknown; RunUnfinished.
    """
    if order.job not in POPULATIONS:
        raise JobUnknown(job=order.job, known=", ".join(POPULATIONS))
    if order.request_key is not None:
        known = _find_requested(order.request_key)
        if known is not None:
            return known
    try:
        with transaction():
            return _prepare(order, actor=actor, now=now)
    except Exception as error:
        constraint = _violated(error)
        if constraint == "uq_batch_runs_unfinished":
            raise RunUnfinished(job=order.job, business_on=order.business_on) from error
        if constraint == "uq_batch_runs_organisation_id_request_key":
            known = _find_requested(order.request_key or "")
            if known is not None:
                return known
        raise


def _violated(error: Exception) -> str | None:
    """Name the constraint that refused a statement."""
    cause = error.orig if isinstance(error, IntegrityError) else error
    diagnosis = getattr(cause, "diag", None)
    return getattr(diagnosis, "constraint_name", None)


def _find_requested(request_key: str) -> UUID | None:
    with transaction():
        row = fetch_one("SELECT id FROM batch_runs WHERE request_key = %s", (request_key,))
    return row.id if row else None


def _prepare(order: RunOrder, *, actor: Actor, now: datetime) -> UUID:
    organisation_id = current_organisation_id()
    run_id = new_id()
    parameters = dict(order.parameters)
    # Runs are numbered in turn per organisation; the lock ends with this short transaction.
    execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (str(organisation_id),))
    execute(
        "INSERT INTO batch_runs (organisation_id, id, number, job, business_on, parameters,"
        " parameters_hash, request_key, state, items_count, chunks_count, sum_minor,"
        " population_hash, skip_limit, started_by, started_at)"
        " SELECT %(o)s, %(id)s, 1 + COALESCE(max(number), 0), %(job)s, %(on)s, %(parameters)s,"
        " %(hash)s, %(key)s, 'started', 0, 0, 0, '', %(limit)s, %(by)s, %(now)s FROM batch_runs",
        {
            "o": organisation_id,
            "id": run_id,
            "job": order.job,
            "on": order.business_on,
            "parameters": Jsonb(parameters),
            "hash": hashlib.sha256(
                json.dumps([order.business_on.isoformat(), parameters], sort_keys=True).encode()
            ).hexdigest(),
            "key": order.request_key,
            "limit": order.skip_limit,
            "by": actor.name or actor.kind,
            "now": now,
        },
    )
    chunks = _freeze(run_id, order)
    record_event("run.started", run_id, actor=actor, now=now)
    if chunks:
        ring(BELL, times=min(chunks, BELLS_MAX))
    else:
        finish_run(run_id=run_id, now=now)
    return run_id


def _freeze(run_id: UUID, order: RunOrder) -> int:
    """Write the population as chunks, in the database and without carrying it through here."""
    population = POPULATIONS[order.job](order.business_on, order.parameters)
    execute(
        "INSERT INTO batch_chunks (organisation_id, run_id, number, item_ids, items_count,"
        " sum_minor, population_hash)"
        " SELECT %(_organisation)s, %(_run)s, 1 + place / %(_size)s, array_agg(id ORDER BY place),"
        " count(*), sum(amount_minor), sha256(string_agg(uuid_send(id) || int4send(version), ''"
        " ORDER BY place)) FROM (SELECT id, version::int AS version, amount_minor,"
        " row_number() OVER (ORDER BY id) - 1 AS place"
        f" FROM ({population.statement}) AS population) AS placed GROUP BY place / %(_size)s",
        {
            **population.parameters,
            "_organisation": current_organisation_id(),
            "_run": run_id,
            "_size": order.chunk_items_max,
        },
    )
    row = fetch_one(
        "UPDATE batch_runs r SET items_count = c.items, chunks_count = c.chunks,"
        " sum_minor = c.amount, population_hash = c.hash FROM (SELECT"
        " COALESCE(sum(items_count), 0) AS items, count(*) AS chunks,"
        " COALESCE(sum(sum_minor), 0) AS amount,"
        " sha256(COALESCE(string_agg(population_hash, '' ORDER BY number), '')) AS hash"
        " FROM batch_chunks WHERE run_id = %(run)s) c WHERE r.id = %(run)s RETURNING r.chunks_count",
        {"run": run_id},
    )
    return int(row.chunks_count) if row else 0


def list_working_organisations() -> list[UUID]:
    """Name the organisations that have a chunk to work now, in a fair order."""
    with sweeping():
        rows = fetch(
            "SELECT DISTINCT r.organisation_id FROM batch_runs r WHERE r.state = 'started'"
            " AND EXISTS (SELECT FROM batch_chunks c"
            " WHERE (c.organisation_id, c.run_id) = (r.organisation_id, r.id) AND (c.state = 'ready'"
            " OR (c.state = 'leased' AND c.lease_until < clock_timestamp())))"
        )
    return [row.organisation_id for row in rows]


def claim_chunk(*, organisation_id: UUID, worker: str, lease_seconds: float) -> Lease | None:
    """Lease the first free chunk of an organisation's running runs.

    Shape: a chunk whose lease ran out is free; its tries were raised before the work, so that a
    chunk that kills workers is given up after a few of them.
    """
    with transaction(organisation_id):
        row = fetch_one(
            "WITH free AS (SELECT c.run_id, c.number FROM batch_chunks c"
            " JOIN batch_runs r ON r.id = c.run_id WHERE r.state = 'started'"
            " AND c.organisation_id = %(o)s AND r.organisation_id = %(o)s"
            " AND (c.state = 'ready' OR (c.state = 'leased' AND c.lease_until < clock_timestamp()))"
            " ORDER BY c.run_id, c.number LIMIT 1 FOR UPDATE OF c SKIP LOCKED)"
            " UPDATE batch_chunks c SET state = 'leased', lease_token = c.lease_token + 1,"
            " lease_until = clock_timestamp() + make_interval(secs => %(lease)s),"
            " worker = %(worker)s, tries = c.tries + 1,"
            " started_at = COALESCE(c.started_at, clock_timestamp())"
            " FROM free, batch_runs r WHERE c.run_id = free.run_id AND c.number = free.number"
            " AND r.id = c.run_id"
            " RETURNING c.run_id, r.job, r.business_on, r.parameters, c.number, c.lease_token,"
            " c.item_ids, c.tries",
            {"o": organisation_id, "lease": lease_seconds, "worker": worker},
        )
        if row is None:
            return None
        lease = Lease(
            organisation_id,
            row.run_id,
            row.job,
            row.business_on,
            row.parameters,
            row.number,
            row.lease_token,
            row.item_ids,
            row.tries,
        )
        if lease.tries > CHUNK_TRIES_MAX:
            _give_up(lease)
            return None
    return lease


def _give_up(lease: Lease) -> None:
    """Mark a chunk that has cost several workers their lives; the run goes on without it."""
    execute(
        "UPDATE batch_chunks SET state = 'failed', last_error = %s, finished_at = clock_timestamp()"
        " WHERE run_id = %s AND number = %s",
        (f"given up after {CHUNK_TRIES_MAX} tries", lease.run_id, lease.number),
    )
    log.error("chunk.given_up", run_id=str(lease.run_id), number=lease.number)


def extend_lease(*, lease: Lease, lease_seconds: float) -> bool:
    """Keep a lease while its work goes on; False when another worker holds the chunk."""
    with transaction(lease.organisation_id):
        return bool(
            execute(
                "UPDATE batch_chunks SET lease_until = clock_timestamp() + make_interval(secs => %s)"
                " WHERE run_id = %s AND number = %s AND lease_token = %s AND state = 'leased'",
                (lease_seconds, lease.run_id, lease.number, lease.token),
            )
        )


def work_chunk(*, lease: Lease, work: Work) -> list[ItemResult]:
    """Work a chunk in one transaction that also marks it and writes each item's outcome.

    Shape: when the work breaks on something unexpected, it is done again in halves down to the
    item that breaks it, which fails alone.
    Raises: LeaseLost; database trouble that is nobody's fault, after several tries.
    """
    def straight() -> list[ItemResult]:
        with transaction(lease.organisation_id):
            results = list(work(lease.item_ids))
            _mark_chunk(lease, results)
            return results

    def isolating() -> list[ItemResult]:
        with transaction(lease.organisation_id):
            results = _work_in_halves(work, lease.item_ids)
            _mark_chunk(lease, results)
            return results

    try:
        return repeat_when_transient(straight)
    except LeaseLost:
        raise
    except Exception as error:
        if is_transient(error):
            raise
        log.warning(
            "chunk.isolating", run_id=str(lease.run_id), number=lease.number, error=repr(error)
        )
    return repeat_when_transient(isolating)


def _work_in_halves(work: Work, item_ids: Sequence[UUID]) -> list[ItemResult]:
    try:
        with savepoint():
            return list(work(item_ids))
    except LeaseLost:
        raise
    except Exception as error:
        if is_transient(error):
            raise
        if len(item_ids) == 1:
            return [_failed(item_ids[0], error)]
    middle = len(item_ids) // 2
    return _work_in_halves(work, item_ids[:middle]) + _work_in_halves(work, item_ids[middle:])


def _failed(item_id: UUID, error: Exception) -> ItemResult:
    if isinstance(error, PortalError):
        return ItemResult(item_id, ItemOutcome.FAILED, error.code, error.message)
    message = str(error).strip().splitlines()[0] if str(error).strip() else ""
    return ItemResult(item_id, ItemOutcome.FAILED, type(error).__name__, message[:500])


def _mark_chunk(lease: Lease, results: Sequence[ItemResult]) -> None:
    if len(results) != len(lease.item_ids):
        raise RuntimeError(f"{len(lease.item_ids)} items were worked, {len(results)} reported")
    counts = dict.fromkeys(ItemOutcome, 0)
    for result in results:
        counts[result.outcome] += 1
    # First of all: who has lost the chunk must not trip over the items that the other has written.
    marked = execute(
        "UPDATE batch_chunks SET state = 'done', finished_at = clock_timestamp(),"
        " done_count = %s, filtered_count = %s, skipped_count = %s, failed_count = %s"
        " WHERE run_id = %s AND number = %s AND lease_token = %s AND state = 'leased'",
        (
            counts[ItemOutcome.DONE],
            counts[ItemOutcome.FILTERED],
            counts[ItemOutcome.SKIPPED] + counts[ItemOutcome.PARKED] + counts[ItemOutcome.UNKNOWN],
            counts[ItemOutcome.FAILED],
            lease.run_id,
            lease.number,
            lease.token,
        ),
    )
    if marked != 1:
        raise LeaseLost(number=lease.number)
    stage_rows(
        "staged_items",
        {
            "item_id": "uuid",
            "outcome": "text",
            "code": "text",
            "message": "text",
            "amount_minor": "bigint",
        },
        ((r.item_id, r.outcome.value, r.code, r.message, r.amount_minor) for r in results),
    )
    execute(
        "INSERT INTO batch_items (organisation_id, run_id, item_id, chunk_number, outcome, code,"
        " message, amount_minor) SELECT %s, %s, item_id, %s, outcome, code, message, amount_minor"
        " FROM pg_temp.staged_items",
        (lease.organisation_id, lease.run_id, lease.number),
    )


def release_chunk(*, lease: Lease, error: str) -> None:
    """Give a chunk back after trouble that is not its items' fault."""
    with transaction(lease.organisation_id):
        execute(
            "UPDATE batch_chunks SET state = 'ready', last_error = %s, lease_until = NULL"
            " WHERE run_id = %s AND number = %s AND lease_token = %s AND state = 'leased'",
            (error[:500], lease.run_id, lease.number, lease.token),
        )


def finish_run(*, run_id: UUID, now: datetime) -> RunState | None:
    """Close a run that has nothing left to work; None while it has, or when it is closed already.

    Shape: more failures than the skip limit, or a chunk given up, fail the run; a stop that left
    chunks stops it.
    """
    with transaction():
        run = fetch_one(
            "SELECT state, skip_limit FROM batch_runs WHERE id = %s"
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
        return _close(run_id, state, left, over_limit=over_limit, now=now)


def _close(
    run_id: UUID, state: RunState, left: Any, *, over_limit: bool, now: datetime
) -> RunState:
    event = "complete"
    message = None
    if over_limit:
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

    Shape: where chunks are left, the run may skip as many failures again as it was allowed.
    Raises: RunNotFound; MoveNotAllowed when it runs or is complete; RunUnfinished when another run
    over the same has begun since.
    """
    with transaction():
        state = _lock_run(run_id)
        target = RUN_MOVES.next(state, "restart")
        try:
            with savepoint():
                _reopen(run_id, target)
        except Exception as error:
            if _violated(error) == "uq_batch_runs_unfinished":
                run = fetch_one("SELECT job, business_on FROM batch_runs WHERE id = %s", (run_id,))
                assert run is not None
                raise RunUnfinished(job=run.job, business_on=run.business_on) from error
            raise
        record_event("run.restarted", run_id, actor=actor, now=now)
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
        "UPDATE batch_chunks SET state = 'ready', tries = 0, finished_at = NULL"
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
            " WHERE (c.organisation_id, c.run_id) = (r.organisation_id, r.id) AND (c.state = 'leased'"
            " AND c.lease_until >= clock_timestamp() OR r.state = 'started'"
            " AND c.state IN ('ready', 'leased')))"
        )
    return [(row.organisation_id, row.id) for row in rows]


