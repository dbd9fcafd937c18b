"""Who gets in where: each endpoint is marked, each role held to, each answer guarded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from portal.app import create_app
from portal.domain.batches import ItemOutcome, RunState
from portal.domain.users import ROLE_PERMISSIONS, Permission, Role
from portal.ids import public_id
from portal.web.access import permission_of, require
from portal.web.auth import _local
from portal.web.errors import WORDS
from tests.factories import read_row
from tests.pages import read_page
from tests.web.conftest import make_worked_run, post, sign_in, token_on

PUBLIC_ENDPOINTS = {
    "api_reference.show_error", "assets.stylesheet", "auth.begin_session", "auth.sign_in",
    "health.show", "static",
}  # fmt: skip


def endpoints(app: Flask) -> list[Any]:
    return [rule for rule in app.url_map.iter_rules() if not rule.rule.startswith("/api/")]


def test_every_endpoint_is_marked_and_few_are_public(app: Flask) -> None:
    marks = {rule.endpoint: permission_of(app, rule.endpoint) for rule in endpoints(app)}
    assert [endpoint for endpoint, mark in marks.items() if mark is None] == []
    public = {endpoint for endpoint, mark in marks.items() if mark is Permission.PUBLIC}
    assert public == PUBLIC_ENDPOINTS


def test_no_page_opens_without_a_sign_in(app: Flask, client: FlaskClient) -> None:
    token = token_on(client.get("/sign-in"))
    for rule in endpoints(app):
        if rule.endpoint in PUBLIC_ENDPOINTS:
            continue
        values: dict[str, Any] = dict.fromkeys(rule.arguments, UUID(int=1))
        with app.test_request_context():
            address = app.url_for(rule.endpoint, **values)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            answer = client.open(address, method=method, data={"csrf_token": token})
            assert answer.status_code == 303, rule
            assert answer.location.startswith("/sign-in"), rule


def test_every_role_has_its_permissions_and_none_is_above_signing_out() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)
    assert all(Permission.SIGNED_IN in held for held in ROLE_PERMISSIONS.values())
    assert all(Permission.PUBLIC not in held for held in ROLE_PERMISSIONS.values())


@pytest.mark.parametrize(
    ("role", "may"),
    [(Role.MANAGER, True), (Role.OPERATOR, True), (Role.CLERK, True), (Role.AUDITOR, False)],
)
def test_only_some_roles_stop_a_run(
    client: FlaskClient, add_person: Callable[..., str], role: Role, *, may: bool
) -> None:
    run = make_worked_run(ItemOutcome.DONE, items_count=2)
    sign_in(client, add_person(role))
    address = f"/runs/{public_id('run', run.id)}"
    shown = client.get(address).text
    assert ("Stop the run" in shown) is may
    assert ("can stop or restart them" in shown) is not may
    answer = post(client, f"{address}/stop")
    assert answer.status_code == (303 if may else 403)
    assert (read_row("batch_runs", run.id).state != RunState.STARTED) is may


def test_an_endpoint_without_a_mark_is_refused(
    own_app: Flask, add_person: Callable[..., str]
) -> None:
    own_app.add_url_rule("/forgotten", "forgotten", lambda: "open")
    client = own_app.test_client()
    assert client.get("/forgotten").status_code == 303
    sign_in(client, add_person())
    answer = client.get("/forgotten")
    assert answer.status_code == 403
    assert "Your role does not allow you to" in answer.text


def test_another_organisations_run_is_not_there(
    signed_in: FlaskClient, other_organisation: UUID
) -> None:
    run = make_worked_run(ItemOutcome.DONE, items_count=2, organisation_id=other_organisation)
    address = f"/runs/{public_id('run', run.id)}"
    unknown = f"/runs/{public_id('run', UUID(int=1))}"
    assert signed_in.get(address).status_code == signed_in.get(unknown).status_code == 404
    for action in ("stop", "restart"):
        assert post(signed_in, f"{address}/{action}").status_code == 404
    kept = read_row("batch_runs", run.id, organisation_id=other_organisation)
    assert kept.state == RunState.STARTED


def test_a_form_without_its_token_or_from_another_site_is_refused(
    signed_in: FlaskClient,
) -> None:
    assert signed_in.post("/sign-out").status_code == 400
    token = token_on(signed_in.get("/"))
    answer = signed_in.post(
        "/sign-out", data={"csrf_token": token}, headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 400
    assert "Nothing was saved" in answer.text
    assert signed_in.get("/").status_code == 200, "and nobody was signed out"


def test_every_answer_carries_its_guards(app: Flask, signed_in: FlaskClient) -> None:
    with app.test_request_context():
        style = read_page(signed_in.get("/").text).find("link", rel="stylesheet")
    for address in ("/", "/sign-in", "/nothing", "/health", "/runs", style.attributes["href"]):
        headers = signed_in.get(address).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        kept = "immutable" in headers["Cache-Control"]
        assert kept is (address == style.attributes["href"])
        assert kept or headers["Cache-Control"] == "no-store, private"
        assert kept or {"Cookie", "HX-Request"} <= set(headers["Vary"].replace(",", " ").split())


def test_health_says_what_answers(app: Flask, client: FlaskClient) -> None:
    answer = client.get("/health")
    assert (answer.status_code, answer.json) == (
        200, {"status": "ok", "database": True, "redis": True}
    )  # fmt: skip
    import redis

    kept = app.extensions["portal_redis"]
    app.extensions["portal_redis"] = redis.Redis(host="127.0.0.1", port=1)
    answer = client.get("/health")
    app.extensions["portal_redis"] = kept
    assert (answer.status_code, answer.json["redis"]) == (200, False)  # type: ignore[index]


def test_without_its_database_the_portal_says_so(app: Flask) -> None:
    away = app.config["PORTAL"].changed(
        database_url="postgresql+psycopg://portal_app:x@127.0.0.1:1/none",
        database_owner_url="postgresql+psycopg://portal_app:x@127.0.0.1:1/none",
    )
    client = create_app(away).test_client()
    assert client.get("/health").status_code == 503
    with client.session_transaction() as session:
        session["token"] = f"{UUID(int=1).hex}.x"
    answer = client.get("/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    found = read_page(answer.text)
    assert found.faults() == []
    assert "nothing is lost" in found.text


def test_a_fault_shows_a_reference_and_no_details(
    own_app: Flask, add_person: Callable[..., str]
) -> None:
    @require(Permission.SIGNED_IN)
    def burst() -> str:
        raise ZeroDivisionError("a secret detail")

    @require(Permission.SIGNED_IN)
    def outage() -> str:
        raise OperationalError("SELECT 1", {}, Exception("a secret detail"))

    own_app.add_url_rule("/burst", "burst", burst)
    own_app.add_url_rule("/outage", "outage", outage)
    client = own_app.test_client()
    sign_in(client, add_person())
    for address, status in (("/burst", 500), ("/outage", 503)):
        answer = client.get(address)
        assert answer.status_code == status
        assert "secret detail" not in answer.text
        found = read_page(answer.text)
        assert found.faults() == []
        assert found.find_all("nav"), "the frame stays"
    assert "Reference " in client.get("/burst").text


def test_an_error_inside_a_page_is_a_part_among_the_alerts(signed_in: FlaskClient) -> None:
    answer = signed_in.get("/nothing", headers={"HX-Request": "true"})
    assert answer.status_code == 404
    assert (answer.headers["HX-Retarget"], answer.headers["HX-Reswap"]) == ("#alerts", "innerHTML")
    assert "<html" not in answer.text
    assert read_page(answer.text).faults() == []


def test_every_error_page_says_that_nothing_happened_and_what_to_do() -> None:
    for status, words in WORDS.items():
        assert "othing" in words.sentence, status
        assert len(words.sentence.split(";")) > 1 or words.sentence.count(".") > 1, status


def test_a_wrong_method_names_the_right_one(signed_in: FlaskClient) -> None:
    answer = signed_in.get("/sign-out")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_machines_get_problem_details(client: FlaskClient) -> None:
    answer = client.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"


def test_an_address_inside_the_portal_is_kept() -> None:
    assert _local("/runs?before=9#items") == "/runs?before=9#items"
    assert _local(None) == "/"
