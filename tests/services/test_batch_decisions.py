"""Deciding about runs: the second person, giving up, running again what failed, recovering."""

from functools import partial
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from jobs.engine import drain_chunks
from portal.db import acting_for, transaction
from portal.domain.errors import Conflict
from portal.domain.states import MoveNotAllowed
from portal.domain.users import Actor
from portal.ids import new_id
from portal.services.batches import (
    AbandonReasonInvalid,
    ApproverIsStarter,
    ApproverUnknown,
    LeaseLost,
    NothingToRepeat,
    RunNotFound,
    RunNotOver,
    RunRepeated,
    RunUnfinished,
    abandon_run,
    approve_run,
    list_working_organisations,
    recover_runs,
    repeat_run,
    work_chunk,
)
from portal.sql import execute
from tests.factories import BUSINESS_ON, CLERK, NOW, agree
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
    refuse,
    run_of,
    stop,
    work_all,
)

BOSS = Actor("person", new_id(), "Bo Manager")
OTHER = Actor("person", new_id(), "Cy Manager")


@pytest.fixture
def limits(app: Flask) -> None:
    """Let runs of four items wait for a second person."""
    app.config["PORTAL"] = app.config["PORTAL"].changed(approval_items_min=4)


def approve(organisation: UUID, run_id: UUID, actor: Actor = BOSS) -> None:
    with acting_for(organisation):
        approve_run(run_id=run_id, actor=actor, now=NOW)


def abandon(organisation: UUID, run_id: UUID, reason: str = "Wrong month.") -> None:
    with acting_for(organisation):
        abandon_run(run_id=run_id, reason=reason, actor=BOSS, now=NOW)


def repeat(organisation: UUID, run_id: UUID) -> UUID:
    with acting_for(organisation):
        return repeat_run(run_id=run_id, actor=CLERK, now=NOW)


def test_a_large_run_waits_and_nothing_of_it_is_leased(organisation: UUID, limits: None) -> None:
    make_drafts(4)

    run_id = begin()

    run = run_of(run_id)
    assert (run.state, run.needs_approval, run.started_at) == ("awaiting_approval", True, None)
    assert (run.items_count, run.started_by_id) == (4, CLERK.id)
    assert lease() is None
    assert list_working_organisations() == []
    assert drain_chunks() == 0
    assert events_of(run_id) == ["run.submitted"]
    with pytest.raises(RunUnfinished):
        begin()


def test_a_large_sum_waits_as_well(organisation: UUID, app: Flask) -> None:
    app.config["PORTAL"] = app.config["PORTAL"].changed(approval_sum_minor_min=2_001)
    make_drafts(2)
    assert run_of(begin()).state == "awaiting_approval"


def test_an_agreement_may_name_its_own_limits(organisation: UUID) -> None:
    make_drafts(3)
    with acting_for(organisation):
        parameters = {"limit_minor": 1_000_000, "limit_documents": 3}
        agree({"code": "P115", "parameters": parameters}, on=BUSINESS_ON)
    assert run_of(begin()).state == "awaiting_approval"


def test_a_small_run_does_not_wait(organisation: UUID, limits: None) -> None:
    make_drafts(3)
    run = run_of(begin())
    assert (run.state, run.needs_approval, run.approved_by) == ("started", False, None)


def test_a_second_person_lets_it_begin(organisation: UUID, limits: None) -> None:
    make_drafts(4)
    run_id = begin()

    approve(organisation, run_id)

    run = run_of(run_id)
    assert (run.state, run.approved_by, run.approved_by_id) == ("started", "Bo Manager", BOSS.id)
    assert (run.approved_at, run.started_at) == (NOW, NOW)
    assert work_all(run_id) == "completed"
    assert events_of(run_id) == ["run.submitted", "run.approved", "run.completed"]


def test_who_prepared_a_run_cannot_approve_it(organisation: UUID, limits: None) -> None:
    make_drafts(4)
    run_id = begin()
    starter = CLERK._replace(kind="person", name="Another Name")
    assert starter.id is not None

    with pytest.raises(ApproverIsStarter, match="another person"):
        approve(organisation, run_id, starter)
    for nobody in (Actor("portal", None, "portal"), Actor("system", new_id(), "ERP")):
        with pytest.raises(ApproverUnknown):
            approve(organisation, run_id, nobody)

    assert (run_of(run_id).state, run_of(run_id).approved_by) == ("awaiting_approval", None)
    assert events_of(run_id) == ["run.submitted"]


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        (
            "state = 'started', approved_by = 'Ada', approved_at = now(),"
            " approved_by_id = started_by_id",
            "ck_batch_runs_approved_by_another",
        ),
        ("state = 'started'", "ck_batch_runs_approved_before_start"),
        ("approved_by = 'Ada'", "ck_batch_runs_approval_whole"),
    ],
)
def test_the_database_refuses_what_goes_around_it(
    organisation: UUID, limits: None, change: str, constraint: str
) -> None:
    make_drafts(4)
    run_id = begin()

    with pytest.raises(psycopg.errors.CheckViolation) as refused, transaction(organisation):
        execute(f"UPDATE batch_runs SET {change} WHERE id = %s", (run_id,))

    assert refused.value.diag.constraint_name == constraint


def test_of_two_who_approve_at_once_one_counts(
    organisation: UUID, app: Flask, limits: None
) -> None:
    make_drafts(4)
    run_id = begin()

    found = run_together(
        app, partial(approve, organisation, run_id, BOSS),
        partial(approve, organisation, run_id, OTHER),
    )  # fmt: skip

    assert sum(isinstance(each, MoveNotAllowed) for each in found) == 1, found
    assert events_of(run_id).count("run.approved") == 1
    assert run_of(run_id).approved_by in {"Bo Manager", "Cy Manager"}


def test_a_waiting_run_is_declined_with_its_reason(organisation: UUID, limits: None) -> None:
    make_drafts(4)
    run_id = begin()

    abandon(organisation, run_id)

    run = run_of(run_id)
    assert (run.state, run.finished_at) == ("abandoned", NOW)
    assert run.exit_message == "given up by Bo Manager: Wrong month"
    assert events_of(run_id) == ["run.submitted", "run.declined"]
    with pytest.raises(MoveNotAllowed):
        approve(organisation, run_id)
    assert run_of(begin()).number == 2, "what it was about is free for a new run"


def test_a_stopped_run_is_given_up_and_its_worker_cannot_commit(organisation: UUID) -> None:
    ids = make_drafts(4)
    run_id = begin()
    with pytest.raises(MoveNotAllowed):
        abandon(organisation, run_id)
    work_chunk(lease=must_lease(), work=done)
    lost = must_lease()
    stop(organisation, run_id)
    expire_leases()
    assert finish(run_id) == "stopped"

    abandon(organisation, run_id)

    with pytest.raises(LeaseLost):
        work_chunk(lease=lost, work=refuse([]))
    assert set(outcomes_of(run_id)) == set(ids[:2])
    assert lease() is None
    assert events_of(run_id)[-1] == "run.abandoned"


@pytest.mark.parametrize("reason", ["", "  \n ", "a" * 501])
def test_giving_up_needs_a_reason(organisation: UUID, reason: str) -> None:
    with pytest.raises(AbandonReasonInvalid):
        abandon(organisation, new_id(), reason)


def test_what_failed_is_run_again_and_nothing_else(organisation: UUID) -> None:
    ids = make_drafts(6)
    run_id = begin(chunk_items_max=6)
    with pytest.raises(RunNotOver):
        repeat(organisation, run_id)
    work_chunk(lease=must_lease(), work=refuse([ids[1], ids[4]]))
    assert finish(run_id) == "completed"
    make_drafts(2)

    again = repeat(organisation, run_id)

    run = run_of(again)
    assert (run.number, run.repeats_id, run.state) == (2, run_id, "started")
    assert (run.items_count, run.business_on) == (2, run_of(run_id).business_on)
    (chunk,) = chunks_of(again)
    assert chunk.item_ids == [ids[1], ids[4]]
    assert chunk.item_versions == [1, 1]
    with pytest.raises(RunRepeated, match="by run 2"):
        repeat(organisation, run_id)
    assert work_all(again) == "completed"
    with pytest.raises(RunRepeated, match="by run 2"):
        repeat(organisation, run_id)
    with pytest.raises(NothingToRepeat):
        repeat(organisation, again)
    assert len(rows("SELECT id FROM batch_runs")) == 2


def test_what_was_done_meanwhile_is_not_run_again(organisation: UUID) -> None:
    ids = make_drafts(2)
    run_id = begin()
    work_chunk(lease=must_lease(), work=refuse(ids))
    finish(run_id)
    with transaction(organisation):
        execute("UPDATE invoices SET state = 'discarded' WHERE id = %s", (ids[0],))

    again = repeat(organisation, run_id)

    assert chunks_of(again)[0].item_ids == [ids[1]]
    assert run_of(again).sheet["warnings"] == [{"code": "left_over", "items_count": 1}]


def test_nothing_is_started_when_all_of_it_is_done(organisation: UUID) -> None:
    ids = make_drafts(2)
    run_id = begin()
    work_chunk(lease=must_lease(), work=refuse(ids))
    finish(run_id)
    with transaction(organisation):
        execute("UPDATE invoices SET state = 'discarded'")

    with pytest.raises(NothingToRepeat):
        repeat(organisation, run_id)
    assert len(rows("SELECT id FROM batch_runs")) == 1


def test_two_who_repeat_at_once_start_one_run(organisation: UUID, app: Flask) -> None:
    ids = make_drafts(2)
    run_id = begin()
    work_chunk(lease=must_lease(), work=refuse(ids))
    finish(run_id)

    found = run_together(app, *[partial(repeat, organisation, run_id)] * 2)

    assert sum(isinstance(each, Conflict) for each in found) == 1, found
    assert len(rows("SELECT id FROM batch_runs WHERE repeats_id IS NOT NULL")) == 1


def test_a_repeat_does_not_run_beside_another_run_of_the_day(organisation: UUID) -> None:
    ids = make_drafts(2)
    run_id = begin()
    work_chunk(lease=must_lease(), work=refuse(ids))
    finish(run_id)
    begin()

    with pytest.raises(RunUnfinished):
        repeat(organisation, run_id)


def test_a_large_repeat_waits_for_a_second_person_and_may_be_declined(
    organisation: UUID, app: Flask
) -> None:
    ids = make_drafts(4)
    run_id = begin(chunk_items_max=4)
    work_chunk(lease=must_lease(), work=refuse(ids))
    finish(run_id)
    app.config["PORTAL"] = app.config["PORTAL"].changed(approval_items_min=4)

    again = repeat(organisation, run_id)

    assert run_of(again).state == "awaiting_approval"
    abandon(organisation, again)
    assert repeat(organisation, run_id) != again, "one given up does not count"


def test_another_organisations_run_is_nobodys(organisation: UUID, other_organisation: UUID) -> None:
    make_drafts(1)
    run_id = begin()
    for act in (approve, abandon, repeat):
        with pytest.raises(RunNotFound):
            act(other_organisation, run_id)
    assert run_of(run_id).state == "started"


def test_recovering_frees_lost_chunks_and_closes_runs(organisation: UUID) -> None:
    make_drafts(4)
    run_id = begin()
    work_chunk(lease=must_lease(), work=done)
    lost = must_lease()
    assert recover_runs(now=NOW) == (0, 0)
    expire_leases()

    assert recover_runs(now=NOW) == (1, 0)

    assert chunks_of(run_id)[1].state == "ready"
    with pytest.raises(LeaseLost):
        work_chunk(lease=lost, work=done)
    work_chunk(lease=must_lease(), work=done)
    assert recover_runs(now=NOW) == (0, 1)
    assert run_of(run_id).state == "completed"
