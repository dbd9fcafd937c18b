"""Signing in and out through the pages, and what the session's cookie may not do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from portal.clock import now_utc
from portal.db import transaction
from portal.domain.users import PORTAL, Role
from portal.services.users import change_activity
from portal.sql import execute, fetch
from tests.pages import Page, read_page
from tests.web.conftest import PASSWORD, post, sign_in, token_on


def test_the_way_in_is_a_plain_form(page: Callable[..., Page]) -> None:
    found = page("/sign-in")
    (form,) = found.find_all("form")
    assert form.attributes["action"] == "/sign-in"
    fields = [one for one in found.find_all("input") if "id" in one.attributes]
    assert [one.attributes["autocomplete"] for one in fields] == ["username", "current-password"]
    assert not found.find_all("nav"), "nobody is signed in yet"


def test_a_sign_in_leads_to_the_page_that_was_asked_for(
    client: FlaskClient, add_person: Callable[..., str]
) -> None:
    email = add_person()
    asked = client.get("/runs?before=9")
    assert asked.status_code == 303
    form = client.get(asked.location)
    wanted = read_page(form.text).find("input", name="next").attributes["value"]
    assert wanted == "/runs?before=9"
    answer = client.post(
        "/sign-in",
        data={
            "email": email, "password": PASSWORD, "next": wanted, "csrf_token": token_on(form)
        },
    )  # fmt: skip
    assert (answer.status_code, answer.location) == (303, "/runs?before=9")
    assert client.get("/sign-in?next=/runs").location == "/runs", "once in, the form is skipped"


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x()", "/\t/evil"],
)
def test_a_sign_in_never_leads_to_another_site(
    client: FlaskClient, add_person: Callable[..., str], wanted: str
) -> None:
    answer = client.post(
        "/sign-in",
        data={
            "email": add_person(), "password": PASSWORD, "next": wanted,
            "csrf_token": token_on(client.get("/sign-in")),
        },
    )  # fmt: skip
    assert (answer.status_code, answer.location) == (303, "/")


def test_wrong_and_unknown_read_the_same_and_keep_the_address(
    client: FlaskClient, add_person: Callable[..., str]
) -> None:
    email = add_person()
    answers = [sign_in(client, one, "not the password") for one in (email, "no@x.example")]
    assert [one.status_code for one in answers] == [422, 422]
    pages = [read_page(one.text) for one in answers]
    assert [one.faults() for one in pages] == [[], []]
    summaries = [one.find("div", id="summary") for one in pages]
    assert summaries[0].text == summaries[1].text
    assert "autofocus" in summaries[0].attributes
    assert pages[0].find("title").text.startswith("Error: ")
    assert pages[0].find("input", id="email").attributes["value"] == email
    assert "value" not in pages[0].find("input", id="password").attributes


def test_an_empty_form_names_each_field(client: FlaskClient, organisation: UUID) -> None:
    answer = sign_in(client, "", "")
    assert answer.status_code == 422
    found = read_page(answer.text)
    assert found.faults() == []
    assert [one.attributes["href"] for one in found.find("div", id="summary").find_all("a")] == [
        "#email",
        "#password",
    ]
    assert found.find("input", id="email").attributes["aria-describedby"] == "email-wrong"


def test_too_many_tries_say_how_long_to_wait(
    client: FlaskClient, add_person: Callable[..., str]
) -> None:
    email = add_person()
    for _ in range(10):
        assert sign_in(client, email, "not the password").status_code == 422
    answer = sign_in(client, email)
    assert answer.status_code == 429
    assert "wait 5 minutes" in answer.text


def test_a_sign_in_begins_a_new_session_and_its_cookie_is_closed(
    client: FlaskClient, add_person: Callable[..., str]
) -> None:
    token_on(client.get("/sign-in"))
    before = client.get_cookie("portal")
    answer = sign_in(client, add_person())
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    after = client.get_cookie("portal")
    assert before is not None
    assert after is not None
    assert before.value != after.value


def test_over_https_the_cookie_is_bound_to_the_host(https_app: Flask) -> None:
    answer = https_app.test_client().get("/sign-in", base_url="https://billing.harbour.example")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-portal=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]


def test_signing_out_ends_the_session_on_the_server(signed_in: FlaskClient) -> None:
    kept = signed_in.get_cookie("portal")
    assert kept is not None
    answer = post(signed_in, "/sign-out")
    assert (answer.status_code, answer.location) == (303, "/sign-in?ended=yes")
    assert "You are signed out" in signed_in.get(answer.location).text
    signed_in.set_cookie("portal", kept.value)
    assert signed_in.get("/").status_code == 303, "the old cookie is worth nothing"


def test_a_session_ends_when_nobody_is_at_work(signed_in: FlaskClient) -> None:
    with time_machine.travel(now_utc() + timedelta(minutes=29), tick=False):
        assert signed_in.get("/").status_code == 200
    with time_machine.travel(now_utc() + timedelta(minutes=57), tick=False):
        assert signed_in.get("/").status_code == 200, "the click before counted"
    with time_machine.travel(now_utc() + timedelta(minutes=88), tick=False):
        assert signed_in.get("/").location == "/sign-in"


def test_a_page_that_refreshes_itself_does_not_keep_a_session_alive(
    signed_in: FlaskClient,
) -> None:
    with time_machine.travel(now_utc() + timedelta(minutes=29), tick=False):
        assert signed_in.get("/?seen=x", headers={"HX-Request": "true"}).status_code == 200
    with time_machine.travel(now_utc() + timedelta(minutes=31), tick=False):
        answer = signed_in.get(
            "/?seen=x",
            headers={"HX-Request": "true", "HX-Current-URL": "http://localhost/runs"},
        )
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/sign-in?next=/runs"


def test_a_locked_person_is_out_with_the_next_click(signed_in: FlaskClient) -> None:
    change_activity(email="mara@harbour.example", is_active=False, actor=PORTAL, now=now_utc())
    assert signed_in.get("/").location == "/sign-in"


def test_a_person_without_organisation_is_told_whom_to_ask(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    with transaction(organisation):
        execute("DELETE FROM memberships")
    answer = signed_in.get("/")
    assert answer.status_code == 403
    found = read_page(answer.text)
    assert found.faults() == []
    assert "not a member of any organisation" in found.text
    assert found.find_all("form", action="/sign-out")


def test_a_member_of_two_organisations_chooses(
    client: FlaskClient, add_person: Callable[..., str], organisation: UUID,
    other_organisation: UUID,
) -> None:  # fmt: skip
    memberships = [(organisation, Role.MANAGER), (other_organisation, Role.AUDITOR)]
    sign_in(client, add_person(memberships=memberships))
    found = read_page(client.get("/").text)
    assert found.faults() == []
    assert [one.attributes["value"] for one in found.find_all("button", name="organisation")] == [
        str(organisation),
        str(other_organisation),
    ]
    answer = post(client, "/organisation", organisation=str(other_organisation))
    assert (answer.status_code, answer.location) == (303, "/")
    assert "Auditor" in read_page(client.get("/").text).find("form", action="/sign-out").text
    refused = post(client, "/organisation", organisation=str(UUID(int=5)))
    assert refused.status_code == 403
    assert post(client, "/organisation", organisation="?").status_code == 422
    with transaction():
        (row,) = fetch("SELECT organisation_id FROM user_sessions")
    assert row.organisation_id == other_organisation
