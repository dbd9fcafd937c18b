"""Items that break their work, and chunks that kill whoever works them."""

from __future__ import annotations

import signal
from contextlib import suppress

from psycopg import sql

from portal.clock import now_utc
from portal.db import acting_for
from portal.services.batches import CHUNK_TRIES_MAX, restart_run
from tests.factories import CLERK
from tests.faults.world import DAY_OF_ISSUE, World, send
from tests.servers import connect


def test_an_item_that_breaks_fails_alone(world: World) -> None:
    ids = world.draft(30)
    poisoned = ids[14]
    with connect(world.owner_url) as owner:
        owner.execute(
            "CREATE FUNCTION break_it() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'this page of the table cannot be read'; END $$"
        )
        owner.execute(
            sql.SQL(
                "CREATE TRIGGER broken BEFORE UPDATE ON invoices FOR EACH ROW"
                " WHEN (NEW.id = {}) EXECUTE FUNCTION break_it()"
            ).format(sql.Literal(poisoned))
        )
    world.start_workers()
    run_id = world.run("invoice_issuing", DAY_OF_ISSUE)
    world.wait_for_run(run_id)

    assert world.assert_each_item_once(run_id, ids) == {"done": 29, "failed": 1}
    (failed,) = world.rows("SELECT item_id, message FROM batch_items WHERE outcome = 'failed'")
    assert failed.item_id == poisoned
    assert "this page of the table cannot be read" in failed.message
    world.assert_numbered(29)
    world.judge(with_gateway=False)


def test_a_chunk_that_kills_its_workers_is_given_up_and_can_be_restarted(world: World) -> None:
    world.change(chunk_lease_seconds=2.0)
    ids = world.draft(30)
    run_id = world.run("invoice_issuing", DAY_OF_ISSUE)
    with connect(world.owner_url) as owner, owner.transaction():
        owner.execute(
            "SELECT set_config('app.organisation_id', %s, true)", (str(world.organisation_id),)
        )
        # Whoever works the second chunk waits here until it is killed.
        locked = owner.execute("SELECT id FROM invoices WHERE id = %s FOR UPDATE", (ids[10],))
        assert locked.rowcount == 1
        world.start_workers()
        killed: set[int] = set()

        def has_ended_by_killing() -> bool:
            held = "SELECT worker FROM batch_chunks WHERE number = 2 AND state = 'leased'"
            for row in world.rows(held):
                horse = int(row.worker.rpartition(":")[2])
                if horse not in killed:
                    with suppress(ProcessLookupError):
                        send(signal.SIGKILL, horse)
                    killed.add(horse)
            return world.get_run(run_id).state.value != "started"

        world.wait_until("the chunk is given up", has_ended_by_killing)

    failed = world.wait_for_run(run_id, "failed")
    assert len(killed) == CHUNK_TRIES_MAX
    assert (failed.done, failed.given_up) == (20, 1)
    assert failed.exit_message is not None
    assert "given up; restart" in failed.exit_message
    assert world.rows("SELECT last_error FROM batch_chunks WHERE number = 2") == [
        (f"given up after {CHUNK_TRIES_MAX} tries",)
    ]
    world.assert_numbered(20)

    with acting_for(world.organisation_id):
        restart_run(run_id=run_id, actor=CLERK, now=now_utc())
    world.wait_for_run(run_id)

    assert world.assert_each_item_once(run_id, ids) == {"done": 30}
    world.assert_numbered(30)
    world.judge(with_gateway=False)
