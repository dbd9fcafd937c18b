"""What gateways report by themselves: verified, and kept until it is handled."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from portal.db import current_organisation_id, sweeping, transaction
from portal.domain.errors import NotFound
from portal.gateways.base import GatewayEvent, read_event
from portal.ids import new_id
from portal.queries.organisations import FOR_PAYMENTS
from portal.queue import ring
from portal.services.gateways import gateway_access
from portal.services.messages._delivery import DELIVERY_BELL
from portal.sql import execute, fetch, fetch_one

# What an event may say of days beside the fields that every event has.
DAY_NAMES = ("returned_on", "opened_on", "respond_by", "closed_on")


class AccountNotFound(NotFound):
    """There is no gateway account {account_code} here that collects payments."""


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
    """Name the organisations with an attempt, refund or dispute that is to be asked about."""
    with sweeping():
        rows = fetch(
            "SELECT DISTINCT g.organisation_id FROM gateway_accounts g WHERE EXISTS (SELECT"
            " FROM payment_attempts a WHERE a.organisation_id = g.organisation_id"
            " AND a.state IN ('pending', 'unknown') AND a.next_query_at <= clock_timestamp())"
            " OR EXISTS (SELECT FROM refunds r WHERE r.organisation_id = g.organisation_id"
            " AND r.state = 'submitted' AND r.next_query_at <= clock_timestamp())"
            " OR EXISTS (SELECT FROM disputes d WHERE d.organisation_id = g.organisation_id"
            " AND d.state IN ('needs_response', 'under_review')"
            " AND d.next_query_at <= clock_timestamp())"
        )
    return [row.organisation_id for row in rows]


def receive_event(
    *, account_code: str, headers: Mapping[str, str], raw: bytes, now: datetime
) -> None:
    """Verify an event that a gateway pushes and keep it; a repeat is kept once.

    Raises: AccountNotFound; SignatureInvalid; EventMalformed.
    """
    with sweeping():
        account = fetch_one(
            "SELECT organisation_id, id, kind FROM gateway_accounts WHERE code = %s AND is_active"
            f" AND {FOR_PAYMENTS}",
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
        "INSERT INTO inbox_messages (organisation_id, gateway_account_id, id, event_ref, kind,"
        " content, raw, received_at)"
        " SELECT %s, %s, e.id, e.event_ref, e.kind, e.content, e.raw, %s"
        " FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::jsonb[], %s::bytea[])"
        " AS e (id, event_ref, kind, content, raw) ON CONFLICT DO NOTHING",
        (
            current_organisation_id(),
            gateway_account_id,
            now,
            [new_id() for _ in events],
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
        **{name: event.payload.get(name) for name in DAY_NAMES},
    }
