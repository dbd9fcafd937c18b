"""A whole portal, as `portal up` starts it, killed in mid-collection and left to itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from portal.cli.start import start_processes
from portal.supervisor import MergedLog, Supervisor
from tests.faults.world import APPROVED, DAY_OF_COLLECTION, DAY_OF_ISSUE, World, send

COUNT = 60
# Approved; declined for lack of funds; the event is lost; comes twice; comes late.
ENDINGS = (APPROVED, 77701, 77708, 77709, 77710)


@pytest.fixture
def supervisor(world: World) -> Iterator[Supervisor]:
    """Web, gateway, two workers and the clock, started again whenever they die."""
    with (
        (world.folder / "portal.log").open("a", encoding="utf-8") as log,
        Supervisor(drain_seconds=world.config.drain_seconds, write=MergedLog(log)) as started,
    ):
        start_processes(world.config, started)
        yield started


def kill_everything(world: World, supervisor: Supervisor) -> dict[str, int]:
    """Kill all processes at once, empty Redis, and return who they were."""
    killed = supervisor.pids()
    for pid in killed.values():
        with suppress(ProcessLookupError):
            send(signal.SIGKILL, pid)
    world.empty_redis()
    return killed


def holds_answers(world: World) -> bool:
    """Have the gateway hold its answers, once it listens; a restart forgets that."""
    with suppress(OSError):
        return bool(world.ask_gateway("/v1/control", {"hold": True})["hold"])
    return False


def test_everything_is_killed_and_comes_back_by_itself(
    world: World, supervisor: Supervisor
) -> None:
    ids = world.draft(COUNT, endings=ENDINGS)
    issuing = world.run("invoice_issuing", DAY_OF_ISSUE)
    with world.table_locked("number_series"):
        world.wait_until_waiting(2)
        kill_everything(world, supervisor)
    world.wait_for_run(issuing)
    world.assert_numbered(COUNT)

    world.wait_until("all run again", lambda: len(supervisor.pids()) == 5)
    world.wait_until("the gateway holds its answers", lambda: holds_answers(world))
    collecting = world.run("payment_collection", DAY_OF_COLLECTION)
    world.wait_until(
        "the gateway has charged", lambda: world.ask_gateway("/v1/report")["charges"] >= 20
    )
    killed = kill_everything(world, supervisor)
    world.wait_for_run(collecting)
    world.wait_until_settled()

    world.wait_until("all run again", lambda: len(supervisor.pids()) == 5)
    assert not set(killed.values()) & set(supervisor.pids().values())
    assert world.assert_each_item_once(issuing, ids) == {"done": COUNT}
    assert world.assert_each_item_once(collecting, ids) == {"done": COUNT}
    declined = COUNT // len(ENDINGS)
    wanted = {"succeeded": COUNT - declined, "declined": declined}
    assert world.judge()["charges_by_state"] == wanted
    states = "SELECT state, count(*)::int AS n FROM payment_attempts GROUP BY state"
    assert dict(world.rows(states)) == wanted
