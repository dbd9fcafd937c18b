"""Leasing chunks to workers: a chunk is free when nobody holds it or its lease ran out."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from portal.db import (
    sweeping,
    transaction,
)
from portal.domain.errors import Conflict
from portal.queries.brakes import HOLDS
from portal.sql import execute, fetch, fetch_one

log = structlog.stdlib.get_logger(__name__)

CHUNK_TRIES_MAX = 4
# A chunk that was given back rests for this long after its first try, and twice as long each time.
REST_SECONDS = 2.0

_IS_FREE = (
    "(c.state = 'ready' AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp())"
    " OR c.state = 'leased' AND c.lease_until < clock_timestamp())"
)
# True of a run r that no brake holds back; a brake on a gateway account holds its messages only.
_UNBRAKED = (
    " NOT EXISTS (SELECT FROM brakes b WHERE b.organisation_id = r.organisation_id"
    f" AND {HOLDS} AND b.gateway_account_id IS NULL AND COALESCE(b.job, r.job) = r.job)"
)


class LeaseLost(Conflict):
    """Another worker has taken over chunk {number}; nothing of this try was kept."""


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
    # How much may differ from the run sheet; None where nothing is compared.
    tolerance_bps: int | None = None
    # The agreement that was in force when the run was prepared; the run keeps it.
    rule_set_version: int | None = None


def list_working_organisations() -> list[UUID]:
    """Name the organisations that have a chunk to work now, in a fair order."""
    with sweeping():
        rows = fetch(
            "SELECT DISTINCT r.organisation_id FROM batch_runs r WHERE r.state = 'started'"
            f" AND {_UNBRAKED} AND EXISTS (SELECT FROM batch_chunks c"
            f" WHERE (c.organisation_id, c.run_id) = (r.organisation_id, r.id) AND {_IS_FREE})"
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
            f" JOIN batch_runs r ON r.id = c.run_id WHERE r.state = 'started' AND {_UNBRAKED}"
            " AND c.organisation_id = %(o)s AND r.organisation_id = %(o)s"
            f" AND {_IS_FREE}"
            " ORDER BY c.run_id, c.number LIMIT 1 FOR UPDATE OF c SKIP LOCKED)"
            " UPDATE batch_chunks c SET state = 'leased', lease_token = c.lease_token + 1,"
            " lease_until = clock_timestamp() + make_interval(secs => %(lease)s),"
            " worker = %(worker)s, tries = c.tries + 1,"
            " started_at = COALESCE(c.started_at, clock_timestamp())"
            " FROM free, batch_runs r WHERE c.run_id = free.run_id AND c.number = free.number"
            " AND r.id = c.run_id"
            " RETURNING c.run_id, r.job, r.business_on, r.parameters, c.number, c.lease_token,"
            " c.item_ids, c.tries, r.tolerance_bps, r.rule_set_version",
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
            row.tolerance_bps,
            row.rule_set_version,
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
                "UPDATE batch_chunks"
                " SET lease_until = clock_timestamp() + make_interval(secs => %s)"
                " WHERE run_id = %s AND number = %s AND lease_token = %s AND state = 'leased'",
                (lease_seconds, lease.run_id, lease.number, lease.token),
            )
        )


def release_chunk(*, lease: Lease, error: str) -> None:
    """Give a chunk back after trouble that is not its items' fault.

    Shape: it rests before anyone takes it again, longer after each try, so that a trouble of
    seconds does not use up its tries.
    """
    with transaction(lease.organisation_id):
        execute(
            "UPDATE batch_chunks SET state = 'ready', last_error = %s,"
            " lease_until = clock_timestamp() + make_interval(secs => %s)"
            " WHERE run_id = %s AND number = %s AND lease_token = %s AND state = 'leased'",
            (
                error[:500],
                REST_SECONDS * 2 ** (lease.tries - 1),
                lease.run_id,
                lease.number,
                lease.token,
            ),
        )
