"""Reading the emergency brakes, and what it means in SQL that one holds."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.brakes import BrakeState
from portal.domain.errors import NotFound
from portal.sql import fetch, fetch_one

BRAKES_MAX = 100
# True of a brake b that holds now, by the clock that all workers share.
HOLDS = "b.state = 'active' AND b.expires_at > clock_timestamp()"

_SELECT = (
    "SELECT b.id, b.gateway_account_id, g.code AS account_code, b.job, b.reason,"
    f" CASE WHEN b.state = 'active' AND NOT ({HOLDS}) THEN 'expired' ELSE b.state END AS state,"
    " b.pulled_by, b.pulled_at, b.expires_at, b.released_by, b.released_at FROM brakes b"
    " LEFT JOIN gateway_accounts g"
    " ON (g.organisation_id, g.id) = (b.organisation_id, b.gateway_account_id)"
)


class BrakeMissing(NotFound):
    """There is no such brake here, or it is another organisation's; nothing was changed. Choose one
    from the list of brakes."""


class BrakeRow(NamedTuple):
    """A brake; without an account and a job it holds the whole organisation."""

    id: UUID
    gateway_account_id: UUID | None
    account_code: str | None
    job: str | None
    reason: str
    state: BrakeState
    pulled_by: str
    pulled_at: datetime
    expires_at: datetime
    released_by: str | None
    released_at: datetime | None


def list_brakes() -> list[BrakeRow]:
    """List the brakes, those that hold first, then the latest."""
    rows = fetch(f"{_SELECT} ORDER BY ({HOLDS}) DESC, b.pulled_at DESC, b.id LIMIT {BRAKES_MAX}")
    return [_brake(row) for row in rows]


def list_holding_brakes() -> list[BrakeRow]:
    """List the brakes that hold now, the widest first."""
    rows = fetch(
        f"{_SELECT} WHERE {HOLDS}"
        " ORDER BY num_nonnulls(b.gateway_account_id, b.job), b.pulled_at, b.id"
    )
    return [_brake(row) for row in rows]


def get_brake(brake_id: UUID) -> BrakeRow:
    """Return one brake.

    Raises: BrakeMissing.
    """
    row = fetch_one(f"{_SELECT} WHERE b.id = %s", (brake_id,))
    if row is None:
        raise BrakeMissing
    return _brake(row)


def _brake(row: Any) -> BrakeRow:
    return BrakeRow(*row)._replace(state=BrakeState(row.state))
