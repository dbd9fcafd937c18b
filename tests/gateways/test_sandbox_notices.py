"""Notices at the sandbox: whatever goes wrong on the wire, the record has each of them once."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from portal.gateways.base import AnswerKind, GatewayAnswer, NoticeOrder, call_all
from tests.gateways.running import Sandbox, SandboxBench, ask, make_notice, read_notices


def notify(bench: SandboxBench, *orders: NoticeOrder, **over: Any) -> list[GatewayAnswer]:
    async def run() -> list[GatewayAnswer]:
        async with bench.open(**over) as gateway:
            return await call_all(gateway.notify, orders, 20)

    return asyncio.run(run())


def told(bench: SandboxBench) -> list[dict[str, Any]]:
    return read_notices(bench.sandbox, bench.account_code)


def test_the_record_says_what_the_payer_was_told(bench: SandboxBench) -> None:
    order = make_notice(
        5_00, amount_minor=6_25, fee_minor=1_00, interest_minor=25, fees_ref="INV-2026-000009"
    )

    (answer,) = notify(bench, order)

    assert (answer.kind, answer.amount_minor, answer.error) == (AnswerKind.SUCCEEDED, 6_25, None)
    (kept,) = told(bench)
    assert kept["id"] == answer.gateway_ref
    for name in ("merchant_ref", "payer_name", "payer_email", "invoice_ref", "fees_ref", "level"):
        assert kept[name] == getattr(order, name), name
    assert (kept["open_minor"], kept["fee_minor"], kept["interest_minor"]) == (5_00, 1_00, 25)
    assert kept["due_date"] == "2026-11-02"


@pytest.mark.parametrize(
    ("open_minor", "kind", "is_taken"),
    [
        (1_77711, AnswerKind.UNKNOWN, True),
        (1_77712, AnswerKind.UNKNOWN, True),
        (1_77713, AnswerKind.UNKNOWN, False),
        (1_77714, AnswerKind.UNKNOWN, False),
        (1_77715, AnswerKind.NOT_SENT, False),
        (1_77717, AnswerKind.UNKNOWN, True),
        (1_77718, AnswerKind.UNKNOWN, True),
        (1_77720, AnswerKind.UNKNOWN, True),
        # What becomes of a charge of such an amount says nothing of a notice.
        (1_77702, AnswerKind.SUCCEEDED, True),
    ],
)
def test_after_any_fault_the_same_key_brings_it_once(
    bench: SandboxBench, open_minor: int, kind: AnswerKind, *, is_taken: bool
) -> None:
    order = make_notice(open_minor)

    (first,) = notify(bench, order, timeout_seconds=0.5)
    assert first.kind is kind
    assert len(told(bench)) == is_taken
    (again,) = notify(bench, order)

    assert again.kind is AnswerKind.SUCCEEDED
    assert [one["merchant_ref"] for one in told(bench)] == [order.merchant_ref]


def test_among_rough_faults_each_one_is_there_once_when_it_was_said(own_sandbox: Sandbox) -> None:
    bench = SandboxBench(own_sandbox, "rough-notices")
    assert ask(own_sandbox, "/v1/control", {"faults": "rough"})["faults"] == "rough"
    orders = [make_notice(12_34) for _ in range(120)]

    first = notify(bench, *orders, timeout_seconds=1.0)
    again = notify(bench, *orders)

    assert {answer.kind for answer in first} > {AnswerKind.SUCCEEDED}
    assert {answer.kind for answer in again} == {AnswerKind.SUCCEEDED}
    kept = [one["merchant_ref"] for one in told(bench)]
    assert sorted(kept) == sorted(order.merchant_ref for order in orders)
    report = ask(own_sandbox, "/v1/report")
    assert report["notices"] == len(orders)
    assert sum(report["faults"].values()) > 0


@pytest.mark.parametrize(
    "wrong", [{"payer_name": ""}, {"fee_minor": 1}, {"level": 0}, {"sender": "x" * 501}]
)
def test_what_is_no_notice_is_refused(bench: SandboxBench, wrong: dict[str, Any]) -> None:
    (answer,) = notify(bench, replace(make_notice(), **wrong))

    assert (answer.kind, answer.reason_code) == (AnswerKind.DECLINED, "request_malformed")
    assert told(bench) == []


def test_a_key_opens_its_own_account_only(bench: SandboxBench) -> None:
    other = SandboxBench(bench.sandbox, f"{bench.account_code}-other")
    notify(bench, make_notice())

    assert told(other) == []
    (answer,) = notify(bench, make_notice(), api_key="sandbox_wrong")
    assert answer.kind is AnswerKind.NOT_SENT
    assert len(told(bench)) == 1
