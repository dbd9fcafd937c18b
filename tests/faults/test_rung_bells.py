"""The doorbell: rung too often, by strangers, with rubbish, and its clock taken away."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rq import Queue
from rq.serializers import JSONSerializer

from jobs.schedule import TICK, TICK_ID, JsonJob, make_scheduler, register_tick
from portal.queue import open_queue, open_redis
from portal.services.batches import BELL
from portal.services.messages import DELIVERY_BELL
from tests.faults.world import DAY_OF_COLLECTION, DAY_OF_ISSUE, World

COUNT = 20
# A clock that puts its entry back more often than in production.
SCHEDULER = (
    "import os; import jobs.schedule as clock; from portal.config import Config;"
    " clock.REGISTER_SECONDS = 0.2; clock.run_scheduler(Config.from_environment(os.environ))"
)


def what_is_kept(world: World) -> list[Any]:
    """Count everything that work could have added to."""
    tables = ("batch_items", "ledger_entries", "events", "payment_attempts", "message_deliveries")
    return [world.count(f"SELECT count(*) FROM {table}") for table in tables]


def wait_until_quiet(world: World) -> None:
    """Wait until no bell is waiting and none is being answered."""
    queue = open_queue()
    world.wait_until(
        "all bells are answered", lambda: not queue.count and not queue.started_job_registry.count
    )


def test_a_bell_rung_a_hundred_times_has_the_effect_of_one(world: World) -> None:
    ids = world.issue(COUNT)
    world.start_gateway()
    run_id = world.run("payment_collection", DAY_OF_COLLECTION)
    for _ in range(50):
        for bell in (BELL, DELIVERY_BELL):
            open_queue().enqueue(bell, result_ttl=0)
    world.start_workers()
    world.wait_for_run(run_id)
    world.wait_until_settled()
    wait_until_quiet(world)
    before = what_is_kept(world)

    for bell in (BELL, DELIVERY_BELL):
        for _ in range(10):
            open_queue().enqueue(bell, result_ttl=0)
    wait_until_quiet(world)

    assert world.assert_each_item_once(run_id, ids) == {"done": COUNT}
    world.assert_attempts(COUNT)
    assert what_is_kept(world) == before
    assert world.judge()["charges"] == COUNT


def test_rubbish_in_the_queue_does_not_stop_a_worker_and_runs_nothing(
    world: World, tmp_path: Path
) -> None:
    world.start_workers("worker-1")
    world.run("ledger_check", DAY_OF_ISSUE)
    wait_until_quiet(world)
    redis, queue, touched = open_redis(), open_queue(), tmp_path / "touched"
    queue.enqueue("jobs.there.is.no.such.job")
    queue.enqueue("os.mkdir", str(touched))
    Queue(queue.name, connection=redis).enqueue("pathlib.Path.touch", touched)
    # Rubbish makes the worker drop all bells, so what could be run comes before it.
    wait_until_quiet(world)
    stored: dict[str, dict[Any, Any]] = {
        "empty": {"origin": queue.name},
        "rubbish": {"data": b"\x00\xff\x80", "created_at": "never", "origin": queue.name},
        "a pickle": {"data": _pickled(touched), "origin": queue.name},
    }
    for name, content in stored.items():
        redis.hset(f"rq:job:{name}", mapping=content)
    redis.set("rq:job:a-string", "no hash")
    redis.rpush(queue.key, *stored, "never-stored", "a-string", b"\xff\xfe")

    ids = world.draft(COUNT)
    run_id = world.run("invoice_issuing", DAY_OF_ISSUE)
    world.wait_for_run(run_id)
    wait_until_quiet(world)

    assert world.children["worker-1"].poll() is None, world.last_words()
    assert not touched.exists()
    assert world.assert_each_item_once(run_id, ids) == {"done": COUNT}
    assert b"\xff\xfe" not in redis.lrange(queue.intermediate_queue_key, 0, -1)


def _pickled(touched: Path) -> bytes:
    """Write what would make a directory when it is unpickled."""
    return b"cos\nmkdir\n(V" + str(touched).encode() + b"\ntR."


def test_the_tick_comes_back_after_it_was_taken_away(world: World) -> None:
    world.start("scheduler", [sys.executable, "-c", SCHEDULER])
    redis, queue = open_redis(), open_queue()
    scheduler = make_scheduler(redis, world.config)
    for take_away in (
        lambda: scheduler.cancel(TICK_ID),
        lambda: redis.delete(JsonJob.key_for(TICK_ID)),
        world.empty_redis,
    ):
        world.wait_until("the tick is entered", lambda: TICK_ID in scheduler)
        take_away()
        redis.delete(queue.key)
        world.wait_until("the tick rings", lambda: TICK_ID in queue.get_job_ids())
    assert world.children["scheduler"].poll() is None


def test_the_tick_is_entered_once_and_as_a_job_of_ours(world: World) -> None:
    redis = open_redis()
    scheduler = make_scheduler(redis, world.config)
    for _ in range(3):
        register_tick(scheduler, world.config)

    (entered,) = scheduler.get_jobs()
    assert (entered.id, entered.func_name, entered.meta["interval"]) == (TICK_ID, TICK, 1)
    assert entered.serializer is JSONSerializer
