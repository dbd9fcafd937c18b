"""Messages beyond the first order of a payment: errands, questions and orders sent again."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from portal.db import current_organisation_id
from portal.domain.messages import MessageKind
from portal.ids import new_id
from portal.queue import ring
from portal.services.messages._delivery import DELIVERY_BELL
from portal.sql import execute, fetch


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


def write_followers(kind: MessageKind, aggregates: Sequence[tuple[UUID, UUID]]) -> None:
    """Write a further message of attempts or refunds, behind all earlier ones of theirs.

    Shape: (what it is about, gateway account) each.
    """
    _write_behind(kind, aggregates, "true")


def write_questions(kind: MessageKind, aggregates: Sequence[tuple[UUID, UUID]]) -> None:
    """Ask what became of attempts or refunds, unless that is about to be asked.

    Shape: (what it is about, gateway account) each. A gateway that is slow or away must not find
    the more questions the longer it is so.
    """
    _write_behind(
        kind,
        aggregates,
        "NOT EXISTS (SELECT FROM messages m WHERE m.aggregate_id = w.aggregate"
        " AND m.kind = %(kind)s AND m.state = 'ready')",
    )


def _write_behind(
    kind: MessageKind, aggregates: Sequence[tuple[UUID, UUID]], condition: str
) -> None:
    if not aggregates:
        return
    execute(
        "INSERT INTO messages (organisation_id, id, aggregate_id, sequence, kind,"
        " gateway_account_id, payload) SELECT %(o)s, w.id, w.aggregate,"
        " 1 + COALESCE((SELECT max(sequence) FROM messages m"
        " WHERE m.aggregate_id = w.aggregate), 0),"
        " %(kind)s, w.account, '{}'"
        " FROM unnest(%(ids)s::uuid[], %(aggregates)s::uuid[], %(accounts)s::uuid[])"
        f" AS w (id, aggregate, account) WHERE {condition}",
        {
            "o": current_organisation_id(),
            "kind": kind.value,
            "ids": [new_id() for _ in aggregates],
            "aggregates": [aggregate for aggregate, _ in aggregates],
            "accounts": [account for _, account in aggregates],
        },
    )
    ring(DELIVERY_BELL)


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
