"""The sandbox as a process: its record survives, its report judges, its switches work."""

import asyncio
import os
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from portal.gateways.base import (
    AnswerKind,
    ChargeOrder,
    call_all,
    open_gateway,
)
from tests.gateways.contract import DAY, settled
from tests.gateways.running import (
    Receiver,
    Sandbox,
    SandboxBench,
    ask,
    make_order,
    start_sandbox,
    stop_process,
)


def test_long_books_are_read_to_their_end(own_sandbox: Sandbox) -> None:
    orders = [make_order(amount_minor=77700) for _ in range(1_203)]

    async def run() -> None:
        async with open_gateway(own_sandbox.access("long")) as gateway:
            answers = await call_all(gateway.charge, orders, 50)
            assert {answer.kind for answer in answers} == {AnswerKind.PENDING}
            for order in orders:
                await settled(gateway, order.merchant_ref)
            (payout,) = await gateway.close_day(DAY)
            effects = await gateway.list_effects()
            events, cursor = await gateway.list_events(None)
            while cursor and (page := await gateway.list_events(cursor))[0]:
                events, cursor = events + page[0], page[1]
        names = {order.merchant_ref for order in orders}
        assert {item.merchant_ref for item in payout.items} == names
        assert len(payout.items) == len(effects) == len(orders)
        assert len({event.event_id for event in events}) == len(orders) + 1

    asyncio.run(run())


def test_killed_after_an_answer_it_still_knows_and_still_tells(own_sandbox: Sandbox) -> None:
    bench = SandboxBench(own_sandbox, f"killed-{os.getpid()}")
    orders = [make_order() for _ in range(20)]

    async def send() -> None:
        async with bench.open() as gateway:
            answers = await call_all(gateway.charge, orders, 20)
            assert {answer.kind for answer in answers} == {AnswerKind.PENDING}

    async def look() -> None:
        async with bench.open() as gateway:
            for order in orders:
                assert (await settled(gateway, order.merchant_ref)).kind == AnswerKind.SUCCEEDED
            assert len(await gateway.list_effects()) == len(orders)

    own_sandbox.receiver.is_down = True
    asyncio.run(send())
    own_sandbox.restart()
    asyncio.run(look())
    own_sandbox.receiver.is_down = False
    for order in orders:
        own_sandbox.receiver.wait(bench.account_code, f'"{order.merchant_ref}"')


def test_the_report_finds_what_was_charged_twice(own_sandbox: Sandbox) -> None:
    first = make_order(invoice_total_minor=1_77700)
    second = replace(make_order(), payment_ref=first.payment_ref)
    third = replace(make_order(invoice_total_minor=1_77700), invoice_ref=first.invoice_ref)
    returned = make_order(amount_minor=1_77706)
    retried = replace(make_order(), payment_ref=returned.payment_ref)

    async def run(orders: list[ChargeOrder]) -> None:
        async with open_gateway(own_sandbox.access("twice")) as gateway:
            for order in orders:
                await gateway.charge(order)
                await settled(gateway, order.merchant_ref)

    async def close() -> None:
        async with open_gateway(own_sandbox.access("twice")) as gateway:
            await gateway.close_day(DAY)
            await gateway.close_day(DAY + timedelta(days=1))

    asyncio.run(run([first, returned]))
    asyncio.run(close())
    asyncio.run(run([retried]))
    assert ask(own_sandbox, "/v1/report")["charged_twice"] == 0
    asyncio.run(run([second, third]))
    report = ask(own_sandbox, "/v1/report")
    assert report["charged_twice"] == 2
    assert report["payments_charged_twice"] == [f"twice/{first.payment_ref}"]
    assert report["invoices_overcharged"] == [f"twice/{first.invoice_ref}"]
    assert report["charges"] == 5


def test_rough_faults_are_counted_and_resending_charges_nobody_twice(
    own_sandbox: Sandbox,
) -> None:
    assert ask(own_sandbox, "/v1/control", {"faults": "rough"})["faults"] == "rough"
    orders = [make_order(amount_minor=4_200, invoice_total_minor=4_200) for _ in range(400)]

    async def run() -> Counter[AnswerKind]:
        async with open_gateway(own_sandbox.access("rough", timeout_seconds=2.0)) as gateway:
            answers = await call_all(gateway.charge, orders, 50)
            await call_all(gateway.charge, orders, 50)
            for order in orders:
                await settled(gateway, order.merchant_ref)
            return Counter(answer.kind for answer in answers)

    kinds = asyncio.run(run())
    report = ask(own_sandbox, "/v1/report")
    faults = report["faults"]
    assert report["charges"] == len(orders)
    assert report["charged_twice"] == 0
    assert kinds[AnswerKind.NOT_SENT] == faults["too_many_requests"] > 0
    troubled = ("server_error_before", "server_error_after", "reset_before", "reset_after")
    rare = ("timeout_after", "stale_query")
    unknown = sum(faults[name] for name in troubled) + sum(faults.get(name, 0) for name in rare)
    assert kinds[AnswerKind.UNKNOWN] == unknown > 0
    assert faults["event_duplicate"] > 0
    assert faults["event_lost"] > 0


def test_ordered_failures_hit_the_next_requests_only(own_sandbox: Sandbox) -> None:
    ask(own_sandbox, "/v1/control", {"fail_next": 2, "fail_status": 500})
    orders = [make_order() for _ in range(3)]

    async def run() -> list[AnswerKind]:
        async with open_gateway(own_sandbox.access("failing")) as gateway:
            return [(await gateway.charge(order)).kind for order in orders]

    assert asyncio.run(run()) == [AnswerKind.UNKNOWN, AnswerKind.UNKNOWN, AnswerKind.PENDING]
    assert ask(own_sandbox, "/v1/report")["faults"] == {"failed_by_control": 2}


def test_held_answers_leave_the_effect_and_no_answer(own_sandbox: Sandbox) -> None:
    order = make_order()
    access = own_sandbox.access("held", timeout_seconds=1.0)

    async def run(call: str) -> AnswerKind:
        async with open_gateway(access) as gateway:
            if call == "charge":
                return (await gateway.charge(order)).kind
            return (await settled(gateway, order.merchant_ref)).kind

    ask(own_sandbox, "/v1/control", {"hold": True})
    assert asyncio.run(run("charge")) == AnswerKind.UNKNOWN
    ask(own_sandbox, "/v1/control", {"hold": False})
    assert asyncio.run(run("settled")) == AnswerKind.SUCCEEDED


def test_report_and_control_are_for_the_master_secret_only(bench: SandboxBench) -> None:
    for secret in ("", "guess", bench.access.api_key):
        for path, body in (("/v1/report", None), ("/v1/control", {"hold": True})):
            with pytest.raises(urllib.error.HTTPError, match="401") as refused:
                ask(bench.sandbox, path, body, secret=secret)
            refused.value.close()


def test_the_same_seed_gives_the_same_outcomes(receiver: Receiver, tmp_path: Path) -> None:
    orders = [make_order(amount_minor=5_000 + number) for number in range(150)]

    async def outcomes(sandbox: Sandbox) -> list[tuple[AnswerKind, str | None]]:
        async with open_gateway(sandbox.access("seeded")) as gateway:
            await call_all(gateway.charge, orders, 50)
            answers = [await settled(gateway, order.merchant_ref) for order in orders]
        return [(answer.kind, answer.reason_code) for answer in answers]

    found = []
    for place, seed in enumerate((11, 11, 12)):
        folder = tmp_path / str(place)
        folder.mkdir()
        running = start_sandbox(receiver, folder, seed=seed, callback_url=None)
        found.append(asyncio.run(outcomes(running)))
        stop_process(running.process)
    assert found[0] == found[1] != found[2]
