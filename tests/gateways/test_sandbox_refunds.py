"""Refunds at the sandbox: once each, never beyond their charge, and never of what was returned."""

import asyncio
import itertools
import os
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portal.gateways.base import (
    AnswerKind,
    ChargeOrder,
    EventKind,
    GatewayAnswer,
    ItemKind,
    RefundOrder,
    call_all,
)
from tests.gateways.contract import DAY, WAIT_SECONDS_MAX, settled
from tests.gateways.running import SECRET, SandboxBench, ask, make_order

CHARGED_MINOR = 1_77700
numbers = itertools.count(1)


def refund_of(order: ChargeOrder, amount_minor: int, **over: Any) -> RefundOrder:
    """Make an order to give back a part of a charge."""
    number = next(numbers)
    fields: dict[str, Any] = {
        "merchant_ref": f"refund-{os.getpid()}-{number}",
        "idempotency_key": f"key-of-refund-{os.getpid()}-{number}",
        "charge_ref": order.merchant_ref,
        "amount_minor": amount_minor,
        "currency": order.currency,
        "business_date": order.business_date,
    }
    return RefundOrder(**fields | over)


async def charged(gateway: Any, **over: Any) -> ChargeOrder:
    """Collect something."""
    order = make_order(**{"amount_minor": CHARGED_MINOR, **over})
    await gateway.charge(order)
    await settled(gateway, order.merchant_ref)
    return order


async def decided(gateway: Any, merchant_ref: str) -> GatewayAnswer:
    """Ask until the result of a refund is there."""
    until = time.monotonic() + WAIT_SECONDS_MAX
    answer: GatewayAnswer = await gateway.query_refund(merchant_ref)
    undecided = (AnswerKind.PENDING, AnswerKind.NOT_FOUND)
    while answer.kind in undecided and time.monotonic() < until:
        await asyncio.sleep(0.02)
        answer = await gateway.query_refund(merchant_ref)
    return answer


def test_a_refund_is_accepted_told_and_set_off(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            order = await charged(gateway)
            refund = refund_of(order, 77700)
            answer = await gateway.refund(refund)
            event = await bench.wait_event(EventKind.REFUND_SUCCEEDED, refund.merchant_ref)
            asked = await gateway.query_refund(refund.merchant_ref)
            (payout,) = await gateway.close_day(DAY)
            (effect,) = await gateway.list_effects()
        assert answer.kind is AnswerKind.PENDING
        assert asked.kind is AnswerKind.SUCCEEDED
        assert asked.gateway_ref == answer.gateway_ref == event.gateway_ref
        assert (event.amount_minor, event.currency, event.fee_minor) == (77700, "EUR", 0)
        assert effect.refunded_minor == 77700
        (item,) = [item for item in payout.items if item.kind is ItemKind.REFUND]
        assert (item.merchant_ref, item.gross_minor, item.fee_minor) == (
            refund.merchant_ref, -77700, 0,
        )  # fmt: skip
        assert payout.gross_minor == CHARGED_MINOR - 77700
        assert payout.net_minor == sum(each.net_minor for each in payout.items)

    asyncio.run(run())


def test_the_same_refund_sent_often_gives_back_once(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            refund = refund_of(await charged(gateway), 77700)
            answers = await call_all(gateway.refund, [refund] * 8, 8)
            await decided(gateway, refund.merchant_ref)
            (effect,) = await gateway.list_effects()
        assert len({answer.gateway_ref for answer in answers}) == 1
        assert effect.refunded_minor == 77700

    asyncio.run(run())


def test_a_used_key_or_reference_is_never_another_refund(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            refund = refund_of(await charged(gateway), 100)
            await gateway.refund(refund)
            larger = await gateway.refund(replace(refund, amount_minor=200))
            renamed = await gateway.refund(replace(refund, idempotency_key="another"))
        assert {larger.kind, renamed.kind} <= {AnswerKind.UNKNOWN, AnswerKind.MISMATCH}

    asyncio.run(run())


def test_no_more_is_given_back_than_was_charged(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            order = await charged(gateway)
            first = refund_of(order, CHARGED_MINOR)
            # What is under way counts, whoever asks first.
            answers = await call_all(gateway.refund, [first, refund_of(order, 100)], 1)
            await decided(gateway, first.merchant_ref)
            (effect,) = await gateway.list_effects()
        assert [answer.kind for answer in answers] == [AnswerKind.PENDING, AnswerKind.DECLINED]
        assert answers[1].reason_code == "refund_exceeds_charge"
        assert effect.refunded_minor == CHARGED_MINOR

    asyncio.run(run())


@pytest.mark.parametrize(
    ("over", "code"),
    [
        ({"charge_ref": "nobody's"}, "charge_not_found"),
        ({"currency": "CHF"}, "charge_not_found"),
        ({"amount_minor": 0}, "request_malformed"),
    ],
)
def test_what_cannot_be_given_back_is_refused(
    bench: SandboxBench, over: dict[str, Any], code: str
) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            answer = await gateway.refund(replace(refund_of(await charged(gateway), 100), **over))
        assert (answer.kind, answer.reason_code) == (AnswerKind.DECLINED, code)

    asyncio.run(run())


def test_a_declined_charge_has_nothing_to_give(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            order = await charged(gateway, amount_minor=1_77701)
            answer = await gateway.refund(refund_of(order, 100))
        assert answer.reason_code == "charge_not_refundable"

    asyncio.run(run())


def test_a_returned_charge_is_not_given_back_as_well(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            order = await charged(gateway, amount_minor=1_77706)
            await gateway.close_day(DAY)
            await gateway.close_day(DAY + timedelta(days=1))
            answer = await gateway.refund(refund_of(order, 100))
        assert (answer.kind, answer.reason_code) == (AnswerKind.DECLINED, "charge_returned")

    asyncio.run(run())


def test_what_was_given_back_is_not_returned_as_well(bench: SandboxBench) -> None:
    async def run() -> None:
        async with bench.open() as gateway:
            order = await charged(gateway, amount_minor=1_77706)
            # An amount that is always given back: others may be drawn to fail.
            refund = refund_of(order, 77700)
            await gateway.refund(refund)
            await decided(gateway, refund.merchant_ref)
            for days in range(4):
                await gateway.close_day(DAY + timedelta(days=days))
            kind = (await gateway.query(order.merchant_ref)).kind
        assert kind is AnswerKind.SUCCEEDED
        report = ask(bench.sandbox, "/v1/report", secret=SECRET)
        assert report["refunded_beyond_charge"] == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("ending", "answered", "becomes"),
    [
        (77702, AnswerKind.PENDING, AnswerKind.DECLINED),
        (77711, AnswerKind.UNKNOWN, AnswerKind.SUCCEEDED),
        (77712, AnswerKind.UNKNOWN, AnswerKind.SUCCEEDED),
        (77715, AnswerKind.NOT_SENT, AnswerKind.NOT_FOUND),
        (77716, AnswerKind.MISMATCH, AnswerKind.SUCCEEDED),
        (77717, AnswerKind.UNKNOWN, AnswerKind.SUCCEEDED),
        (77718, AnswerKind.UNKNOWN, AnswerKind.SUCCEEDED),
        (77720, AnswerKind.UNKNOWN, AnswerKind.SUCCEEDED),
    ],
)
def test_a_refund_goes_wrong_as_a_charge_does(
    bench: SandboxBench, ending: int, answered: AnswerKind, becomes: AnswerKind
) -> None:
    async def run() -> None:
        async with bench.open(timeout_seconds=1.0) as gateway:
            refund = refund_of(await charged(gateway, amount_minor=3_77700), ending)
            assert (await gateway.refund(refund)).kind is answered
            if becomes is AnswerKind.NOT_FOUND:
                asked = await gateway.query_refund(refund.merchant_ref)
                assert asked.kind is AnswerKind.NOT_FOUND
            else:
                assert (await decided(gateway, refund.merchant_ref)).kind is becomes
            assert (await gateway.refund(refund)).kind is AnswerKind.PENDING or (ending == 77716)

    asyncio.run(run())


def test_another_account_sees_no_refund(bench: SandboxBench) -> None:
    other = SandboxBench(bench.sandbox, bench.account_code + "-other")

    async def run() -> None:
        async with bench.open() as gateway:
            order = await charged(gateway)
            refund = refund_of(order, 100)
            await gateway.refund(refund)
        async with other.open() as gateway:
            found = await gateway.query_refund(refund.merchant_ref)
            stolen = await gateway.refund(refund_of(order, 100))
        assert found.kind is AnswerKind.NOT_FOUND
        assert stolen.reason_code == "charge_not_found"

    asyncio.run(run())
