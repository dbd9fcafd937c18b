import hashlib
from datetime import date
from functools import partial
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.domain.batches import RunState
from portal.domain.states import MoveNotAllowed
from portal.services.batches import (
    CHUNK_TRIES_MAX,
    JobUnknown,
    LeaseLost,
    RunNotFound,
    RunUnfinished,
    find_run_id,
    list_runs_to_finish,
    list_working_organisations,
    release_chunk,
    work_chunk,
)
from portal.sql import execute
from tests.factories import BUSINESS_ON, NOW, make_draft_invoice
from tests.services.books import events_of, rows
from tests.services.collecting import run_together
from tests.services.running import (
    begin,
    chunks_of,
    done,
    end_rests,
    expire_leases,
    finish,
    lease,
    make_drafts,
    must_lease,
    outcomes_of,
    refuse,
    restart,
    run_of,
    stop,
    work_all,
)


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


def test_a_released_chunk_rests_longer_each_time_and_a_restart_forgets_its_tries(
    organisation: UUID,
) -> None:
    make_drafts(2)
    run_id = begin()
    rests = []
    for count in range(1, CHUNK_TRIES_MAX + 1):
        held = must_lease()
        assert held.tries == count
        release_chunk(lease=held, error="the disk is full")
        assert lease() is None
        assert list_working_organisations() == []
        (row,) = rows("SELECT lease_until - now() AS rest FROM batch_chunks")
        rests.append(round(row.rest.total_seconds()))
        end_rests()
    assert rests == [2, 4, 8, 16]
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
