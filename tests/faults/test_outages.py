"""The gateway or the database away for a while in the middle of the work."""

from __future__ import annotations

import signal
from contextlib import suppress

import psycopg

from tests.faults.world import DAY_OF_COLLECTION, DAY_OF_ISSUE, World
from tests.servers import RunServers

COUNT = 40
TROUBLES = "SELECT troubles_in_a_row FROM gateway_accounts WHERE open_until > clock_timestamp()"


def restart_database(servers: RunServers) -> None:
    """Stop PostgreSQL as a power cut would, and start it again on the same port."""
    postgres = servers._postgres
    assert postgres is not None
    process = postgres._process
    assert process is not None
    process.send_signal(signal.SIGQUIT)
    process.wait()
    postgres.start()


def test_a_gateway_that_dies_while_collecting_gets_everything_later(world: World) -> None:
    world.change(messages_claim_max=10)
    world.issue(COUNT)
    world.start_gateway()
    world.ask_gateway("/v1/control", {"hold": True})
    run_id = world.run("payment_collection", DAY_OF_COLLECTION)
    world.start_workers()
    world.wait_until(
        "the gateway holds answers", lambda: world.ask_gateway("/v1/report")["charges"] >= 10
    )
    world.kill("gateway")

    world.wait_for_run(run_id)
    world.wait_until("the breaker opens", lambda: world.rows(TROUBLES))
    assert world.rows(TROUBLES)[0].troubles_in_a_row >= 5
    unsent = "SELECT count(*) FROM payment_attempts WHERE state <> 'succeeded'"
    assert world.count(unsent) == COUNT
    world.start_gateway()
    world.wait_until_settled()

    world.assert_attempts(COUNT)
    assert world.judge()["charges_by_state"] == {"succeeded": COUNT}
    closed = "SELECT troubles_in_a_row, open_until FROM gateway_accounts"
    assert world.rows(closed) == [(0, None)]


def test_the_database_is_restarted_while_invoices_are_issued(
    world: World, own_servers: RunServers
) -> None:
    ids = world.draft(COUNT)
    run_id = world.run("invoice_issuing", DAY_OF_ISSUE)
    # The lock ends with its session.
    with suppress(psycopg.OperationalError), world.table_locked("number_series"):
        world.start_workers()
        world.wait_until_waiting(2)
        restart_database(own_servers)

    world.wait_for_run(run_id)

    assert world.assert_each_item_once(run_id, ids) == {"done": COUNT}
    world.assert_numbered(COUNT)
    assert all(child.poll() is None for child in world.children.values())
    world.judge(with_gateway=False)


def test_the_database_is_restarted_between_the_effects_and_their_answers(
    world: World, own_servers: RunServers
) -> None:
    world.issue(COUNT)
    world.start_gateway()
    world.ask_gateway("/v1/control", {"hold": True})
    world.run("payment_collection", DAY_OF_COLLECTION)
    world.start_workers()
    world.wait_until(
        "the gateway has charged", lambda: world.ask_gateway("/v1/report")["charges"] == COUNT
    )
    restart_database(own_servers)
    world.ask_gateway("/v1/control", {"hold": False})
    world.wait_until_settled()

    world.assert_attempts(COUNT)
    assert world.judge()["charges_by_state"] == {"succeeded": COUNT}
