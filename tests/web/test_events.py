"""The audit trail: what happened, found by whom and when, and one event with all of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.db import acting_for, transaction
from portal.domain.users import Actor, Role
from portal.ids import public_id
from portal.services.events import record_event
from portal.sql import fetch
from tests.factories import NOW, make_issued_invoice, make_payer, read_row
from tests.services.refunding import make_refund
from tests.web.conftest import sign_in
from tests.web.forms import read

PERSON = Actor("person", None, "Ada Clerk")
RUN = Actor("run", None, "run 7")
SYSTEM = Actor("system", None, "ledger")


@pytest.fixture
def trail(organisation: UUID) -> UUID:
    """Three things that happened to one payer on two days, by a person, a run and a system."""
    payer_id: UUID = make_payer(name="Elm Road Clinic").id
    with transaction(organisation):
        record_event(
            "payer.terms_changed",
            payer_id,
            actor=PERSON,
            now=NOW,
            reason="Agreed on the telephone",
            details={"from": {"is_on_hold": False}, "to": {"is_on_hold": True}, "version": 2},
        )
        record_event("payer.merged", payer_id, actor=RUN, now=NOW + timedelta(days=1))
        record_event("payer.split", payer_id, actor=SYSTEM, now=NOW + timedelta(days=1))
    return payer_id


def test_what_happened_is_listed_the_newest_first(signed_in: FlaskClient, trail: UUID) -> None:
    found = read(signed_in, "/events?about=payer")
    assert [row[1:5] for row in found.rows] == [
        ["Payer split", "Elm Road Clinic", "ledger", "–"],
        ["Payer merged", "Elm Road Clinic", "run 7", "–"],
        ["Payer terms changed", "Elm Road Clinic", PERSON.name, "Agreed on the telephone"],
    ]


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        ("actor=people", ["Payer terms changed"]),
        ("actor=systems", ["Payer split"]),
        ("actor=portal", ["Payer merged"]),
        ("actor=portal&actor=systems", ["Payer split", "Payer merged"]),
        ("kind=payer.merged", ["Payer merged"]),
        ("name=ledger", ["Payer split"]),
        (f"day={NOW.date()}", ["Payer terms changed"]),
        (f"day[gt]={NOW.date()}", ["Payer split", "Payer merged"]),
        (f"day[lt]={NOW.date()}", []),
    ],
)
def test_events_are_found_by_whom_and_when(
    signed_in: FlaskClient, trail: UUID, asked: str, kinds: list[str]
) -> None:
    found = read(signed_in, f"/events?about=payer&{asked}")
    assert [row[1] for row in found.rows] == kinds


def test_who_and_what_an_event_names_is_said_in_words(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    refund = make_refund("approved")
    with transaction(organisation):
        record_event("refund.looked_at", refund.id, actor=Actor("portal"), now=NOW)
    (row,) = read(signed_in, "/events?kind=refund.looked_at").rows
    payment = read_row("payments", refund.payment_id)
    payer = read_row("payers", payment.payer_id)
    assert row[1:4] == ["Refund looked at", payer.name, "the portal"]


def test_an_event_says_what_was_before_and_after(
    signed_in: FlaskClient, trail: UUID, organisation: UUID
) -> None:
    (way,) = read(signed_in, "/events?about=payer&actor=people").find("tbody").find_all("a")

    found = read(signed_in, way.attributes["href"])

    assert found.find("h1").text == "Payer terms changed"
    recorded = " ".join(found.find("section", id="recorded").text.split())
    assert "From: Is on hold no" in recorded
    assert "To: Is on hold yes" in recorded
    assert "Agreed on the telephone" in found.find("section", id="facts").text
    assert found.find_all("a", href=f"/payers/{public_id('payer', trail)}")
    with acting_for(organisation):
        (stored,) = fetch("SELECT id FROM events WHERE kind = 'payer.terms_changed'")
    assert way.attributes["href"] == f"/events/{public_id('event', UUID(int=stored.id))}"


def test_what_is_recorded_is_shown_and_not_obeyed(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    with transaction(organisation):
        record_event(
            "payer.renamed",
            make_payer().id,
            actor=PERSON,
            now=NOW,
            details={"name": "<script>alert(1)</script>"},
        )
    (way,) = read(signed_in, "/events?kind=payer.renamed").find("tbody").find_all("a")
    answer = signed_in.get(way.attributes["href"])
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script>alert" not in answer.text


def test_events_of_others_do_not_exist(
    signed_in: FlaskClient, organisation: UUID, other_organisation: UUID
) -> None:
    theirs = make_issued_invoice(organisation_id=other_organisation)
    with acting_for(other_organisation):
        (event, *_) = fetch("SELECT id FROM events WHERE subject_id = %s", (theirs.id,))
    for unknown in (UUID(int=event.id), UUID(int=1 << 100), theirs.id):
        missing = signed_in.get(f"/events/{public_id('event', unknown)}")
        assert missing.status_code == 404
        assert "There is no such event here" in missing.text
    assert read(signed_in, "/events?about=invoice").rows == []


@pytest.mark.parametrize(
    ("role", "may_see"),
    [(Role.CLERK, False), (Role.OPERATOR, True), (Role.AUDITOR, True), (Role.MANAGER, True)],
)
def test_the_trail_is_for_those_who_answer_for_it(
    client: FlaskClient,
    organisation: UUID,
    add_person: Callable[..., str],
    role: Role,
    *,
    may_see: bool,
) -> None:
    sign_in(client, add_person(role))
    assert client.get("/events").status_code == (200 if may_see else 403)
    links = [one.attributes.get("href") for one in read(client, "/invoices").find_all("a")]
    assert ("/events" in links) is may_see
