"""Messages for machines: found, read with each try, sent again and withdrawn once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import transaction
from portal.ids import public_id
from portal.sql import execute, fetch
from tests.api.conftest import Machine, problem_of
from tests.factories import attempt_of, make_organisation, make_payment, read_row
from tests.services.books import rows
from tests.services.collecting import run_together


@pytest.fixture
def parked(organisation: UUID) -> Any:
    """A parked order with two tries, and another one that waits."""
    payment = make_payment()
    make_payment()
    attempt = attempt_of(payment)
    with transaction(organisation):
        execute(
            "UPDATE messages SET state = 'parked', tries = 2, last_error = 'HTTP 503'"
            " WHERE aggregate_id = %s",
            (attempt.id,),
        )
        execute(
            "INSERT INTO message_deliveries (organisation_id, message_id, try_number, tried_at,"
            " outcome, http_status, error) SELECT organisation_id, id, n, now(), 'not_sent', 503,"
            " 'HTTP 503' FROM messages, generate_series(1, 2) n WHERE aggregate_id = %s",
            (attempt.id,),
        )
    (message,) = rows("SELECT * FROM messages WHERE state = 'parked'")
    return message


def path_of(message: Any) -> str:
    return f"/messages/{public_id('message', message.id)}"


def test_messages_are_listed_by_what_the_page_filters_by(machine: Machine, parked: Any) -> None:
    (row,) = machine.read("/messages?state=parked&kind=gateway.charge")["items"]
    assert (row["id"], row["kind"], row["state"], row["tries"], row["error"]) == (
        public_id("message", parked.id), "gateway.charge", "parked", 2, "HTTP 503"
    )  # fmt: skip
    first = machine.read("/messages?limit=1")
    second = machine.read(f"/messages?limit=1&cursor={first['next_cursor']}")
    found = {one["id"] for page in (first, second) for one in page["items"]}
    assert len(found) == 2
    assert second["next_cursor"] is None
    assert machine.read("/messages?state=done")["items"] == []
    attempt_id = public_id("attempt", parked.aggregate_id)
    assert len(machine.read(f"/messages?attempt={attempt_id}")["items"]) == 1


@pytest.mark.parametrize("query", ["status=parked", "state=lost", "sort=kind", "age=year"])
def test_a_parameter_that_is_not_known_is_refused(machine: Machine, query: str) -> None:
    problem_of(machine.get(f"/messages?{query}"), 400, "query_invalid")


def test_a_message_is_shown_with_its_tries(machine: Machine, parked: Any) -> None:
    found = machine.read(path_of(parked))
    assert (found["state"], found["tries"], found["next"], found["done"]) == (
        "parked", 2, None, None
    )  # fmt: skip
    assert found["attempt_id"] == public_id("attempt", parked.aggregate_id)
    assert [(one["number"], one["outcome"], one["http_status"]) for one in found["deliveries"]] == [
        (2, "not_sent", 503), (1, "not_sent", 503),
    ]  # fmt: skip


def test_a_message_is_sent_again_once(app: Flask, machine: Machine, parked: Any) -> None:
    path, seen = f"{path_of(parked)}/send", machine.get(path_of(parked)).headers["ETag"]
    problem_of(machine.send("POST", path), 400, "idempotency_key_missing")

    def send() -> tuple[int, bytes]:
        sender = Machine(app.test_client(), machine.key)
        answer = sender.post(path, once="key-1", headers={"If-Match": seen})
        return answer.status_code, answer.data

    answers = run_together(app, *[send] * 3)

    assert {status for status, _ in answers} == {200}, answers
    assert len({body for _, body in answers}) == 1
    assert read_row("messages", parked.id).state == "ready"
    assert len(rows("SELECT id FROM events WHERE kind = 'message.released'")) == 1
    stale = machine.post(path, headers={"If-Match": seen})
    problem_of(stale, 412, "precondition_outdated")


def test_what_would_do_nothing_is_refused(machine: Machine, parked: Any) -> None:
    with transaction(parked.organisation_id):
        execute(
            "UPDATE payment_attempts SET state = 'declined' WHERE id = %s", (parked.aggregate_id,)
        )
    problem_of(machine.post(f"{path_of(parked)}/send"), 409, "message_needless")


def test_a_message_is_withdrawn_with_a_reason(machine: Machine, parked: Any) -> None:
    path = f"{path_of(parked)}/withdraw"
    problem_of(machine.post(path, {}), 422, "body_invalid")
    problem_of(machine.post(path, {"reason": "mistake"}), 409, "message_needed")
    with transaction(parked.organisation_id):
        execute(
            "UPDATE payment_attempts SET state = 'declined' WHERE id = %s", (parked.aggregate_id,)
        )

    answer = machine.post(path, {"reason": "mistake"})

    assert answer.status_code == 200, answer.text
    assert (answer.get_json()["state"], answer.get_json()["next"]) == ("will_not_send", None)
    (event,) = rows("SELECT actor_name, reason FROM events WHERE kind = 'message.withdrawn'")
    assert tuple(event) == ("ERP", "mistake")
    problem_of(machine.post(path, {"reason": "again"}), 409, "move_not_allowed")


def test_reading_does_not_let_decide(make_machine: Any, parked: Any) -> None:
    reader = make_machine(["read", "payments:write"])
    assert reader.read(path_of(parked))["state"] == "parked"
    problem_of(reader.post(f"{path_of(parked)}/send"), 403, "scope_missing")
    assert make_machine(["messages:write"]).post(f"{path_of(parked)}/send").status_code == 200


@pytest.mark.parametrize(("tail", "body"), [("", None), ("/send", None), ("/withdraw", "mine")])
def test_another_organisations_message_is_as_good_as_unknown(
    machine: Machine, tail: str, body: str | None
) -> None:
    neighbour = make_organisation("harbour", code="haven")
    make_payment(organisation_id=neighbour)
    with transaction(neighbour):
        (theirs,) = fetch("SELECT * FROM messages")
    assert machine.read("/messages")["items"] == []
    said = []
    for message_id in (theirs.id, UUID(int=1)):
        path = f"/messages/{public_id('message', message_id)}{tail}"
        sent: dict[str, Any] = {} if body is None else {"body": {"reason": body}}
        answer = machine.send("POST" if tail else "GET", path, once="key", **sent)
        found = problem_of(answer, 404, "message_missing")
        said.append({**found, "request_id": "", "instance": ""})
    assert said[0] == said[1]
    kept = read_row("messages", theirs.id, organisation_id=neighbour)
    assert (kept.state, kept.next_at) == (theirs.state, theirs.next_at)
