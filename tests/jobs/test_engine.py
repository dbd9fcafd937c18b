import threading
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from jobs import JOBS, Job
from jobs.engine import close_runs, drain_chunks, kept_alive, work_one_chunk
from portal.db import acting_for, transaction
from portal.domain.batches import list_startable_jobs
from portal.queries.organisations import get_organisation
from portal.queries.populations import POPULATIONS
from portal.queue import open_queue, open_redis
from portal.services.batches import Lease, RunOrder, start_run, work_chunk
from portal.services.outcomes import ItemResult
from portal.sql import execute
from tests import books, factories
from tests.factories import BUSINESS_ON, CLERK, NOW, Line, make_draft_invoice, read_row
from tests.services.books import rows
from tests.services.running import (
    begin,
    chunks_of,
    done,
    expire_leases,
    make_drafts,
    must_lease,
    outcomes_of,
    run_of,
)


def change_settings(app: Flask, **changes: Any) -> None:
    app.config["PORTAL"] = app.config["PORTAL"].changed(**changes)


def replace_work(monkeypatch: pytest.MonkeyPatch, work: Any) -> None:
    monkeypatch.setitem(JOBS, "invoice_issuing", Job("invoice_issuing", "Issue invoices", work))


def test_every_job_has_a_population_and_a_name() -> None:
    assert JOBS.keys() == POPULATIONS.keys()
    assert all(job.name == name and job.title for name, job in JOBS.items())


def test_a_drain_works_every_chunk_of_every_organisation_and_closes_the_runs(
    organisation: UUID, other_organisation: UUID
) -> None:
    mine = make_drafts(5)
    theirs = make_draft_invoice(organisation_id=other_organisation, lines=(Line(10_000),))
    first = begin()
    with acting_for(other_organisation):
        order = RunOrder("invoice_issuing", BUSINESS_ON)
        second = start_run(order=order, actor=CLERK, now=NOW)

    assert drain_chunks() == 4

    assert run_of(first).state == "completed"
    assert read_row("batch_runs", second, organisation_id=other_organisation).state == "completed"
    assert {read_row("invoices", each).state for each in mine} == {"issued"}
    after = read_row("invoices", theirs.id, organisation_id=other_organisation)
    assert (after.state, after.number) == ("issued", 1)
    assert set(outcomes_of(first)) == set(mine)
    assert drain_chunks() == 0


def test_shares_say_how_many_chunks_each_gets_in_a_round_and_starve_nobody(
    organisation: UUID, other_organisation: UUID, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_drafts(9)
    for _ in range(5):
        make_draft_invoice(organisation_id=other_organisation, lines=(Line(10_000),))
    begin(chunk_items_max=1)
    with acting_for(other_organisation):
        order = RunOrder("invoice_issuing", BUSINESS_ON, chunk_items_max=1)
        start_run(order=order, actor=CLERK, now=NOW)
    with acting_for(organisation):
        code = get_organisation(organisation).code
    change_settings(app, shares=((code, 3), ("nobody", 50)))
    worked: list[UUID] = []

    def work(lease: Lease, ids: Sequence[UUID], _now: datetime) -> list[ItemResult]:
        worked.append(lease.organisation_id)
        return done(ids)

    replace_work(monkeypatch, work)

    assert drain_chunks() == 14

    rounds = [worked[place : place + 4] for place in range(0, 12, 4)]
    assert [each.count(organisation) for each in rounds] == [3, 3, 3]
    assert all(set(each[:2]) == {organisation, other_organisation} for each in rounds)
    assert worked[12:] == [other_organisation] * 2


def test_the_run_is_the_actor_of_what_its_job_does(organisation: UUID) -> None:
    (item,) = make_drafts(1)
    run_id = begin()

    drain_chunks()

    (event,) = rows("SELECT * FROM events WHERE kind = 'invoice.issued'")
    assert (event.subject_id, event.actor_kind, event.actor_id) == (item, "run", run_id)


def test_a_drain_whose_time_is_up_rings_again(organisation: UUID, app: Flask) -> None:
    make_drafts(3)
    begin()
    open_redis().delete(open_queue().key)
    change_settings(app, drain_seconds=0.0)

    assert drain_chunks() == 0

    assert [job.func_name for job in open_queue().jobs] == ["jobs.engine.drain_chunks"]


def test_a_chunk_whose_database_fails_is_given_back(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_drafts(2)
    run_id = begin()

    def work(_lease: Lease, _ids: Sequence[UUID], _now: datetime) -> list[ItemResult]:
        raise psycopg.errors.DeadlockDetected("crossed")

    replace_work(monkeypatch, work)

    with pytest.raises(psycopg.errors.DeadlockDetected):
        work_one_chunk(organisation)

    (chunk,) = chunks_of(run_id)
    assert (chunk.state, chunk.tries) == ("ready", 1)
    assert "crossed" in chunk.last_error
    assert run_of(run_id).state == "started"


def test_a_worker_that_lost_its_lease_leaves_all_to_the_other(
    organisation: UUID, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    (item,) = make_drafts(1)
    run_id = begin()
    taken: list[Lease] = []

    def work(lease: Lease, ids: Sequence[UUID], _now: datetime) -> list[ItemResult]:
        if not taken:
            with transaction():
                execute("UPDATE invoices SET version = 99 WHERE id = ANY(%s)", (list(ids),))
            taken.append(lease)
            thread = threading.Thread(target=_take_over, args=(app, organisation))
            thread.start()
            thread.join()
        return done(ids)

    replace_work(monkeypatch, work)

    assert work_one_chunk(organisation)

    (chunk,) = chunks_of(run_id)
    assert (chunk.state, chunk.lease_token) == ("leased", 2)
    assert read_row("invoices", item).version == 1
    assert outcomes_of(run_id) == {}


def _take_over(app: Flask, organisation: UUID) -> None:
    factories.home.set(organisation)
    with app.app_context():
        expire_leases()
        must_lease()


def test_a_lease_is_kept_while_its_work_goes_on(organisation: UUID, app: Flask) -> None:
    make_drafts(1)
    run_id = begin()
    held = must_lease(seconds=0.3)
    first = chunks_of(run_id)[0].lease_until
    patience = threading.Event()

    with kept_alive(held, 0.3):
        for _ in range(400):
            patience.wait(0.05)
            now_until = chunks_of(run_id)[0].lease_until
            if (now_until - first).total_seconds() > 0.5:
                break

    assert (now_until - first).total_seconds() > 0.5
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_the_heart_of_a_lost_lease_stops_by_itself(organisation: UUID) -> None:
    make_drafts(1)
    begin()
    old = must_lease()
    expire_leases()
    new = must_lease(seconds=500.0)

    with kept_alive(old, 0.06):
        (thread,) = (each for each in threading.enumerate() if each.name == "lease")
        thread.join(30)
        assert not thread.is_alive()

    assert chunks_of(new.run_id)[0].lease_token == new.token


def test_a_run_whose_last_worker_died_before_closing_it_is_closed(organisation: UUID) -> None:
    make_drafts(1)
    run_id = begin()
    work_chunk(lease=must_lease(), work=done)
    assert run_of(run_id).state == "started"

    close_runs()

    assert run_of(run_id).state == "completed"


def test_a_chunk_of_a_killed_worker_is_worked_by_the_next(organisation: UUID) -> None:
    ids = make_drafts(3)
    run_id = begin()
    must_lease(worker="killed")
    assert drain_chunks() == 1
    expire_leases()

    assert drain_chunks() == 1

    assert run_of(run_id).state == "completed"
    assert set(outcomes_of(run_id)) == set(ids)
    numbers = rows("SELECT number FROM invoices ORDER BY number")
    assert [row.number for row in numbers] == [1, 2, 3]


@pytest.mark.parametrize("job", [one.name for one in list_startable_jobs()])
def test_every_job_works_what_there_is_and_may_be_run_again(organisation: UUID, job: str) -> None:
    books.write_month(organisation)
    for on in (date(2026, 4, 20), date(2026, 4, 21)):
        run_id = begin(job=job, business_on=on, chunk_items_max=50)
        drain_chunks()
        run = run_of(run_id)
        assert run.state == "completed", (run.exit_message, outcomes_of(run_id))
        assert not {o for o, *_ in outcomes_of(run_id).values()} & {"failed", "unknown"}
