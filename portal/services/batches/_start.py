"""Starting a run: what there is to do is frozen in chunks, in the database."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from portal.db import (
    current_organisation_id,
    transaction,
)
from portal.domain.batches import RUN_MOVES, RunState
from portal.domain.errors import Invalid
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.populations import POPULATIONS, RunPreview, read_preview
from portal.queue import ring
from portal.services.batches._end import finish_run
from portal.services.batches._guards import BELL, BELLS_MAX, RunUnfinished, violated
from portal.services.batches._sheet import freeze, is_over_limit
from portal.services.events import record_event
from portal.sql import execute, fetch_one


class JobUnknown(Invalid):
    """There is no job {job}; choose one of {known}."""


class RunOrder(NamedTuple):
    """What someone asks to be run."""

    job: str
    business_on: date
    parameters: Mapping[str, Any] = {}
    request_key: str | None = None
    chunk_items_max: int = 1000
    skip_limit: int = 1000


def start_run(*, order: RunOrder, actor: Actor, now: datetime) -> UUID:
    """Freeze what there is to do in chunks and let the workers begin.

    Shape: the same request key yields the same run for ever; a run above the limit of size or sum
    waits for a second person, and nobody works on it before.
    Raises: JobUnknown; RunUnfinished.
    """
    _check_job(order.job)
    if order.request_key is not None:
        known = _find_requested(order.request_key)
        if known is not None:
            return known
    try:
        with transaction():
            return prepare_run(order, actor=actor, now=now)[0]
    except Exception as error:
        constraint = violated(error)
        if constraint == "uq_batch_runs_unfinished":
            raise RunUnfinished(job=order.job, business_on=order.business_on) from error
        if constraint == "uq_batch_runs_organisation_id_request_key":
            known = _find_requested(order.request_key or "")
            if known is not None:
                return known
        raise


def preview_run(*, job: str, on: date, parameters: Mapping[str, Any] | None = None) -> RunPreview:
    """Say what a run would freeze if it were started now, without starting it.

    Raises: JobUnknown.
    """
    _check_job(job)
    return read_preview(job, on, parameters or {})


def _check_job(job: str) -> None:
    if job not in POPULATIONS:
        raise JobUnknown(job=job, known=", ".join(POPULATIONS))


def _find_requested(request_key: str) -> UUID | None:
    with transaction():
        row = fetch_one("SELECT id FROM batch_runs WHERE request_key = %s", (request_key,))
    return row.id if row else None


def prepare_run(
    order: RunOrder, *, actor: Actor, now: datetime, repeats_id: UUID | None = None
) -> tuple[UUID, int]:
    """Freeze a run inside the caller's transaction, and let it begin or wait for approval.

    Shape: (id, number of items).
    """
    run_id = new_id()
    _insert(run_id, order, actor=actor, repeats_id=repeats_id)
    frozen = freeze(
        run_id,
        job=order.job,
        business_on=order.business_on,
        parameters=order.parameters,
        chunk_items_max=order.chunk_items_max,
        repeats_id=repeats_id,
    )
    waits = is_over_limit(items_count=frozen.items_count, sum_minor=frozen.sum_minor)
    if waits:
        state = RUN_MOVES.next(RunState.PREPARED, "submit")
    else:
        state = RUN_MOVES.next(RUN_MOVES.next(RunState.PREPARED, "start"), "begin")
    execute(
        "UPDATE batch_runs SET state = %s, needs_approval = %s, started_at = %s WHERE id = %s",
        (state.value, waits, None if waits else now, run_id),
    )
    if waits:
        record_event("run.submitted", run_id, actor=actor, now=now)
        return run_id, frozen.items_count
    record_event("run.started", run_id, actor=actor, now=now)
    if frozen.chunks_count:
        ring(BELL, times=min(frozen.chunks_count, BELLS_MAX))
    else:
        finish_run(run_id=run_id, now=now)
    return run_id, frozen.items_count


def _insert(run_id: UUID, order: RunOrder, *, actor: Actor, repeats_id: UUID | None) -> None:
    """Write down the run with its number, before anything is frozen for it."""
    organisation_id = current_organisation_id()
    parameters = dict(order.parameters)
    # Runs are numbered in turn per organisation; the lock ends with this short transaction.
    execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (str(organisation_id),))
    execute(
        "INSERT INTO batch_runs (organisation_id, id, number, job, business_on, parameters,"
        " parameters_hash, request_key, repeats_id, state, items_count, chunks_count, sum_minor,"
        " population_hash, skip_limit, started_by, started_by_id)"
        " SELECT %(o)s, %(id)s, 1 + COALESCE(max(number), 0), %(job)s, %(on)s, %(parameters)s,"
        " %(hash)s, %(key)s, %(repeats)s, 'prepared', 0, 0, 0, '', %(limit)s, %(by)s, %(by_id)s"
        " FROM batch_runs",
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
            "repeats": repeats_id,
            "limit": order.skip_limit,
            "by": actor.name or actor.kind,
            "by_id": actor.id,
        },
    )
