"""Batch runs against the ceiling of the raw database, chunk by chunk in turn, in one run."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from statistics import median
from unittest.mock import patch
from uuid import UUID

from jobs.engine import work_one_chunk
from portal.cli.start import child_environment
from portal.config import Config
from portal.db import acting_for, end_reading, transaction
from portal.domain.users import PORTAL
from portal.queries.batches import get_run
from portal.services.batches import RunOrder, start_run
from portal.services.payments import AttemptResult, QueryPolicy, ResultKind, apply_results
from portal.sql import execute, fetch_plain
from tests.bench.set_based import BOOK, ISSUE, START, SetBased
from tests.bench.world import NOW, ON, analyse, bench_app, make_drafts, make_organisation

CHUNK = 1000
TRACED_SIZE_MAX = 20_000
POLICY = QueryPolicy(900, (5,), 60)


def say(name: str, ours: float, reference: float, target: str) -> None:
    """Print one measured ratio."""
    print(
        f"{name:<44} ours {ours:>9,.0f}/s  reference {reference:>9,.0f}/s"
        f"  ratio {ours / reference:.2f}  (target {target})"
    )


def chunked(ids: Sequence[UUID]) -> list[Sequence[UUID]]:
    """Cut ids into chunks."""
    return [ids[first : first + CHUNK] for first in range(0, len(ids), CHUNK)]


def list_ids(organisation_id: UUID, statement: str) -> list[UUID]:
    """Fetch ids in order."""
    with transaction(organisation_id):
        return [row[0] for row in fetch_plain(statement)]


def timed(work: Callable[[], object]) -> float:
    """Measure one call in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run_in_turn(
    ours: UUID,
    job: str,
    reference: SetBased,
    statements: Sequence[str],
    chunks: list[Sequence[UUID]],
) -> tuple[float, float]:
    """Work the chunks of a run and the same chunks by SQL in turn; seconds of each."""
    with acting_for(ours):
        start_run(
            order=RunOrder(job=job, business_on=ON, chunk_items_max=CHUNK), actor=PORTAL, now=NOW
        )
    our_seconds = reference_seconds = 0.0
    for chunk in chunks:
        our_seconds += timed(lambda: work_one_chunk(ours))
        reference_seconds += timed(partial(reference.work, statements, chunk))
    return our_seconds, reference_seconds


def bench_issue_and_collect(sizes: Sequence[int]) -> None:
    """Issue ≥ 0.4 × at every size with a rate that falls ≤ 20 %; collect ≥ 0.4 ×."""
    rates: dict[int, float] = {}
    with bench_app() as (_, config):
        for size in sizes:
            ours, other = make_organisation(f"ours-{size}"), make_organisation(f"raw-{size}")
            for organisation_id in (ours, other):
                make_drafts(organisation_id, size)
            analyse(config)
            reference = SetBased(other, clearing_code=f"raw-{size}")
            drafts = list_ids(other, "SELECT id FROM invoices WHERE state = 'draft' ORDER BY id")
            our_seconds, seconds = run_in_turn(
                ours, "invoice_issuing", reference, ISSUE, chunked(drafts)
            )
            assert not list_ids(ours, "SELECT id FROM invoices WHERE state = 'draft'")
            say(f"issue, {size:,} invoices", size / our_seconds, size / seconds, "≥ 0.4")
            rates[size] = (size / our_seconds) / (size / seconds)
            if size == sizes[0]:
                collect(ours, other, reference, size)
                weigh_traces(config, min(size, TRACED_SIZE_MAX))
    if len(sizes) > 1:
        first, last = rates[sizes[0]], rates[sizes[-1]]
        print(f"issue ratio at {sizes[-1]:,} ÷ at {sizes[0]:,}: {last / first:.2f}  (target ≥ 0.8)")


def weigh_traces(config: Config, size: int) -> None:
    """Issue with the traces of the rules ≥ 0.8 × as fast as without, chunk by chunk in turn."""
    traced, untraced = make_filled(f"traced-{size}", size), make_filled(f"untraced-{size}", size)
    analyse(config)
    for organisation_id in (traced, untraced):
        with acting_for(organisation_id):
            start_run(
                order=RunOrder(job="invoice_issuing", business_on=ON, chunk_items_max=CHUNK),
                actor=PORTAL,
                now=NOW,
            )
    without = patch("portal.services.invoices._issue.record_traces", lambda *_, **__: None)
    spans: dict[UUID, list[float]] = {traced: [], untraced: []}
    for number in range(0, size, CHUNK):
        # In turn who goes first, and compared by the median: other work on the machine comes
        # and goes within a chunk.
        pair = (traced, untraced) if number // CHUNK % 2 else (untraced, traced)
        for organisation_id in pair:
            with without if organisation_id == untraced else nullcontext():
                spans[organisation_id].append(timed(partial(work_one_chunk, organisation_id)))
    for organisation_id, expected in ((traced, size), (untraced, 0)):
        assert len(list_ids(organisation_id, "SELECT id FROM rule_traces")) == expected
        assert not list_ids(organisation_id, "SELECT id FROM invoices WHERE state = 'draft'")
    ours, reference = (CHUNK / median(spans[one]) for one in (traced, untraced))
    say(f"issue with traces, {size:,} invoices", ours, reference, "≥ 0.8")


def collect(ours: UUID, other: UUID, reference: SetBased, size: int) -> None:
    """Start payments, then book their success, against the same rows by SQL."""
    with transaction(ours):
        last_due = fetch_plain("SELECT max(due_on) FROM invoices")[0][0]
    opened = list_ids(other, "SELECT id FROM invoices WHERE state = 'issued' ORDER BY id")
    with acting_for(ours):
        start_run(
            order=RunOrder(job="payment_collection", business_on=last_due, chunk_items_max=CHUNK),
            actor=PORTAL,
            now=NOW,
        )
    our_seconds = seconds = 0.0
    for chunk in chunked(opened):
        our_seconds += timed(lambda: work_one_chunk(ours))
        seconds += timed(partial(reference.work, START, chunk))
    say(f"collect, start, {size:,} payments", size / our_seconds, size / seconds, "≥ 0.4")
    for organisation_id in (ours, other):
        with transaction(organisation_id):
            execute("UPDATE payment_attempts SET state = 'pending'")
    mine = chunked(list_ids(ours, "SELECT id FROM payment_attempts ORDER BY id"))
    theirs = chunked(list_ids(other, "SELECT id FROM payment_attempts ORDER BY id"))
    assert [len(chunk) for chunk in mine] == [len(chunk) for chunk in theirs]
    our_book = book = 0.0
    for our_chunk, chunk in zip(mine, theirs, strict=True):
        our_book += timed(partial(book_success, ours, our_chunk))
        book += timed(partial(reference.work, BOOK, chunk))
    say(f"collect, book, {size:,} payments", size / our_book, size / book, "≥ 0.4")
    both = size / (our_seconds + our_book)
    say(f"collect, start and book, {size:,}", both, size / (seconds + book), "≥ 0.4")


def book_success(organisation_id: UUID, attempt_ids: Sequence[UUID]) -> None:
    """Apply a gateway's good news to a chunk of attempts."""
    with acting_for(organisation_id):
        apply_results(
            results=[
                AttemptResult(attempt_id, ResultKind.SUCCEED, f"ch_{attempt_id}")
                for attempt_id in attempt_ids
            ],
            policy=POLICY,
            actor=PORTAL,
            now=NOW,
        )


def bench_workers(size: int) -> None:
    """Two worker processes issue ≥ 1.4 × as fast as one, over RQ."""
    with bench_app(tick_seconds=1.0) as (_, config):
        seconds = {
            workers: run_with_workers(config, make_filled(f"workers-{workers}", size), workers)
            for workers in (1, 2)
        }
    say(f"two workers, {size:,} invoices", size / seconds[2], size / seconds[1], "≥ 1.4")


def make_filled(code: str, size: int) -> UUID:
    """Make an organisation with drafts."""
    organisation_id = make_organisation(code)
    make_drafts(organisation_id, size)
    return organisation_id


def run_with_workers(config: Config, organisation_id: UUID, workers: int) -> float:
    """Let worker processes issue everything; seconds from the first chunk to the last."""
    command = [sys.executable, "-m", "portal", "worker"]
    running = [subprocess.Popen(command, env=child_environment(config)) for _ in range(workers)]
    try:
        with acting_for(organisation_id):
            run_id = start_run(
                order=RunOrder(job="invoice_issuing", business_on=ON, chunk_items_max=CHUNK),
                actor=PORTAL,
                now=NOW,
            )
            while get_run(run_id).finished_at is None:
                end_reading()
                time.sleep(0.05)
            spans = fetch_plain(
                "SELECT EXTRACT(EPOCH FROM max(finished_at) - min(started_at))::float8"
                " FROM batch_chunks WHERE run_id = %s",
                (run_id,),
            )
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return float(spans[0][0])
