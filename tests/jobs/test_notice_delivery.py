"""Notices through a real sandbox: each once on its own record, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from jobs.gateway_calls import Account, Parcel, call_gateway
from jobs.message_delivery import drain_messages
from jobs.message_parcels import lease_parcel
from portal.config import Config
from portal.db import acting_for, transaction
from portal.ids import public_id
from portal.services.brakes import pull_brake, release_brake
from portal.services.gateways import gateway_access
from portal.services.messages import send_message_again
from portal.sql import execute
from tests import factories
from tests.factories import CLERK, NOW, Line
from tests.gateways.running import Sandbox, ask, free_port, read_notices
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
from tests.services.collecting import expire, run_together
from tests.services.noticing import make_noticed, make_notices_account, notice_states

__all__ = ["account", "config", "sandbox"]

Told = list[tuple[str, int]]


@pytest.fixture
def notices(account: Account) -> Account:
    """The account for notices of an organisation that the sandbox has never seen."""
    row = make_notices_account(f"notices-{time.monotonic_ns()}")
    return Account(account.organisation_id, row.id, row.code, row.kind)


@pytest.fixture
def rough(sandbox: Sandbox) -> Iterator[Sandbox]:
    ask(sandbox, "/v1/control", {"faults": "rough"}, secret=SECRET)
    yield sandbox
    ask(sandbox, "/v1/control", {"faults": "none"}, secret=SECRET)


def make_notices(count: int = 1, open_minor: int = 9_900) -> list[Any]:
    return make_noticed(count, lines=(Line(open_minor, "4000", "E"),))


def told(sandbox: Sandbox, notices: Account) -> Told:
    """List what the gateway's own record says went out."""
    kept = read_notices(sandbox, notices.code, secret=SECRET)
    return sorted((one["merchant_ref"], one["amount_minor"]) for one in kept)


def once(reminders: list[Any], open_minor: int = 9_900) -> Told:
    return sorted((public_id("reminder", each.id), open_minor) for each in reminders)


def lease(notices: Account, config: Config) -> Parcel:
    with acting_for(notices.organisation_id):
        return lease_parcel(notices, config)[1]


def call(notices: Account, parcel: Parcel) -> None:
    """Make the calls of a worker that dies before it has written what came of them."""
    access = gateway_access(kind=notices.kind, account_code=notices.code)
    answers = asyncio.run(call_gateway(access, parcel))
    assert len(answers.notices) == len(parcel.notices)


def drain_to(state: str, reminders: list[Any]) -> None:
    drain_until(lambda: set(notice_states(reminders)) == {state})


def change(statement: str, *parameters: Any) -> None:
    with transaction(factories.home.get()):
        assert execute(statement, parameters)


def test_a_reminder_reaches_its_payer(notices: Account, sandbox: Sandbox) -> None:
    reminders = make_notices(3)

    drain_to("done", reminders)

    assert told(sandbox, notices) == once(reminders)
    (tried,) = rows("SELECT outcome, count(*) AS count FROM message_deliveries GROUP BY outcome")
    assert tried == ("succeeded", 3)
    assert drain_messages() == 0
    assert told(sandbox, notices) == once(reminders)


@pytest.mark.parametrize(
    "open_minor", [1_77711, 1_77712, 1_77713, 1_77714, 1_77715, 1_77717, 1_77718, 1_77720]
)
def test_whatever_goes_wrong_on_the_way_the_payer_is_told_once(
    notices: Account, sandbox: Sandbox, open_minor: int
) -> None:
    reminders = make_notices(1, open_minor)

    drain_to("done", reminders)

    assert told(sandbox, notices) == once(reminders, open_minor)
    (message,) = rows("SELECT tries FROM messages WHERE kind = 'payer.reminder'")
    assert message.tries == 2


def test_among_rough_faults_each_payer_is_told_once(notices: Account, rough: Sandbox) -> None:
    reminders = make_notices(60)

    drain_to("done", reminders)

    assert told(rough, notices) == once(reminders)
    again = rows("SELECT id FROM messages WHERE kind = 'payer.reminder' AND tries > 1")
    assert again, "no fault was met"


def test_two_workers_tell_each_payer_once(notices: Account, sandbox: Sandbox, app: Flask) -> None:
    reminders = make_notices(12)

    run_together(app, drain_messages, drain_messages)
    drain_to("done", reminders)

    assert told(sandbox, notices) == once(reminders)


@pytest.mark.parametrize("has_called", [False, True], ids=["before the call", "after the call"])
def test_a_worker_that_dies_leaves_its_notices_to_the_next(
    notices: Account, sandbox: Sandbox, config: Config, *, has_called: bool
) -> None:
    reminders = make_notices(2)
    parcel = lease(notices, config)
    assert len(parcel.notices) == 2
    if has_called:
        call(notices, parcel)
    assert len(told(sandbox, notices)) == (2 if has_called else 0)
    assert notice_states(reminders) == ["ready", "ready"]
    expire("messages")

    drain_to("done", reminders)

    assert told(sandbox, notices) == once(reminders)


def test_what_has_changed_between_two_tries_tells_nobody_twice(
    notices: Account, sandbox: Sandbox, config: Config
) -> None:
    (reminder,) = make_notices()
    call(notices, lease(notices, config))
    change("UPDATE payers SET name = 'Ada Brisket' WHERE id = %s", reminder.payer_id)
    change("UPDATE invoices SET paid_minor = 100 WHERE id = %s", reminder.invoice_id)
    expire("messages")

    drain_to("done", [reminder])

    assert told(sandbox, notices) == once([reminder])
    (message,) = rows("SELECT last_error FROM messages WHERE kind = 'payer.reminder'")
    assert message.last_error == "it was taken at an earlier try, as things stood then"


def test_who_has_paid_meanwhile_is_not_told(notices: Account, sandbox: Sandbox) -> None:
    paid, open_ = make_notices(2)
    change("UPDATE invoices SET paid_minor = total_minor WHERE id = %s", paid.invoice_id)

    drain_to("done", [open_])

    assert notice_states([paid, open_]) == ["will_not_send", "done"]
    assert told(sandbox, notices) == once([open_])


def test_while_the_gateway_is_away_notices_wait_and_then_a_person_decides(
    notices: Account, sandbox: Sandbox, config: Config, app: Flask
) -> None:
    reminders = make_notices(2)
    app.config["PORTAL"] = config.changed(sandbox_url=f"http://127.0.0.1:{free_port()}")

    def given_up() -> bool:
        expire("messages")
        expire("gateway_accounts", "open_until")
        return notice_states(reminders) == ["parked", "parked"]

    drain_until(given_up)
    assert told(sandbox, notices) == []

    app.config["PORTAL"] = config
    with acting_for(notices.organisation_id):
        for message in rows("SELECT id FROM messages WHERE kind = 'payer.reminder'"):
            send_message_again(message_id=message.id, actor=CLERK, now=NOW)
    expire("gateway_accounts", "open_until")
    drain_to("done", reminders)

    assert told(sandbox, notices) == once(reminders)


def test_a_notice_that_is_refused_is_left_to_a_person(notices: Account, sandbox: Sandbox) -> None:
    (reminder,) = make_notices()
    change("UPDATE payers SET name = repeat('x', 501) WHERE id = %s", reminder.payer_id)

    drain_to("parked", [reminder])

    assert told(sandbox, notices) == []
    (tried,) = rows("SELECT outcome, http_status, error FROM message_deliveries")
    assert (tried.outcome, tried.http_status) == ("declined", 400)
    assert "payer_name is not a text of 1 to 500 characters" in tried.error
    change("UPDATE payers SET name = 'Ada Brisket' WHERE id = %s", reminder.payer_id)
    with acting_for(notices.organisation_id):
        (message,) = rows("SELECT id FROM messages WHERE kind = 'payer.reminder'")
        send_message_again(message_id=message.id, actor=CLERK, now=NOW)
    drain_to("done", [reminder])
    assert told(sandbox, notices) == once([reminder])


def test_a_notice_that_is_answered_for_another_amount_is_left_to_a_person(
    notices: Account, sandbox: Sandbox
) -> None:
    reminders = make_notices(1, 1_77716)

    drain_to("parked", reminders)

    assert told(sandbox, notices) == once(reminders, 1_77716)


def test_a_brake_holds_notices_back(notices: Account, sandbox: Sandbox) -> None:
    reminders = make_notices()
    with acting_for(notices.organisation_id):
        brake_id = pull_brake(
            reason="Wrong letterhead.", hold_seconds=3600, actor=CLERK, now=NOW,
            gateway_account_id=notices.id,
        )  # fmt: skip
    # What is collected goes on.
    case = collect(1_77700)
    drain_until(becomes(case, "succeeded"))
    assert (notice_states(reminders), told(sandbox, notices)) == (["ready"], [])

    with acting_for(notices.organisation_id):
        release_brake(brake_id=brake_id, actor=CLERK, now=NOW)
    drain_to("done", reminders)
    assert told(sandbox, notices) == once(reminders)


def test_notices_and_payments_keep_to_their_own_accounts(
    account: Account, notices: Account, sandbox: Sandbox
) -> None:
    case = collect(1_77700)
    reminders = make_notices()

    drain_to("done", reminders)
    drain_until(becomes(case, "succeeded"))

    assert read_notices(sandbox, account.code, secret=SECRET) == []
    sent = rows("SELECT DISTINCT kind, gateway_account_id FROM messages WHERE kind IN"
                " ('gateway.charge', 'payer.reminder') ORDER BY kind")  # fmt: skip
    assert sent == [("gateway.charge", account.id), ("payer.reminder", notices.id)]
