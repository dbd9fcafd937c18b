"""The outbox and the inbox: written with the change they belong to, leased, delivered, finished.

What a message's answer means is decided by the noun that wrote it, not here.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from portal.db import current_organisation_id, sweeping, transaction
from portal.domain.errors import NotFound
from portal.domain.messages import MessageKind
from portal.gateways.base import GatewayEvent, read_event
from portal.ids import new_id
from portal.queue import ring
from portal.services.gateways import gateway_access
from portal.sql import execute, fetch, fetch_one, stage_rows

DELIVERY_BELL = "jobs.message_delivery.drain_messages"
BREAKER_TROUBLES = 5  # Troubles in a row that open the breaker of an account.
BREAKER_SECONDS = 5.0  # A probe is let through this often while it is open.


class AccountNotFound(NotFound):
    """There is no gateway account {account_code} here."""


class Claimed(NamedTuple):
    """A message leased to this worker; the token proves it when the answer is written."""

    id: UUID
    aggregate_id: UUID
    sequence: int
    kind: str
    payload: Mapping[str, Any]
    tries: int
    token: int


class DeliveryOutcome(NamedTuple):
    """What became of one try: finished, to be tried again after a while, or parked."""

    message: Claimed
    outcome: str
    retry_seconds: float | None = None
    is_parked: bool = False
    http_status: int | None = None
    error: str | None = None


def list_due_accounts() -> list[tuple[UUID, UUID, str, str]]:
    """Name the gateway accounts with a message to deliver whose breaker lets it through.

    Shape: (organisation, account, code, kind).
    """
    with sweeping():
        rows = fetch(
            "SELECT g.organisation_id, g.id, g.code, g.kind FROM gateway_accounts g"
            " WHERE g.is_active"
            " AND (g.open_until IS NULL OR g.open_until <= clock_timestamp())"
            " AND EXISTS (SELECT FROM messages m WHERE m.organisation_id = g.organisation_id"
            " AND m.gateway_account_id = g.id AND m.state = 'ready'"
            " AND m.next_at <= clock_timestamp())"
        )
    return [(row.organisation_id, row.id, row.code, row.kind) for row in rows]


def list_inbox_organisations() -> list[UUID]:
    """Name the organisations with an arrived message to handle."""
    with sweeping():
        rows = fetch(
            "SELECT DISTINCT g.organisation_id FROM gateway_accounts g WHERE EXISTS (SELECT"
            " FROM inbox_messages m WHERE m.organisation_id = g.organisation_id"
            " AND m.gateway_account_id = g.id AND m.state = 'ready'"
            " AND m.next_at <= clock_timestamp())"
        )
    return [row.organisation_id for row in rows]


def list_query_organisations() -> list[UUID]:
    """Name the organisations with an attempt whose outcome is to be asked for now."""
    with sweeping():
        rows = fetch(
            "SELECT DISTINCT g.organisation_id FROM gateway_accounts g WHERE EXISTS (SELECT"
            " FROM payment_attempts a WHERE a.organisation_id = g.organisation_id"
            " AND a.state IN ('pending', 'unknown') AND a.next_query_at <= clock_timestamp())"
        )
    return [row.organisation_id for row in rows]


def claim_messages(*, gateway_account_id: UUID, limit: int, lease_seconds: float) -> list[Claimed]:
    """Lease due messages of an account; the lease is `next_at`, the tries count before the work.

    Shape: of one aggregate only the first waiting message; an open breaker lets one through each
    time its while is over, to whichever worker comes first.
    """
    probes = execute(
        "UPDATE gateway_accounts SET open_until = clock_timestamp() + make_interval(secs => %s)"
        " WHERE id = %s AND troubles_in_a_row >= %s"
        " AND (open_until IS NULL OR open_until <= clock_timestamp())",
        (BREAKER_SECONDS, gateway_account_id, BREAKER_TROUBLES),
    )
    rows = fetch(
        "WITH due AS (SELECT m.id FROM messages m JOIN gateway_accounts g"
        " ON g.id = m.gateway_account_id WHERE m.gateway_account_id = %(account)s"
        " AND m.state = 'ready' AND m.next_at <= clock_timestamp()"
        " AND NOT EXISTS (SELECT FROM messages p WHERE p.aggregate_id = m.aggregate_id"
        " AND p.sequence < m.sequence AND p.state = 'ready')"
        " ORDER BY m.next_at, m.id"
        " LIMIT (SELECT CASE WHEN troubles_in_a_row >= %(troubles)s THEN %(probes)s"
        " ELSE %(limit)s END"
        " FROM gateway_accounts WHERE id = %(account)s)"
        " FOR UPDATE OF m SKIP LOCKED)"
        " UPDATE messages m SET tries = m.tries + 1, lease_token = m.lease_token + 1,"
        " next_at = clock_timestamp() + make_interval(secs => %(lease)s)"
        " FROM due WHERE m.id = due.id AND m.organisation_id = %(o)s"
        " RETURNING m.id, m.aggregate_id, m.sequence, m.kind, m.payload, m.tries, m.lease_token",
        {
            "account": gateway_account_id,
            "limit": limit,
            "probes": probes,
            "lease": lease_seconds,
            "troubles": BREAKER_TROUBLES,
            "o": current_organisation_id(),
        },
    )
    return [Claimed._make(row) for row in rows]


def finish_deliveries(outcomes: Sequence[DeliveryOutcome], *, now: datetime) -> set[UUID]:
    """Write what became of leased messages and return those that were still ours.

    Shape: a message leased by another worker meanwhile is left alone and not returned; its answer
    must then be dropped by the caller.
    """
    stage_rows(
        "staged_deliveries",
        {
            "id": "uuid",
            "token": "bigint",
            "try_number": "int",
            "outcome": "text",
            "retry_seconds": "float8",
            "is_parked": "boolean",
            "http_status": "smallint",
            "error": "text",
        },
        (
            (
                each.message.id,
                each.message.token,
                each.message.tries,
                each.outcome,
                each.retry_seconds,
                each.is_parked,
                each.http_status,
                each.error,
            )
            for each in outcomes
        ),
    )
    rows = fetch(
        "UPDATE messages m SET state = CASE WHEN s.is_parked THEN 'parked'"
        " WHEN s.retry_seconds IS NOT NULL THEN 'ready' ELSE 'done' END,"
        " next_at = clock_timestamp() + make_interval(secs => COALESCE(s.retry_seconds, 0)),"
        " last_error = s.error, done_at = CASE WHEN s.retry_seconds IS NULL THEN clock_timestamp()"
        " END FROM pg_temp.staged_deliveries s WHERE m.organisation_id = %s AND m.id = s.id"
        " AND m.lease_token = s.token AND m.state = 'ready' RETURNING m.id",
        (current_organisation_id(),),
    )
    execute(
        "INSERT INTO message_deliveries (organisation_id, message_id, try_number, tried_at,"
        " outcome,"
        " http_status, error) SELECT %s, id, try_number, %s, outcome, http_status, error"
        " FROM pg_temp.staged_deliveries ON CONFLICT DO NOTHING",
        (current_organisation_id(), now),
    )
    return {row.id for row in rows}


def withdraw_messages(message_ids: Sequence[UUID]) -> None:
    """Mark leased messages as no longer worth sending: what they ask for is decided."""
    if message_ids:
        execute(
            "UPDATE messages SET state = 'will_not_send', done_at = clock_timestamp()"
            " WHERE id = ANY(%s) AND state = 'ready'",
            (list(message_ids),),
        )


def note_health(*, gateway_account_id: UUID, good: int, bad: int) -> None:
    """Count troubles in a row; enough of them open the breaker, any success closes it."""
    execute(
        "UPDATE gateway_accounts SET troubles_in_a_row = t.troubles,"
        " open_until = CASE WHEN t.troubles >= %(limit)s"
        " THEN clock_timestamp() + make_interval(secs => %(seconds)s) END"
        " FROM (SELECT id, CASE WHEN %(good)s > 0 THEN 0 ELSE troubles_in_a_row + %(bad)s END"
        " AS troubles FROM gateway_accounts WHERE id = %(account)s) t"
        " WHERE gateway_accounts.id = t.id AND (gateway_accounts.troubles_in_a_row <> t.troubles"
        " OR gateway_accounts.open_until IS NOT NULL)",
        {
            "limit": BREAKER_TROUBLES,
            "seconds": BREAKER_SECONDS,
            "good": good,
            "bad": bad,
            "account": gateway_account_id,
        },
    )


def request_payouts(*, gateway_account_ids: Sequence[UUID], business_on: date) -> None:
    """Tell gateways that a business date is over, and ask for its payouts."""
    _write_messages(gateway_account_ids, MessageKind.CLOSE_DAY, {"business_on": str(business_on)})


def request_events(*, gateway_account_ids: Sequence[UUID]) -> None:
    """Ask gateways for the events that no webhook brought."""
    _write_messages(gateway_account_ids, MessageKind.LIST_EVENTS, {})


def request_missing_events(
    *, gateway_account_ids: Sequence[UUID], every_seconds: float, now: datetime
) -> None:
    """Ask those gateways for missed events that were not asked for some time.

    Units: seconds.
    """
    rows = fetch(
        "SELECT w.id FROM unnest(%s::uuid[]) AS w (id) WHERE NOT EXISTS (SELECT FROM messages m"
        " WHERE m.gateway_account_id = w.id AND m.kind = %s AND m.created_at > %s)",
        (
            list(gateway_account_ids),
            MessageKind.LIST_EVENTS.value,
            now - timedelta(seconds=every_seconds),
        ),
    )
    request_events(gateway_account_ids=[row.id for row in rows])


def _write_messages(
    gateway_account_ids: Sequence[UUID], kind: MessageKind, payload: Mapping[str, Any]
) -> None:
    """Write one message per account, unless the same one waits already."""
    if not gateway_account_ids:
        return
    execute(
        "INSERT INTO messages (organisation_id, id, aggregate_id, sequence, kind,"
        " gateway_account_id, payload)"
        " SELECT %(o)s, w.id, w.id, 1, %(kind)s, w.account, %(payload)s"
        " FROM unnest(%(ids)s::uuid[], %(accounts)s::uuid[]) AS w (id, account)"
        " WHERE NOT EXISTS (SELECT FROM messages m WHERE m.gateway_account_id = w.account"
        " AND m.kind = %(kind)s AND m.state = 'ready' AND m.payload = %(payload)s)",
        {
            "o": current_organisation_id(),
            "kind": kind.value,
            "payload": Jsonb(dict(payload)),
            "ids": [new_id() for _ in gateway_account_ids],
            "accounts": list(gateway_account_ids),
        },
    )
    ring(DELIVERY_BELL)


def receive_event(
    *, account_code: str, headers: Mapping[str, str], raw: bytes, now: datetime
) -> None:
    """Verify an event that a gateway pushes and keep it; a repeat is kept once.

    Raises: AccountNotFound; SignatureInvalid; EventMalformed.
    """
    with sweeping():
        account = fetch_one(
            "SELECT organisation_id, id, kind FROM gateway_accounts WHERE code = %s AND is_active",
            (account_code,),
        )
    if account is None:
        raise AccountNotFound(account_code=account_code)
    access = gateway_access(kind=account.kind, account_code=account_code)
    event = read_event(access, headers, raw)
    with transaction(account.organisation_id):
        store_events(gateway_account_id=account.id, events=[event], raws=[raw], now=now)
        ring(DELIVERY_BELL)


def events_cursor(*, gateway_account_id: UUID) -> str | None:
    """Return the place in a gateway's list of events up to which they were fetched."""
    row = fetch_one(
        "SELECT events_cursor FROM gateway_accounts WHERE id = %s", (gateway_account_id,)
    )
    return row.events_cursor if row else None


def store_events(
    *,
    gateway_account_id: UUID,
    events: Sequence[GatewayEvent],
    raws: Sequence[bytes],
    now: datetime,
    cursor: str | None = None,
) -> int:
    """Keep arrived events in the inbox and return how many were new.

    Shape: `raws` are the bytes that were signed, empty for events we fetched; `cursor` is the place
    in the gateway's list up to which events are now kept.
    """
    if cursor is not None:
        execute(
            "UPDATE gateway_accounts SET events_cursor = %s WHERE id = %s",
            (cursor, gateway_account_id),
        )
    if not events:
        return 0
    return execute(
        "INSERT INTO inbox_messages (organisation_id, gateway_account_id, event_ref, kind, content,"
        " raw, received_at) SELECT %s, %s, e.event_ref, e.kind, e.content, e.raw, %s"
        " FROM unnest(%s::text[], %s::text[], %s::jsonb[], %s::bytea[])"
        " AS e (event_ref, kind, content, raw) ON CONFLICT DO NOTHING",
        (
            current_organisation_id(),
            gateway_account_id,
            now,
            [event.event_id for event in events],
            [event.kind.value for event in events],
            [Jsonb(_content(event)) for event in events],
            list(raws),
        ),
    )


def _content(event: GatewayEvent) -> dict[str, Any]:
    return {
        "merchant_ref": event.merchant_ref,
        "gateway_ref": event.gateway_ref,
        "amount_minor": event.amount_minor,
        "currency": event.currency,
        "reason_code": event.reason_code,
        "fee_minor": event.fee_minor,
        "occurred_at": event.occurred_at.isoformat(),
        "returned_on": event.payload.get("returned_on"),
    }
