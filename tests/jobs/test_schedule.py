import json
import zlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from jobs.schedule import TICK_ID, make_scheduler, register_tick, ring_due, tick
from portal.clock import now_utc
from portal.config import Config
from portal.db import acting_for, transaction
from portal.domain.schedules import OnHoliday
from portal.queue import bind_queue, open_queue, open_redis
from portal.services.messages import request_events
from portal.services.schedules import ScheduleWish, add_schedule
from portal.sql import execute
from tests.factories import CLERK, attempt_of, gateway_account_of, make_payment
from tests.services.books import rows
from tests.services.collecting import expire, make_case
from tests.services.running import begin, make_drafts, must_lease, run_of

BATCH_BELL = "jobs.engine.drain_chunks"
DELIVERY_BELL = "jobs.message_delivery.drain_messages"


@pytest.fixture
def config(app: Flask) -> Config:
    config: Config = app.config["PORTAL"]
    return config


@pytest.fixture
def scheduler(config: Config) -> Any:
    made = make_scheduler(open_redis(), config)
    register_tick(made, config)
    return made


def rung() -> set[str]:
    """Take the bells off the queue."""
    names = {str(job.func_name) for job in open_queue().jobs}
    open_redis().delete(open_queue().key)
    return names


def silence(organisation: UUID) -> None:
    """Leave no message and no bell."""
    with transaction(organisation):
        execute("UPDATE messages SET state = 'done'")
    rung()


def test_nothing_due_rings_nothing(organisation: UUID) -> None:
    make_drafts(1)

    assert not ring_due()

    assert rung() == set()


def test_a_free_chunk_rings_for_chunks_only(organisation: UUID) -> None:
    make_drafts(1)
    begin()
    rung()

    assert ring_due()
    assert rung() == {BATCH_BELL}

    must_lease()
    assert not ring_due()
    assert rung() == set()


def test_a_message_an_event_or_a_question_that_is_due_rings_for_delivery(
    organisation: UUID,
) -> None:
    make_payment()
    rung()
    assert ring_due()
    assert rung() == {DELIVERY_BELL}

    silence(organisation)
    assert not ring_due()

    make_case("unknown")
    silence(organisation)
    expire("payment_attempts", "next_query_at")
    assert ring_due()
    assert rung() == {DELIVERY_BELL}


def test_a_tick_starts_what_is_due_by_itself_once(organisation: UUID) -> None:
    make_drafts(1)
    with acting_for(organisation):
        schedule_id = add_schedule(
            wish=ScheduleWish("Daily", "invoice_issuing", "0 11 * * *", OnHoliday.ANYWAY),
            actor=CLERK,
            now=now_utc() - timedelta(days=1),
        )
    rung()

    tick()
    tick()

    (run,) = rows("SELECT job, request_key FROM batch_runs")
    assert run.job == "invoice_issuing"
    assert run.request_key.startswith(f"schedule:{schedule_id}:")
    assert BATCH_BELL in rung()


def test_a_message_that_is_leased_or_waits_rings_nothing(organisation: UUID) -> None:
    make_payment()
    with transaction(organisation):
        execute("UPDATE messages SET next_at = clock_timestamp() + interval '1 minute'")
    rung()

    assert not ring_due()


def test_a_bell_rung_often_does_not_fill_the_queue(organisation: UUID, config: Config) -> None:
    make_payment()
    rung()

    for _ in range(20):
        ring_due()

    assert open_queue().count <= 2 * config.workers


def test_a_tick_closes_runs_and_asks_for_missed_events_once_in_a_while(
    organisation: UUID, other_organisation: UUID
) -> None:
    make_drafts(1)
    run_id = begin()
    with transaction(organisation):
        execute("UPDATE batch_chunks SET state = 'done'")

    tick()
    tick()

    assert run_of(run_id).state == "completed"
    assert [row.kind for row in rows("SELECT kind FROM messages")] == ["gateway.list_events"]


def test_an_errand_rings_after_the_commit_only(organisation: UUID) -> None:
    def ask_and_fail() -> None:
        with transaction(organisation):
            request_events(gateway_account_ids=[gateway_account_of(organisation).id])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask_and_fail()
    assert rung() == set()

    with transaction(organisation):
        request_events(gateway_account_ids=[gateway_account_of(organisation).id])
        assert open_queue().count == 0
    assert rung() == {DELIVERY_BELL}


def test_the_tick_is_one_entry_and_comes_back_when_it_vanished(
    scheduler: Any, config: Config
) -> None:
    register_tick(scheduler, config)
    assert [job.id for job in scheduler.get_jobs()] == [TICK_ID]

    open_redis().flushdb()
    register_tick(scheduler, config)

    assert [job.id for job in scheduler.get_jobs()] == [TICK_ID]


def test_the_entry_is_stored_as_json(scheduler: Any) -> None:
    raw = open_redis().hget(f"rq:job:{TICK_ID}", "data")
    assert isinstance(raw, bytes)

    assert json.loads(zlib.decompress(raw))[0] == "jobs.schedule.tick"


def test_a_worker_that_reads_json_runs_the_tick_and_the_entry_is_kept(
    scheduler: Any, organisation: UUID
) -> None:
    for _ in range(2):
        (entry,) = scheduler.get_jobs()
        scheduler.enqueue_job(entry)
        worker = SimpleWorker([open_queue()], connection=open_redis(), serializer=JSONSerializer)
        worker.work(burst=True, max_jobs=1, logging_level="ERROR")

        assert open_queue().failed_job_registry.get_job_ids() == []
        assert [row.kind for row in rows("SELECT kind FROM messages")] == ["gateway.list_events"]
        assert TICK_ID not in open_queue().job_ids
        assert [job.id for job in scheduler.get_jobs()] == [TICK_ID]
        rung()


def test_the_tick_is_due_again_after_its_interval(scheduler: Any, config: Config) -> None:
    (entry, first_at), *_ = scheduler.get_jobs(with_times=True)

    scheduler.enqueue_job(entry)

    ((_, next_at),) = scheduler.get_jobs(with_times=True)
    assert (next_at - first_at).total_seconds() >= round(config.tick_seconds)
    assert open_queue().job_ids == [TICK_ID]


def test_ringing_without_redis_is_not_an_error(organisation: UUID, app: Flask) -> None:
    kept = app.extensions["portal_redis"]
    bind_queue(app, url="redis://127.0.0.1:1/0", name="nowhere")
    try:
        payment = make_payment()
        assert ring_due()
    finally:
        app.extensions["portal_redis"] = kept
    assert attempt_of(payment).state == "created"
