"""`portal check` and `portal states` as people call them: what they print and how they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from click.testing import CliRunner
from flask import Flask

from portal.cli import portal
from portal.cli.states import find_moves
from portal.config import Config
from portal.db import transaction
from portal.gateways.base import AnswerKind, open_gateway
from portal.ids import public_id
from portal.services.gateways import gateway_access
from portal.services.payments import ResultKind
from portal.sql import execute
from tests.commands import call_portal
from tests.factories import answer_attempt, attempt_of, make_issued_invoice, make_payment
from tests.gateways.running import (
    Receiver,
    Sandbox,
    make_order,
    start_sandbox,
    stop_process,
)


@pytest.fixture
def sandbox(app: Flask, tmp_path: Path) -> Iterator[Sandbox]:
    # Nobody takes its events: the record is what is read here.
    secret = app.config["PORTAL"].sandbox_secret
    running = start_sandbox(Receiver(port=9), tmp_path, secret=secret)
    yield running
    stop_process(running.process)


@pytest.fixture
def config(app: Flask, sandbox: Sandbox) -> Config:
    config = app.config["PORTAL"]
    # Read by the services of this process, too.
    app.config["PORTAL"] = config.changed(sandbox_url=sandbox.url)
    return cast("Config", app.config["PORTAL"])


def charge(attempt: Any, payment: Any) -> None:
    access = gateway_access(kind="sandbox", account_code="harbour")

    async def send() -> None:
        order = make_order(
            merchant_ref=attempt.merchant_ref,
            idempotency_key=attempt.idempotency_key,
            amount_minor=attempt.amount_minor,
            payment_ref=public_id("payment", payment.id),
        )
        async with open_gateway(access) as gateway:
            answer = await gateway.charge(order)
            assert answer.kind in {AnswerKind.PENDING, AnswerKind.SUCCEEDED}
            async with asyncio.timeout(30):
                while not await gateway.list_effects():  # noqa: ASYNC110 – it cannot tell us
                    await asyncio.sleep(0)

    asyncio.run(send())


def test_right_books_end_with_zero(organisation: UUID, config: Config, sandbox: Sandbox) -> None:
    # Without tax this is an amount that the sandbox lets succeed.
    payment = make_payment(lines=[(177_700, "4000", "E")])
    attempt = attempt_of(payment)
    charge(attempt, payment)
    answer_attempt(attempt, ResultKind.SUCCEED)

    done = call_portal(config, "check", "--organisation", "harbour", "--gateway")

    assert (done.status, done.err) == (0, "")
    assert "receivable_per_invoice" in done.out
    assert "gateway harbour" in done.out
    assert "Every proof holds." in done.out


def test_wrong_books_end_with_one_and_name_the_rows(
    organisation: UUID, config: Config, sandbox: Sandbox, unguarded: None
) -> None:
    invoice = make_issued_invoice()
    payment = make_payment()
    attempt = answer_attempt(attempt_of(payment), ResultKind.SUCCEED)
    with transaction(organisation):
        execute("DELETE FROM postings WHERE invoice_id = %s", (invoice.id,))

    done = call_portal(config, "check", "--gateway", "--json")

    assert (done.status, done.err) == (1, "")
    (report,) = json.loads(done.out)
    assert report["organisation"] == "harbour"
    broken = {check["check"]: check["sample"] for check in report["checks"] if check["rows"]}
    assert {"receivable_per_invoice", "receivable_per_payer", "revenue"} <= broken.keys()
    assert broken["receivable_per_invoice"] == [
        {"id": str(invoice.id), "label": "EUR", "expected": 11_900, "found": None}
    ]
    assert report["gateways"]["harbour"] == [
        {
            "kind": "missing_there",
            "reference": attempt.merchant_ref,
            "ours": "11900 EUR",
            "theirs": "",
        }
    ]


def test_an_unknown_organisation_is_named_in_one_sentence(app: Flask) -> None:
    done = call_portal(app.config["PORTAL"], "check", "--organisation", "atlantis")

    assert done.status == 4
    assert "atlantis" in done.err
    assert len(done.err.splitlines()) == 1


def test_states_are_drawn_as_mermaid() -> None:
    done = CliRunner().invoke(portal, ["states", "invoice"])

    assert done.exit_code == 0
    assert "stateDiagram-v2" in done.stdout
    assert "draft --> issued: issue" in done.stdout


def test_all_states_are_drawn_when_none_is_named() -> None:
    done = CliRunner().invoke(portal, ["states"])

    assert done.stdout.count("stateDiagram-v2") == len(find_moves())
    assert {"invoice", "payment", "attempt", "deposit", "run"} <= find_moves().keys()


def test_a_noun_without_states_is_refused_with_those_that_have_some() -> None:
    done = CliRunner().invoke(portal, ["states", "weather"])

    assert done.exit_code == 4
    assert "payment" in done.stderr
