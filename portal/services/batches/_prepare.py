"""Preparing a run inside another's transaction: numbered, frozen in chunks, begun or waiting."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from portal.db import current_organisation_id
from portal.domain.batches import RUN_MOVES, RunState
from portal.domain.errors import Conflict
from portal.domain.rehearsals import REHEARSAL_JOB
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queue import ring
from portal.services.batches._guards import BELL, BELLS_MAX
from portal.services.batches._sheet import freeze, is_over_limit
from portal.services.events import record_event
from portal.sql import execute


class StarterUnknown(Conflict):
    """A run of this size waits for a second person, and nobody can be second to an unknown first;
    nothing was started. Say who starts it: on the command line, with --by and an address."""


class RunOrder(NamedTuple):
    """What someone asks to be run."""

    job: str
    business_on: date
    parameters: Mapping[str, Any] = {}
    request_key: str | None = None
    chunk_items_max: int = 1000
    skip_limit: int = 1000
    # Of an execution of a sequence: which of its steps this is.
    sequence_run_id: UUID | None = None
    step_number: int | None = None


def prepare_run(
    order: RunOrder, *, actor: Actor, now: datetime, repeats_id: UUID | None = None
) -> tuple[UUID, int]:
    """Freeze a run inside the caller's transaction, and let it begin or wait for approval.

    Shape: (id, number of items); the caller closes a run that has none.
    Raises: StarterUnknown when it would wait for a second person and names no first one.
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
    # Nothing is at stake in a rehearsal, so nobody needs to look at it first.
    waits = order.job != REHEARSAL_JOB and is_over_limit(
        items_count=frozen.items_count, sum_minor=frozen.sum_minor, on=order.business_on
    )
    if waits and actor.id is None:
        raise StarterUnknown
    state = RUN_MOVES.next(RunState.PREPARED, "submit" if waits else "start")
    execute(
        "UPDATE batch_runs SET state = %s, needs_approval = %s, started_at = %s WHERE id = %s",
        (state.value, waits, None if waits else now, run_id),
    )
    kind = "run.submitted" if waits else "run.started"
    record_event(kind, run_id, actor=actor, now=now)
    if frozen.chunks_count and not waits:
        ring(BELL, times=min(frozen.chunks_count, BELLS_MAX))
    return run_id, frozen.items_count


def _insert(run_id: UUID, order: RunOrder, *, actor: Actor, repeats_id: UUID | None) -> None:
    """Write down the run with its number, before anything is frozen for it."""
    organisation_id = current_organisation_id()
    parameters = dict(order.parameters)
    # Runs are numbered in turn per organisation; the lock ends with this short transaction.
    execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (str(organisation_id),))
    execute(
        "INSERT INTO batch_runs (organisation_id, id, number, job, business_on,"
        " rule_set_version, parameters,"
        " parameters_hash, request_key, repeats_id, sequence_run_id, step_number, state,"
        " items_count, chunks_count, sum_minor, population_hash, skip_limit, started_by,"
        " started_by_id)"
        " SELECT %(o)s, %(id)s, 1 + COALESCE(max(number), 0), %(job)s, %(on)s,"
        " (SELECT version FROM rule_sets WHERE organisation_id = %(o)s AND state = 'active'"
        " AND starts_on <= %(on)s ORDER BY starts_on DESC LIMIT 1), %(parameters)s,"
        " %(hash)s, %(key)s, %(repeats)s, %(sequence)s, %(step)s, 'prepared', 0, 0, 0, '',"
        " %(limit)s, %(by)s, %(by_id)s"
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
            "sequence": order.sequence_run_id,
            "step": order.step_number,
            "limit": order.skip_limit,
            "by": actor.name or actor.kind,
            "by_id": actor.id,
        },
    )
