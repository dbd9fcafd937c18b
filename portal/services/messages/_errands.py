"""What gateways are asked for that belongs to no single payment."""

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
