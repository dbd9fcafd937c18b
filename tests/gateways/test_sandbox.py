"""The sandbox keeps the contract of every gateway, and goes wrong exactly as it is told."""

import asyncio
import json
import os
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
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
    Receiver,
    Sandbox,
    SandboxBench,
    make_order,
    start_sandbox,
    stop_process,
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
    assert _ask(own_sandbox, "/v1/report")["charged_twice"] == 0
    asyncio.run(run([second, third]))
    report = _ask(own_sandbox, "/v1/report")
    assert report["charged_twice"] == 2
    assert report["payments_charged_twice"] == [f"twice/{first.payment_ref}"]
    assert report["invoices_overcharged"] == [f"twice/{first.invoice_ref}"]
    assert report["charges"] == 5


def test_rough_faults_are_counted_and_resending_charges_nobody_twice(
    own_sandbox: Sandbox,
) -> None:
    assert _ask(own_sandbox, "/v1/control", {"faults": "rough"})["faults"] == "rough"
    orders = [make_order(amount_minor=4_200, invoice_total_minor=4_200) for _ in range(400)]

    async def run() -> Counter[AnswerKind]:
        async with open_gateway(own_sandbox.access("rough", timeout_seconds=2.0)) as gateway:
            answers = await call_all(gateway.charge, orders, 50)
            await call_all(gateway.charge, orders, 50)
            for order in orders:
                await settled(gateway, order.merchant_ref)
            return Counter(answer.kind for answer in answers)

    kinds = asyncio.run(run())
    report = _ask(own_sandbox, "/v1/report")
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
    _ask(own_sandbox, "/v1/control", {"fail_next": 2, "fail_status": 500})
    orders = [make_order() for _ in range(3)]

    async def run() -> list[AnswerKind]:
        async with open_gateway(own_sandbox.access("failing")) as gateway:
            return [(await gateway.charge(order)).kind for order in orders]

    assert asyncio.run(run()) == [AnswerKind.UNKNOWN, AnswerKind.UNKNOWN, AnswerKind.PENDING]
    assert _ask(own_sandbox, "/v1/report")["faults"] == {"failed_by_control": 2}


def test_held_answers_leave_the_effect_and_no_answer(own_sandbox: Sandbox) -> None:
    order = make_order()
    access = own_sandbox.access("held", timeout_seconds=1.0)

    async def run(call: str) -> AnswerKind:
        async with open_gateway(access) as gateway:
            if call == "charge":
                return (await gateway.charge(order)).kind
            return (await settled(gateway, order.merchant_ref)).kind

    _ask(own_sandbox, "/v1/control", {"hold": True})
    assert asyncio.run(run("charge")) == AnswerKind.UNKNOWN
    _ask(own_sandbox, "/v1/control", {"hold": False})
    assert asyncio.run(run("settled")) == AnswerKind.SUCCEEDED


def test_report_and_control_are_for_the_master_secret_only(bench: SandboxBench) -> None:
    for secret in ("", "guess", bench.access.api_key):
        for path, body in (("/v1/report", None), ("/v1/control", {"hold": True})):
            with pytest.raises(urllib.error.HTTPError, match="401") as refused:
                _ask(bench.sandbox, path, body, secret=secret)
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


def _charge(bench: SandboxBench, order: ChargeOrder) -> Any:
    async def run() -> Any:
        async with bench.open() as gateway:
            return await gateway.charge(order)

    return asyncio.run(run())


def _ask(
    sandbox: Sandbox, path: str, body: dict[str, Any] | None = None, *, secret: str = SECRET
) -> dict[str, Any]:
    raw = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {secret}"}
    request = urllib.request.Request(sandbox.url + path, data=raw, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        found: dict[str, Any] = json.load(response)
        return found
