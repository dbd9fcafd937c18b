"""Payers in the browser: the list, one payer, and figures that lead to what adds up to them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.clock import today
from portal.db import transaction
from portal.domain.users import Role
from portal.ids import new_id, public_id
from portal.sql import execute
from tests import factories
from tests.factories import (
    Line,
    insert_row,
    make_credit_note,
    make_deposit,
    make_draft_invoice,
    make_issued_invoice,
    make_mandate,
    make_payer,
    make_succeeded_payment,
)
from tests.pages import Element, Page, read_page
from tests.recording import Recording
from tests.services.collecting import start
from tests.services.test_payments_by_hand import record
from tests.web.conftest import sign_in


def read(client: FlaskClient, address: str, *, status: int = 200) -> Page:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    found = read_page(answer.text)
    assert found.faults() == []
    return found


def address_of(payer: Any) -> str:
    return f"/payers/{public_id('payer', payer.id)}"


def change(statement: str, *parameters: Any) -> None:
    with transaction(factories.home.get()):
        assert execute(statement, parameters)


def tiles(found: Page, place: int = 0) -> dict[str, Element]:
    """Read the figures of a balance by their labels."""
    balance = found.find_all("div", class_="tiles")[place]
    return {
        one.find("span", class_="tile-label").text: one for one in balance.find_all(class_="tile")
    }


def value(tile: Element) -> str:
    return tile.find("strong").text.replace("\xa0", " ")


@pytest.fixture
def payer(organisation: UUID) -> Any:
    """A payer with something of everything: 119.00 each, unless said otherwise."""
    payer = make_payer(name="Élm Road Clinic", external_ref="P-77")
    paid = make_succeeded_payment(payer_id=payer.id)
    assert paid.state == "succeeded"
    start(make_issued_invoice(payer_id=payer.id).id)
    make_issued_invoice(payer_id=payer.id)
    over = make_issued_invoice(payer_id=payer.id, lines=(Line(20_000),))
    record(over.id, 24_800)
    make_draft_invoice(payer_id=payer.id)
    make_credit_note(payer_id=payer.id)
    make_deposit(payer_id=payer.id)
    # What somebody else owes is not in the figures.
    make_issued_invoice()
    make_issued_invoice(payer_id=payer.id, business_on=today("Europe/Berlin"))
    return payer


def test_the_list_leads_to_each_payer(payer: Any, signed_in: FlaskClient) -> None:
    found = read(signed_in, "/payers?text=elm")
    assert found.find("tbody").find("a").attributes["href"] == address_of(payer)


def test_payers_are_found_by_how_they_are_dealt_with(signed_in: FlaskClient) -> None:
    until = today("Europe/Berlin")
    terms: dict[str, dict[str, Any]] = {
        "Ada": {},
        "Ben": {"is_on_hold": True},
        "Cora": {"arrangement": "hardship", "arranged_until": until},
        "Dan": {"arrangement": "hardship", "arranged_until": date(2026, 1, 31)},
        "Eva": {"is_on_hold": True, "arrangement": "instalments", "arranged_until": until},
    }
    for name, columns in terms.items():
        make_payer(name=name, **columns)
    found = {
        query: [row[0] for row in read(signed_in, f"/payers?{query}").rows]
        for query in ("", "terms=on_hold", "terms=hardship", "terms=none")
    }
    assert found == {
        "": list(terms),
        "terms=on_hold": ["Ben", "Eva"],
        "terms=hardship": ["Cora"],
        "terms=none": ["Ada", "Dan"],
    }
    answer = signed_in.get("/payers.csv?terms=hardship&terms=instalments")
    assert [
        (row["name"], row["arrangement"], row["arranged_until"])
        for row in csv.DictReader(io.StringIO(answer.text, newline=""))
    ] == [("Cora", "hardship", until.isoformat()), ("Eva", "instalments", until.isoformat())]


def test_a_payer_shows_who_it_is(payer: Any, signed_in: FlaskClient) -> None:
    found = read(signed_in, address_of(payer))
    assert found.find("h1").text == "Élm Road Clinic"
    contact = found.find("section", id="contact").text
    for words in ("P-77", "Company", payer.email, "DE", "Not on hold"):
        assert words in contact
    assert "On hold." not in found.text


def test_the_balance_adds_up(payer: Any, signed_in: FlaskClient) -> None:
    shown = {
        label: value(tile) for label, tile in tiles(read(signed_in, address_of(payer))).items()
    }
    assert shown == {
        "Invoiced": "714,00 €",
        "Paid": "357,00 €",
        "Open": "357,00 €",
        "Overdue": "238,00 €",
        "In payment": "119,00 €",
        "Credit left": "69,50 €",
        "Deposits held": "80,00 €",
    }


@pytest.mark.parametrize(
    ("label", "column"),
    [("Invoiced", "total"), ("Open", "open"), ("Overdue", "open"), ("In payment", "amount")],
)
def test_each_figure_leads_to_what_adds_up_to_it(
    payer: Any, signed_in: FlaskClient, label: str, column: str
) -> None:
    tile = tiles(read(signed_in, address_of(payer)))[label]
    found = read(signed_in, tile.attributes["href"])
    totals = found.find("div", id="totals").text.replace("\xa0", " ")
    assert f"{column} {value(tile)}" in totals
    note = tile.find_all("span", class_="tile-comparison")
    if note:
        counted = int(note[0].text.split()[0])
        assert len(found.rows) == counted


def test_what_is_held_for_a_payer_stands_on_the_page(payer: Any, signed_in: FlaskClient) -> None:
    found = read(signed_in, address_of(payer))
    for label in ("Credit left", "Deposits held"):
        assert tiles(found)[label].attributes["href"] == "#held"
    held = found.find("section", id="held")
    assert "Credit from a payment" in held.text
    assert "10,00 €" in held.text.replace("\xa0", " ")
    assert "Deposit: security" in held.text
    notes = held.find_all("a")[-1].attributes["href"]
    assert len(read(signed_in, notes).rows) == 1


def test_nothing_is_a_figure_and_no_link(signed_in: FlaskClient) -> None:
    payer = make_payer()
    make_issued_invoice(payer_id=payer.id, business_on=today("Europe/Berlin"))
    shown = tiles(read(signed_in, address_of(payer)))
    assert set(shown) == {"Invoiced", "Paid", "Open", "Overdue"}
    assert {label for label, tile in shown.items() if tile.tag == "a"} == {"Invoiced", "Open"}


def test_currencies_are_never_added(payer: Any, signed_in: FlaskClient) -> None:
    with transaction(payer.organisation_id):
        insert_row(
            "payer_credits", organisation_id=payer.organisation_id, id=new_id(),
            payer_id=payer.id, currency="CHF", amount_minor=500, since_on=date(2026, 3, 2),
        )  # fmt: skip
    found = read(signed_in, address_of(payer))
    names = [one.attributes["aria-label"] for one in found.find_all("section") if
             one.attributes.get("aria-label", "").startswith("Balance")]  # fmt: skip
    assert names == ["Balance in EUR", "Balance in CHF"]
    assert value(tiles(found, 0)["Invoiced"]) == "714,00 €"
    assert value(tiles(found, 1)["Credit left"]) == "5,00 CHF"


def test_the_latest_documents_and_payments_lead_on(payer: Any, signed_in: FlaskClient) -> None:
    for _ in range(4):
        make_issued_invoice(payer_id=payer.id, business_on=today("Europe/Berlin"))
    found = read(signed_in, address_of(payer))
    for noun, key in (("invoices", "i"), ("payments", "p")):
        section = found.find("section", id=noun)
        shown = section.find("tbody").find_all("tr")
        assert 0 < len(shown) <= 5
        assert shown[0].find("a").attributes["href"].startswith(f"/{noun}/")
        more = section.find("p", class_="panel-foot").find("a")
        assert more.attributes["data-key"] == key
        listed = read(signed_in, more.attributes["href"])
        assert len(listed.rows) >= len(shown)
        assert "Payer: Élm Road Clinic" in listed.text


def test_a_hold_is_said_first(payer: Any, signed_in: FlaskClient) -> None:
    change("UPDATE payers SET is_on_hold = true WHERE id = %s", payer.id)
    found = read(signed_in, address_of(payer))
    assert "Nothing is collected from this payer by itself" in found.find(class_="notice").text


def test_mandates_never_show_their_token(payer: Any, signed_in: FlaskClient) -> None:
    mandate = make_mandate(payer_id=payer.id, state="cancelled")
    found = read(signed_in, address_of(payer))
    shown = found.find("section", id="mandates").text
    assert mandate.reference in shown
    assert "Cancelled" in shown
    assert "Active" in shown
    assert re.search(r"tok_", found.text) is None


def test_a_payer_without_anything_says_so(signed_in: FlaskClient) -> None:
    payer = make_payer(email=None, country=None)
    words = read(signed_in, address_of(payer)).text
    for said in (
        "Nothing has been invoiced to this payer yet.",
        "There are no invoices of this payer.",
        "Nothing has been paid or collected yet.",
        "There is no mandate.",
        "No credit and no deposit is held for this payer.",
        "Not known",
    ):
        assert said in words


def test_an_empty_list_of_payers_says_so(signed_in: FlaskClient) -> None:
    assert "There are no payers yet" in read(signed_in, "/payers").text


def test_what_is_not_ours_is_not_there(signed_in: FlaskClient, other_organisation: UUID) -> None:
    other = make_payer(organisation_id=other_organisation)
    for payer_id in (other.id, new_id()):
        address = f"/payers/{public_id('payer', payer_id)}"
        assert "There is no payer" in read(signed_in, address, status=404).text
    read(signed_in, "/payers/pyr_x", status=404)
    assert read(signed_in, "/payers").rows == []


def test_an_auditor_may_look(
    payer: Any, client: FlaskClient, add_person: Callable[..., str]
) -> None:
    sign_in(client, add_person(Role.AUDITOR))
    read(client, "/payers")
    found = read(client, address_of(payer))
    assert not found.find("main").find_all("form")


def test_what_a_payer_is_called_cannot_break_the_page(signed_in: FlaskClient) -> None:
    canary = "<script>alert(1)</script>"
    payer = make_payer(name=canary, email=canary)
    found = read(signed_in, address_of(payer))
    assert found.find("h1").text == canary
    assert all("src" in one.attributes for one in found.find_all("script"))


def test_a_payer_costs_few_statements_however_much_there_is(
    payer: Any, signed_in: FlaskClient, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    counted = []
    for one in (make_payer(), payer):
        with statements() as recorded:
            read(signed_in, address_of(one))
        counted.append(recorded.count)
    assert counted[0] == counted[1] <= 10
    with statements() as recorded:
        signed_in.get("/payers")
    assert recorded.count <= 6
