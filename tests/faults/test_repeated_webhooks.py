"""Webhooks that come often, in the wrong order, not at all, or from somebody else."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest

from portal.db import acting_for
from portal.queries.organisations import list_gateway_accounts
from tests.faults.postman import Letter, Postman
from tests.faults.world import APPROVED, DAY_OF_COLLECTION, World

RETURNED, LOST, TWICE, LATE, OVERTAKEN = 77706, 77708, 77709, 77710, 77719
NEVER = 600.0
INBOX = "SELECT state, count(*)::int AS n FROM inbox_messages GROUP BY state"
ENTRIES = (
    "SELECT kind, count(*)::int AS n FROM ledger_entries WHERE kind LIKE 'payment%%' GROUP BY kind"
)


@pytest.fixture
def postman(world: World) -> Postman:
    """The postman of the organisation's gateway account; nobody but him brings anything."""
    world.change(pending_query_seconds=NEVER)
    with acting_for(world.organisation_id):
        (account,) = list_gateway_accounts()
    return Postman(world, account.code)


def collect(world: World, *endings: int, pushes: bool = False) -> None:
    """Have the gateway accept one charge for each ending."""
    world.issue(len(endings), endings=endings)
    world.start_gateway(pushes=pushes)
    world.start_web()
    world.start_workers()
    world.wait_for_run(world.run("payment_collection", DAY_OF_COLLECTION))


def wait_until_handled(world: World, count: int) -> None:
    """Wait until so many events have been handled and none waits."""
    world.wait_until(f"{count} handled", lambda: dict(world.rows(INBOX)) == {"done": count})


def test_the_same_event_fifty_times_at_once_has_one_effect(world: World, postman: Postman) -> None:
    collect(world, APPROVED)
    letter = postman.write(postman.event("charge.succeeded"))

    with ThreadPoolExecutor(50) as crowd:
        statuses = Counter(crowd.map(postman.deliver, [letter] * 50))
    world.wait_until_settled()
    statuses.update(postman.deliver(letter) for _ in range(5))

    assert statuses == {204: 55}
    wait_until_handled(world, 1)
    assert dict(world.rows(ENTRIES)) == {"payment_succeeded": 1}
    assert world.count("SELECT count(*) FROM allocations") == 1
    world.assert_attempts(1)
    world.judge()


def test_a_return_that_comes_before_its_success_is_booked_after_it(
    world: World, postman: Postman
) -> None:
    collect(world, RETURNED)
    succeeded = postman.event("charge.succeeded")
    for day in range(2):
        postman.close_day(DAY_OF_COLLECTION + timedelta(days=day))
    returned = postman.event("charge.returned")

    assert postman.deliver(postman.write(returned)) == 204
    wait_until_handled(world, 1)
    world.assert_attempts(1, "returned")
    assert postman.deliver(postman.write(succeeded)) == 204
    wait_until_handled(world, 2)

    world.assert_attempts(1, "returned")
    assert dict(world.rows(ENTRIES)) == {"payment_succeeded": 1, "payment_returned": 1}
    open_now = "SELECT count(*) FROM invoices WHERE open_minor = total_minor"
    assert world.count(open_now) == 1
    assert world.judge()["charges_by_state"] == {"returned": 1}


def test_webhooks_alone_bring_every_result(world: World, postman: Postman) -> None:
    collect(world, APPROVED, TWICE, LATE, OVERTAKEN, pushes=True)
    world.wait_until_settled()

    world.assert_attempts(4)
    assert world.count("SELECT sum(queries_count) FROM payment_attempts") == 0
    assert dict(world.rows(INBOX)) == {"done": 4}
    world.wait_until(
        "every delivery was taken",
        lambda: world.ask_gateway("/v1/report")["deliveries_waiting"] == 0,
    )
    assert dict(world.rows(INBOX)) == {"done": 4}
    assert dict(world.rows(ENTRIES)) == {"payment_succeeded": 4}
    world.judge()


def test_a_lost_webhook_is_found_by_asking(world: World, postman: Postman) -> None:
    world.change(pending_query_seconds=0.5)
    collect(world, LOST, LOST, pushes=True)
    world.wait_until_settled()

    assert world.count("SELECT count(*) FROM inbox_messages") == 0
    world.assert_attempts(2)
    world.judge()


def test_a_lost_webhook_is_found_in_the_list_of_events(world: World, postman: Postman) -> None:
    world.change(events_seconds=1.0)
    collect(world, LOST, APPROVED, pushes=True)
    world.start("scheduler", [sys.executable, "-m", "portal", "scheduler"])
    world.wait_until(
        "all attempts have succeeded",
        lambda: not world.rows("SELECT FROM payment_attempts WHERE state <> 'succeeded'"),
    )

    assert world.count("SELECT sum(queries_count) FROM payment_attempts") == 0
    assert world.count("SELECT count(*) FROM inbox_messages") == 2
    world.judge()


def test_forged_and_foreign_events_are_refused_and_not_kept(
    world: World, postman: Postman, other_organisation: UUID
) -> None:
    with acting_for(other_organisation):
        (other,) = list_gateway_accounts()
    event = {
        "id": "evt_forged",
        "type": "charge.succeeded",
        "occurred_at": "2026-03-18T09:30:00+00:00",
        "data": {"merchant_ref": "attempt", "gateway_ref": "ch_1", "amount_minor": 1},
    }
    true = postman.write(event)
    forged = {
        "another secret": (postman.write(event, secret="a guess"), postman.account_code),
        "another account's key": (postman.write(event, signed_for=other.code), None),
        "to another account": (true, other.code),
        "an old one": (postman.write(event, age=timedelta(minutes=10)), None),
        "a changed one": (Letter(true.headers, true.raw.replace(b":1}", b":2}")), None),
        "an unsigned one": (Letter({"Content-Type": "application/json"}, true.raw), None),
        "another id": (Letter({**true.headers, "webhook-id": "evt_other"}, true.raw), None),
    }
    world.start_web()

    answers = {name: postman.deliver(letter, to=to) for name, (letter, to) in forged.items()}

    assert answers == dict.fromkeys(forged, 401)
    assert postman.deliver(true, to="nobody") == 404
    for organisation_id in (world.organisation_id, other_organisation):
        with acting_for(organisation_id):
            assert world.count("SELECT count(*) FROM inbox_messages") == 0
