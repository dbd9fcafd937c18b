"""Asking whether what the portal stands on answers."""

from typing import NamedTuple

import redis
from sqlalchemy.exc import SQLAlchemyError

from portal.db import transaction
from portal.queue import open_redis
from portal.sql import fetch_one


class Health(NamedTuple):
    """Which of the two servers answers."""

    database: bool
    redis: bool


def check_health() -> Health:
    """Ask the database and Redis for a sign of life; never raises for either."""
    return Health(database=_database_answers(), redis=_redis_answers())


def _database_answers() -> bool:
    try:
        with transaction():
            return fetch_one("SELECT 1 AS answer") is not None
    except SQLAlchemyError:
        return False


def _redis_answers() -> bool:
    try:
        return bool(open_redis().ping())
    except (redis.RedisError, OSError):
        return False
