"""Schedules for machines: written, changed as they were seen, paused; nobody else's."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from portal.db import transaction
from portal.ids import parse_public_id, public_id
from portal.services.schedules import ScheduleWish, add_schedule
from portal.sql import fetch
from tests.api.conftest import PREFIX, Machine, problem_of
from tests.factories import CLERK, NOW, make_organisation
from tests.services.books import rows

WISH = {"name": "Collect", "job": "payment_collection", "rule": "30 6 * * 1-5"}


def write(machine: Machine, **over: Any) -> dict[str, Any]:
    answer = machine.post("/schedules", {**WISH, **over})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    assert answer.location == f"{PREFIX}/schedules/{found['id']}"
    return found


def test_a_schedule_is_written_and_says_when_it_is_due(machine: Machine) -> None:
    found = write(machine)

    assert (found["object"], found["state"], found["on_holiday"], found["misfire"]) == (
        "schedule", "active", "skip", "once"
    )  # fmt: skip
    assert found["in_words"] == "every working day at 06:30"
    assert (found["zone"], found["version"], found["last"]) == ("Europe/Berlin", 1, None)
    dues = [datetime.fromisoformat(one["due"]) for one in found["coming"]]
    assert len(dues) == 5
    assert dues == sorted(set(dues))
    assert found["next"] == found["coming"][0]["due"]
    assert machine.read(f"/schedules/{found['id']}") == found
    (row,) = rows("SELECT name, job, is_active FROM schedules")
    assert tuple(row) == ("Collect", "payment_collection", True)
    (event,) = rows("SELECT actor_name FROM events WHERE kind = 'schedule.added'")
    assert event.actor_name == "ERP"


def test_a_repeat_with_the_same_key_writes_one(machine: Machine) -> None:
    first = machine.post("/schedules", WISH, once="key-1")
    again = machine.post("/schedules", WISH, once="key-1")
    assert (first.status_code, first.data) == (again.status_code, again.data)
    assert len(rows("SELECT id FROM schedules")) == 1
    problem_of(machine.post("/schedules", WISH), 409, "schedule_name_taken")


def test_schedules_are_listed_filtered_and_ordered(machine: Machine) -> None:
    for name in ("B", "A", "C"):
        write(machine, name=name)
    write(machine, name="D", job="ledger_check", state="paused")

    found = machine.read("/schedules?limit=3")
    assert [one["name"] for one in found["items"]] == ["A", "B", "C"]
    rest = machine.read(f"/schedules?limit=3&cursor={found['next_cursor']}")
    assert [(one["name"], one["state"], one["next"]) for one in rest["items"]] == [
        ("D", "paused", None)
    ]
    assert [one["name"] for one in machine.read("/schedules?state=paused")["items"]] == ["D"]
    assert [one["name"] for one in machine.read("/schedules?job=ledger_check")["items"]] == ["D"]
    newest = machine.read("/schedules?sort=-created&state=active")["items"]
    assert [one["name"] for one in newest] == ["C", "A", "B"]
    assert machine.read("/schedules?sort=-next")["items"][0]["name"] == "D"


@pytest.mark.parametrize("query", ["name=A", "state=lost", "sort=rule", "limit=0", "cursor=x"])
def test_a_parameter_that_is_not_known_is_refused(machine: Machine, query: str) -> None:
    problem_of(machine.get(f"/schedules?{query}"), 400, "query_invalid")


@pytest.mark.parametrize(
    ("over", "code", "pointer"),
    [
        ({"rule": "daily"}, "rule_invalid", "/rule"),
        ({"rule": "0 6 31 2 *"}, "rule_invalid", "/rule"),
        ({"job": "everything"}, "body_invalid", "/job"),
        ({"name": "x" * 81}, "body_invalid", "/name"),
        ({"name": None}, "body_invalid", "/name"),
        ({"misfire": "never"}, "body_invalid", "/misfire"),
        ({"state": "gone"}, "body_invalid", "/state"),
        ({"next": "2026-01-01"}, "body_invalid", "/next"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_pointed_to(
    machine: Machine, over: dict[str, Any], code: str, pointer: str
) -> None:
    found = problem_of(machine.post("/schedules", {**WISH, **over}), 422, code)
    assert [one["pointer"] for one in found["errors"]] == [pointer]
    assert rows("SELECT id FROM schedules") == []


def test_a_schedule_is_changed_as_it_was_seen(machine: Machine) -> None:
    path = f"/schedules/{write(machine, misfire='each_business_date')['id']}"
    seen = machine.get(path).headers["ETag"]
    problem_of(machine.patch(path, {"name": "Other"}), 428, "precondition_missing")

    answer = machine.patch(path, {"rule": "0 7 LW * *"}, headers={"If-Match": seen})

    assert answer.status_code == 200, answer.text
    found = answer.get_json()
    assert (found["rule"], found["name"], found["misfire"], found["version"]) == (
        "0 7 LW * *", "Collect", "each_business_date", 2
    )  # fmt: skip
    stale = machine.patch(path, {"name": "Other"}, headers={"If-Match": seen})
    problem_of(stale, 412, "precondition_outdated")
    now_seen = {"If-Match": answer.headers["ETag"]}
    refused = machine.patch(path, {"state": "paused"}, headers=now_seen)
    problem_of(refused, 422, "body_invalid")
    assert machine.read(path) == found


def test_a_schedule_is_paused_and_resumed(machine: Machine) -> None:
    path = f"/schedules/{write(machine)['id']}"
    paused = machine.post(f"{path}/pause")
    assert (paused.status_code, paused.get_json()["state"]) == (200, "paused")
    assert paused.get_json()["next"] is None
    assert len(paused.get_json()["coming"]) == 5
    stale = machine.post(f"{path}/resume", headers={"If-Match": '"x"'})
    problem_of(stale, 412, "precondition_outdated")
    resumed = machine.post(f"{path}/resume", headers={"If-Match": paused.headers["ETag"]})
    assert (resumed.status_code, resumed.get_json()["state"]) == (200, "active")
    problem_of(machine.post(f"{path}/resume", {"at": "once"}), 422, "body_invalid")
    kinds = [one.kind for one in rows("SELECT kind FROM events ORDER BY id")]
    assert kinds[-2:] == ["schedule.paused", "schedule.resumed"]


def test_reading_does_not_let_change(make_machine: Any, machine: Machine) -> None:
    path = f"/schedules/{write(machine)['id']}"
    reader = make_machine(["read", "runs:write"])
    assert reader.read(path)["name"] == "Collect"
    problem_of(reader.post("/schedules", WISH), 403, "scope_missing")
    problem_of(reader.post(f"{path}/pause"), 403, "scope_missing")
    writer = make_machine(["schedules:write"])
    assert writer.post(f"{path}/pause").status_code == 200
    problem_of(writer.get(path), 403, "scope_missing")


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [("GET", "", None), ("PATCH", "", {"name": "Mine"}), ("POST", "/pause", None),
     ("POST", "/resume", None)],
)  # fmt: skip
def test_another_organisations_schedule_is_as_good_as_unknown(
    machine: Machine, method: str, tail: str, body: Any
) -> None:
    neighbour = make_organisation("harbour", code="haven")
    with transaction(neighbour):
        theirs = add_schedule(
            wish=ScheduleWish("Theirs", "ledger_check", "0 6 * * *"), actor=CLERK, now=NOW
        )
    assert machine.read("/schedules")["items"] == []
    said = []
    for schedule_id in (theirs, UUID(int=1)):
        name = public_id("schedule", schedule_id)
        sent: dict[str, Any] = {} if body is None else {"body": body}
        if method == "PATCH":
            sent["content_type"] = "application/merge-patch+json"
        answer = machine.send(method, f"/schedules/{name}{tail}", headers={"If-Match": "*"}, **sent)
        found = problem_of(answer, 404, "schedule_missing")
        said.append({**found, "request_id": "", "instance": ""})
    assert said[0] == said[1]
    with transaction(neighbour):
        (row,) = fetch("SELECT version, is_active FROM schedules")
    assert tuple(row) == (1, True)


def test_the_id_is_that_of_the_row(machine: Machine) -> None:
    found = write(machine)
    (row,) = rows("SELECT id FROM schedules")
    assert parse_public_id("schedule", found["id"]) == row.id
