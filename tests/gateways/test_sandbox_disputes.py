"""Disputes at the sandbox: opened at a closing, answered once, won or lost at a later one."""

import asyncio
from datetime import timedelta
from typing import Any

from portal.gateways.base import (
    AnswerKind,
    ChargeOrder,
    DisputeOrder,
    EventKind,
    GatewayEvent,
    ItemKind,
    PayoutItemReport,
    PayoutReport,
    RefundOrder,
)
from tests.gateways.contract import DAY, settled
from tests.gateways.running import SandboxBench, make_order

WINNABLE_MINOR = 50_77721
HOPELESS_MINOR = 50_77722
FEE_MINOR = 1_500


async def disputed(
    bench: SandboxBench, gateway: Any, amount_minor: int
) -> tuple[ChargeOrder, GatewayEvent]:
    """Collect something and let its payer's bank dispute it."""
    order = make_order(amount_minor=amount_minor, business_date=DAY)
    await gateway.charge(order)
    await settled(gateway, order.merchant_ref)
    await gateway.close_day(DAY)
    await gateway.close_day(DAY + timedelta(days=1))
    return order, await bench.wait_event(EventKind.DISPUTE_OPENED, order.merchant_ref)


async def close(gateway: Any, days: int) -> list[PayoutItemReport]:
    """Close a business date after other money has come in, and list what it pays out."""
    order = make_order(amount_minor=900_77700, business_date=DAY + timedelta(days=days))
    await gateway.charge(order)
    await settled(gateway, order.merchant_ref)
    payouts: tuple[PayoutReport, ...] = await gateway.close_day(DAY + timedelta(days=days))
    return [item for payout in payouts for item in payout.items]


def order_about(event: GatewayEvent, **over: Any) -> DisputeOrder:
    """Make what we say to a dispute."""
    fields: dict[str, Any] = {
        "merchant_ref": event.merchant_ref,
        "gateway_ref": event.gateway_ref,
        "idempotency_key": f"key-of-{event.gateway_ref}",
        "amount_minor": event.amount_minor,
        "currency": event.currency,
        "text": "The water was delivered, see the meter.",
    }
    return DisputeOrder(**fields | over)


def test_a_dispute_takes_the_money_and_gives_it_back_when_it_is_won(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            order, opened = await disputed(bench, gateway, WINNABLE_MINOR)
            assert (opened.amount_minor, opened.fee_minor) == (WINNABLE_MINOR, FEE_MINOR)
            assert opened.payload["opened_on"] == str(DAY + timedelta(days=1))
            (taken,) = [
                item for item in await close(gateway, 2) if item.kind is ItemKind.CHARGEBACK
            ]
            assert (taken.gross_minor, taken.fee_minor) == (-WINNABLE_MINOR, FEE_MINOR)
            assert taken.gateway_ref == opened.gateway_ref
            said = order_about(opened)
            answer = await gateway.answer_dispute(said)
            again = await gateway.answer_dispute(said)
            assert answer.kind is again.kind is AnswerKind.PENDING
            items = await close(gateway, 3)
            won = await bench.wait_event(EventKind.DISPUTE_WON, order.merchant_ref)
            asked = await gateway.query_dispute(said)
            effects = {one.merchant_ref: one for one in await gateway.list_effects()}
        assert won.gateway_ref == opened.gateway_ref
        assert asked.kind is AnswerKind.WON
        (back,) = [item for item in items if item.kind is ItemKind.CHARGEBACK_REVERSED]
        assert (back.gross_minor, back.fee_minor) == (WINNABLE_MINOR, 0)
        assert effects[order.merchant_ref].disputed_minor == 0

    asyncio.run(run())


def test_a_dispute_that_is_accepted_is_lost_at_once(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            order, opened = await disputed(bench, gateway, WINNABLE_MINOR)
            answer = await gateway.accept_dispute(order_about(opened, text=""))
            event = await bench.wait_event(EventKind.DISPUTE_LOST, order.merchant_ref)
            late = await gateway.answer_dispute(order_about(opened, idempotency_key="another"))
            (effect,) = await gateway.list_effects()
        assert answer.kind is AnswerKind.LOST
        assert event.gateway_ref == opened.gateway_ref
        assert (late.kind, late.reason_code) == (AnswerKind.DECLINED, "dispute_not_answerable")
        assert effect.disputed_minor == WINNABLE_MINOR

    asyncio.run(run())


def test_what_is_not_answered_in_time_is_lost(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            _, opened = await disputed(bench, gateway, WINNABLE_MINOR)
            await gateway.close_day(DAY + timedelta(days=4))
            waiting = await gateway.query_dispute(order_about(opened))
            await gateway.close_day(DAY + timedelta(days=5))
            over = await gateway.query_dispute(order_about(opened))
        assert (waiting.kind, over.kind) == (AnswerKind.PENDING, AnswerKind.LOST)

    asyncio.run(run())


def test_some_disputes_are_lost_whatever_is_answered(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            order, opened = await disputed(bench, gateway, HOPELESS_MINOR)
            await gateway.answer_dispute(order_about(opened))
            await gateway.close_day(DAY + timedelta(days=2))
            event = await bench.wait_event(EventKind.DISPUTE_LOST, order.merchant_ref)
        assert event.reason_code == "fraudulent"

    asyncio.run(run())


def test_nothing_is_given_back_of_what_is_disputed(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            order, _ = await disputed(bench, gateway, WINNABLE_MINOR)
            answer = await gateway.refund(
                RefundOrder("refund-1", "key-1", order.merchant_ref, 100, "EUR", DAY)
            )
        assert (answer.kind, answer.reason_code) == (AnswerKind.DECLINED, "refund_exceeds_charge")

    asyncio.run(run())


def test_an_unknown_dispute_is_not_found(bench: SandboxBench) -> None:
    async def run() -> None:
        nobody = DisputeOrder("attempt-x", "dp_nobody", "key-x", 100, "EUR", "Who?")
        async with bench.open() as gateway:
            asked = await gateway.query_dispute(nobody)
            told = await gateway.answer_dispute(nobody)
        assert asked.kind is AnswerKind.NOT_FOUND
        assert (told.kind, told.reason_code) == (AnswerKind.DECLINED, "dispute_not_found")

    asyncio.run(run())
