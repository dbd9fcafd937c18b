"""Giving charges and refunds their results and pushing signed events until somebody takes them."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
from standardwebhooks import Webhook

from portal.gateways.sandbox.keys import derive_key
from portal.gateways.sandbox.record import settle_due
from portal.gateways.sandbox.refunds import settle_refunds
from portal.gateways.sandbox.writer import GroupWriter

IN_FLIGHT_MAX = 64
PUSH_SECONDS_MAX = 10.0
BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 0.5, 30.0
ROUND_SECONDS_LEAST = 0.01  # so that one commit takes many results
ROUND_SECONDS_MAX = 0.5


@dataclass(slots=True)
class _Round:
    """What one turn writes back and what it finds to do."""

    delivered: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    due: list[sqlite3.Row] = field(default_factory=list)
    next_at: float | None = None


class Deliveries:
    """The loop behind the answers; everything it owes is in the record, so a restart goes on."""

    def __init__(
        self,
        writer: GroupWriter,
        *,
        callback_url: str | None,
        secret: str,
        late_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._writer = writer
        self._callback_url = callback_url.rstrip("/") if callback_url else None
        self._secret = secret
        self._late_seconds = late_seconds
        self._clock = clock
        self._webhooks: dict[str, Webhook] = {}
        self._in_flight: dict[int, asyncio.Task[None]] = {}
        self._written_back = _Round()
        self._wake = asyncio.Event()

    @property
    def late_seconds(self) -> float:
        """How late a late event is."""
        return self._late_seconds

    @property
    def is_pushed(self) -> bool:
        """Whether there is somebody to push events to."""
        return self._callback_url is not None

    def wake(self) -> None:
        """Look at the record now rather than at the next turn."""
        self._wake.set()

    async def run(self) -> None:
        """Settle and push until cancelled."""
        timeout = aiohttp.ClientTimeout(total=PUSH_SECONDS_MAX)
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT_MAX)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            try:
                while True:
                    await self._turn(session)
            finally:
                for task in self._in_flight.values():
                    task.cancel()
                await asyncio.gather(*self._in_flight.values(), return_exceptions=True)

    async def _turn(self, session: aiohttp.ClientSession) -> None:
        self._wake.clear()
        known, self._written_back = self._written_back, _Round()
        room = IN_FLIGHT_MAX - len(self._in_flight)
        found = await self._writer.do(
            partial(
                _settle_and_pick,
                known=known,
                busy=frozenset(self._in_flight),
                room=room,
                late_seconds=self._late_seconds,
                is_pushed=self.is_pushed,
                now=self._clock(),
            )
        )
        for row in found.due:
            task = asyncio.create_task(self._push(session, row))
            self._in_flight[row["id"]] = task
        await asyncio.sleep(ROUND_SECONDS_LEAST)
        pause = ROUND_SECONDS_MAX
        if found.next_at is not None:
            pause = min(max(found.next_at - self._clock(), 0.0), pause)
        if len(self._in_flight) >= IN_FLIGHT_MAX:
            pause = ROUND_SECONDS_MAX  # nothing can start until one comes back and wakes us
        # Not wait_for: when it is cancelled in the moment of the wake, Python 3.11 forgets the
        # cancellation, and the sandbox never ends.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._wake.wait()

    async def _push(self, session: aiohttp.ClientSession, row: sqlite3.Row) -> None:
        taken = False
        try:
            # Whoever is down now is tried again later; the record keeps what is owed.
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                taken = await self._post(session, row)
        finally:
            back = self._written_back
            (back.delivered if taken else back.failed).append(row["id"])
            del self._in_flight[row["id"]]
            self._wake.set()

    async def _post(self, session: aiohttp.ClientSession, row: sqlite3.Row) -> bool:
        account_code, body = row["account_code"], row["body"]
        webhook = self._webhooks.get(account_code)
        if webhook is None:
            webhook = Webhook(derive_key(self._secret, account_code, "webhook"))
            self._webhooks[account_code] = webhook
        sent_at = int(self._clock())
        event_id = row["event_id"]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(sent_at),
            "webhook-signature": webhook.sign(event_id, datetime.fromtimestamp(sent_at, UTC), body),
        }
        url = f"{self._callback_url}/{quote(account_code, safe='')}"
        async with session.post(
            url, data=body.encode(), headers=headers, allow_redirects=False
        ) as response:
            await response.read()
            return response.ok and response.status < HTTPStatus.MULTIPLE_CHOICES


def _settle_and_pick(
    connection: sqlite3.Connection,
    *,
    known: _Round,
    busy: frozenset[int],
    room: int,
    late_seconds: float,
    is_pushed: bool,
    now: float,
) -> _Round:
    connection.executemany(
        "UPDATE deliveries SET delivered_at = ?, tries = tries + 1 WHERE id = ?",
        [(now, delivery_id) for delivery_id in known.delivered],
    )
    connection.executemany(
        "UPDATE deliveries SET tries = tries + 1,"
        " due_at = ? + min(?, ? * (1 << min(tries, 10))) WHERE id = ?",
        [(now, BACKOFF_SECONDS_MAX, BACKOFF_SECONDS, delivery_id) for delivery_id in known.failed],
    )
    settle_due(connection, late_seconds=late_seconds, is_pushed=is_pushed, now=now)
    settle_refunds(connection, late_seconds=late_seconds, is_pushed=is_pushed, now=now)
    found = _Round()
    if room and is_pushed:
        found.due = _list_due(connection, busy, room, now)
    found.next_at = _next_at(connection, now)
    return found


def _list_due(
    connection: sqlite3.Connection, busy: frozenset[int], room: int, now: float
) -> list[sqlite3.Row]:
    rows = connection.execute(
        "SELECT d.id, e.event_id, e.account_code, e.body FROM deliveries d"
        " JOIN events e ON e.seq = d.event_seq"
        " WHERE d.delivered_at IS NULL AND d.due_at <= ? ORDER BY d.due_at LIMIT ?",
        (now, room + len(busy)),
    ).fetchall()
    return [row for row in rows if row["id"] not in busy][:room]


def _next_at(connection: sqlite3.Connection, now: float) -> float | None:
    result = connection.execute(
        "SELECT min(at) AS at FROM (SELECT min(result_at) AS at FROM charges"
        " WHERE state = 'pending' UNION ALL SELECT min(result_at) FROM refunds"
        " WHERE state = 'pending')"
    ).fetchone()
    # What is busy now comes back by itself; only later deliveries are waited for.
    delivery = connection.execute(
        "SELECT min(due_at) AS at FROM deliveries WHERE delivered_at IS NULL AND due_at > ?",
        (now,),
    ).fetchone()
    known = [row["at"] for row in (result, delivery) if row["at"] is not None]
    return min(known, default=None)
