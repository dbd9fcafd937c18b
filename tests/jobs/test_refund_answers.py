"""Refunds through a real sandbox: sent once, asked for when unknown, booked as it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from jobs.gateway_calls import Account
from jobs.message_delivery import drain_messages
from jobs.message_parcels import lease_parcel
from portal.config import Config
from portal.db import acting_for, transaction
from portal.queries.checks import compare_with_gateway, list_our_attempts
from portal.services.brakes import pull_brake
from portal.sql import execute
from tests.factories import CLERK, NOW, read_row
from tests.gateways.running import Sandbox, ask
from tests.jobs.test_message_delivery import (
    SECRET,
    account,
    becomes,
    collect,
    config,
    drain_until,
    sandbox,
)
from tests.services.books import rows
from tests.services.collecting import Case, case_of, expire, messages_of
from tests.services.refunding import approve, assert_everything_holds
from tests.services.refunding import ask as ask_refund

__all__ = ["account", "config", "sandbox"]


def collected(amount_minor: int = 3_77700) -> Case:
    """Collect an amount that the sandbox gives without ado."""
    case = collect(amount_minor)
    drain_until(becomes(case, "succeeded"))
    return case_of(case.payment.id)


def refunded(case: Case, amount_minor: int) -> UUID:
    """Ask for a refund and have it approved."""
    refund_id = ask_refund(case.payment, amount_minor)
    if read_row("refunds", refund_id).state == "requested":
        approve(refund_id)
    return refund_id


def is_in(refund_id: UUID, state: str) -> Callable[[], bool]:
    return lambda: read_row("refunds", refund_id).state == state


def assert_gateway_agrees(account: Account, sandbox: Sandbox) -> Any:
    import asyncio

    from portal.gateways.base import open_gateway
    from portal.services.gateways import gateway_access

    async def read() -> Any:
        access = gateway_access(kind=account.kind, account_code=account.code)
        async with open_gateway(access) as gateway:
            return await gateway.list_effects()

    effects = asyncio.run(read())
    with acting_for(account.organisation_id):
        assert compare_with_gateway(effects, list_our_attempts(account.id)) == ()
    assert ask(sandbox, "/v1/report", secret=SECRET)["refunded_beyond_charge"] == 0
    return effects


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(77700, id="well"),
        pytest.param(77711, id="no answer"),
        pytest.param(77712, id="a fault behind it"),
        pytest.param(77713, id="a fault before it"),
        pytest.param(77714, id="reset before it"),
        pytest.param(77715, id="too many requests"),
        pytest.param(77717, id="broken JSON"),
        pytest.param(77718, id="reset behind it"),
        pytest.param(77720, id="hidden for a while"),
    ],
)
def test_a_refund_is_given_back_once_whatever_happens(
    account: Account, sandbox: Sandbox, ending: int
) -> None:
    case = collected()

    refund_id = refunded(case, ending)
    drain_until(is_in(refund_id, "succeeded"))

    payment = read_row("payments", case.payment.id)
    assert (payment.state, payment.refunded_minor) == ("partially_refunded", ending)
    (effect,) = assert_gateway_agrees(account, sandbox)
    assert effect.refunded_minor == ending
    assert {state for *_, state in messages_of(read_row("refunds", refund_id))} <= {
        "done",
        "will_not_send",
        "ready",
    }
    assert_everything_holds()


def test_a_refund_that_the_gateway_refuses_fails(account: Account, sandbox: Sandbox) -> None:
    refund_id = refunded(collected(), 77703)

    drain_until(is_in(refund_id, "failed"))

    assert read_row("refunds", refund_id).reason_code == "AC04"
    assert_gateway_agrees(account, sandbox)
    assert_everything_holds()


def test_another_amount_waits_for_a_person(account: Account, sandbox: Sandbox) -> None:
    refund_id = refunded(collected(), 77716)

    drain_until(lambda: read_row("refunds", refund_id).worklist is not None)

    refund = read_row("refunds", refund_id)
    assert (refund.state, refund.worklist) == ("submitted", "mismatch")
    assert_gateway_agrees(account, sandbox)


def test_a_dead_workers_refund_is_asked_for_and_not_sent_again(
    account: Account, sandbox: Sandbox, config: Config
) -> None:
    refund_id = refunded(collected(), 77700)
    with acting_for(account.organisation_id):
        _, parcel = lease_parcel(account, config)
    assert len(parcel.refunds) == 1
    expire("messages")

    drain_until(is_in(refund_id, "succeeded"))

    kinds = [kind for _, kind, _ in messages_of(read_row("refunds", refund_id))]
    assert kinds[0] == "refund.create"
    assert "refund.query" in kinds
    (effect,) = assert_gateway_agrees(account, sandbox)
    assert effect.refunded_minor == 77700
    assert_everything_holds()


def test_a_brake_holds_orders_of_refunds_and_not_questions(
    account: Account, sandbox: Sandbox, app: Flask
) -> None:
    case = collected()
    with acting_for(account.organisation_id):
        pull_brake(reason="Odd answers.", hold_seconds=3_600, actor=CLERK, now=NOW)
        with transaction():
            execute("UPDATE brakes SET expires_at = clock_timestamp() + interval '1 hour'")

    refund_id = refunded(case, 77700)
    drain_messages()

    assert read_row("refunds", refund_id).state == "approved"
    assert rows("SELECT state FROM messages WHERE aggregate_id = %s", refund_id)[0].state == "ready"
