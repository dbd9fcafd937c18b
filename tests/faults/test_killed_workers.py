"""Workers killed with kill -9 in the middle of a chunk: nothing lost, nothing twice."""

from __future__ import annotations

import signal
import sys
from uuid import UUID

import pytest

from jobs import JOBS
from jobs.engine import work_one_chunk
from portal import processes
from portal.services.batches import claim_chunk, work_chunk
from tests.factories import NOW
from tests.faults.world import DAY_OF_COLLECTION, DAY_OF_ISSUE, World, assert_gone, send

INVOICES = 120


def kill_in_the_middle(world: World, run_id: UUID, table: str) -> None:
    """Kill all workers in the last step of their chunks, after some chunks are done."""
    for _ in range(3):
        assert work_one_chunk(world.organisation_id)
    with world.table_locked(table):
        world.start_workers()
        world.wait_until_waiting(2)
        horses = world.holders()
        assert len(horses) == 2
        world.kill_workers()
        assert_gone(*horses)
        world.empty_redis()
    assert world.get_run(run_id).handled == 30


def test_all_workers_are_killed_while_issuing(world: World) -> None:
    ids = world.draft(INVOICES)
    run_id = world.run("invoice_issuing", DAY_OF_ISSUE)
    kill_in_the_middle(world, run_id, "number_series")

    # Nobody rings: there is no clock, and Redis has forgotten everything.
    world.start_workers()
    world.wait_for_run(run_id)

    assert world.assert_each_item_once(run_id, ids) == {"done": INVOICES}
    world.assert_numbered(INVOICES)
    assert world.count("SELECT max(tries) FROM batch_chunks") == 2
    world.judge(with_gateway=False)


def test_all_workers_are_killed_while_payments_are_started(world: World) -> None:
    ids = world.issue(INVOICES)
    run_id = world.run("payment_collection", DAY_OF_COLLECTION)
    kill_in_the_middle(world, run_id, "messages")

    world.start_gateway()
    world.start_workers()
    world.wait_for_run(run_id)
    world.wait_until_settled()

    assert world.assert_each_item_once(run_id, ids) == {"done": INVOICES}
    world.assert_attempts(INVOICES)
    assert world.judge()["charges_by_state"] == {"succeeded": INVOICES}


def test_the_last_worker_dies_before_it_could_close_the_run(world: World) -> None:
    ids = world.draft(10)
    run_id = world.run("invoice_issuing", DAY_OF_ISSUE)
    lease = claim_chunk(organisation_id=world.organisation_id, worker="gone", lease_seconds=30)
    assert lease is not None
    work_chunk(lease=lease, work=lambda ids: JOBS[lease.job].work(lease, ids, NOW))
    world.empty_redis()
    assert world.get_run(run_id).state.value == "started"

    world.start_workers("worker-1")
    world.wait_for_run(run_id)

    assert world.assert_each_item_once(run_id, ids) == {"done": 10}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_a_horse_dies_with_its_worker(world: World) -> None:
    ids = world.draft(40)
    run_id = world.run("invoice_issuing", DAY_OF_ISSUE)
    with world.table_locked("number_series"):
        world.start_workers("worker-1")
        world.wait_until_waiting(1)
        (horse,) = world.holders()
        assert horse != world.children["worker-1"].pid
        world.kill("worker-1")
        assert_gone(horse)

    world.start_workers("worker-2")
    world.wait_for_run(run_id)

    assert world.assert_each_item_once(run_id, ids) == {"done": 40}
    world.assert_numbered(40)
    world.judge(with_gateway=False)


def test_a_stopped_worker_cannot_commit_what_another_has_done(world: World) -> None:
    ids = world.draft(10)
    run_id = world.run("invoice_issuing", DAY_OF_ISSUE)
    with world.table_locked("rule_sets", "ACCESS EXCLUSIVE"):
        world.start_workers("worker-1")
        world.wait_until_waiting(1)
        (horse,) = world.holders()
        send(signal.SIGSTOP, horse, world.children["worker-1"].pid)

    world.start_workers("worker-2")
    world.wait_for_run(run_id)
    done = world.rows("SELECT * FROM batch_items ORDER BY item_id")
    send(signal.SIGCONT, horse, world.children["worker-1"].pid)
    log = world.folder / "worker-1.log"
    world.wait_until("the stale worker notices", lambda: "chunk.lost" in log.read_text("utf-8"))

    assert processes.is_alive(world.children["worker-1"].pid)
    assert world.rows("SELECT * FROM batch_items ORDER BY item_id") == done
    assert world.assert_each_item_once(run_id, ids) == {"done": 10}
    assert world.rows("SELECT state, tries, lease_token FROM batch_chunks") == [("done", 2, 2)]
    world.assert_numbered(10)
    world.judge(with_gateway=False)
