from collections.abc import Sequence
from functools import partial
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from portal.db import acting_for, after_commit
from portal.domain.batches import ItemOutcome
from portal.domain.errors import Conflict
from portal.queries.checks import run_checks
from portal.services.batches import (
    LeaseLost,
    claim_chunk,
    extend_lease,
    list_working_organisations,
    release_chunk,
    work_chunk,
)
from portal.services.outcomes import ItemResult
from portal.sql import execute, fetch
from tests.servers import connect
from tests.services.collecting import run_together
from tests.services.running import (
    begin,
    chunks_of,
    done,
    expire_leases,
    lease,
    make_drafts,
    must_lease,
    outcomes_of,
    refuse,
    versions,
)


def test_chunks_are_claimed_in_order_and_never_twice(organisation: UUID, app: Flask) -> None:
    make_drafts(12)
    run_id = begin()
    assert list_working_organisations() == [organisation]

    found = run_together(app, lease, lease, lease, lease)
    rest = [lease() for _ in range(3)]

    claimed = [each for each in [*found, *rest] if each is not None]
    assert sorted(each.number for each in claimed) == [1, 2, 3, 4, 5, 6]
    assert {(each.token, each.tries, each.run_id) for each in claimed} == {(1, 1, run_id)}
    assert list_working_organisations() == []


def test_another_organisation_has_nothing_to_claim(
    organisation: UUID, other_organisation: UUID
) -> None:
    make_drafts(2)
    begin()

    found = claim_chunk(organisation_id=other_organisation, worker="w", lease_seconds=30.0)

    assert found is None


def test_a_worked_chunk_has_its_counts_and_one_outcome_per_item(organisation: UUID) -> None:
    ids = make_drafts(6)
    run_id = begin(chunk_items_max=6)
    kinds = list(ItemOutcome)

    def work(items: Sequence[UUID]) -> list[ItemResult]:
        return [
            ItemResult(each, kind, f"code-{kind}", "Because.", 5)
            for each, kind in zip(items, kinds, strict=True)
        ]

    work_chunk(lease=must_lease(), work=work)

    (chunk,) = chunks_of(run_id)
    counts = (chunk.done_count, chunk.filtered_count, chunk.skipped_count, chunk.failed_count)
    assert (chunk.state, counts) == ("done", (1, 1, 3, 1))
    assert outcomes_of(run_id) == {
        each: (kind.value, f"code-{kind}", "Because.")
        for each, kind in zip(ids, kinds, strict=True)
    }
    with acting_for(organisation):
        assert [result.check for result in run_checks() if result.rows] == []


def test_a_lease_that_ran_out_goes_to_another_and_the_first_cannot_commit(
    organisation: UUID,
) -> None:
    (item,) = make_drafts(1)
    run_id = begin()
    old = must_lease()
    assert lease() is None
    expire_leases()
    new = must_lease()
    assert (old.token, new.token, new.tries) == (1, 2, 2)
    assert not extend_lease(lease=old, lease_seconds=30.0)
    assert extend_lease(lease=new, lease_seconds=30.0)

    with pytest.raises(LeaseLost):
        work_chunk(lease=old, work=refuse([]))
    assert versions()[item] == 1, "the work of who lost the lease is undone"
    release_chunk(lease=old, error="too late")
    assert chunks_of(run_id)[0].state == "leased"
    work_chunk(lease=new, work=refuse([]))

    assert versions()[item] == 2
    with pytest.raises(LeaseLost):
        work_chunk(lease=old, work=refuse([]))
    assert versions()[item] == 2
    assert not extend_lease(lease=new, lease_seconds=30.0)


def test_two_threads_with_one_lease_do_the_work_once(organisation: UUID, app: Flask) -> None:
    ids = make_drafts(4)
    run_id = begin(chunk_items_max=4)
    held = must_lease()

    found = run_together(app, *[partial(work_chunk, lease=held, work=refuse([]))] * 2)

    assert sum(isinstance(each, LeaseLost) for each in found) == 1, found
    assert [versions()[each] for each in ids] == [2] * 4
    assert len(outcomes_of(run_id)) == 4


@pytest.mark.parametrize("places", [[0], [6], [2, 3], [0, 1, 2, 3, 4, 5, 6]])
def test_items_that_break_fail_alone(organisation: UUID, places: list[int]) -> None:
    ids = make_drafts(7)
    bad = [ids[place] for place in places]
    run_id = begin(chunk_items_max=7)

    results = work_chunk(lease=must_lease(), work=refuse(bad))

    assert [each.item_id for each in results] == ids
    outcomes = outcomes_of(run_id)
    for each in ids:
        if each in bad:
            assert outcomes[each] == ("failed", "ValueError", f"{each} is broken")
        else:
            assert outcomes[each] == ("done", None, None)
    assert versions() == {each: 1 if each in bad else 2 for each in ids}


def test_an_error_of_ours_keeps_its_code_and_sentence(organisation: UUID) -> None:
    class ToothMissing(Conflict):
        """A tooth is missing at {place}."""

    (item,) = make_drafts(1)
    run_id = begin()

    def work(_ids: Sequence[UUID]) -> list[ItemResult]:
        raise ToothMissing(place="the front")

    work_chunk(lease=must_lease(), work=work)

    assert outcomes_of(run_id)[item] == (
        "failed", "tooth_missing", "A tooth is missing at the front.",
    )  # fmt: skip


def test_an_item_that_the_database_refuses_fails_alone(organisation: UUID) -> None:
    ids = make_drafts(4)
    run_id = begin(chunk_items_max=4)

    def work(items: Sequence[UUID]) -> list[ItemResult]:
        execute(
            "UPDATE invoices SET net_minor = -1 WHERE id = ANY(%s) AND id = %s",
            (list(items), ids[2]),
        )
        return done(items)

    work_chunk(lease=must_lease(), work=work)

    outcomes = outcomes_of(run_id)
    assert [outcomes[each][0] for each in ids] == ["done", "done", "failed", "done"]
    assert outcomes[ids[2]][1] == "CheckViolation"


def test_a_deadlock_is_nobodys_fault_and_worked_again(organisation: UUID) -> None:
    make_drafts(2)
    run_id = begin()
    tries = []

    def work(items: Sequence[UUID]) -> list[ItemResult]:
        tries.append(len(items))
        if len(tries) < 3:
            raise psycopg.errors.DeadlockDetected
        return done(items)

    work_chunk(lease=must_lease(), work=work)

    assert tries == [2, 2, 2]
    assert {outcome for outcome, *_ in outcomes_of(run_id).values()} == {"done"}


def test_a_connection_lost_in_mid_chunk_is_made_anew(organisation: UUID, owner_url: str) -> None:
    (item,) = make_drafts(1)
    begin()
    tries = []

    def work(items: Sequence[UUID]) -> list[ItemResult]:
        tries.append(len(items))
        execute("UPDATE invoices SET version = version + 1 WHERE id = ANY(%s)", (list(items),))
        if len(tries) == 1:
            (backend,) = fetch("SELECT pg_backend_pid() AS pid")
            with connect(owner_url) as killer:
                killer.execute("SET ROLE portal_app")
                killer.execute("SELECT pg_terminate_backend(%s)", (backend.pid,))
            fetch("SELECT 1")
        return done(items)

    results = work_chunk(lease=must_lease(), work=work)

    assert (tries, len(results)) == ([1, 1], 1)
    assert versions()[item] == 2


def test_a_bell_that_breaks_after_the_commit_does_not_undo_the_chunk(organisation: UUID) -> None:
    (item,) = make_drafts(1)
    run_id = begin()

    def ring_wrongly() -> None:
        raise ZeroDivisionError

    def work(items: Sequence[UUID]) -> list[ItemResult]:
        after_commit(ring_wrongly)
        return refuse([])(items)

    results = work_chunk(lease=must_lease(), work=work)

    assert results == done([item])
    assert versions()[item] == 2
    assert outcomes_of(run_id) == {item: ("done", None, None)}


def test_work_that_forgets_an_item_is_not_believed(organisation: UUID) -> None:
    make_drafts(2)
    run_id = begin()

    with pytest.raises(RuntimeError, match="2 items were worked, 1 reported"):
        work_chunk(lease=must_lease(), work=lambda ids: done(ids[:1]))

    assert chunks_of(run_id)[0].state == "leased"
    assert outcomes_of(run_id) == {}
