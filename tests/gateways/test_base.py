"""Many calls at once: in order, within the limit, and each on its own."""

import asyncio

import pytest

from portal.gateways.base import AnswerKind, GatewayAnswer, call_all


@pytest.mark.parametrize(("orders", "limit"), [(0, 5), (1, 5), (3, 5), (50, 5), (50, 1), (4, 0)])
def test_answers_come_in_the_order_of_the_orders(orders: int, limit: int) -> None:
    in_flight = most = 0

    async def call(number: int) -> GatewayAnswer:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        # Later ones come back earlier.
        for _ in range(orders - number):
            await asyncio.sleep(0)
        in_flight -= 1
        return GatewayAnswer(AnswerKind.PENDING, gateway_ref=str(number))

    answers = asyncio.run(call_all(call, range(orders), limit))
    assert [answer.gateway_ref for answer in answers] == [str(number) for number in range(orders)]
    assert most == min(orders, max(limit, 1))


def test_a_call_that_breaks_is_unknown_and_breaks_no_other() -> None:
    async def call(number: int) -> GatewayAnswer:
        await asyncio.sleep(0)
        if number % 3 == 0:
            raise RuntimeError("a fault of ours")
        return GatewayAnswer(AnswerKind.PENDING)

    answers = asyncio.run(call_all(call, range(7), 2))
    unknown, pending = AnswerKind.UNKNOWN, AnswerKind.PENDING
    expected = [unknown, pending, pending, unknown, pending, pending, unknown]
    assert [answer.kind for answer in answers] == expected
    assert "RuntimeError" in (answers[0].error or "")


def test_stopping_stops_all_calls() -> None:
    started = 0

    async def run() -> None:
        all_started = asyncio.Event()

        async def call(_number: int) -> GatewayAnswer:
            nonlocal started
            started += 1
            if started == 4:
                all_started.set()
            await asyncio.Event().wait()
            return GatewayAnswer(AnswerKind.PENDING)

        calling = asyncio.create_task(call_all(call, range(10), 4))
        await all_started.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling

    asyncio.run(run())
    assert started == 4
