"""Runs that are killed, crowded or cut off from the gateway: what it costs, and that all is kept.

The processes are those of production; what they are killed by is drawn from a printed seed.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from jobs import engine
from portal import processes
from portal.cli.start import child_environment
from portal.clock import now_utc
from portal.config import Config
from portal.db import acting_for, end_reading, transaction
from portal.domain.users import PORTAL
from portal.queries.batches import get_run
from portal.services.batches import Lease, RunOrder, start_run, work_chunk
from portal.services.batches._work import Work
from portal.services.outcomes import ItemResult
from portal.sql import execute, fetch_plain
from tests.bench.batches import CHUNK
from tests.bench.world import NOW, ON, analyse, bench_app, make_drafts, make_organisation
from tests.faults.world import COMPRESSED, DAY_OF_COLLECTION, World

WORKERS = 2
POLL_SECONDS = 0.05
LEASE_SECONDS = 10.0
# What a run may lose beside a lease when no worker is left: a tick, and starting one.
RESTART_SECONDS = 5.0
SHARE_SECONDS = 5.0
AWAY_SECONDS = 36.0  # An hour, in the hundredth of the time.
AWAY_RATE = 500
AWAY_BURST = 250
RETRIES_MAX = 1.1
ORDER_TRIES = """
SELECT count(*) FROM message_deliveries d JOIN messages m ON m.id = d.message_id
WHERE m.kind = 'gateway.charge'
"""
PER_SECOND = """
SELECT date_trunc('second', tried_at) AS second, count(*)::int AS tries FROM message_deliveries
WHERE tried_at >= %s GROUP BY 1 ORDER BY 1
"""


@dataclass
class Workers:
    """Worker processes that are started again as soon as they were killed."""

    config: Config
    count: int = WORKERS
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Bring the workers to their number."""
        while len(self.running) < self.count:
            command = [sys.executable, "-m", "portal", "worker"]
            self.running.append(
                processes.spawn(
                    command, env=child_environment(self.config), death_signal=signal.SIGKILL
                )
            )

    def kill(self, count: int, draw: random.Random) -> None:
        """Kill some of them without a word, and start others."""
        for process in draw.sample(self.running, count):
            process.kill()
            process.wait()
            self.running.remove(process)
        self.start()

    def end(self) -> None:
        """Kill all of them."""
        for process in self.running:
            process.kill()
            process.wait()
        self.running.clear()


@contextmanager
def working(config: Config, count: int = WORKERS) -> Iterator[Workers]:
    """Have workers at work until the block is left."""
    workers = Workers(config, count)
    workers.start()
    try:
        yield workers
    finally:
        workers.end()


def bench_killed_run(size: int, kills: int = 20, seed: int = 1) -> None:
    """Issue with workers killed at random: each item once, no more than a chunk lost per kill."""
    draw = random.Random(seed)
    with bench_app(tick_seconds=1.0, chunk_lease_seconds=LEASE_SECONDS) as (_, config):
        calm, rough = make_organisation("calm"), make_organisation("rough")
        for organisation_id in (calm, rough):
            make_drafts(organisation_id, size)
        analyse(config)
        with working(config):
            run_id = _start(calm)
            _wait(calm, run_id)
        unkilled = _span(calm, run_id)
        left_none = 0
        with working(config) as workers:
            run_id = _start(rough)
            for _ in range(kills):
                _wait(rough, run_id, seconds=unkilled / kills * draw.uniform(0.5, 1.5))
                victims = draw.randint(1, WORKERS)
                left_none += victims == WORKERS
                workers.kill(victims, draw)
            _wait(rough, run_id)
        _say_killed(rough, run_id, size, kills, seed, unkilled, left_none)


def _say_killed(
    organisation_id: UUID,
    run_id: UUID,
    size: int,
    kills: int,
    seed: int,
    unkilled: float,
    left_none: int,
) -> None:
    with acting_for(organisation_id):
        ((tries, chunks),) = fetch_plain(
            "SELECT sum(tries), count(*) FROM batch_chunks WHERE run_id = %s", (run_id,)
        )
        ((items, distinct),) = fetch_plain(
            "SELECT count(*), count(DISTINCT item_id) FROM batch_items"
            " WHERE run_id = %s AND outcome = 'done'",
            (run_id,),
        )
        ((last, numbers),) = fetch_plain(
            "SELECT max(number), count(DISTINCT number) FROM invoices WHERE number IS NOT NULL"
        )
    again = int(tries - chunks)
    seconds = _span(organisation_id, run_id)
    allowed = unkilled + left_none * (LEASE_SECONDS + RESTART_SECONDS)
    is_ok = items == distinct == numbers == last == size and again <= kills * WORKERS
    print(
        f"a run of {size:,} killed {kills} times (seed {seed}): {items:,} items, {numbers:,}"
        f" numbers up to {last:,}; chunks begun again {again}; {seconds:.1f} s against"
        f" {unkilled:.1f} s unkilled (allowed {allowed:.1f} s: {left_none} kills left no worker)"
        f"  {'ok' if is_ok and seconds <= allowed else 'BAD'}"
    )


def bench_fairness(size: int, small: int = 50) -> None:
    """A small run beside a large one of somebody else ≤ 2 × its time alone + 5 s."""
    with bench_app(tick_seconds=1.0) as (_, config):
        large, alone, beside = (make_organisation(code) for code in ("large", "alone", "beside"))
        make_drafts(large, size)
        for organisation_id in (alone, beside):
            make_drafts(organisation_id, small)
        analyse(config)
        with working(config):
            seconds_alone = _timed_run(alone)
            large_id = _start(large)
            _wait_for_chunk(large, large_id)
            seconds_beside = _timed_run(beside)
            with acting_for(large):
                done = get_run(large_id)
    allowed = 2 * seconds_alone + SHARE_SECONDS
    print(
        f"a run of {small} beside one of {size:,}: {seconds_beside:.1f} s, alone"
        f" {seconds_alone:.1f} s (allowed {allowed:.1f} s); the large one was then"
        f" {'over' if done.finished_at else 'at work'}"
        f"  {'ok' if seconds_beside <= allowed and done.finished_at is None else 'BAD'}"
    )


def bench_long_run(sizes: Sequence[int]) -> None:
    """One worker: memory that does not grow with the run."""
    peaks: dict[int, int] = {}
    with bench_app(tick_seconds=1.0) as (_, config):
        for size in sizes:
            organisation_id = make_organisation(f"long-{size}")
            make_drafts(organisation_id, size)
            analyse(config)
            with working(config, 1) as workers:
                run_id = _start(organisation_id)
                peaks[size] = _watch_memory(organisation_id, run_id, workers)
            seconds = _span(organisation_id, run_id)
            print(
                f"a run of {size:,} by one worker: {size / seconds:,.0f}/s, at most"
                f" {peaks[size] >> 20} MB"
            )
    grown = (peaks[sizes[-1]] - peaks[sizes[0]]) >> 20
    print(f"memory at {sizes[-1]:,} − at {sizes[0]:,}: {grown} MB (target ≤ 50)")


def bench_queue(size: int) -> None:
    """Finding, leasing and closing ≤ 5 % of the time that a run's chunks take."""
    inside = 0.0

    def work_timed(*, lease: Lease, work: Work) -> list[ItemResult]:
        nonlocal inside
        started = time.perf_counter()
        try:
            return work_chunk(lease=lease, work=work)
        finally:
            inside += time.perf_counter() - started

    with bench_app(tick_seconds=1.0) as (_, config), patch.object(engine, "work_chunk", work_timed):
        organisation_id = make_organisation("queue")
        make_drafts(organisation_id, size)
        analyse(config)
        run_id = _start(organisation_id)
        started = time.perf_counter()
        while engine.drain_chunks():
            pass
        seconds = time.perf_counter() - started
        with acting_for(organisation_id):
            assert get_run(run_id).finished_at is not None
    share = 100 * (1 - inside / seconds)
    print(f"the queue's share of a run of {size:,}: {share:.1f} % (target ≤ 5)")


def _watch_memory(organisation_id: UUID, run_id: UUID, workers: Workers) -> int:
    """Wait for a run and return the most memory that one process of a worker has had.

    Units: bytes.
    """
    peak = 0
    with acting_for(organisation_id):
        while get_run(run_id).finished_at is None:
            end_reading()
            for worker in workers.running:
                family = [worker.pid, *_children(worker.pid)]
                peak = max([peak, *(_memory(pid) for pid in family)])
            time.sleep(POLL_SECONDS * 4)
    return peak


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return 1024 * int(sizes[0]) if sizes else 0


def bench_gateway_away(size: int) -> None:
    """A gateway comes back to many waiting orders: sent at the agreed rate, few of them twice."""
    settings = {
        **COMPRESSED, "chunk_items_max": 500, "messages_claim_max": 100, "message_tries_max": 50,
        "resend_delays_seconds": (0.5, 1.5, 6.0, 12.0), "query_delays_seconds": (1.0, 5.0),
    }  # fmt: skip
    with bench_app(**settings) as (_, config), tempfile.TemporaryDirectory() as folder:
        organisation_id = make_organisation("away")
        port = processes.free_port()
        told = config.changed(
            sandbox_url=f"http://127.0.0.1:{port}", sandbox_port=port, state_folder=Path(folder)
        )
        world = World(told, organisation_id, "", Path(folder))
        world.change()
        try:
            _measure_away(world, size)
        finally:
            world.end()


def _measure_away(world: World, size: int) -> None:
    with transaction(world.organisation_id):
        execute(
            "UPDATE gateway_accounts SET rate_per_second = %s, burst = %s",
            (AWAY_RATE, AWAY_BURST),
        )
    world.issue(size)
    run_id = world.run("payment_collection", DAY_OF_COLLECTION)
    world.start_workers()
    world.wait_for_run(run_id)
    time.sleep(AWAY_SECONDS)
    in_vain = world.count(ORDER_TRIES)
    world.start_gateway()
    back_at = now_utc()
    world.wait_until_settled()
    world.assert_attempts(size)
    report = world.judge()
    tries = world.count(ORDER_TRIES)
    seconds = [row.tries for row in world.rows(PER_SECOND, back_at)]
    # Two seconds of the clock may share a burst.
    is_ok = tries - size <= RETRIES_MAX * size and max(seconds) <= AWAY_RATE + AWAY_BURST
    print(
        f"{size:,} orders, the gateway away for {AWAY_SECONDS:.0f} s: drained in {len(seconds)} s,"
        f" at most {max(seconds)} in one and {sum(seconds) / len(seconds):.0f} on average (rate"
        f" {AWAY_RATE}, burst {AWAY_BURST}); orders tried in vain {in_vain}, in all {tries};"
        f" charged twice {report['charged_twice']}  {'ok' if is_ok else 'BAD'}"
    )


def _start(organisation_id: UUID) -> UUID:
    order = RunOrder(job="invoice_issuing", business_on=ON, chunk_items_max=CHUNK)
    with acting_for(organisation_id):
        return start_run(order=order, actor=PORTAL, now=NOW)


def _wait(organisation_id: UUID, run_id: UUID, *, seconds: float | None = None) -> None:
    """Wait until a run is over, or for so long."""
    ends_at = None if seconds is None else time.monotonic() + seconds
    with acting_for(organisation_id):
        while get_run(run_id).finished_at is None:
            end_reading()
            if ends_at is not None and time.monotonic() > ends_at:
                return
            time.sleep(POLL_SECONDS)


def _wait_for_chunk(organisation_id: UUID, run_id: UUID) -> None:
    with acting_for(organisation_id):
        while not fetch_plain(
            "SELECT 1 FROM batch_chunks WHERE run_id = %s AND state = 'done' LIMIT 1", (run_id,)
        ):
            end_reading()
            time.sleep(POLL_SECONDS)


def _timed_run(organisation_id: UUID) -> float:
    started = time.perf_counter()
    _wait(organisation_id, _start(organisation_id))
    return time.perf_counter() - started


def _span(organisation_id: UUID, run_id: UUID) -> float:
    """Seconds from the first chunk of a run to its last."""
    with acting_for(organisation_id):
        ((seconds,),) = fetch_plain(
            "SELECT EXTRACT(EPOCH FROM max(finished_at) - min(started_at))::float8"
            " FROM batch_chunks WHERE run_id = %s",
            (run_id,),
        )
    return float(seconds)
