"""Who gets in where: each door is marked, each scope held to, each key of one organisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.api.access import permission_of
from portal.clock import now_utc
from portal.db import acting_for
from portal.domain.users import SCOPE_PERMISSIONS, Permission, Scope
from portal.queries.users import list_keys
from portal.services.api_keys import add_key, revoke_key
from tests.api.conftest import PREFIX, Machine, problem_of
from tests.factories import CLERK

PUBLIC = {"webhooks.receive", "api_reference.openapi"}


def doors(app: Flask) -> Iterator[tuple[str, str, str, Permission | None]]:
    """List every door: endpoint, method, an address of it, its mark."""
    for rule in app.url_map.iter_rules():
        if rule.rule != PREFIX and not rule.rule.startswith(f"{PREFIX}/"):
            continue
        values: dict[str, Any] = dict.fromkeys(rule.arguments, UUID(int=1))
        with app.test_request_context():
            address = app.url_for(rule.endpoint, **values)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.endpoint, method, address, permission_of(app, rule.endpoint)


def test_every_door_is_marked_and_few_are_public(app: Flask) -> None:
    found = list(doors(app))
    assert len(found) > 5
    assert [door for door in found if door[3] is None] == []
    assert {door[0] for door in found if door[3] is Permission.PUBLIC} <= PUBLIC


def test_no_door_opens_without_a_key(app: Flask, client: FlaskClient, organisation: UUID) -> None:
    for endpoint, method, address, mark in doors(app):
        if mark is Permission.PUBLIC:
            continue
        answer = client.open(address, method=method)
        problem_of(answer, 401, "key_missing")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer "), endpoint


@pytest.mark.parametrize("scope", list(Scope))
def test_a_scope_opens_its_doors_and_no_others(
    app: Flask, make_machine: Callable[..., Machine], scope: Scope
) -> None:
    machine = make_machine([scope.value])
    for endpoint, method, address, mark in doors(app):
        if mark is Permission.PUBLIC:
            continue
        answer = machine.send(method, address.removeprefix(PREFIX))
        is_open = mark is Permission.SIGNED_IN or mark in SCOPE_PERMISSIONS[scope]
        assert (answer.status_code != 403) is is_open, endpoint
        if not is_open:
            assert "with the scope" in problem_of(answer, 403, "scope_missing")["detail"]


@pytest.mark.parametrize(
    "sent",
    ["", "Bearer", "Bearer ", "Basic Ym9iOmJvYg==", "bp_0123456789_" + "x" * 43],
)
def test_what_is_no_bearer_is_no_key(client: FlaskClient, organisation: UUID, sent: str) -> None:
    answer = client.get(PREFIX, headers={"Authorization": sent} if sent else {})
    problem_of(answer, 401, "key_missing")


@pytest.mark.parametrize("key", ["xyz123", "bp_0123456789_" + "x" * 43, "bp_\xff", "Bearer bp_1"])
def test_an_unknown_key_is_refused(client: FlaskClient, organisation: UUID, key: str) -> None:
    answer = client.get(PREFIX, headers={"Authorization": f"Bearer {key}"})
    problem_of(answer, 401, "key_refused")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert key not in answer.text


def test_a_revoked_key_opens_nothing_from_the_next_request_on(
    organisation: UUID, machine: Machine
) -> None:
    assert machine.get("").status_code == 200
    with acting_for(organisation):
        (row,) = list_keys()
        revoke_key(prefix=row.prefix, actor=CLERK, now=now_utc())
    problem_of(machine.get(""), 401, "key_refused")


def test_an_expired_key_opens_nothing(app: Flask, organisation: UUID) -> None:
    now = now_utc()
    _, key = add_key(
        organisation_id=organisation,
        name="old",
        scopes=["read"],
        actor=CLERK,
        now=now - timedelta(days=2),
        expires_at=now - timedelta(days=1),
    )
    problem_of(Machine(app.test_client(), key).get(""), 401, "key_refused")


def test_a_door_without_a_mark_is_refused(own_app: Flask, machine: Machine) -> None:
    own_app.add_url_rule(f"{PREFIX}/forgotten", "forgotten", lambda: "open")
    answer = Machine(own_app.test_client(), machine.key).get("/forgotten")
    problem_of(answer, 403, "scope_missing")


def test_a_key_with_an_unknown_scope_may_do_nothing(make_machine: Callable[..., Machine]) -> None:
    machine = make_machine(["everything"])
    assert machine.get("").status_code == 200
    problem_of(machine.get("/runs"), 403, "scope_missing")


def test_the_start_says_who_is_asking(machine: Machine) -> None:
    found = machine.read("")
    assert found["organisation"] == {
        "object": "organisation",
        "code": "harbour",
        "name": "Harbour City",
        "currency": "EUR",
        "zone": "Europe/Berlin",
    }
    assert found["key"] == {
        "object": "key",
        "name": "ERP",
        "scopes": [
            "disputes:write",
            "invoices:write",
            "messages:write",
            "payers:write",
            "payments:write",
            "read",
            "refunds:write",
            "runs:write",
            "schedules:write",
        ],
    }
    assert found["links"]["runs"] == f"{PREFIX}/runs"


def test_a_key_is_looked_up_in_one_statement(machine: Machine, statements: Any) -> None:
    machine.get("")
    with statements() as recorded:
        machine.get("")
    assert recorded.count == 2, recorded.texts
