"""Looking for what did not come, and comparing the gateways' own records with ours."""

import asyncio

import structlog

from portal.clock import now_utc
from portal.db import acting_for
from portal.gateways.base import Effect, GatewayAccess, open_gateway
from portal.services.cases import (
    ComparedAccount,
    claim_comparisons,
    compare_record,
    watch_organisations,
)
from portal.services.gateways import gateway_access

log = structlog.stdlib.get_logger(__name__)


def look_after_organisations() -> None:
    """Open and resolve the cases that are due to be looked at, and compare records now and then."""
    if not watch_organisations(now=now_utc()):
        return
    for account in claim_comparisons(now=now_utc()):
        try:
            _compare(account)
        except Exception:
            # A gateway that does not answer is asked again; its cases stay as they are.
            log.exception("comparison.broke", account=account.code)


def _compare(account: ComparedAccount) -> None:
    """Read a gateway's record with no transaction open, then compare it."""
    read_at = now_utc()
    effects = asyncio.run(
        _read_record(gateway_access(kind=account.kind, account_code=account.code))
    )
    with acting_for(account.organisation_id):
        compare_record(
            gateway_account_id=account.id, effects=effects, read_at=read_at, now=now_utc()
        )


async def _read_record(access: GatewayAccess) -> tuple[Effect, ...]:
    async with open_gateway(access) as gateway:
        return await gateway.list_effects()
