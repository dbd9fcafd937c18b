"""Doing what was asked once, however often it is sent: the reply is kept with the effect.

Forms bring their `request_key`, machines their `Idempotency-Key`. The key is written first, in the
transaction of the work: a rival waits for that row, and finds either the reply or nothing at all.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from portal.db import current_organisation_id, repeat_when_transient, transaction
from portal.domain.errors import Conflict, Invalid
from portal.sql import execute, fetch_one

KEY_CHARACTERS_MAX = 255
# Visible characters only, as the description of the API says: a blank is not one of them.
_KEY = re.compile(rf"[!-~]{{1,{KEY_CHARACTERS_MAX}}}")
KEPT_DAYS = 30
RIVAL_WAIT_MS = 5_000
# Each new key takes away a few old ones, so that no job has to.
FORGOTTEN_AT_ONCE = 10


class KeyUnusable(Invalid):
    """The key of this request is not 1 to 255 visible ASCII characters. Nothing was done; send the
    request again with a new random key, such as a UUID."""


class KeyReused(Invalid):
    """The key of this request was used before for another request. Nothing was done; send the same
    request as then, or a new key."""


class RequestUnderWay(Conflict):
    """The same request is being worked on at this moment, and nothing was done twice. Send it again
    in a few seconds to get its reply."""

    retry_after_seconds = 5


class Reply(NamedTuple):
    """What was answered: a status, the headers that belong to it, and the bytes of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def do_once(
    *, key: str, request_hash: bytes, work: Callable[[], Reply], now: datetime
) -> tuple[Reply, bool]:
    """Do the work and keep its reply, or return the reply of the time it was done.

    Shape: (reply, whether it is the kept one). The work joins this transaction, so its effect and
    its reply are kept together or not at all; work that raises keeps nothing, and may be sent again
    with the same key.
    Raises: KeyUnusable; KeyReused; RequestUnderWay; what the work raises.
    """
    if not _KEY.fullmatch(key):
        raise KeyUnusable
    return repeat_when_transient(
        lambda: _do_once(key=key, request_hash=request_hash, work=work, now=now)
    )


def _do_once(
    *, key: str, request_hash: bytes, work: Callable[[], Reply], now: datetime
) -> tuple[Reply, bool]:
    with transaction():
        if not _claim(key, request_hash, now):
            return _find_reply(key, request_hash), True
        reply = work()
        execute(
            "UPDATE idempotency_keys SET status = %s, headers = %s, body = %s"
            " WHERE organisation_id = %s AND key = %s",
            (
                reply.status,
                Jsonb(dict(reply.headers)),
                reply.body,
                current_organisation_id(),
                key,
            ),
        )
        return reply, False


def _claim(key: str, request_hash: bytes, now: datetime) -> bool:
    """Write the key down; False when it was there already."""
    organisation_id = current_organisation_id()
    forgotten = now - timedelta(days=KEPT_DAYS)
    execute(
        "DELETE FROM idempotency_keys WHERE organisation_id = %(o)s AND key IN"
        " (SELECT key FROM idempotency_keys WHERE organisation_id = %(o)s"
        " AND created_at < %(forgotten)s ORDER BY key = %(key)s DESC, created_at LIMIT %(rows_max)s"
        " FOR UPDATE SKIP LOCKED)",
        {
            "o": organisation_id,
            "forgotten": forgotten,
            "key": key,
            "rows_max": FORGOTTEN_AT_ONCE,
        },
    )
    execute(f"SET LOCAL lock_timeout = {RIVAL_WAIT_MS}")
    try:
        inserted = execute(
            "INSERT INTO idempotency_keys (organisation_id, key, request_hash, created_at)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (organisation_id, key, request_hash, now),
        )
    except psycopg.errors.LockNotAvailable:
        raise RequestUnderWay from None
    execute("SET LOCAL lock_timeout TO DEFAULT")
    return inserted == 1


def _find_reply(key: str, request_hash: bytes) -> Reply:
    row = fetch_one(
        "SELECT request_hash, status, headers, body FROM idempotency_keys"
        " WHERE organisation_id = %s AND key = %s",
        (current_organisation_id(), key),
    )
    if row is None:
        # It was forgotten between two statements; the sender may try again as if it were new.
        raise RequestUnderWay
    if bytes(row.request_hash) != request_hash:
        raise KeyReused
    assert row.status is not None, "a key without a reply is seen by its own transaction only"
    return Reply(row.status, row.headers, bytes(row.body))
