"""Charges that the gateway made and never answered: asked for, never sent anew, charged once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults.world import APPROVED, DAY_OF_COLLECTION, World, assert_gone

COUNT = 20
# What the sandbox does to these amounts stands in its profile.
NO_ANSWER, FAULT_AFTER, FAULT_BEFORE, RESET_BEFORE, TOO_MANY = 77711, 77712, 77713, 77714, 77715
OTHER_AMOUNT, BROKEN_JSON, RESET_AFTER, HIDDEN = 77716, 77717, 77718, 77720


def sending_horses(world: World) -> set[int]:
    """Name the children of the workers: the processes that deliver messages now."""
    parents = {child.pid for name, child in world.children.items() if name.startswith("worker")}
    found: set[int] = set()
    for parent in parents:
        listed = Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii")
        found |= {int(pid) for pid in listed.split()}
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc")
def test_a_worker_is_killed_between_the_effect_and_its_answer(world: World) -> None:
    world.issue(COUNT)
    world.start_gateway()
    world.ask_gateway("/v1/control", {"hold": True})
    world.run("payment_collection", DAY_OF_COLLECTION)
    world.start_workers("worker-1")
    world.wait_until(
        "the gateway has charged", lambda: world.ask_gateway("/v1/report")["charges"] == COUNT
    )
    horses = sending_horses(world)
    world.kill_workers()
    assert_gone(*horses)
    world.empty_redis()
    world.assert_attempts(COUNT, "sending")
    world.ask_gateway("/v1/control", {"hold": False})

    world.start_workers("worker-2")
    world.wait_until_settled()

    world.assert_attempts(COUNT)
    lost = "SELECT count(*) FROM message_deliveries WHERE outcome = 'unknown'"
    assert world.count(lost) == COUNT
    sent = "SELECT kind, count(*)::int AS n FROM messages GROUP BY kind ORDER BY kind"
    assert dict(world.rows(sent))["gateway.charge"] == COUNT
    assert world.count("SELECT min(queries_count) FROM payment_attempts") >= 1
    assert world.judge()["charges_by_state"] == {"succeeded": COUNT}


def test_every_way_of_not_answering_is_charged_once(world: World) -> None:
    endings = (
        *(APPROVED, NO_ANSWER, FAULT_AFTER, FAULT_BEFORE, RESET_BEFORE, TOO_MANY),
        *(BROKEN_JSON, RESET_AFTER, HIDDEN),
    )
    count = 2 * len(endings)
    world.issue(count, endings=endings)
    world.start_gateway()
    world.start_workers()
    run_id = world.run("payment_collection", DAY_OF_COLLECTION)
    world.wait_for_run(run_id)
    world.wait_until_settled()

    world.assert_attempts(count)
    report = world.judge()
    assert report["charges_by_state"] == {"succeeded": count}
    assert set(report["faults"].values()) == {2}
    assert len(report["faults"]) == len(endings) - 1


def test_an_answer_about_another_amount_waits_for_a_person(world: World) -> None:
    world.issue(1, endings=(OTHER_AMOUNT,))
    world.start_gateway()
    world.start_workers("worker-1")
    world.run("payment_collection", DAY_OF_COLLECTION)

    waiting = "SELECT count(*) FROM payments WHERE worklist = 'mismatch'"
    world.wait_until("the worklist has it", lambda: world.count(waiting) == 1)

    assert world.count("SELECT count(*) FROM messages WHERE kind = 'gateway.charge'") == 1
    assert world.ask_gateway("/v1/report")["charges"] == 1
