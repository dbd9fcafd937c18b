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
from portal.domain.errors import Invalid
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.populations import POPULATIONS, RunPreview, read_preview
from portal.queue import ring
from portal.services.batches._end import finish_run
from portal.services.batches._guards import BELL, BELLS_MAX, RunUnfinished, violated
from portal.services.events import record_event
from portal.sql import execute, fetch_one

# From this size on a plan made for an organisation the planner does not know yet costs minutes.
STATISTICS_ITEMS_MIN = 2000


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

    Shape: the same request key yields the same run for ever.
    Raises: JobUnknown; RunUnfinished.
    """
    _check_job(order.job)
    if order.request_key is not None:
        known = _find_requested(order.request_key)
        if known is not None:
            return known
    try:
        with transaction():
            return _prepare(order, actor=actor, now=now)
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
        " FROM batch_chunks WHERE run_id = %(run)s) c WHERE r.id = %(run)s"
        " RETURNING r.chunks_count, r.items_count",
        {"run": run_id},
    )
    if row is not None and row.items_count >= STATISTICS_ITEMS_MIN:
        execute("SELECT refresh_statistics()")
    return int(row.chunks_count) if row else 0
