"""The protocol that every gateway keeps, and the ways in: open one, call it often, read its events.

How a call is classified lives in `http.py`; what a vendor's words mean lives beside its client.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date
from typing import Protocol, TypeVar

from portal.gateways.sandbox.events import read_sandbox_event
from portal.gateways.values import (
    AnswerKind,
    ChargeOrder,
    DisputeOrder,
    Effect,
    EffectState,
    EventKind,
    EventMalformed,
    GatewayAccess,
    GatewayAnswer,
    GatewayEvent,
    GatewayKind,
    GatewayUnreachable,
    GatewayUnsupported,
    ItemKind,
    NoticeOrder,
    PayoutItemReport,
    PayoutReport,
    RefundOrder,
    SignatureInvalid,
)

__all__ = [
    "AnswerKind",
    "ChargeOrder",
    "DisputeOrder",
    "Effect",
    "EffectState",
    "EventKind",
    "EventMalformed",
    "Gateway",
    "GatewayAccess",
    "GatewayAnswer",
    "GatewayEvent",
    "GatewayKind",
    "GatewayUnreachable",
    "GatewayUnsupported",
    "ItemKind",
    "NoticeOrder",
    "PayoutItemReport",
    "PayoutReport",
    "RefundOrder",
    "SignatureInvalid",
    "call_all",
    "open_gateway",
    "read_event",
]

logger = logging.getLogger("portal.gateways")

Order = TypeVar("Order")


class Gateway(Protocol):
    """One open gateway account; opened by `open_gateway`."""

    async def charge(self, order: ChargeOrder) -> GatewayAnswer:
        """Send one charge; trouble is an answer, never an exception."""

    async def query(self, merchant_ref: str) -> GatewayAnswer:
        """Ask what became of a charge; trouble answers `unknown`, never `not_sent`."""

    async def refund(self, order: RefundOrder) -> GatewayAnswer:
        """Give back a part of a charge; trouble is an answer, never an exception."""

    async def query_refund(self, merchant_ref: str) -> GatewayAnswer:
        """Ask what became of a refund; trouble answers `unknown`, never `not_sent`."""

    async def answer_dispute(self, order: DisputeOrder) -> GatewayAnswer:
        """Hand in our answer to a dispute; the same key again changes nothing."""

    async def accept_dispute(self, order: DisputeOrder) -> GatewayAnswer:
        """Give a dispute up; the same key again changes nothing."""

    async def query_dispute(self, order: DisputeOrder) -> GatewayAnswer:
        """Ask what became of a dispute; while it is open that answers `pending`."""

    async def notify(self, order: NoticeOrder) -> GatewayAnswer:
        """Hand over one notice to its payer; `succeeded` when it was taken, now or before.

        The key names the notice: what comes again under it sends nothing, whatever it says by then.
        """

    async def close_day(self, business_date: date) -> tuple[PayoutReport, ...]:
        """Say that a business date is over and read its payouts; the same when asked again.

        Raises: GatewayUnreachable.
        """

    async def list_effects(self) -> tuple[Effect, ...]:
        """Read the gateway's own record of this account, whole.

        Raises: GatewayUnreachable.
        """

    async def list_events(self, after: str | None) -> tuple[tuple[GatewayEvent, ...], str | None]:
        """Read one page of events behind a cursor, to catch up what webhooks lost.

        Shape: oldest first, and the cursor behind them; no events when there are no more.
        Raises: GatewayUnreachable.
        """


def open_gateway(access: GatewayAccess) -> AbstractAsyncContextManager[Gateway]:
    """Open one gateway account with one pool of connections, to be used in one event loop.

    Raises: GatewayUnsupported.
    """
    if access.kind == GatewayKind.SANDBOX:
        # Only a process that calls a gateway pays for loading the HTTP client.
        from portal.gateways.sandbox.client import open_sandbox

        return open_sandbox(access)
    raise GatewayUnsupported(kind=access.kind)


def read_event(access: GatewayAccess, headers: Mapping[str, str], raw: bytes) -> GatewayEvent:
    """Verify the signature over the raw bytes with each active secret, then read the event.

    Raises: SignatureInvalid; EventMalformed; GatewayUnsupported.
    """
    if access.kind == GatewayKind.SANDBOX:
        return read_sandbox_event(access, headers, raw)
    raise GatewayUnsupported(kind=access.kind)


async def call_all(
    gateway_call: Callable[[Order], Awaitable[GatewayAnswer]],
    orders: Sequence[Order],
    in_flight_max: int,
) -> list[GatewayAnswer]:
    """Make many calls at once, never more than the limit in flight.

    Shape: one answer per order, same order; a call that breaks answers `unknown` for itself only.
    """
    answers: list[GatewayAnswer | None] = [None] * len(orders)
    waiting = iter(enumerate(orders))

    async def work() -> None:
        for place, order in waiting:
            answers[place] = await _call_one(gateway_call, order)

    # A fixed crew of workers costs less than one task and one semaphore turn per order.
    crew = min(max(in_flight_max, 1), len(orders))
    await asyncio.gather(*(work() for _ in range(crew)))
    return [answer for answer in answers if answer is not None]


async def _call_one(
    gateway_call: Callable[[Order], Awaitable[GatewayAnswer]], order: Order
) -> GatewayAnswer:
    try:
        return await gateway_call(order)
    except Exception as error:
        # A fault of ours in mid-call may have reached the gateway: only asking tells.
        logger.exception("gateway.call_broke")
        return GatewayAnswer(AnswerKind.UNKNOWN, error=f"the call broke: {type(error).__name__}")
