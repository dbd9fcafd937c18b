"""Sequences in the browser: written in a plain form, started, and watched step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.db import acting_for
from portal.domain.sequences import Step, StepCondition
from portal.domain.users import Role
from portal.ids import public_id
from portal.services.sequences import SequenceWish, add_sequence
from tests.factories import CLERK, NOW
from tests.services.books import rows
from tests.services.running import make_drafts
from tests.web.conftest import post, sign_in
from tests.web.forms import fields_of, read, read_answer, send

STEPS = (Step("invoice_issuing"), Step("ledger_check", StepCondition.CLEAN))


def add(organisation: UUID, *steps: Step, name: str = "Month end") -> UUID:
    with acting_for(organisation):
        return add_sequence(wish=SequenceWish(name, steps or STEPS), actor=CLERK, now=NOW)


def address_of(sequence_id: UUID) -> str:
    return f"/sequences/{public_id('sequence', sequence_id)}"


def steps_stored() -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for row in rows(
            "SELECT version, number, job, condition FROM sequence_steps ORDER BY version, number"
        )
    ]


def test_a_sequence_is_written_and_changed_without_scripts(signed_in: FlaskClient) -> None:
    assert "There is no sequence yet." in read(signed_in, "/sequences").text
    page = read(signed_in, "/sequences/new")
    typed = {
        "name": "Month end",
        "steps_0_job": "invoice_issuing",
        "steps_2_job": "payment_collection",
        "steps_2_condition": "clean",
    }

    sent = send(signed_in, page, "/sequences/new", **typed)
    again = send(signed_in, page, "/sequences/new", **typed)

    assert (sent.status_code, again.status_code) == (303, 303)
    assert steps_stored() == [
        (1, 1, "invoice_issuing", "completed"),
        (1, 2, "payment_collection", "clean"),
    ]
    assert "Issue invoices, then collect payments" in read(signed_in, sent.location).text

    edit = f"{sent.location}/edit"
    first, second = read(signed_in, edit), read(signed_in, edit)
    assert send(signed_in, first, edit, steps_1_job="").status_code == 303
    assert steps_stored()[2:] == [(2, 1, "invoice_issuing", "completed")]

    late = send(signed_in, second, edit, name="Late")
    assert "Somebody else has changed this sequence" in read_answer(late, status=409).text
    assert rows("SELECT name, version FROM sequences") == [("Month end", 2)]


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        ({"name": ""}, 422, "Give the sequence a name."),
        ({"name": "x" * 81}, 422, "at most 80 characters"),
        ({"name": "Taken"}, 409, "There is a sequence “Taken” already."),
        ({"steps_0_job": ""}, 422, "A sequence has 1 to 12 steps."),
        ({"steps_0_job": "lost"}, 422, "Not a valid choice."),
        ({"steps_1_condition": "lost"}, 422, "Not a valid choice."),
    ],
)
def test_what_cannot_be_saved_is_said(
    signed_in: FlaskClient, organisation: UUID, typed: dict[str, str], status: int, said: str
) -> None:
    add(organisation, name="Taken")
    page = read(signed_in, "/sequences/new")
    fields = {"name": "Mine", "steps_0_job": "ledger_check", **typed}

    answer = send(signed_in, page, "/sequences/new", **fields)

    assert said in read_answer(answer, status=status).text
    assert len(rows("SELECT id FROM sequences")) == 1


def test_a_sequence_is_started_once_and_shows_its_steps(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    make_drafts(2)
    address = address_of(add(organisation))
    page = read(signed_in, address)

    sent = send(signed_in, page, f"{address}/start")
    again = send(signed_in, page, f"{address}/start")

    assert (
        (sent.status_code, sent.location)
        == (again.status_code, again.location)
        == (
            303,
            sent.location,
        )
    )
    found = read(signed_in, sent.location)
    assert "Run 1" in found.text
    assert "Not begun yet" in found.text
    (run,) = rows("SELECT * FROM batch_runs")
    shown = read(signed_in, f"/runs/{public_id('run', run.id)}")
    assert "step 1 of 2 of Month end" in " ".join(shown.text.split())

    refused = send(signed_in, read(signed_in, address), f"{address}/start")
    assert "is not over yet" in read_answer(refused, status=409).text
    assert len(rows("SELECT id FROM sequence_runs")) == 1


@pytest.mark.parametrize("day", ["2999-01-01", "soon", "2026-02-30", "x" * 500])
def test_a_day_that_cannot_be_used_starts_nothing(
    signed_in: FlaskClient, organisation: UUID, day: str
) -> None:
    address = address_of(add(organisation))
    answer = send(signed_in, read(signed_in, address), f"{address}/start", date=day)

    read_answer(answer, status=422)
    assert rows("SELECT id FROM sequence_runs") == []


def test_a_sequence_seen_before_it_was_changed_is_not_started(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    address = address_of(add(organisation))
    seen = read(signed_in, address)
    send(signed_in, read(signed_in, f"{address}/edit"), f"{address}/edit")

    assert send(signed_in, seen, f"{address}/start").status_code == 409
    assert rows("SELECT id FROM sequence_runs") == []


@pytest.mark.parametrize("role", [Role.CLERK, Role.AUDITOR])
def test_who_only_looks_sees_who_may(
    client: FlaskClient, organisation: UUID, add_person: Callable[..., str], role: Role
) -> None:
    address = address_of(add(organisation))
    sign_in(client, add_person(role))

    assert "Only these roles change sequences" in read(client, address).text
    assert client.get("/sequences/new").status_code == 403


def test_another_organisations_sequence_is_not_there(
    signed_in: FlaskClient, other_organisation: UUID
) -> None:
    address = address_of(add(other_organisation))

    assert signed_in.get(address).status_code == 404
    assert post(signed_in, f"{address}/start", version="1", request_key="once").status_code == 404


def test_a_schedule_of_a_sequence_is_written_in_the_form(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    chosen = public_id("sequence", add(organisation))
    asked = f"/schedules/new?name=Nightly&job={chosen}&when=working_day&at=11:00&weekday=1&day=1"
    page = read(signed_in, f"{asked}&rule=&on_holiday=skip&misfire=once")
    (form,) = [
        one
        for one in page.find_all("form")
        if one.attributes.get("method") == "post"
        and one.attributes.get("action") == "/schedules/new"
    ]

    sent = signed_in.post("/schedules/new", data=fields_of(form))

    assert sent.status_code == 303
    (row,) = rows("SELECT job, sequence_id FROM schedules")
    assert (row.job, public_id("sequence", row.sequence_id)) == (None, chosen)
    assert "Month end" in read(signed_in, sent.location).text
    assert "Month end" in read(signed_in, "/schedules").text
    kept = read(signed_in, f"{sent.location}/edit").find("select", name="job")
    assert chosen in [
        each.attributes["value"]
        for each in kept.find_all("option")
        if "selected" in each.attributes
    ]
