"""Gateway accounts in the browser: how they stand, and the form of the rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.db import transaction
from portal.domain.users import Role
from portal.ids import public_id
from portal.sql import execute
from tests import factories
from tests.commands import portal
from tests.factories import gateway_account_of, read_row
from tests.services.books import rows
from tests.web.conftest import post, sign_in
from tests.web.forms import read, read_answer, send

LIST = "/gateway-accounts"


def address_of(account: Any) -> str:
    return f"{LIST}/{public_id('gateway_account', account.id)}/rate"


def cells(client: FlaskClient) -> dict[str, str]:
    (row,) = read(client, LIST).find("tbody").find_all("tr")
    return {one.attributes.get("data-label", ""): one.text for one in row.find_all("td")}


def change(statement: str) -> None:
    with transaction(factories.home.get()):
        execute(f"UPDATE gateway_accounts SET {statement}")


def test_the_list_says_how_an_account_stands(signed_in: FlaskClient) -> None:
    found = cells(signed_in)
    assert (found["Calls a second"], found["At once"], found["Calls"], found["Orders"]) == (
        "1.000", "2.000", "In order", "Are sent"
    )  # fmt: skip
    change("open_until = now() + interval '1 minute', troubles_in_a_row = 5")
    assert "Left alone until" in cells(signed_in)["Calls"]
    assert "after 5 troubles in a row" in cells(signed_in)["Calls"]
    reason = {"scope": "everything", "hours": "1", "reason": "Odd answers.", "request_key": "k"}
    assert post(signed_in, "/brakes/new", **reason).status_code == 303
    assert cells(signed_in)["Orders"] == "Held by a brake"
    assert read(signed_in, "/brakes").find_all("a", href=LIST)


def test_a_rate_is_changed_as_people_here_write_numbers(signed_in: FlaskClient) -> None:
    account = gateway_account_of()
    address = address_of(account)
    page = read(signed_in, address)

    answer = send(signed_in, page, address, per_second="2,5", burst="10")

    assert (answer.status_code, answer.location) == (303, LIST)
    row = read_row("gateway_accounts", account.id)
    assert (row.rate_per_second, row.burst) == (2.5, 10)
    found = read(signed_in, LIST)
    assert "is called at the new rate: 2,5 calls a second, 10 at once." in found.text
    (event,) = rows("SELECT actor_name FROM events WHERE kind = 'gateway_account.rate_changed'")
    assert event.actor_name == "Mara Weber"
    outdated = send(signed_in, page, address, per_second="7", burst="10", request_key="other")
    assert "Somebody else has changed the rate" in read_answer(outdated, status=409).text
    assert read_row("gateway_accounts", account.id).rate_per_second == 2.5


@pytest.mark.parametrize(
    ("entered", "said"),
    [
        ({"per_second": ""}, "Enter how many calls a second"),
        ({"per_second": "many"}, "many"),
        ({"per_second": "0"}, "0.001 to 100000 calls a second"),
        ({"per_second": "1e2"}, "1e2"),
        ({"burst": "0"}, "1 to 1000000 calls may go at once"),
        ({"burst": "1.5"}, "Not a valid integer value"),
    ],
)
def test_what_was_entered_wrongly_is_explained(
    signed_in: FlaskClient, entered: dict[str, str], said: str
) -> None:
    account = gateway_account_of()
    address = address_of(account)
    answer = send(signed_in, read(signed_in, address), address, **entered)
    found = read_answer(answer, status=422)
    assert found.find("title").text.startswith("Error: ")
    assert said in found.find(id="summary").text
    assert read_row("gateway_accounts", account.id) == account


@pytest.mark.parametrize("role", [Role.CLERK, Role.OPERATOR, Role.AUDITOR])
def test_only_managers_change_rates(
    client: FlaskClient, add_person: Callable[..., str], role: Role
) -> None:
    account = gateway_account_of()
    sign_in(client, add_person(role))
    found = read(client, LIST)
    assert "a manager sets their rates" in found.text
    assert not found.find_all("a", href=address_of(account))
    read(client, address_of(account), status=403)
    answer = post(client, address_of(account), per_second="1", burst="1", request_key="k")
    assert answer.status_code == 403
    assert read_row("gateway_accounts", account.id) == account


def test_another_organisations_account_is_not_there(
    signed_in: FlaskClient, other_organisation: UUID
) -> None:
    theirs = gateway_account_of(other_organisation)
    read(signed_in, address_of(theirs), status=404)
    answer = post(signed_in, address_of(theirs), per_second="1", burst="1", request_key="k")
    assert answer.status_code == 404
    after = read_row("gateway_accounts", theirs.id, organisation_id=other_organisation)
    assert after.rate_per_second == theirs.rate_per_second


def test_the_command_lists_and_sets(organisation: UUID, app: Flask) -> None:
    status, out, err = portal(app, "gateway-account", "list")
    assert (status, err) == (0, "")
    assert "harbour  sandbox  payments  EUR  1000 a second, 2000 at once  breaker closed" in out
    rate = ("gateway-account", "rate", "harbour", "--burst", "4", "--per-second")
    assert portal(app, *rate, "0.5")[:2] == (
        0, "harbour is called 0.5 times a second, 4 at once.\n"
    )  # fmt: skip
    assert '"per_second": "0.5"' in portal(app, "gateway-account", "list", "--json")[1]
    assert portal(app, *rate, "0")[0] == 2
    assert portal(app, *rate, "fast")[0] == 2
    nobody = ("gateway-account", "rate", "nobody", "--burst", "4", "--per-second", "1")
    assert portal(app, *nobody)[0] == 4


def test_the_command_adds_an_account_for_notices(
    signed_in: FlaskClient, organisation: UUID, app: Flask
) -> None:
    add = ("gateway-account", "add", "harbour-notices", "--purpose")

    status, out, err = portal(app, *add, "notices")

    assert (status, err) == (0, "")
    assert out == "harbour-notices was added; it is used for notices to payers.\n"
    listed = portal(app, "gateway-account", "list")[1]
    assert "harbour-notices  sandbox  notices  EUR" in listed
    (row,) = rows("SELECT purpose, currency FROM gateway_accounts WHERE code = 'harbour-notices'")
    assert row == ("notices", "EUR")
    found = {
        one.find("th").text: one.text for one in read(signed_in, LIST).find("tbody").find_all("tr")
    }
    assert "Notices to payers" in found["harbour-notices"]
    assert "Payments" in found["harbour"]
    status, _, err = portal(app, "gateway-account", "add", "more", "--purpose", "notices")
    assert status == 5
    assert "has the gateway account “harbour-notices” for notices already" in err
    assert portal(app, *add, "poems")[0] == 2
    assert portal(app, "gateway-account", "add", "No Code", "--purpose", "payments")[0] == 2
