"""Handling arrived messages one by one: what breaks or comes early waits, and is parked at last."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog

from portal.db import current_organisation_id, is_transient, savepoint
from portal.sql import execute

log = structlog.stdlib.get_logger(__name__)
RETRY_SECONDS = 2.0
TRIES_MAX = 8


class Trouble(NamedTuple):
    """Why an arrived message is not settled; only what time may mend is tried again."""

    said: str
    parks: bool = False


def settle_arrived(
    rows: Sequence[Any],
    handle: Callable[[Any], Trouble | None],
    *,
    ask: Callable[[Any], None] = lambda _row: None,
) -> int:
    """Handle locked messages in their order and return how many were settled or parked for good.

    Shape: each in a savepoint of its own, so that one that breaks holds up no other; `ask` has the
    gateway asked about one that is in trouble.
    """
    settled = 0
    for row in rows:
        trouble = _handle(row, handle)
        if trouble is None:
            _mark_done(row)
        else:
            _mark_trouble(row, trouble)
            ask(row)
        settled += trouble is None or trouble.parks
    return settled


def _handle(row: Any, handle: Callable[[Any], Trouble | None]) -> Trouble | None:
    try:
        with savepoint():
            return handle(row)
    except Exception as error:
        if is_transient(error):
            raise
        log.warning("inbox.broke", event_ref=row.event_ref, error=repr(error))
        return Trouble(repr(error)[:500])


def _mark_done(row: Any) -> None:
    execute(
        "UPDATE inbox_messages SET state = 'done', tries = tries + 1"
        " WHERE organisation_id = %s AND gateway_account_id = %s AND event_ref = %s",
        (current_organisation_id(), row.gateway_account_id, row.event_ref),
    )


def _mark_trouble(row: Any, trouble: Trouble) -> None:
    execute(
        "UPDATE inbox_messages SET state = CASE WHEN %(parks)s THEN 'parked' ELSE 'ready' END,"
        " tries = tries + 1, last_error = %(error)s,"
        " next_at = clock_timestamp() + make_interval(secs => %(wait)s * (tries + 1))"
        " WHERE organisation_id = %(o)s AND gateway_account_id = %(account)s"
        " AND event_ref = %(ref)s",
        {
            "parks": trouble.parks or row.tries + 1 >= TRIES_MAX,
            "error": trouble.said,
            "wait": RETRY_SECONDS,
            "o": current_organisation_id(),
            "account": row.gateway_account_id,
            "ref": row.event_ref,
        },
    )
