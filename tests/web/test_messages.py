"""The pages of messages in both directions: what they show, and what a person decides there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.db import transaction
from portal.domain.users import Role
from portal.ids import public_id
from portal.sql import execute
from tests.factories import (
    gateway_account_of,
    insert_row,
    make_inbox_message,
    make_payment,
    read_row,
)
from tests.services.books import rows
from tests.services.collecting import case_of, make_case
from tests.web.conftest import post, sign_in
from tests.web.forms import read, read_answer, send


@pytest.fixture
def parked(organisation: UUID) -> Any:
    """A question about a pending attempt that could not be delivered."""
    case = make_case("pending")
    with transaction(organisation):
        execute("UPDATE messages SET state = 'done'")
        message = insert_row(
            "messages", organisation_id=organisation, id=UUID(int=77), sequence=2,
            aggregate_id=case.attempt.id, kind="gateway.query", payload={}, state="parked",
            tries=8, last_error="no connection",
            gateway_account_id=case.attempt.gateway_account_id,
        )  # fmt: skip
        insert_row(
            "message_deliveries", organisation_id=organisation, message_id=message.id,
            try_number=8, outcome="not_sent", error="no connection", http_status=503,
            tried_at=case.attempt.created_at,
        )  # fmt: skip
    return message


def address_of(message: Any) -> str:
    return f"/messages/{public_id('message', message.id)}"


def inbox_address_of(message: Any) -> str:
    return f"/inbox/{public_id('inbox_message', message.id)}"


def test_the_list_says_what_each_message_is_about_and_how_late_work_is(
    signed_in: FlaskClient, parked: Any
) -> None:
    found = read(signed_in, "/messages?state=parked")

    assert "Ask for an outcome" in found.text
    assert "Collect a payment" not in found.find("tbody").text
    assert "no connection" in found.text
    assert "Oldest message due" in found.text
    links = [one.attributes["href"] for one in found.find("tbody").find_all("a")]
    assert address_of(parked) in links
    assert any(link.startswith("/payments/") for link in links)
    assert any(link.startswith("/attempts/") for link in links)


def test_a_message_shows_every_try(signed_in: FlaskClient, parked: Any) -> None:
    found = read(signed_in, address_of(parked))

    (line,) = found.find("tbody").find_all("tr")
    assert "503" in line.text
    assert "Not sent" in line.text
    assert "8 tries were begun; those that are not listed came to no end." in found.text


def test_a_parked_message_is_sent_again_once(signed_in: FlaskClient, parked: Any) -> None:
    address = f"{address_of(parked)}/send"
    asked = read(signed_in, address)
    answers = [send(signed_in, asked, address) for _ in range(2)]

    assert [answer.location for answer in answers] == [address_of(parked)] * 2
    assert read_row("messages", parked.id).state == "ready"
    assert rows("SELECT count(*) FROM events WHERE kind = 'message.released'") == [(1,)]


def test_a_message_is_withdrawn_with_a_reason(signed_in: FlaskClient, parked: Any) -> None:
    address = f"{address_of(parked)}/withdraw"
    asked = read(signed_in, address)
    wrong = read_answer(send(signed_in, asked, address, reason=""), status=422)
    assert "Say why the message is withdrawn." in wrong.text
    assert read_row("messages", parked.id).state == "parked"

    answer = send(signed_in, asked, address, reason="The account is closed.")

    assert answer.location == address_of(parked)
    assert read_row("messages", parked.id).state == "will_not_send"
    after = read(signed_in, address_of(parked))
    assert not after.find_all("a", class_="button primary")
    refused = read_answer(send(signed_in, asked, address, reason="Twice."), status=409)
    assert "It cannot be withdrawn" in refused.text or "sent before" in refused.text


def test_the_order_that_a_payment_waits_for_is_not_withdrawn(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    case = case_of(make_payment().id)
    (message,) = rows("SELECT * FROM messages WHERE aggregate_id = %s", case.attempt.id)
    address = f"{address_of(message)}/withdraw"

    answer = send(signed_in, read(signed_in, address), address, reason="Too late.")

    assert "ends only by it" in read_answer(answer, status=409).text
    assert read_row("messages", message.id).state == "ready"


def test_a_parked_arrival_says_why_and_is_handled_again(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    arrived = make_inbox_message(state="parked", tries=8, last_error="no attempt is ours")
    listed = read(signed_in, "/inbox?state=parked")
    assert inbox_address_of(arrived) in [
        one.attributes["href"] for one in listed.find("tbody").find_all("a")
    ]
    shown = read(signed_in, inbox_address_of(arrived))
    assert "no attempt is ours" in shown.text
    assert arrived.event_ref in shown.text
    address = f"{inbox_address_of(arrived)}/handle"

    answer = send(signed_in, read(signed_in, address), address)

    assert answer.location == inbox_address_of(arrived)
    (row,) = rows("SELECT state, tries FROM inbox_messages")
    assert tuple(row) == ("ready", 0)
    assert "only a parked one" in read(signed_in, address, status=409).text


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.CLERK])
def test_who_may_only_look_decides_nothing(
    client: FlaskClient, add_person: Callable[..., str], parked: Any, role: Role
) -> None:
    arrived = make_inbox_message(state="parked")
    sign_in(client, add_person(role))

    for address in (address_of(parked), inbox_address_of(arrived)):
        found = read(client, address)
        assert "Your role may look at messages" in found.text
        assert "Send again" not in found.text
    for address in (
        f"{address_of(parked)}/send", f"{address_of(parked)}/withdraw",
        f"{inbox_address_of(arrived)}/handle",
    ):  # fmt: skip
        assert client.get(address).status_code == 403
        assert post(client, address, reason="x").status_code == 403
    assert read_row("messages", parked.id).state == "parked"


def test_messages_of_others_are_not_there(signed_in: FlaskClient, other_organisation: UUID) -> None:
    arrived = make_inbox_message(organisation_id=other_organisation, state="parked")
    account = gateway_account_of(other_organisation)
    with transaction(other_organisation):
        message = insert_row(
            "messages", organisation_id=other_organisation, id=UUID(int=78), sequence=1,
            aggregate_id=UUID(int=79), kind="gateway.list_events", payload={}, state="parked",
            gateway_account_id=account.id,
        )  # fmt: skip

    for address in (address_of(message), inbox_address_of(arrived)):
        assert signed_in.get(address).status_code == 404
    assert signed_in.get(f"{address_of(message)}/send").status_code == 404
    assert post(signed_in, f"{address_of(message)}/send").status_code == 404
    assert post(signed_in, f"{inbox_address_of(arrived)}/handle").status_code == 404


def test_what_a_gateway_wrote_cannot_break_a_page(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    canary = '"><script>alert(1)</script>'
    arrived = make_inbox_message(
        state="parked", last_error=canary, kind=canary, event_ref=canary,
        content={"merchant_ref": canary, "amount_minor": "x", "currency": 7, "reason_code": canary},
    )  # fmt: skip

    for address in ("/inbox", inbox_address_of(arrived)):
        found = read(signed_in, address)
        assert canary in found.text
        assert all("src" in one.attributes for one in found.find_all("script"))
