"""Notices whose worker died: the next one sends them again, and each payer is told once."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest

from tests.faults.test_unanswered_charges import sending_horses
from tests.faults.world import World, assert_gone
from tests.services.noticing import make_notices_account

COUNT = 20
STATES = "SELECT DISTINCT state FROM messages WHERE kind = 'payer.reminder'"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc")
def test_a_worker_is_killed_between_the_notice_and_its_answer(world: World) -> None:
    make_notices_account(organisation_id=world.organisation_id)
    world.issue(COUNT)
    world.start_gateway()
    world.ask_gateway("/v1/control", {"hold": True})
    (due,) = world.rows("SELECT max(due_on) AS day FROM invoices")
    world.run("reminding", due.day + timedelta(days=7))
    world.start_workers("worker-1")
    world.wait_until(
        "the payers are told", lambda: world.ask_gateway("/v1/report")["notices"] == COUNT
    )
    horses = sending_horses(world)
    world.kill_workers()
    assert_gone(*horses)
    world.empty_redis()
    assert world.count("SELECT count(*) FROM reminders") == COUNT
    assert [row.state for row in world.rows(STATES)] == ["ready"]
    world.ask_gateway("/v1/control", {"hold": False})

    world.start_workers("worker-2")
    world.wait_until_settled()

    assert [row.state for row in world.rows(STATES)] == ["done"]
    again = "SELECT min(tries) FROM messages WHERE kind = 'payer.reminder'"
    assert world.count(again) >= 2
    assert world.ask_gateway("/v1/report")["notices"] == COUNT
