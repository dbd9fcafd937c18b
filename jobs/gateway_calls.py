"""The calls that a parcel of leased messages asks for, many in flight; no database in here."""

import asyncio
from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import NamedTuple
from uuid import UUID

import structlog

from portal.domain.errors import PortalError
from portal.domain.messages import MessageKind
from portal.gateways.base import (
    ChargeOrder,
    DisputeOrder,
    Gateway,
    GatewayAccess,
    GatewayAnswer,
    GatewayEvent,
    NoticeOrder,
    PayoutReport,
    RefundOrder,
    call_all,
    open_gateway,
)
from portal.services.messages import (
    Claimed,
)

log = structlog.stdlib.get_logger(__name__)


class Account(NamedTuple):
    """The gateway account whose messages are delivered."""

    organisation_id: UUID
    id: UUID
    code: str
    kind: str


class Parcel(NamedTuple):
    """What one worker leased of one account, sorted by what is done with it."""

    charges: list[tuple[Claimed, ChargeOrder]]
    queries: list[tuple[Claimed, str]]
    closings: list[Claimed]
    listings: list[tuple[Claimed, str | None]]
    refunds: Sequence[tuple[Claimed, RefundOrder]] = ()
    refund_queries: Sequence[tuple[Claimed, str]] = ()
    disputes: Sequence[tuple[Claimed, DisputeOrder]] = ()
    notices: Sequence[tuple[Claimed, NoticeOrder]] = ()

    def is_empty(self) -> bool:
        """Say whether there is nothing to call for."""
        return not any(self)


class Answers(NamedTuple):
    """What the gateway answered to a parcel; an error text stands for a call that failed."""

    charges: Sequence[GatewayAnswer]
    queries: Sequence[GatewayAnswer]
    closings: Sequence[tuple[PayoutReport, ...] | str]
    listings: Sequence[tuple[tuple[GatewayEvent, ...], str | None] | str]
    refunds: Sequence[GatewayAnswer] = ()
    refund_queries: Sequence[GatewayAnswer] = ()
    disputes: Sequence[GatewayAnswer] = ()
    notices: Sequence[GatewayAnswer] = ()


async def call_gateway(access: GatewayAccess, parcel: Parcel) -> Answers:
    """Make every call of a parcel at once; what fails is told by its answer."""
    async with open_gateway(access) as gateway:
        most = access.in_flight_max
        told, disputes, notices = await asyncio.gather(
            asyncio.gather(
                call_all(gateway.charge, [order for _, order in parcel.charges], most),
                call_all(gateway.query, [ref for _, ref in parcel.queries], most),
                asyncio.gather(*(_close_day(gateway, message) for message in parcel.closings)),
                asyncio.gather(
                    *(_list_events(gateway, message, after) for message, after in parcel.listings)
                ),
                call_all(gateway.refund, [order for _, order in parcel.refunds], most),
                call_all(gateway.query_refund, [ref for _, ref in parcel.refund_queries], most),
            ),
            call_all(partial(_speak, gateway), parcel.disputes, most),
            call_all(gateway.notify, [order for _, order in parcel.notices], most),
        )
    return Answers(*told, disputes, notices)


async def _speak(gateway: Gateway, call: tuple[Claimed, DisputeOrder]) -> GatewayAnswer:
    """Say or ask what a message about a dispute is for."""
    message, order = call
    match MessageKind(message.kind):
        case MessageKind.DISPUTE_ANSWER:
            return await gateway.answer_dispute(order)
        case MessageKind.DISPUTE_ACCEPT:
            return await gateway.accept_dispute(order)
    return await gateway.query_dispute(order)


async def _close_day(gateway: Gateway, message: Claimed) -> tuple[PayoutReport, ...] | str:
    try:
        return await gateway.close_day(date.fromisoformat(message.payload["business_on"]))
    except PortalError as error:
        return error.message
    except Exception as error:
        # What stands in one message must not take the others of its parcel with it.
        log.exception("errand.broke", message_id=str(message.id))
        return repr(error)[:500]


async def _list_events(
    gateway: Gateway, message: Claimed, after: str | None
) -> tuple[tuple[GatewayEvent, ...], str | None] | str:
    try:
        found: list[GatewayEvent] = []
        while True:
            events, cursor = await gateway.list_events(after)
            found += events
            is_last = not events or cursor in (None, after)
            after = cursor or after
            if is_last:
                return tuple(found), after
    except PortalError as error:
        return error.message
    except Exception as error:
        # What stands in one message must not take the others of its parcel with it.
        log.exception("errand.broke", message_id=str(message.id))
        return repr(error)[:500]
