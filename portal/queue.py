"""The doorbell: rings workers after the commit. What there is to do stands in the database."""

from typing import Any, cast

import redis
import structlog
from flask import Flask, current_app
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

from portal.db import after_commit

log = structlog.stdlib.get_logger(__name__)

RING_SECONDS_MAX = 0.2  # A page never waits longer than this for the bell.
JOB_SECONDS_MAX = 300


def bind_queue(app: Flask, *, url: str, name: str) -> None:
    """Give the application its connection to Redis and its queue."""
    app.extensions["portal_redis"] = redis.Redis.from_url(
        url,
        socket_connect_timeout=RING_SECONDS_MAX * 5,
        socket_timeout=5,
        # The client's own default sleeps for seconds between its tries.
        retry=Retry(NoBackoff(), 1),
    )
    app.extensions["portal_queue_name"] = name


def open_redis() -> redis.Redis:
    """Return the application's connection to Redis."""
    return cast("redis.Redis", current_app.extensions["portal_redis"])


def open_queue() -> Queue:
    """Return the one queue of this portal."""
    return Queue(
        current_app.extensions["portal_queue_name"],
        connection=open_redis(),
        serializer=JSONSerializer,
    )


def ring(function: str, *, times: int = 1) -> None:
    """Ask workers to run a function soon, after the commit.

    Shape: never raises for Redis: a lost ring costs one tick, and says so in the log.
    """
    after_commit(lambda: ring_now(function, times=times))


def ring_now(function: str, *, times: int = 1) -> None:
    """Ask workers to run a function soon."""
    settings: dict[str, Any] = {
        "job_timeout": JOB_SECONDS_MAX,
        "result_ttl": 0,
        "failure_ttl": 3600,
        "ttl": 60,
    }
    try:
        queue = open_queue()
        waiting = queue.count
        for _ in range(max(0, min(times, 2 * times - waiting))):
            queue.enqueue(function, **settings)
    except (redis.RedisError, OSError) as error:
        log.warning("queue.ring_lost", function=function, error=str(error))
