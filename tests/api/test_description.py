"""The description tells what the doors do, and pages tell it to people."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue

from portal.api.access import permission_of
from portal.api.catalogue import list_errors
from portal.api.reference import example_of
from portal.domain.users import Permission
from tests.api.conftest import PREFIX
from tests.pages import Page, read_page

UNDESCRIBED = {"webhooks.receive", "api_reference.openapi"}


@pytest.fixture
def described(client: FlaskClient) -> dict[str, Any]:
    answer = client.get(f"{PREFIX}/openapi.json")
    assert answer.content_type == "application/json"
    found: dict[str, Any] = answer.get_json()
    return found


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, told)
        for path, methods in described["paths"].items()
        for method, told in methods.items()
        if method in {"get", "post", "patch", "delete", "put"}
    ]


def test_every_door_is_described_and_nothing_else(app: Flask, described: dict[str, Any]) -> None:
    doors = {
        (method, re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(PREFIX) and rule.endpoint not in UNDESCRIBED
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(method, path) for method, path, _ in operations(described)} == doors
    assert described["openapi"] == "3.1.0"


def test_every_door_says_its_scope_its_errors_and_its_name(described: dict[str, Any]) -> None:
    names = [told["operationId"] for _, _, told in operations(described)]
    assert len(set(names)) == len(names)
    for method, path, told in operations(described):
        assert told["security"] == [{"key": []}], path
        assert {"400", "401", "403", "406", "500", "503"} <= told["responses"].keys(), path
        assert ("404" in told["responses"]) >= ("{" in path), path
        assert path == PREFIX or "scope" in told["description"], path
        assert told["summary"].endswith("."), path
        if method != "GET":
            assert {"413", "415", "422"} <= told["responses"].keys(), path


def test_what_moves_money_needs_a_key_against_repeats(
    app: Flask, described: dict[str, Any]
) -> None:
    moving = {
        Permission.ISSUE_INVOICES,
        Permission.VOID_INVOICES,
        Permission.RECORD_PAYMENTS,
        Permission.CONTROL_PAYMENTS,
        Permission.REQUEST_REFUNDS,
        Permission.ANSWER_DISPUTES,
        Permission.START_RUNS,
        Permission.CONTROL_MESSAGES,
    }
    names = {
        rule.endpoint.partition(".")[2]
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(PREFIX)
        and rule.endpoint not in UNDESCRIBED
        and permission_of(app, rule.endpoint) in moving
    }
    keyed = {
        told["operationId"]
        for _, _, told in operations(described)
        for one in told.get("parameters", [])
        if one["name"] == "Idempotency-Key" and one["required"]
    }
    assert names == keyed
    assert len(names) == 12


def test_every_pattern_is_one_for_json_schema(described: dict[str, Any]) -> None:
    def patterns(part: Any) -> list[str]:
        if isinstance(part, list):
            return [one for inner in part for one in patterns(inner)]
        if isinstance(part, dict):
            own = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
            return own + [one for inner in part.values() for one in patterns(inner)]
        return []

    found = patterns(described)
    assert found
    assert [one for one in found if not re.fullmatch(r"\^.*\$", one) or "\\Z" in one] == []


def test_a_filter_by_text_takes_what_people_type(described: dict[str, Any]) -> None:
    found = [
        one["schema"]
        for _, _, told in operations(described)
        for one in told.get("parameters", [])
        if one["name"] in {"text", "reason", "currency"}
    ]
    assert len(found) > 3
    assert found == [{"type": "string", "minLength": 1, "maxLength": 200}] * len(found)


def test_only_what_null_removes_may_be_null_in_a_draft(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    for name, needed in (("Draft", {"payer_id", "currency", "lines"}), ("DraftPatch", set())):
        told = schemas[name]
        nullable = {
            member for member, one in told["properties"].items() if "null" in one.get("type", ())
        }
        assert nullable == {
            "reference",
            "order",
            "buyer_reference",
            "cost_centre",
            "payment_reference",
            "period_from",
            "period_to",
        }
        assert set(told.get("required", ())) == needed
    assert set(schemas["NewLine"]["required"]) == set(schemas["NewLine"]["properties"])


def test_an_example_can_be_made_of_every_body(described: dict[str, Any]) -> None:
    bodies = [
        content["schema"]
        for _, _, told in operations(described)
        for content in told.get("requestBody", {}).get("content", {}).values()
    ]
    assert len(bodies) == 14
    for body in bodies:
        assert example_of(described, body)
    assert example_of(described, described["components"]["schemas"]["Terms"]) == {
        "is_on_hold": True,
        "arrangement": "hardship",
        "arranged_until": "2026-03-18",
        "reason": "text",
    }


def faultless(answer: ResponseReturnValue) -> Page:
    found = read_page(answer.text)  # type: ignore[union-attr]
    assert found.faults() == []
    return found


def test_people_read_the_same(client: FlaskClient, described: dict[str, Any]) -> None:
    start = faultless(client.get("/api/docs"))
    for _, path, told in operations(described):
        assert path in start.text
        assert told["summary"] in start.text
    for tag in described["tags"]:
        page = faultless(client.get(f"/api/docs/{tag['name']}"))
        assert "curl" in page.text
    assert client.get("/api/docs/nothing").status_code == 404


def test_every_error_has_a_page(client: FlaskClient) -> None:
    errors = list_errors()
    assert len(errors) > 60
    assert len({one.code for one in errors}) == len(errors)
    for error in errors:
        answer = client.get(f"/help/errors/{error.code}")
        assert answer.status_code == 200, error.code
        assert error.code in answer.text
    faultless(client.get("/help/errors/run_missing"))
    assert client.get("/help/errors/nothing").status_code == 404
