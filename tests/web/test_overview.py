"""The first page: its figures agree with the books, and with each other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID

from flask.testing import FlaskClient

from portal.db import transaction
from portal.domain.batches import ItemOutcome
from portal.services.payments import ResultKind
from portal.sql import execute
from portal.web.overview import BAR_WIDTH, Part, lay_out
from tests.factories import (
    EARLIER_ON,
    answer_attempt,
    attempt_of,
    make_credit_note,
    make_draft_invoice,
    make_issued_invoice,
    make_payment,
    make_succeeded_payment,
)
from tests.pages import Page, read_page
from tests.recording import Recording
from tests.web.conftest import make_worked_run


def read(client: FlaskClient) -> Page:
    answer = client.get("/")
    assert answer.status_code == 200
    found = read_page(answer.text)
    assert found.faults() == []
    return found


def parts_of(found: Page) -> dict[str, list[str]]:
    section = found.find("section", aria_labelledby="money-EUR")
    rows = section.find("table").find_all("tr")[1:]
    cells = [[one.text for one in row.children if not isinstance(one, str)] for row in rows]
    return {row[0]: row[1:3] for row in cells}


def test_an_empty_organisation_is_told_how_to_begin(signed_in: FlaskClient) -> None:
    found = read(signed_in)
    assert "Nothing has been invoiced yet" in found.text
    assert "No batch has run yet" in found.text
    assert "Nothing waits for a person" in found.text
    assert "No message is on its way" in found.text


def test_the_parts_add_up_to_what_was_issued(signed_in: FlaskClient) -> None:
    make_succeeded_payment()
    make_payment()
    make_issued_invoice(business_on=EARLIER_ON)
    make_draft_invoice()
    make_credit_note()
    found = read(signed_in)
    assert parts_of(found) == {
        "Paid": ["1", "119,00"],
        "Credited": ["0", "0,00"],
        "In payment": ["1", "119,00"],
        "Not yet due": ["0", "0,00"],
        "Overdue": ["1", "119,00"],
        "Issued": ["3", "357,00"],
    }
    keys = [one.text for one in found.find("dl", class_="keys").find_all("div")]
    assert keys == [
        "Issued 357,00\xa0€ 3 invoices; 1 still draft".replace("\xa0", " "),
        "Collected 119,00 € 1 payment",
        "Open 238,00 € 2 invoices",
        "Overdue 119,00 € 1 invoice",
    ]
    assert "1 credit note comes to 59,50 €; 59,50 € of it waits to be used." in found.text


def test_payments_stand_by_state_in_the_order_of_their_life(signed_in: FlaskClient) -> None:
    make_succeeded_payment()
    make_payment()
    section = read(signed_in).find("section", aria_labelledby="payments-EUR")
    assert [row.text for row in section.find("tbody").find_all("tr")] == [
        "Processing 1 119,00",
        "Succeeded 1 119,00",
    ]


def test_what_waits_for_a_person_is_listed_with_its_amount(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    answer_attempt(attempt_of(make_payment()), ResultKind.LOSE)
    with transaction(organisation):
        execute("UPDATE payments SET worklist = 'needs_payer' WHERE id = %s", (make_payment().id,))
        execute(
            "UPDATE messages SET state = 'parked'"
            " WHERE id = (SELECT min(id::text)::uuid FROM messages)"
        )
    section = read(signed_in).find("section", aria_labelledby="waiting")
    words = [one.text for one in section.find_all("li")]
    assert [one.split(" ")[0] for one in words] == ["1", "1", "1"]
    assert "Outcome unknown 119,00 €" in words[0]
    assert "The payer must act 119,00 €" in words[1]
    assert "Parked messages" in words[2]


def test_the_latest_runs_lead_to_their_pages(signed_in: FlaskClient) -> None:
    runs = [make_worked_run(ItemOutcome.DONE) for _ in range(7)]
    section = read(signed_in).find("section", aria_labelledby="latest-runs")
    links = section.find("tbody").find_all("a")
    assert [int(one.text.split()[0]) for one in links] == [run.number for run in runs[:1:-1]]
    for link in [*links, section.find_all("a")[-1]]:
        assert signed_in.get(link.attributes["href"]).status_code == 200


def test_nothing_of_another_organisation_is_counted(
    signed_in: FlaskClient, other_organisation: UUID
) -> None:
    make_issued_invoice(organisation_id=other_organisation)
    make_worked_run(ItemOutcome.DONE, organisation_id=other_organisation)
    found = read(signed_in)
    assert "Nothing has been invoiced yet" in found.text
    assert "No batch has run yet" in found.text


def test_a_refresh_gets_only_the_figures(signed_in: FlaskClient) -> None:
    answer = signed_in.get("/", headers={"HX-Request": "true"})
    part = read_page(answer.text)
    assert part.faults() == []
    assert [one.attributes.get("id") for one in part.children if not isinstance(one, str)] == [
        "figures"
    ]


def test_the_page_asks_once_for_each_kind_of_figure(
    signed_in: FlaskClient, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    make_succeeded_payment()
    with statements() as recorded:
        signed_in.get("/")
    assert recorded.count == 7, recorded.texts


def test_a_small_part_stays_visible_in_the_bar() -> None:
    placed = lay_out([Part("a", "ok", 1, 999_999), Part("b", "bad", 1, 1), Part("c", "idle", 0, 0)])
    assert [part.width for part in placed] == [BAR_WIDTH - 1, 4, 0]
    assert [part.begins for part in placed] == [0, BAR_WIDTH - 1, BAR_WIDTH + 3]
    assert lay_out([Part("a", "ok", 0, 0)])[0].width == 0
