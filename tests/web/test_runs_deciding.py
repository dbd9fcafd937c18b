"""Deciding about runs in the browser: approving, giving up, running again what failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.clock import now_utc
from portal.db import transaction
from portal.domain.batches import ItemOutcome, RunState
from portal.domain.users import Actor, Role
from portal.ids import public_id
from portal.services.batches import RunOrder, start_run, work_chunk
from tests.factories import BUSINESS_ON, make_draft_invoice
from tests.services.books import rows
from tests.services.running import begin, finish, must_lease, refuse, run_of
from tests.web.conftest import make_worked_run, post, sign_in
from tests.web.forms import fields_of, read

DONE = ItemOutcome.DONE


@pytest.fixture
def waiting(organisation: UUID, app: Flask) -> Any:
    """A run of two drafts that somebody else has prepared and nobody approved."""
    app.config["PORTAL"] = app.config["PORTAL"].changed(approval_items_min=2)
    for _ in range(2):
        make_draft_invoice()
    return run_of(begin())


def address_of(run: Any) -> str:
    return f"/runs/{public_id('run', run.id)}"


def test_a_waiting_run_shows_its_sheet_and_is_approved(
    signed_in: FlaskClient, waiting: Any
) -> None:
    found = read(signed_in, address_of(waiting))
    assert "This run waits for approval." in found.text
    sheet = found.find("section", id="sheet").text.replace("\xa0", " ")
    assert "All in EUR" in sheet
    assert "waits for a second person" in sheet
    assert found.find_all("button", id="approve-run")

    answer = post(signed_in, f"{address_of(waiting)}/approve")

    assert (answer.status_code, answer.location) == (303, address_of(waiting))
    run = run_of(waiting.id)
    assert (run.state, run.approved_by) == (RunState.STARTED, "Mara Weber")
    assert "by Mara Weber" in read(signed_in, address_of(waiting)).find("section", id="sheet").text
    assert post(signed_in, f"{address_of(waiting)}/approve").status_code == 409


def test_who_prepared_it_is_told_to_ask_another(
    signed_in: FlaskClient, organisation: UUID, app: Flask
) -> None:
    app.config["PORTAL"] = app.config["PORTAL"].changed(approval_items_min=1)
    make_draft_invoice()
    (person,) = rows("SELECT id, name FROM users")
    with transaction(organisation):
        run_id = start_run(
            order=RunOrder("invoice_issuing", BUSINESS_ON),
            actor=Actor("person", person.id, person.name),
            now=now_utc(),
        )
    address = f"/runs/{public_id('run', run_id)}"
    found = read(signed_in, address)
    assert "another manager must approve it" in found.text
    assert not found.find_all("button", id="approve-run")

    answer = post(signed_in, f"{address}/approve")

    assert answer.status_code == 403
    assert "another person must approve it" in answer.text
    assert run_of(run_id).state == RunState.AWAITING_APPROVAL


def test_a_clerk_cannot_approve(
    client: FlaskClient, add_person: Callable[..., str], waiting: Any
) -> None:
    sign_in(client, add_person(Role.CLERK))
    found = read(client, address_of(waiting))
    assert "A manager who has not prepared it can approve it." in found.text
    assert post(client, f"{address_of(waiting)}/approve").status_code == 403
    assert run_of(waiting.id).state == RunState.AWAITING_APPROVAL


def test_a_new_run_above_the_limit_says_so_before(signed_in: FlaskClient, app: Flask) -> None:
    app.config["PORTAL"] = app.config["PORTAL"].changed(approval_items_min=1)
    make_draft_invoice()
    found = read(signed_in, "/runs/new?job=invoice_issuing")
    assert "waits until another person approves it" in found.text
    (form,) = found.find_all("form", action="/runs/new", method="post")
    answer = signed_in.post("/runs/new", data=fields_of(form))
    assert answer.status_code == 303
    assert "The run waits for approval." in read(signed_in, answer.location).text


def test_a_run_is_declined_with_a_reason(signed_in: FlaskClient, waiting: Any) -> None:
    address = f"{address_of(waiting)}/abandon"
    found = read(signed_in, address)
    assert found.find("h1").text == f"Decline run {waiting.number}?"
    empty = post(signed_in, address, reason=" ")
    assert empty.status_code == 422
    assert "Say in 1 to 500 characters why the run is given up." in empty.text

    answer = post(signed_in, address, reason="Wrong month.")

    assert (answer.status_code, answer.location) == (303, address_of(waiting))
    run = run_of(waiting.id)
    assert (run.state, run.exit_message) == (
        RunState.ABANDONED, "given up by Mara Weber: Wrong month",
    )  # fmt: skip
    shown = read(signed_in, address_of(waiting))
    assert "Given up by Mara Weber: Wrong month." in shown.text
    assert not shown.find_all("a", id="abandon-run")


def test_a_running_run_cannot_be_given_up(signed_in: FlaskClient) -> None:
    run = make_worked_run(DONE, items_count=2)
    assert "not possible now" in read(signed_in, f"{address_of(run)}/abandon", status=409).text
    assert not read(signed_in, address_of(run)).find_all("a", id="abandon-run")
    assert post(signed_in, f"{address_of(run)}/abandon", reason="Why not.").status_code == 409
    assert run_of(run.id).state == RunState.STARTED


@pytest.mark.parametrize("page", ["", "/items"])
def test_what_failed_is_run_again_by_a_button(signed_in: FlaskClient, page: str) -> None:
    ids = sorted(make_draft_invoice().id for _ in range(3))
    run_id = begin(chunk_items_max=3)
    work_chunk(lease=must_lease(), work=refuse(ids[:2]))
    assert finish(run_id) == "completed"
    address = f"/runs/{public_id('run', run_id)}"
    found = read(signed_in, address + page)
    assert found.find("button", id="repeat-run").text == "Run the 2 failed items again"
    (form,) = found.find_all("form", action=f"{address}/repeat")
    fields = fields_of(form)

    answer = signed_in.post(f"{address}/repeat", data=fields)
    again = signed_in.post(f"{address}/repeat", data=fields)

    (run,) = rows("SELECT id, number, items_count FROM batch_runs WHERE repeats_id = %s", run_id)
    assert run.items_count == 2
    for sent in (answer, again):
        assert (sent.status_code, sent.location) == (303, f"/runs/{public_id('run', run.id)}")
    assert "repeats run 1" in read(signed_in, answer.location).text
    shown = read(signed_in, address)
    assert "What failed was run again by run 2" in shown.text
    assert not shown.find_all("button", id="repeat-run")
    assert post(signed_in, f"{address}/repeat", request_key="another").status_code == 409


def test_nothing_is_offered_where_nothing_failed(signed_in: FlaskClient) -> None:
    run = make_worked_run(DONE, state=RunState.COMPLETED)
    assert not read(signed_in, address_of(run)).find_all("button", id="repeat-run")


def test_an_auditor_decides_nothing(
    client: FlaskClient, add_person: Callable[..., str], waiting: Any
) -> None:
    sign_in(client, add_person(Role.AUDITOR))
    found = read(client, address_of(waiting))
    assert not found.find("section", id="run-progress").find_all("form")
    assert client.get(f"{address_of(waiting)}/abandon").status_code == 403
    for action in ("approve", "abandon", "repeat"):
        assert post(client, f"{address_of(waiting)}/{action}").status_code == 403
    assert run_of(waiting.id).state == RunState.AWAITING_APPROVAL
