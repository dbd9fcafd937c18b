"""Runs for machines: begun once, watched, stopped, restarted; nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
import time_machine
from flask import Flask

from jobs.engine import drain_chunks
from portal.domain.batches import ItemOutcome, RunState
from portal.ids import public_id
from tests.api.conftest import PREFIX, Machine, problem_of
from tests.factories import make_draft_invoice, make_run, read_row
from tests.services.books import rows
from tests.services.collecting import run_together
from tests.web.conftest import make_worked_run

ISSUE = {"job": "invoice_issuing", "date": "2026-03-18"}


def test_a_run_is_begun_and_found_at_its_location(machine: Machine) -> None:
    make_draft_invoice()
    answer = machine.post("/runs", ISSUE)

    assert answer.status_code == 202, answer.text
    run = answer.get_json()
    assert answer.location == f"{PREFIX}/runs/{run['id']}"
    assert (run["object"], run["number"], run["job"]) == ("run", 1, "invoice_issuing")
    assert (run["date"], run["items"], run["state"], run["by"]) == (
        "2026-03-18", 1, "started", "ERP"
    )  # fmt: skip
    assert run["created"].endswith("Z")
    found = machine.get(f"/runs/{run['id']}")
    assert found.get_json() == run
    assert found.headers["ETag"] == answer.headers["ETag"]
    (event,) = rows("SELECT * FROM events WHERE kind = 'run.started'")
    assert (event.actor_kind, event.actor_name) == ("system", "ERP")


def test_a_run_is_not_begun_for_a_day_to_come(machine: Machine) -> None:
    make_draft_invoice()
    # An hour before midnight in UTC it is the second of May where the organisation is.
    with time_machine.travel(datetime(2026, 5, 1, 23, tzinfo=UTC), tick=False):
        for day in ("2026-05-03", "2099-12-31"):
            answer = machine.post("/runs", {**ISSUE, "date": day}, once="key-1")
            (finding,) = problem_of(answer, 422, "body_invalid")["errors"]
            assert finding == {
                "pointer": "/date",
                "code": "invalid",
                "detail": "the day is in the future; choose today or an earlier day",
            }
        assert rows("SELECT * FROM batch_runs") == []
        assert machine.post("/runs", {**ISSUE, "date": "2026-05-02"}).status_code == 202


def test_a_run_needs_a_key_against_repeats(machine: Machine) -> None:
    problem_of(machine.post("/runs", ISSUE, once=None), 400, "idempotency_key_missing")
    assert rows("SELECT * FROM batch_runs") == []


def test_a_repeat_gets_the_same_reply(machine: Machine) -> None:
    make_draft_invoice()
    first = machine.post("/runs", ISSUE, once="key-1")
    again = machine.post("/runs", dict(reversed(ISSUE.items())), once="key-1")

    assert (again.status_code, again.data) == (202, first.data)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    for name in ("Location", "ETag", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert len(rows("SELECT * FROM batch_runs")) == 1


def test_a_key_with_another_body_is_refused(machine: Machine) -> None:
    machine.post("/runs", ISSUE, once="key-1")
    other = machine.post("/runs", {**ISSUE, "date": "2026-03-19"}, once="key-1")
    problem_of(other, 422, "key_reused")
    problem_of(machine.post("/runs", ISSUE, once="k\xe9y"), 422, "key_unusable")


def test_a_refused_request_may_be_sent_again_with_its_key(machine: Machine) -> None:
    make_draft_invoice()
    machine.post("/runs", ISSUE)
    problem_of(machine.post("/runs", ISSUE, once="key-1"), 409, "run_unfinished")
    assert machine.post("/runs", {**ISSUE, "date": "2026-03-19"}, once="key-1").status_code == 202


def test_the_same_order_many_times_at_once_begins_one_run(app: Flask, machine: Machine) -> None:
    make_draft_invoice()

    def begin() -> tuple[int, bytes]:
        answer = Machine(app.test_client(), machine.key).post("/runs", ISSUE, once="key-1")
        return answer.status_code, answer.data

    answers = run_together(app, *[begin] * 6)

    assert {status for status, _ in answers} == {202}
    assert len({body for _, body in answers}) == 1
    assert len(rows("SELECT * FROM batch_runs")) == 1


def test_runs_are_listed_page_by_page(machine: Machine) -> None:
    for _ in range(5):
        make_run(state="completed")
    seen: list[int] = []
    path = "/runs?limit=2&state=completed"
    answer = machine.get(path)
    while True:
        found = answer.get_json()
        assert found["object"] == "list"
        seen += [run["number"] for run in found["items"]]
        if found["next_cursor"] is None:
            break
        links = {part.split('rel="')[1][:-1]: part for part in answer.headers["Link"].split(", ")}
        address = links["next"].split(">")[0].removeprefix("<")
        assert f"cursor={found['next_cursor']}" in address
        assert "state=completed" in address
        answer = machine.get(address.removeprefix(PREFIX))
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5
    back = machine.read(f"{path}&cursor={found['previous_cursor']}")
    assert [run["number"] for run in back["items"]] == seen[2:4]


def test_a_list_that_has_not_changed_is_not_sent_again(machine: Machine) -> None:
    make_run(state="completed")
    tag = machine.get("/runs").headers["ETag"]
    again = machine.get("/runs", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    make_run(state="completed")
    assert machine.get("/runs", headers={"If-None-Match": tag}).status_code == 200


def test_items_say_what_became_of_them(machine: Machine) -> None:
    run = make_worked_run(ItemOutcome.DONE, ItemOutcome.FAILED, ItemOutcome.FAILED)
    path = f"/runs/{public_id('run', run.id)}/items"

    assert len(machine.read(path)["items"]) == 3
    failed = machine.read(f"{path}?outcome=failed&outcome=skipped&limit=1")
    assert [one["outcome"] for one in failed["items"]] == ["failed"]
    assert failed["items"][0]["code"] == "V104"
    rest = machine.read(f"{path}?outcome=failed&limit=1&cursor={failed['next_cursor']}")
    assert len(rest["items"]) == 1
    assert rest["next_cursor"] is None
    assert machine.read(f"{path}?code=V999")["items"] == []
    problem_of(machine.get(f"{path}?cursor=x"), 400, "query_invalid")
    problem_of(machine.get(f"{path}?outcome=lost"), 400, "query_invalid")


def test_items_name_the_document_they_are_about(machine: Machine) -> None:
    draft = make_draft_invoice(external_ref="R-1")
    machine.post("/runs", ISSUE)
    drain_chunks()
    (run,) = rows("SELECT id FROM batch_runs")

    (item,) = machine.read(f"/runs/{public_id('run', run.id)}/items")["items"]

    assert (item["object"], item["outcome"]) == ("item", "done")
    assert item["invoice_id"] == public_id("invoice", draft.id)
    assert item["payment_id"] is None
    assert item["amount"]["currency"] == "EUR"


def test_a_run_tells_its_sheet(machine: Machine) -> None:
    make_draft_invoice()
    run = machine.post("/runs", ISSUE).get_json()

    sheet = run["sheet"]
    assert (run["needs_approval"], run["approved_by"], run["repeated_by"]) == (False, None, None)
    assert (sheet["items"], sheet["changed"], sheet["changed_max"]) == (1, 0, 1)
    assert len(sheet["population_hash"]) == 64
    by_currency = next(one for one in sheet["totals"] if one["by"] == "currency")
    assert (by_currency["value"], by_currency["items"]) == ("EUR", 1)
    assert by_currency["amount"] == {"amount": "100.00", "currency": "EUR"}


def test_a_large_run_waits_for_a_person(app: Flask, machine: Machine) -> None:
    app.config["PORTAL"] = app.config["PORTAL"].changed(approval_items_min=1)
    make_draft_invoice()
    run = machine.post("/runs", ISSUE).get_json()
    assert (run["state"], run["needs_approval"], run["started"]) == (
        "awaiting_approval", True, None,
    )  # fmt: skip
    problem_of(machine.post(f"/runs/{run['id']}/restart"), 409, "move_not_allowed")


def test_a_run_is_stopped_and_restarted(machine: Machine) -> None:
    run = make_worked_run(ItemOutcome.DONE, items_count=2)
    path = f"/runs/{public_id('run', run.id)}"

    stopped = machine.post(f"{path}/stop")
    assert stopped.status_code == 200, stopped.text
    assert read_row("batch_runs", run.id).state == stopped.get_json()["state"]
    assert stopped.get_json()["state"] in {"stopping", "stopped", "completed"}
    problem_of(machine.post(f"{path}/stop"), 409, "move_not_allowed")


def test_a_run_that_has_changed_is_not_stopped_unseen(machine: Machine) -> None:
    run = make_worked_run(ItemOutcome.DONE, items_count=2)
    path = f"/runs/{public_id('run', run.id)}"
    answer = machine.post(f"{path}/stop", headers={"If-Match": '"other"'})
    problem_of(answer, 412, "precondition_outdated")
    assert read_row("batch_runs", run.id).state == RunState.STARTED
    tag = machine.get(path).headers["ETag"]
    assert machine.post(f"{path}/stop", headers={"If-Match": tag}).status_code == 200


@pytest.mark.parametrize(("method", "tail"), [
    ("GET", ""), ("GET", "/items"), ("POST", "/stop"), ("POST", "/restart"),
])  # fmt: skip
def test_another_organisations_run_is_as_good_as_unknown(
    machine: Machine, other_organisation: UUID, method: str, tail: str
) -> None:
    theirs = make_run(organisation_id=other_organisation, state="started").id
    bodies = []
    for run_id in (theirs, UUID(int=1)):
        shown = public_id("run", run_id)
        answer = machine.send(method, f"/runs/{shown}{tail}")
        found = problem_of(answer, 404, answer.get_json(force=True)["code"])
        del found["request_id"]
        bodies.append(str(found).replace(shown, "ID"))
    assert bodies[0] == bodies[1]
    kept = read_row("batch_runs", theirs, organisation_id=other_organisation)
    assert kept.state == RunState.STARTED


def test_each_organisation_lists_its_own_runs(
    make_machine: Callable[..., Machine], other_organisation: UUID
) -> None:
    make_run(state="completed")
    theirs = make_machine(organisation_id=other_organisation)
    assert theirs.read("/runs")["items"] == []
    assert len(make_machine().read("/runs")["items"]) == 1
