"""Runs for tests: drafts as a population, work that does as it is told, leases that run out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome, RunState
from portal.services.batches import (
    Lease,
    RunOrder,
    claim_chunk,
    finish_run,
    restart_run,
    start_run,
    stop_run,
    work_chunk,
)
from portal.services.outcomes import ItemResult
from portal.sql import execute
from tests import factories
from tests.factories import BUSINESS_ON, CLERK, NOW, Line, make_draft_invoice, make_payer
from tests.services.books import rows


def make_drafts(count: int) -> list[UUID]:
    """Make drafts of 10.00, 10.01 … for one payer."""
    payer_id = make_payer().id
    with transaction(factories.home.get()):
        return sorted(
            make_draft_invoice(payer_id=payer_id, lines=(Line(1_000 + place),)).id
            for place in range(count)
        )


def begin(**over: Any) -> UUID:
    """Start a run over the drafts, two in a chunk."""
    wanted = {"job": "invoice_issuing", "business_on": BUSINESS_ON, "chunk_items_max": 2}
    with acting_for(factories.home.get()):
        return start_run(order=RunOrder(**{**wanted, **over}), actor=CLERK, now=NOW)


def lease(*, seconds: float = 30.0, worker: str = "worker") -> Lease | None:
    """Lease a chunk."""
    return claim_chunk(organisation_id=factories.home.get(), worker=worker, lease_seconds=seconds)


def must_lease(**over: Any) -> Lease:
    """Lease a chunk that must be there."""
    found = lease(**over)
    assert found is not None
    return found


def done(ids: Sequence[UUID]) -> list[ItemResult]:
    """Do nothing and say that all is done."""
    return [ItemResult(each, ItemOutcome.DONE, amount_minor=1) for each in ids]


def finish(run_id: UUID) -> RunState | None:
    """Close the run if nothing of it is left."""
    with acting_for(factories.home.get()):
        return finish_run(run_id=run_id, now=NOW)


def work_all(run_id: UUID) -> RunState | None:
    """Work every free chunk and close the run."""
    while found := lease():
        work_chunk(lease=found, work=done)
    return finish(run_id)


def run_of(run_id: UUID) -> Any:
    """Return a run as it now is."""
    return factories.read_row("batch_runs", run_id)


def chunks_of(run_id: UUID) -> list[Any]:
    """Return the chunks of a run in their order."""
    return rows("SELECT * FROM batch_chunks WHERE run_id = %s ORDER BY number", run_id)


def outcomes_of(run_id: UUID) -> dict[UUID, tuple[str, str | None, str | None]]:
    """Return outcome, code and message per item."""
    found = rows("SELECT * FROM batch_items WHERE run_id = %s", run_id)
    return {row.item_id: (row.outcome, row.code, row.message) for row in found}


def expire_leases() -> None:
    """Let every lease be over."""
    with transaction(factories.home.get()):
        execute(
            "UPDATE batch_chunks SET lease_until = clock_timestamp() - interval '1 second'"
            " WHERE state = 'leased'"
        )


def end_rests() -> None:
    """Let every chunk that was given back be free again."""
    with transaction(factories.home.get()):
        execute("UPDATE batch_chunks SET lease_until = NULL WHERE state = 'ready'")


def stop(organisation: UUID, run_id: UUID) -> None:
    """Ask a run to stop."""
    with acting_for(organisation):
        stop_run(run_id=run_id, actor=CLERK, now=NOW)


def restart(organisation: UUID, run_id: UUID) -> None:
    """Let a run go on."""
    with acting_for(organisation):
        restart_run(run_id=run_id, actor=CLERK, now=NOW)


def refuse(bad: Sequence[UUID]) -> partial[list[ItemResult]]:
    """Make work that counts up the versions of its items and breaks on the bad ones."""
    return partial(_refuse, frozenset(bad))


def _refuse(bad: frozenset[UUID], ids: Sequence[UUID]) -> list[ItemResult]:
    with transaction():
        # Something that must be undone with the chunk, and done once for the good ones.
        execute("UPDATE invoices SET version = version + 1 WHERE id = ANY(%s)", (list(ids),))
        for each in ids:
            if each in bad:
                raise ValueError(f"{each} is broken")
        return done(ids)


def versions() -> dict[UUID, int]:
    """Return the version of each invoice."""
    return {row.id: row.version for row in rows("SELECT id, version FROM invoices")}
