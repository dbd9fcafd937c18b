"""Pages of rehearsals: asked for, watched, and read by what differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from jobs.engine import drain_chunks
from portal.db import acting_for
from portal.domain.users import Role
from portal.services.rulesets import import_rule_set
from rules.definitions import dump_definition
from tests.factories import CLERK, NOW, Line, make_draft_invoice, make_payer
from tests.pages import read_page
from tests.services.books import rows
from tests.services.test_rehearsals import SURCHARGE, definition
from tests.web.conftest import post, sign_in

ADDRESS = "/rules/2/rehearse"
DRAFTS = {"documents": "drafts", "against": "1", "request_key": "once"}


@pytest.fixture
def clerk(client: FlaskClient, add_person: Callable[..., str]) -> FlaskClient:
    assert sign_in(client, add_person(Role.CLERK)).status_code == 303
    return client


@pytest.fixture(autouse=True)
def _version(organisation: UUID) -> None:
    """Let version 2 add a surcharge for companies, and three drafts wait."""
    with acting_for(organisation):
        text = dump_definition(definition(SURCHARGE, V101={"minimum_minor": 900}))
        import_rule_set(text=text, actor=CLERK, now=NOW)
    person = make_payer(kind="person").id
    make_draft_invoice(payer_id=make_payer(kind="company").id)
    make_draft_invoice(payer_id=person)
    make_draft_invoice(payer_id=person, lines=(Line(600),))


def runs() -> list[Any]:
    return rows("SELECT * FROM batch_runs ORDER BY number")


def test_a_version_is_rehearsed_and_each_number_leads_to_its_rows(clerk: FlaskClient) -> None:
    assert 'href="/rules/2/rehearse"' in clerk.get("/rules/2").text
    assert clerk.get(ADDRESS).status_code == 200

    answer = post(clerk, ADDRESS, **DRAFTS)
    again = post(clerk, ADDRESS, **DRAFTS)

    assert (answer.status_code, again.status_code) == (303, 303)
    assert answer.headers["Location"] == again.headers["Location"]
    assert len(runs()) == 1
    address = answer.headers["Location"]
    waiting = clerk.get(address).text
    assert "0 of 3 documents" in waiting
    assert "hx-get" in waiting
    drain_chunks()
    page = clerk.get(address).text
    assert "3 of 3 documents" in page
    assert "hx-get" not in read_page(page).find("div", id="rehearsal").attributes
    for words in ("C306", "V101", "Newly stopped", "All in EUR"):
        assert words in page, words
    for conditions, count in (
        ("", 2),
        ("?clauses=C306", 1),
        ("?appeared=V101", 1),
        ("?payer_kind=person", 1),
        ("?payer_kind=public_body", 0),
    ):
        listed = clerk.get(f"{address}/differences{conditions}")
        assert listed.status_code == 200
        assert listed.text.count("DOC-") == count, conditions
    assert clerk.get(f"{address}/differences.csv").text.count("DOC-") == 2
    assert address in clerk.get("/rules/2").text


def test_a_poll_gets_only_what_is_new(clerk: FlaskClient) -> None:
    address = post(clerk, ADDRESS, **DRAFTS).headers["Location"]
    part = {"HX-Request": "true"}

    assert clerk.get(f"{address}?seen=started.0", headers=part).status_code == 204
    drain_chunks()
    answer = clerk.get(f"{address}?seen=started.0", headers=part)
    assert answer.status_code == 200
    assert answer.text.lstrip().startswith('<div id="rehearsal"')


def test_a_rehearsal_is_stopped_on_its_page(clerk: FlaskClient) -> None:
    address = post(clerk, ADDRESS, **DRAFTS).headers["Location"]
    form = read_page(clerk.get(address).text).find("button", id="stop-run")
    assert form is not None
    stop = address.replace("/rules/rehearsals/", "/runs/") + "/stop"

    assert post(clerk, stop).status_code == 303

    assert runs()[0].state == "stopped"
    assert "Stop the rehearsal" not in clerk.get(address).text


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"documents": "issued", "from_on": "2026-03-01"}, "Enter a day, or choose the drafts."),
        ({"documents": "issued", "from_on": "2026-03-02", "to_on": "2026-03-01"},
         "the last day is before the first one"),
        ({"against": "booked"}, "drafts are not booked yet"),
        ({"against": "77"}, "Not a valid choice"),
        ({"against": ""}, "Not a valid choice"),
        ({"currency": "x1"}, "three capital letters"),
        ({"currency": "EURO" * 99}, "Three letters."),
        ({"documents": "all"}, "Not a valid choice"),
    ],
)  # fmt: skip
def test_what_cannot_be_rehearsed_is_said_at_its_field(
    clerk: FlaskClient, over: dict[str, str], said: str
) -> None:
    answer = post(clerk, ADDRESS, **{**DRAFTS, **over})

    assert answer.status_code == 422
    assert said in answer.text
    assert runs() == []


def test_nothing_to_rehearse_and_the_same_at_once_are_conflicts(clerk: FlaskClient) -> None:
    none = post(clerk, ADDRESS, **{**DRAFTS, "currency": "USD"})
    assert (none.status_code, "There is no such document" in none.text) == (409, True)
    assert post(clerk, ADDRESS, **{**DRAFTS, "request_key": "first"}).status_code == 303
    twice = post(clerk, ADDRESS, **{**DRAFTS, "request_key": "second"})
    assert (twice.status_code, "not finished yet" in twice.text) == (409, True)
    assert len(runs()) == 1


def test_others_see_nothing_of_it(
    app: Flask, clerk: FlaskClient, add_person: Callable[..., str]
) -> None:
    address = post(clerk, ADDRESS, **DRAFTS).headers["Location"]
    auditor = app.test_client()
    mail = add_person(Role.AUDITOR, email="ada@harbour.example")
    assert sign_in(auditor, mail).status_code == 303

    assert auditor.get(address).status_code == 200
    assert auditor.get(ADDRESS).status_code == 403
    assert post(auditor, ADDRESS, **{**DRAFTS, "request_key": "other"}).status_code == 403
    assert clerk.get("/rules/99/rehearse").status_code == 404
    assert clerk.get(f"{address[:-4]}zzzz").status_code == 404
    assert len(runs()) == 1
