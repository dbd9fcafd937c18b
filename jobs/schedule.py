"""The clock: rq-scheduler rings a tick, and the tick rings for whatever the database says is due.

Its entries can vanish or double, so they are put back regularly and a tick may come twice.
"""

import threading
from datetime import datetime
from typing import Any

import redis
import structlog
from flask import Flask
from rq import Queue
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from rq_scheduler import Scheduler

from jobs.case_watching import look_after_organisations
from jobs.engine import close_runs
from portal.clock import now_utc
from portal.config import Config
from portal.core import create_core
from portal.db import transaction
from portal.queries.organisations import list_organisations, list_payment_accounts
from portal.queue import open_redis, ring_now
from portal.services.batches import BELL, list_working_organisations
from portal.services.cases import watch_organisations
from portal.services.gateways import settings
from portal.services.messages import (
    DELIVERY_BELL,
    list_due_accounts,
    list_inbox_organisations,
    list_query_organisations,
    request_missing_events,
)
from portal.services.schedules import start_due_runs

log = structlog.stdlib.get_logger(__name__)

TICK = "jobs.schedule.tick"
TICK_ID = "portal-tick"
REGISTER_SECONDS = 20.0
TICK_KEPT_SECONDS = 86_400


class JsonJob(RqJob):
    """A job that is stored as JSON, whatever the scheduler would do by itself."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """Force the serializer."""
        settings["serializer"] = JSONSerializer
        super().__init__(*arguments, **settings)

    @classmethod
    def create(cls, *arguments: Any, **settings: Any) -> RqJob:
        """Force the serializer."""
        settings["serializer"] = JSONSerializer
        return super().create(*arguments, **settings)

    @classmethod
    def fetch(cls, *arguments: Any, **settings: Any) -> RqJob:
        """Force the serializer."""
        settings["serializer"] = JSONSerializer
        return super().fetch(*arguments, **settings)


class JsonQueue(Queue):
    """A queue of such jobs."""

    job_class = JsonJob

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """Force the serializer."""
        settings["serializer"] = JSONSerializer
        super().__init__(*arguments, **settings)


def tick() -> None:
    """Ring for due work of every kind; harmless when nothing is due or when rung twice."""
    start_due_runs()
    ring_due()
    close_runs()
    _catch_up_on_events(now_utc())
    look_after_organisations()


def ring_due() -> bool:
    """Ring the bells of whatever is due and say whether something was."""
    bells = []
    if list_working_organisations():
        bells.append(BELL)
    if list_due_accounts() or list_inbox_organisations() or list_query_organisations():
        bells.append(DELIVERY_BELL)
    for bell in bells:
        ring_now(bell, times=settings().workers)
    return bool(bells)


def _catch_up_on_events(now: datetime) -> None:
    """Ask each gateway from time to time for what its webhooks may have lost."""
    for organisation in list_organisations():
        with transaction(organisation.id):
            request_missing_events(
                gateway_account_ids=[account.id for account in list_payment_accounts()],
                every_seconds=settings().events_seconds,
                now=now,
            )


def make_scheduler(connection: redis.Redis, config: Config) -> Scheduler:
    """Build the scheduler that rings this portal's queue."""
    return Scheduler(
        queue_name=config.queue,
        connection=connection,
        interval=1,
        job_class=JsonJob,
        queue_class=JsonQueue,
    )


def register_tick(scheduler: Scheduler, config: Config) -> None:
    """Put the tick back when it is missing."""
    if TICK_ID in scheduler:
        return
    scheduler.schedule(
        scheduled_time=now_utc().replace(tzinfo=None),
        func=TICK,
        interval=max(1, round(config.tick_seconds)),
        id=TICK_ID,
        # The entry lives in the job's own hash, which RQ removes with its result.
        result_ttl=TICK_KEPT_SECONDS,
        queue_name=config.queue,
    )
    log.info("tick.registered", seconds=config.tick_seconds)


def watch_beside(app: Flask) -> None:
    """Look for what did not come also where no worker is left that ticks."""
    try:
        with app.app_context():
            watch_organisations(now=now_utc())
    except Exception as error:  # noqa: BLE001 - the clock must go on whatever becomes of this
        log.warning("watch.failed", error=repr(error))


def run_scheduler(config: Config) -> None:
    """Run the clock until it is told to stop."""
    app: Flask = create_core(config)
    with app.app_context():
        connection = open_redis()
        scheduler = make_scheduler(connection, config)

        def keep_registered() -> None:
            is_over = threading.Event()
            while not is_over.wait(REGISTER_SECONDS):
                try:
                    register_tick(scheduler, config)
                except redis.RedisError as error:
                    log.warning("tick.not_registered", error=str(error))
                watch_beside(app)

        register_tick(scheduler, config)
        threading.Thread(target=keep_registered, name="register", daemon=True).start()
        scheduler.run()
