"""A worker process: the application built once, then RQ's loop over one queue.

An idle worker looks into the database by itself, so that work is found although no bell rang.
What else lies in the queue is thrown away: whoever can write to Redis must not choose what runs.
The jobs are imported here, before any fork: a horse that imports them anew needs ten times longer.
"""

import os
import signal
from typing import Any

import redis
import structlog
from flask import Flask
from rq import Queue, Worker
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from jobs import engine, message_delivery  # noqa: F401
from jobs.schedule import TICK, ring_due
from portal.clock import now_utc
from portal.config import Config
from portal.core import create_core
from portal.db import forget_connections
from portal.extensions import db
from portal.processes import die_with_parent
from portal.queue import open_queue, open_redis
from portal.services.batches import BELL
from portal.services.cases import watch_organisations
from portal.services.messages import DELIVERY_BELL
from portal.services.schedules import start_due_runs

log = structlog.stdlib.get_logger(__name__)

BELLS = frozenset({BELL, DELIVERY_BELL, TICK})  # All that a worker runs, and without arguments.
# RQ has its own ways with these.
PASSED_ON = (StopRequested, redis.ConnectionError, redis.TimeoutError)


class PortalWorker(Worker):
    """RQ's worker; its horses die with it, share no connection with it, know the application."""

    portal_app: Flask
    idle_seconds: float = 5.0

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Wait for a bell; look into the database whenever none has rung for a while."""
        while True:
            idle = max_idle_time or max(1, round(self.idle_seconds))
            try:
                found = super().dequeue_job_and_maintain_ttl(timeout, idle)
            except PASSED_ON:
                raise
            except Exception as error:  # noqa: BLE001 - what cannot be read must not end the worker
                self._throw_away(error)
                continue
            if found is not None or max_idle_time is not None or self._stop_requested:
                return found
            self._look_for_work()

    def _look_for_work(self) -> None:
        try:
            with self.portal_app.app_context():
                # Runs start by themselves also where no clock is left that ticks.
                start_due_runs()
                ring_due()
                engine.close_runs()
                watch_organisations(now=now_utc())
        except Exception as error:  # noqa: BLE001 - an idle look must not end the worker
            log.warning("worker.look_failed", error=repr(error))

    def run_maintenance_tasks(self) -> None:
        """Clean up, and begin anew where what is found cannot be read."""
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except PASSED_ON:
            raise
        except Exception as error:  # noqa: BLE001 - what cannot be read must not end the worker
            self._throw_away(error)

    def _throw_away(self, error: Exception) -> None:
        """Drop all waiting bells with the rubbish among them; the next look rings them again."""
        log.warning("worker.rubbish", error=repr(error))
        for queue in self.queues:
            self.connection.delete(queue.key, queue.intermediate_queue_key)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a bell; drop anything else unread."""
        try:
            is_bell = job.func_name in BELLS and not job.args and not job.kwargs
        except Exception as error:  # noqa: BLE001 - what cannot be read must not end the worker
            log.warning("worker.job_unreadable", job=job.id, error=repr(error))
            is_bell = False
        if is_bell:
            super().execute_job(job, queue)
            return
        log.warning("worker.job_dropped", job=job.id)
        self.connection.lrem(queue.intermediate_queue_key, 1, job.id)
        self.connection.delete(job.key)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Run a job in the forked child."""
        # The number is known since before the fork: a parent that died meanwhile is noticed.
        die_with_parent(self.pid or os.getppid(), signal.SIGKILL)
        with self.portal_app.app_context():
            forget_connections(db.engine)
        super().main_work_horse(job, queue)

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Run a job inside the application."""
        with self.portal_app.app_context():
            return super().perform_job(job, queue, execution)


def make_worker(app: Flask, config: Config, **settings: Any) -> PortalWorker:
    """Build a worker of the one queue; inside an application context."""
    worker = PortalWorker(
        [open_queue()], connection=open_redis(), serializer=JSONSerializer, **settings
    )
    worker.portal_app = app
    worker.idle_seconds = config.tick_seconds
    return worker


def run_worker(config: Config) -> None:
    """Work until told to stop."""
    app = create_core(config)
    with app.app_context():
        worker = make_worker(app, config)
        worker.work(with_scheduler=False, logging_level=config.log_level.upper())
