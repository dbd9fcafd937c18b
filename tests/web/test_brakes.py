"""The page of emergency brakes, and the words about them on every other page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.db import acting_for, transaction
from portal.domain.users import Role
from portal.ids import public_id
from portal.services.brakes import pull_brake
from portal.sql import execute
from tests.factories import CLERK, NOW, gateway_account_of
from tests.services.books import rows
from tests.web.conftest import post, sign_in
from tests.web.forms import read, read_answer, send

REASON = 'The gateway answers "oddly" <today>.'
BANNER = "Emergency brake on"


def pull(organisation_id: UUID, **over: Any) -> str:
    wanted: dict[str, Any] = {"reason": REASON, "hold_seconds": 3600, "actor": CLERK, "now": NOW}
    with acting_for(organisation_id):
        return public_id("brake", pull_brake(**{**wanted, **over}))


def test_nothing_is_said_while_no_brake_holds(signed_in: FlaskClient) -> None:
    assert BANNER not in read(signed_in, "/").text
    assert "No brake has been pulled." in read(signed_in, "/brakes").text


@pytest.mark.parametrize("address", ["/", "/invoices", "/messages", "/brakes"])
def test_a_brake_is_said_on_every_page(
    signed_in: FlaskClient, organisation: UUID, address: str
) -> None:
    pull(organisation)

    found = read(signed_in, address)

    assert f"{BANNER} the whole organisation." in found.text
    assert REASON in found.text
    assert "Pulled by Ada Clerk, holds until" in found.text
    assert "/brakes" in [one.attributes.get("href") for one in found.find_all("a")]


def test_a_brake_that_ran_out_is_said_no_more(signed_in: FlaskClient, organisation: UUID) -> None:
    pull(organisation)
    with transaction(organisation):
        execute(
            "UPDATE brakes SET pulled_at = clock_timestamp() - interval '2 hours',"
            " expires_at = clock_timestamp() - interval '1 hour'"
        )

    assert BANNER not in read(signed_in, "/").text
    assert "Ran out" in read(signed_in, "/brakes").find("tbody").text


def test_a_brake_of_others_is_not_said(signed_in: FlaskClient, other_organisation: UUID) -> None:
    theirs = pull(other_organisation)

    assert BANNER not in read(signed_in, "/").text
    assert signed_in.get(f"/brakes/{theirs}/release").status_code == 404
    assert post(signed_in, f"/brakes/{theirs}/release").status_code == 404


@pytest.mark.parametrize("scope", ["everything", "account", "job"])
def test_a_brake_is_pulled_and_released_on_pages(
    signed_in: FlaskClient, organisation: UUID, scope: str
) -> None:
    account_id = gateway_account_of().id
    chosen = {"account": f"account:{account_id}", "job": "job:ledger_check"}.get(scope, scope)
    asked = read(signed_in, "/brakes/new")

    answer = send(signed_in, asked, "/brakes/new", scope=chosen, hours="24", reason=REASON)

    assert answer.location == "/brakes"
    (brake,) = rows("SELECT * FROM brakes")
    assert brake.gateway_account_id == (account_id if scope == "account" else None)
    assert brake.job == ("ledger_check" if scope == "job" else None)
    assert (brake.expires_at - brake.pulled_at).total_seconds() == 24 * 3600
    assert (brake.reason, brake.pulled_by, brake.state) == (REASON, "Mara Weber", "active")
    address = f"/brakes/{public_id('brake', brake.id)}/release"
    released = send(signed_in, read(signed_in, address), address)
    assert released.location == "/brakes"
    assert rows("SELECT state, released_by FROM brakes") == [("released", "Mara Weber")]
    assert "holds no more" in read(signed_in, address, status=409).text


def test_a_second_brake_on_the_same_is_refused_in_words(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    asked = read(signed_in, "/brakes/new")
    pull(organisation)

    answer = send(signed_in, asked, "/brakes/new", reason="Me too.")

    found = read_answer(answer, status=409)
    assert "No second one was pulled." in found.text
    assert "Me too." in found.text


@pytest.mark.parametrize(
    "entered",
    [{"reason": ""}, {"reason": "x" * 501}, {"reason": "x", "scope": "job:coffee"},
     {"reason": "x", "hours": "1000"}],
)  # fmt: skip
def test_what_makes_no_brake_is_said_at_its_field(
    signed_in: FlaskClient, entered: dict[str, str]
) -> None:
    asked = read(signed_in, "/brakes/new")

    found = read_answer(send(signed_in, asked, "/brakes/new", **entered), status=422)

    assert found.find_all(id="summary")
    assert rows("SELECT count(*) FROM brakes") == [(0,)]


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.CLERK])
def test_who_may_only_look_pulls_and_releases_nothing(
    client: FlaskClient, add_person: Callable[..., str], organisation: UUID, role: Role
) -> None:
    held = pull(organisation)
    sign_in(client, add_person(role))

    found = read(client, "/brakes")

    assert "Your role may look at the brakes" in found.text
    assert "Release" not in found.find("tbody").text
    for address in ("/brakes/new", f"/brakes/{held}/release"):
        assert client.get(address).status_code == 403
        assert post(client, address, reason="x").status_code == 403
    assert rows("SELECT state FROM brakes") == [("active",)]


def test_an_error_page_asks_the_database_nothing_about_brakes(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    pull(organisation)

    assert BANNER not in read(signed_in, "/nothing", status=404).text
