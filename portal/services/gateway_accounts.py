"""Gateway accounts: added for payments or for notices, and how many calls a second go to each."""

from datetime import datetime
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.errors import Conflict, Invalid
from portal.domain.gateway_accounts import (
    BURST_MAX,
    RATE_DECIMALS_MAX,
    RATE_MAX,
    RATE_MIN,
    AccountPurpose,
    AccountRate,
)
from portal.domain.money import check_currency
from portal.domain.users import Actor
from portal.gateways.base import GatewayKind
from portal.ids import new_id
from portal.queries.gateway_accounts import (
    TOKENS_LEFT,
    GatewayAccountMissing,
    get_account_state,
)
from portal.queue import ring
from portal.services.events import record_event
from portal.services.messages import DELIVERY_BELL
from portal.services.organisations import find_code_fault
from portal.sql import execute, fetch_one


class RateInvalid(Invalid):
    """The rate was not changed: {reason}."""

    reason: str


class RateChanged(Conflict):
    """Somebody else has changed the rate of this account since you looked. Nothing was changed now;
    look at it again, and change what you see then."""


class GatewayAccountInvalid(Invalid):
    """The gateway account cannot be added: {reason}. Nothing was saved; correct it and try
    again."""

    reason: str


class GatewayAccountCodeTaken(Conflict):
    """There is a gateway account “{account_code}” already. Nothing was saved; choose another
    code."""

    account_code: str


class NoticesAccountThere(Conflict):
    """The organisation has the gateway account “{account_code}” for notices already, and they go
    out through one. Nothing was saved."""

    account_code: str


def add_gateway_account(
    *,
    code: str,
    purpose: AccountPurpose,
    currency: str,
    actor: Actor,
    now: datetime,
    kind: GatewayKind = GatewayKind.SANDBOX,
) -> UUID:
    """Add a gateway account to the organisation in scope; from now on it is used.

    Raises: GatewayAccountInvalid; CurrencyUnknown; GatewayAccountCodeTaken; NoticesAccountThere.
    """
    if fault := find_code_fault(code):
        raise GatewayAccountInvalid(reason=fault, field="code")
    check_currency(currency)
    account_id = new_id()
    with transaction():
        added = execute(
            "INSERT INTO gateway_accounts (organisation_id, id, code, kind, currency, purpose)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (current_organisation_id(), account_id, code, kind.value, currency, purpose.value),
        )
        if not added:
            raise _why_not_added(code, purpose)
        record_event(
            "gateway_account.added",
            account_id,
            actor=actor,
            now=now,
            details={"code": code, "kind": kind.value, "purpose": purpose.value},
        )
    return account_id


def _why_not_added(code: str, purpose: AccountPurpose) -> Conflict:
    """Say what stands in the way; a code may be taken by an account that is not seen from here."""
    there = fetch_one(
        "SELECT code FROM gateway_accounts WHERE purpose = %s AND is_active",
        (AccountPurpose.NOTICES.value,),
    )
    if there is None or purpose is not AccountPurpose.NOTICES or there.code == code:
        return GatewayAccountCodeTaken(account_code=code)
    return NoticesAccountThere(account_code=there.code)


def set_account_rate(
    *,
    gateway_account_id: UUID,
    rate: AccountRate,
    actor: Actor,
    now: datetime,
    seen: AccountRate | None = None,
) -> None:
    """Let a gateway account be called at another rate from now on.

    Shape: `seen` is the rate that the person saw; None takes any. What has gathered at the old rate
    stays, as far as the new one has room for it.
    Raises: RateInvalid; GatewayAccountMissing; RateChanged.
    """
    _check(rate)
    with transaction():
        locked = fetch_one(
            "SELECT id FROM gateway_accounts WHERE organisation_id = %s AND id = %s"
            " FOR NO KEY UPDATE",
            (current_organisation_id(), gateway_account_id),
        )
        if locked is None:
            raise GatewayAccountMissing
        before = get_account_state(gateway_account_id).rate
        if seen is not None and seen != before:
            raise RateChanged
        if rate == before:
            return
        execute(
            f"UPDATE gateway_accounts g SET tokens = LEAST(%(burst)s, {TOKENS_LEFT}),"
            " refilled_at = GREATEST(g.refilled_at, clock_timestamp()),"
            " rate_per_second = %(rate)s, burst = %(burst)s"
            " WHERE g.organisation_id = %(o)s AND g.id = %(id)s",
            {
                "rate": rate.per_second,
                "burst": rate.burst,
                "o": current_organisation_id(),
                "id": gateway_account_id,
            },
        )
        record_event(
            "gateway_account.rate_changed",
            gateway_account_id,
            actor=actor,
            now=now,
            details={"from": _told(before), "to": _told(rate)},
        )
        ring(DELIVERY_BELL)


def _check(rate: AccountRate) -> None:
    """Refuse a rate outside of the bounds.

    Raises: RateInvalid.
    """
    per_second = rate.per_second
    if not per_second.is_finite() or not RATE_MIN <= per_second <= RATE_MAX:
        reason = f"it is {RATE_MIN} to {RATE_MAX} calls a second"
        raise RateInvalid(reason=reason, field="per_second")
    if per_second != round(per_second, RATE_DECIMALS_MAX):
        reason = f"calls a second have at most {RATE_DECIMALS_MAX} decimals"
        raise RateInvalid(reason=reason, field="per_second")
    if not 1 <= rate.burst <= BURST_MAX:
        reason = f"1 to {BURST_MAX} calls may go at once"
        raise RateInvalid(reason=reason, field="burst")


def _told(rate: AccountRate) -> dict[str, str | int]:
    return {"per_second": f"{rate.per_second.normalize():f}", "burst": rate.burst}
