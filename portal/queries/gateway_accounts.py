"""Reading gateway accounts as operators see them: rate, what is left of it, breaker and brake."""

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.domain.gateway_accounts import AccountPurpose, AccountRate, BreakerState
from portal.queries.brakes import HOLDS
from portal.sql import fetch, fetch_one

# What of the bucket of account g is left now; nothing is refilled while its stamp lies ahead.
TOKENS_LEFT = (
    "LEAST(g.burst, g.tokens + g.rate_per_second"
    " * GREATEST(0, extract(epoch FROM clock_timestamp() - g.refilled_at)))"
)
_SELECT = (
    "SELECT g.id, g.code, g.kind, g.purpose, g.currency, g.is_active,"
    f" g.rate_per_second::numeric AS rate, g.burst, floor({TOKENS_LEFT})::int AS calls_left,"
    " CASE WHEN g.open_until IS NULL"
    " THEN 'closed' WHEN g.open_until > clock_timestamp() THEN 'open' ELSE 'probing' END"
    " AS breaker, g.troubles_in_a_row, g.open_until,"
    " CASE WHEN g.refilled_at > clock_timestamp() THEN g.refilled_at END AS rests_until,"
    " h.reason AS brake_reason FROM gateway_accounts g LEFT JOIN LATERAL (SELECT b.reason"
    f" FROM brakes b WHERE b.organisation_id = g.organisation_id AND {HOLDS} AND b.job IS NULL"
    " AND COALESCE(b.gateway_account_id, g.id) = g.id ORDER BY b.expires_at DESC LIMIT 1) h"
    " ON true"
)


class GatewayAccountMissing(NotFound):
    """There is no such gateway account here, or it is another organisation's; nothing was changed.
    Choose one from the list of gateway accounts."""


class AccountStateRow(NamedTuple):
    """A gateway account as it stands.

    Shape: `calls_left` could go to it at this moment; `rests_until` is set while it has asked to be
    left alone; `brake_reason` while a brake holds its orders.
    """

    id: UUID
    code: str
    kind: str
    purpose: AccountPurpose
    currency: str
    is_active: bool
    rate: AccountRate
    calls_left: int
    breaker: BreakerState
    troubles_in_a_row: int
    open_until: datetime | None
    rests_until: datetime | None
    brake_reason: str | None


def list_account_states() -> list[AccountStateRow]:
    """List the gateway accounts of the organisation in scope as they stand, by code."""
    return [_account(row) for row in fetch(f"{_SELECT} ORDER BY g.code")]


def get_account_state(gateway_account_id: UUID) -> AccountStateRow:
    """Return one gateway account as it stands.

    Raises: GatewayAccountMissing.
    """
    row = fetch_one(f"{_SELECT} WHERE g.id = %s", (gateway_account_id,))
    if row is None:
        raise GatewayAccountMissing
    return _account(row)


def _account(row: Any) -> AccountStateRow:
    return AccountStateRow(
        row.id,
        row.code,
        row.kind,
        AccountPurpose(row.purpose),
        row.currency,
        row.is_active,
        AccountRate(Decimal(row.rate), row.burst),
        row.calls_left,
        BreakerState(row.breaker),
        row.troubles_in_a_row,
        row.open_until,
        row.rests_until,
        row.brake_reason,
    )
