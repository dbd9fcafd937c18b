"""The sandbox keeps the contract of every gateway, and goes wrong exactly as it is told."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portal.gateways.base import (
    AnswerKind,
    ChargeOrder,
    EffectState,
    GatewayUnreachable,
    GatewayUnsupported,
    call_all,
    open_gateway,
)
from portal.gateways.sandbox.keys import derive_key
from tests.gateways.contract import CASES, DAY, Bench, settled
from tests.gateways.running import (
    SECRET,
    SandboxBench,
    make_order,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_contract_holds(
    case: Callable[[Bench], Coroutine[Any, Any, None]], bench: SandboxBench
) -> None:
    asyncio.run(case(bench))


@pytest.mark.parametrize(
    ("ending", "answered", "becomes"),
    [
        (77700, AnswerKind.PENDING, AnswerKind.SUCCEEDED),
        (77702, AnswerKind.PENDING, AnswerKind.DECLINED),
        (77708, AnswerKind.PENDING, AnswerKind.SUCCEEDED),
        (77711, AnswerKind.UNKNOWN, AnswerKind.SUCCEEDED),
        (77712, AnswerKind.UNKNOWN, AnswerKind.SUCCEEDED),
        (77713, AnswerKind.UNKNOWN, AnswerKind.NOT_FOUND),
        (77714, AnswerKind.UNKNOWN, AnswerKind.NOT_FOUND),
        (77715, AnswerKind.NOT_SENT, AnswerKind.NOT_FOUND),
        (77716, AnswerKind.MISMATCH, AnswerKind.SUCCEEDED),
        (77717, AnswerKind.UNKNOWN, AnswerKind.SUCCEEDED),
        (77718, AnswerKind.UNKNOWN, AnswerKind.SUCCEEDED),
    ],
)
def test_a_magic_amount_goes_wrong_once_and_the_same_key_cures_it(
    bench: SandboxBench, ending: int, answered: AnswerKind, becomes: AnswerKind
) -> None:
    order = make_order(amount_minor=ending)

    async def run() -> None:
        async with bench.open(timeout_seconds=1.0) as gateway:
            first = await gateway.charge(order)
            assert first.kind == answered
            assert (await settled(gateway, order.merchant_ref)).kind == becomes
            again = await gateway.charge(order)
            assert again.kind == AnswerKind.PENDING
            last = await settled(gateway, order.merchant_ref)
            expected = AnswerKind.SUCCEEDED if becomes == AnswerKind.NOT_FOUND else becomes
            assert last.kind == expected
            effects = await gateway.list_effects()
            assert len(effects) == (expected == AnswerKind.SUCCEEDED)

    asyncio.run(run())


def test_too_many_requests_says_when_to_come_back(bench: SandboxBench) -> None:
    answer = _charge(bench, make_order(amount_minor=77715))
    assert (answer.http_status, answer.retry_after_seconds) == (429, 1.0)


def test_a_lost_event_is_listed_and_a_doubled_one_is_pushed_twice(bench: SandboxBench) -> None:
    lost, doubled = make_order(amount_minor=77708), make_order(amount_minor=77709)

    async def run() -> None:
        async with bench.open() as gateway:
            await gateway.charge(lost)
            await settled(gateway, lost.merchant_ref)
            await gateway.charge(doubled)
            waited = bench.sandbox.receiver.wait
            came = await asyncio.to_thread(waited, bench.account_code, '"id"', times=2)
            events, _ = await gateway.list_events(None)
        assert all(doubled.merchant_ref.encode() in raw for _, raw in came)
        assert len({raw for _, raw in came}) == 1
        assert [event.merchant_ref for event in events] == [
            lost.merchant_ref,
            doubled.merchant_ref,
        ]

    asyncio.run(run())


def test_an_event_out_of_order_comes_behind_a_later_one(bench: SandboxBench) -> None:
    early, later = make_order(amount_minor=77710), make_order(amount_minor=77700)

    async def run() -> None:
        async with bench.open() as gateway:
            await gateway.charge(early)
            await settled(gateway, early.merchant_ref)
            await gateway.charge(later)
            waited = bench.sandbox.receiver.wait
            came = await asyncio.to_thread(waited, bench.account_code, '"id"', times=2)
        assert later.merchant_ref.encode() in came[0][1]
        assert early.merchant_ref.encode() in came[1][1]

    asyncio.run(run())


def test_a_charge_can_be_hidden_from_questions_for_a_while(bench: SandboxBench) -> None:
    order = make_order(amount_minor=77720)

    async def run() -> None:
        async with bench.open() as gateway:
            assert (await gateway.charge(order)).kind == AnswerKind.UNKNOWN
            assert (await gateway.query(order.merchant_ref)).kind == AnswerKind.NOT_FOUND
            while (await gateway.query(order.merchant_ref)).kind == AnswerKind.NOT_FOUND:
                assert len(await gateway.list_effects()) <= 1
            assert (await settled(gateway, order.merchant_ref)).kind == AnswerKind.SUCCEEDED

    asyncio.run(run())


def test_a_return_above_the_takings_is_carried_to_the_next_payout(bench: SandboxBench) -> None:
    big, small = make_order(amount_minor=9_77706), make_order(amount_minor=1_77700)
    small = replace(small, business_date=DAY + timedelta(days=1))
    enough = replace(make_order(amount_minor=30_77700), business_date=DAY + timedelta(days=2))

    async def run() -> None:
        async with bench.open() as gateway:
            await call_all(gateway.charge, [big, small, enough], 3)
            for order in (big, small, enough):
                await settled(gateway, order.merchant_ref)
            (first,) = await gateway.close_day(DAY)
            assert await gateway.close_day(DAY + timedelta(days=1)) == ()
            (last,) = await gateway.close_day(DAY + timedelta(days=2))
            effects = await gateway.list_effects()
        assert [item.merchant_ref for item in last.items] == [
            small.merchant_ref,
            enough.merchant_ref,
            big.merchant_ref,
        ]
        kept = sum(
            effect.amount_minor - effect.fee_minor
            for effect in effects
            if effect.state == EffectState.SUCCEEDED
        )
        costs = sum(
            effect.fee_minor + effect.return_fee_minor
            for effect in effects
            if effect.state == EffectState.RETURNED
        )
        assert first.net_minor + last.net_minor == kept - costs

    asyncio.run(run())


def test_the_fee_is_twenty_and_a_fifth_of_a_percent_rounded_half_up(bench: SandboxBench) -> None:
    order = make_order(amount_minor=1_77700)

    async def run() -> None:
        async with bench.open() as gateway:
            await gateway.charge(order)
            assert (await settled(gateway, order.merchant_ref)).fee_minor == 20 + 355

    asyncio.run(run())  # 0.2 % of 177,700 is 355.4


def test_another_account_sees_nothing(bench: SandboxBench) -> None:
    order = make_order()

    async def run() -> None:
        async with bench.open() as gateway:
            await gateway.charge(order)
            await settled(gateway, order.merchant_ref)
        stranger = bench.sandbox.access(bench.account_code + "-other")
        async with open_gateway(stranger) as gateway:
            assert (await gateway.query(order.merchant_ref)).kind == AnswerKind.NOT_FOUND
            assert await gateway.list_effects() == ()
            assert await gateway.list_events(None) == ((), "0")
            assert await gateway.close_day(DAY) == ()

    asyncio.run(run())


def test_a_wrong_key_sends_nothing_and_reads_nothing(bench: SandboxBench) -> None:
    order = make_order()
    key_of_another = derive_key(SECRET, "another", "api")

    async def run() -> None:
        async with bench.open(api_key=key_of_another) as gateway:
            assert (await gateway.charge(order)).kind == AnswerKind.NOT_SENT
            assert (await gateway.query(order.merchant_ref)).kind == AnswerKind.UNKNOWN
            for reading in (gateway.close_day(DAY), gateway.list_effects()):
                with pytest.raises(GatewayUnreachable):
                    await reading
        async with bench.open() as gateway:
            assert (await gateway.query(order.merchant_ref)).kind == AnswerKind.NOT_FOUND

    asyncio.run(run())


@pytest.mark.parametrize(
    "over", [{"amount_minor": 0}, {"currency": "euro"}, {"merchant_ref": ""}, {"payment_ref": "\0"}]
)
def test_an_order_that_cannot_be_right_is_refused_for_good(
    bench: SandboxBench, over: dict[str, Any]
) -> None:
    answer = _charge(bench, make_order(**over))
    assert (answer.kind, answer.reason_code) == (AnswerKind.DECLINED, "request_malformed")


def test_an_unknown_kind_of_gateway_is_refused(bench: SandboxBench) -> None:
    with pytest.raises(GatewayUnsupported, match="nothing was sent"):
        open_gateway(replace(bench.access, kind="abacus"))


def _charge(bench: SandboxBench, order: ChargeOrder) -> Any:
    async def run() -> Any:
        async with bench.open() as gateway:
            return await gateway.charge(order)

    return asyncio.run(run())
