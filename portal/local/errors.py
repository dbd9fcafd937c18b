"""Why a private server cannot be had."""

from __future__ import annotations

ELSEWHERE = "or name a database with DATABASE_URL= (and a Redis with REDIS_URL=)"


class LocalServerFailed(Exception):
    """A private server could not be started; the message says what to do."""

    exit_code = 3
