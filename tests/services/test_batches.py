import hashlib
from collections.abc import Sequence
from datetime import date
from functools import partial
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from portal.db import acting_for, after_commit, transaction
from portal.domain.batches import ItemOutcome, RunState
from portal.domain.errors import Conflict
from portal.domain.states import MoveNotAllowed
from portal.queries.checks import run_checks
from portal.services.batches import (
    CHUNK_TRIES_MAX,
    JobUnknown,
    LeaseLost,
    RunNotFound,
    RunUnfinished,
    claim_chunk,
    extend_lease,
    find_run_id,
    list_runs_to_finish,
    list_working_organisations,
    release_chunk,
    restart_run,
    stop_run,
    work_chunk,
)
from portal.services.outcomes import ItemResult
from portal.sql import execute, fetch
from tests.factories import BUSINESS_ON, CLERK, NOW, make_draft_invoice
from tests.servers import connect
from tests.services.books import events_of, rows
from tests.services.collecting import run_together
from tests.services.running import (
    begin,
    chunks_of,
    done,
    expire_leases,
    finish,
    lease,
    make_drafts,
    must_lease,
    outcomes_of,
    run_of,
    work_all,
)


def stop(organisation: UUID, run_id: UUID) -> None:
    with acting_for(organisation):
        stop_run(run_id=run_id, actor=CLERK, now=NOW)


def restart(organisation: UUID, run_id: UUID) -> None:
    with acting_for(organisation):
        restart_run(run_id=run_id, actor=CLERK, now=NOW)


def refuse(bad: Sequence[UUID]) -> partial[list[ItemResult]]:
    return partial(_refuse, frozenset(bad))


def _refuse(bad: frozenset[UUID], ids: Sequence[UUID]) -> list[ItemResult]:
    with transaction():
        # Something that must be undone with the chunk, and done once for the good ones.
        execute("UPDATE invoices SET version = version + 1 WHERE id = ANY(%s)", (list(ids),))
        for each in ids:
            if each in bad:
                raise ValueError(f"{each} is broken")
        return done(ids)


def versions() -> dict[UUID, int]:
    return {row.id: row.version for row in rows("SELECT id, version FROM invoices")}


def test_a_population_is_frozen_in_chunks_with_control_totals(organisation: UUID) -> None:
    ids = make_drafts(5)

    run_id = begin()
    make_drafts(1)

    run = run_of(run_id)
    assert (run.number, run.state, run.items_count, run.chunks_count) == (1, "started", 5, 3)
    assert (run.sum_minor, run.started_by) == (5 * 1_000 + 10, "Ada Clerk")
    chunks = chunks_of(run_id)
    assert [each for chunk in chunks for each in chunk.item_ids] == ids
    assert [chunk.items_count for chunk in chunks] == [2, 2, 1]
    assert [chunk.number for chunk in chunks] == [1, 2, 3]
    hashes = [
        hashlib.sha256(
            b"".join(each.bytes + (1).to_bytes(4, "big") for each in chunk.item_ids)
        ).digest()
        for chunk in chunks
    ]
    assert [chunk.population_hash for chunk in chunks] == hashes
    assert run.population_hash == hashlib.sha256(b"".join(hashes)).digest()
    assert sum(chunk.sum_minor for chunk in chunks) == run.sum_minor
    assert events_of(run_id) == ["run.started"]


def test_a_run_over_nothing_is_complete_at_once(organisation: UUID) -> None:
    run = run_of(begin())

    assert (run.state, run.items_count, run.chunks_count) == ("completed", 0, 0)
    assert run.finished_at == NOW
    assert events_of(run.id) == ["run.started", "run.completed"]


def test_an_unknown_job_is_refused_with_those_there_are(organisation: UUID) -> None:
    with pytest.raises(JobUnknown, match="payment_collection"):
        begin(job="make_coffee")


def test_only_one_unfinished_run_of_the_same(organisation: UUID) -> None:
    make_drafts(2)
    first = begin()

    with pytest.raises(RunUnfinished, match="invoice_issuing for 2026-03-18"):
        begin()

    other_day = begin(business_on=date(2026, 3, 19))
    other_parameters = begin(parameters={"payer_kind": "person"})
    work_all(first)
    assert run_of(begin(business_on=BUSINESS_ON)).number == 4
    assert [run_of(each).number for each in (first, other_day, other_parameters)] == [1, 2, 3]


def test_a_request_key_makes_one_run_for_ever(organisation: UUID) -> None:
    make_drafts(2)
    first = begin(request_key="form-1")
    assert begin(request_key="form-1") == first
    work_all(first)
    make_drafts(2)

    assert begin(request_key="form-1") == first
    assert begin(request_key="form-2") != first


def test_two_threads_that_start_the_same_make_one_run(organisation: UUID, app: Flask) -> None:
    make_drafts(4)

    with_key = run_together(app, *[partial(begin, request_key="form-1")] * 3)
    without = run_together(app, *[partial(begin, business_on=date(2026, 3, 19))] * 3)

    assert len(set(with_key)) == 1, with_key
    assert sum(isinstance(each, RunUnfinished) for each in without) == 2, without
    assert len(rows("SELECT id FROM batch_runs")) == 2


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


def test_a_run_is_complete_when_its_last_chunk_is(organisation: UUID) -> None:
    make_drafts(4)
    run_id = begin()
    first, second = must_lease(), must_lease()
    work_chunk(lease=first, work=done)
    assert finish(run_id) is None
    work_chunk(lease=second, work=done)
    assert list_runs_to_finish() == [(organisation, run_id)]

    assert finish(run_id) is RunState.COMPLETED

    run = run_of(run_id)
    assert (run.state, run.exit_message, run.finished_at) == ("completed", None, NOW)
    assert finish(run_id) is None
    assert list_runs_to_finish() == []
    assert events_of(run_id) == ["run.started", "run.completed"]


def test_two_threads_that_finish_close_the_run_once(organisation: UUID, app: Flask) -> None:
    make_drafts(2)
    run_id = begin()
    work_chunk(lease=must_lease(), work=done)

    found = run_together(app, *[partial(finish, run_id)] * 3)

    assert sorted(map(str, found)) == ["None", "None", "completed"]
    assert events_of(run_id) == ["run.started", "run.completed"]


def test_a_stopped_run_rests_at_a_chunk_border_and_goes_on_there(organisation: UUID) -> None:
    ids = make_drafts(6)
    run_id = begin()
    work_chunk(lease=must_lease(), work=done)
    held = must_lease()

    stop(organisation, run_id)

    assert run_of(run_id).state == "stopping"
    assert lease() is None, "no further chunk is begun"
    work_chunk(lease=held, work=done)
    assert finish(run_id) is RunState.STOPPED
    run = run_of(run_id)
    assert (run.state, run.exit_message) == ("stopped", "stopped with 1 chunks left")
    assert set(outcomes_of(run_id)) == set(ids[:4])
    with pytest.raises(MoveNotAllowed):
        stop(organisation, run_id)
    restart(organisation, run_id)
    assert must_lease().item_ids == ids[4:]
    with pytest.raises(MoveNotAllowed):
        restart(organisation, run_id)
    assert events_of(run_id) == [
        "run.started", "run.stop_requested", "run.stopped", "run.restarted",
    ]  # fmt: skip


def test_a_run_stops_although_a_worker_died_and_its_chunk_is_worked_later(
    organisation: UUID,
) -> None:
    make_drafts(4)
    run_id = begin()
    dead = must_lease()
    stop(organisation, run_id)
    assert run_of(run_id).state == "stopping"
    expire_leases()
    assert list_runs_to_finish() == [(organisation, run_id)]
    assert finish(run_id) is RunState.STOPPED

    restart(organisation, run_id)

    with pytest.raises(LeaseLost):
        work_chunk(lease=dead, work=done)
    assert work_all(run_id) is RunState.COMPLETED
    assert len(outcomes_of(run_id)) == 4


def test_a_chunk_that_costs_workers_their_lives_is_given_up(organisation: UUID) -> None:
    ids = make_drafts(4)
    run_id = begin()
    for _ in range(CHUNK_TRIES_MAX):
        assert must_lease().number == 1
        expire_leases()

    assert lease() is None
    assert [chunk.state for chunk in chunks_of(run_id)] == ["failed", "ready"]
    assert work_all(run_id) is RunState.FAILED

    assert "1 chunks were given up" in run_of(run_id).exit_message
    assert set(outcomes_of(run_id)) == set(ids[2:])
    restart(organisation, run_id)
    assert work_all(run_id) is RunState.COMPLETED
    assert len(outcomes_of(run_id)) == 4


def test_a_released_chunk_is_free_at_once_and_a_restart_forgets_its_tries(
    organisation: UUID,
) -> None:
    make_drafts(2)
    run_id = begin()
    for count in range(1, CHUNK_TRIES_MAX + 1):
        held = must_lease()
        assert held.tries == count
        release_chunk(lease=held, error="the disk is full")
    assert chunks_of(run_id)[0].last_error == "the disk is full"
    stop(organisation, run_id)

    restart(organisation, run_id)

    assert must_lease().tries == 1


def test_more_failures_than_the_limit_fail_the_run_and_a_restart_allows_as_many_again(
    organisation: UUID,
) -> None:
    ids = make_drafts(6)
    run_id = begin(skip_limit=1)
    work_chunk(lease=must_lease(), work=refuse(ids))

    assert finish(run_id) is RunState.FAILED
    run = run_of(run_id)
    assert run.exit_message == "2 items failed: more than this run may skip"
    assert lease() is None
    restart(organisation, run_id)
    assert run_of(run_id).state == "started"
    work_chunk(lease=must_lease(), work=refuse(ids[2:3]))
    assert finish(run_id) is None
    work_chunk(lease=must_lease(), work=refuse(ids[4:5]))
    assert finish(run_id) is RunState.FAILED
    assert len(outcomes_of(run_id)) == 6
    restart(organisation, run_id)
    assert run_of(run_id).state == "failed", "nothing is left to try"


def test_failures_within_the_limit_complete_the_run(organisation: UUID) -> None:
    ids = make_drafts(2)
    run_id = begin(skip_limit=2)

    work_chunk(lease=must_lease(), work=refuse(ids))

    assert finish(run_id) is RunState.COMPLETED


def test_a_failed_run_does_not_go_on_beside_a_newer_one(organisation: UUID) -> None:
    ids = make_drafts(4)
    run_id = begin(skip_limit=0)
    work_chunk(lease=must_lease(), work=refuse(ids))
    assert finish(run_id) is RunState.FAILED
    newer = begin()

    with pytest.raises(RunUnfinished):
        restart(organisation, run_id)

    assert (run_of(run_id).state, run_of(newer).state) == ("failed", "started")


def test_runs_are_found_by_their_number(organisation: UUID, other_organisation: UUID) -> None:
    make_drafts(1)
    run_id = begin()

    with acting_for(organisation):
        assert find_run_id(number=1) == run_id
        with pytest.raises(RunNotFound, match="no run 2"):
            find_run_id(number=2)
    with acting_for(other_organisation), pytest.raises(RunNotFound):
        find_run_id(number=1)
    with pytest.raises(RunNotFound):
        stop(other_organisation, run_id)


def test_a_frozen_item_that_changed_meanwhile_is_still_one_item(organisation: UUID) -> None:
    draft = make_draft_invoice()
    run_id = begin()
    with transaction(organisation):
        execute("UPDATE invoices SET state = 'discarded' WHERE id = %s", (draft.id,))

    assert work_all(run_id) is RunState.COMPLETED

    assert list(outcomes_of(run_id)) == [draft.id]
