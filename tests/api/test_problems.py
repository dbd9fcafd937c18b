"""Errors: every one is problem details, whatever went wrong and wherever."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import TooManyRequests

from portal.api import runs
from portal.api.access import BODY_BYTES_MAX
from portal.domain.errors import Conflict, Invalid, Unavailable
from tests.api.conftest import PREFIX, Machine, problem_of

ORDER = {"job": "ledger_check"}


@pytest.mark.parametrize("path", ["/nothing", "/runs/", "/runs/run_1", "/runs/" + "x" * 3000, "/"])
def test_an_unknown_address_is_a_problem(client: FlaskClient, path: str) -> None:
    problem_of(client.get(PREFIX + path), 404, "address_unknown")


def test_a_wrong_method_names_the_right_ones(machine: Machine) -> None:
    answer = machine.send("DELETE", "/runs")
    problem_of(answer, 405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_only_json_is_answered(machine: Machine) -> None:
    problem_of(machine.get("/runs", headers={"Accept": "text/csv"}), 406, "answer_not_acceptable")
    for accepted in ("*/*", "application/*", "application/json;q=0.5, text/html"):
        assert machine.get("/runs", headers={"Accept": accepted}).status_code == 200


def test_an_unknown_parameter_is_refused(machine: Machine) -> None:
    for path in ("?x=1", "/runs?sate=failed", "/runs?limit=0", "/runs?limit=1&limit=2"):
        found = problem_of(machine.get(path), 400, "query_invalid")
        (finding,) = found["errors"]
        assert finding["parameter"] in {"x", "sate", "limit"}
        assert finding["code"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b'{"job": 1, "job": 2}', "given twice"),
        (b'{"job": NaN}', "NaN"),
        (b'{"job": "\xff"}', "not UTF-8"),
        (b'{"job": "\\ud800"}', "not Unicode"),
        (b"[" * 5000, "deep"),
    ],
)
def test_only_strict_json_is_read(machine: Machine, raw: bytes, reason: str) -> None:
    answer = machine.post("/runs", data=raw, content_type="application/json")
    assert reason in problem_of(answer, 400, "body_unreadable")["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_taken(machine: Machine, kind: str) -> None:
    answer = machine.post("/runs", data=b"{}", content_type=kind)
    problem_of(answer, 415, "body_not_json")


def test_an_encoded_body_is_not_taken(machine: Machine) -> None:
    answer = machine.post("/runs", ORDER, headers={"Content-Encoding": "gzip"})
    problem_of(answer, 415, "body_not_json")


def test_a_body_has_a_size(machine: Machine) -> None:
    answer = machine.post(
        "/runs", data=b" " * (BODY_BYTES_MAX + 1), content_type="application/json"
    )
    problem_of(answer, 413, "body_too_large")


def test_each_wrong_member_is_pointed_to(machine: Machine) -> None:
    answer = machine.post("/runs", {"job": "dance", "date": "2026-02-30", "a/b~c": 1})
    found = problem_of(answer, 422, "body_invalid")
    assert {(one["pointer"], one["code"]) for one in found["errors"]} == {
        ("/job", "invalid"),
        ("/date", "invalid"),
        ("/a~1b~0c", "unknown"),
    }
    (missing,) = problem_of(machine.post("/runs", {}), 422, "body_invalid")["errors"]
    assert missing == {"pointer": "/job", "code": "missing", "detail": "it is missing"}


def test_a_body_where_none_is_read_is_refused(machine: Machine) -> None:
    run_id = machine.post("/runs", ORDER).get_json()["id"]
    answer = machine.post(f"/runs/{run_id}/stop", {"soon": True})
    problem_of(answer, 422, "body_invalid")


ERRORS: list[tuple[Exception, int, str]] = [
    (Conflict(reason="of this"), 409, "conflict"),
    (Invalid(reason="of that"), 422, "invalid"),
    (Unavailable(service="The gateway"), 503, "unavailable"),
    (OperationalError("SELECT 1", {}, Exception("a secret detail")), 503, "not_available"),
    (psycopg.OperationalError("a secret detail"), 503, "not_available"),
    (psycopg.errors.LockNotAvailable("a secret detail"), 409, "busy"),
    (psycopg.errors.DeadlockDetected("a secret detail"), 409, "busy"),
    (redis.ConnectionError("a secret detail"), 503, "not_available"),
    (psycopg.errors.UniqueViolation("a secret detail"), 500, "fault"),
    (ZeroDivisionError("a secret detail"), 500, "fault"),
    (TooManyRequests(retry_after=7), 429, "too_many_requests"),
]


@pytest.mark.parametrize(("error", "status", "code"), ERRORS, ids=lambda one: str(one)[:20])
def test_whatever_breaks_is_a_problem_without_details(
    app: Flask,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
) -> None:
    def burst(_run_id: UUID) -> Any:
        raise error

    monkeypatch.setattr(runs, "get_run", burst)
    app.testing = False
    answer = machine.get(f"/runs/run_{'a' * 26}")

    found = problem_of(answer, status, code)
    assert "secret detail" not in answer.text
    assert found["request_id"]
    assert found["instance"] == f"{PREFIX}/runs/run_{'a' * 26}"
    assert ("Retry-After" in answer.headers) is (status in {429, 503} or code == "busy")


def test_without_its_database_the_portal_says_so(app: Flask, machine: Machine) -> None:
    from portal.app import create_app

    away = app.config["PORTAL"].changed(
        database_url="postgresql+psycopg://portal_app:x@127.0.0.1:1/none",
        database_owner_url="postgresql+psycopg://portal_app:x@127.0.0.1:1/none",
    )
    answer = Machine(create_app(away).test_client(), machine.key).get("/runs")
    problem_of(answer, 503, "not_available")
    assert answer.headers["Retry-After"]
