"""The search box leads straight to what was named, and otherwise shows what begins like it."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.db import acting_for
from portal.ids import public_id
from portal.sql import fetch_one
from tests import factories
from tests.pages import read_page


@pytest.fixture
def number(organisation: UUID) -> str:
    """The number of an issued invoice."""
    invoice = factories.make_issued_invoice(external_ref="BERTH-77")
    return f"{invoice.series}-{invoice.year}-{invoice.number:06}"


def test_an_exact_number_leads_to_its_page(signed_in: FlaskClient, number: str) -> None:
    for text in (number, f"  {number.lower()} "):
        answer = signed_in.get("/search", query_string={"q": text})
        assert answer.status_code == 303
        assert number in signed_in.get(answer.location).text


def test_an_id_leads_to_its_page(signed_in: FlaskClient, organisation: UUID) -> None:
    payment = factories.make_payment()
    run = factories.make_run()
    for noun, thing_id in (("payment", payment.id), ("payer", payment.payer_id), ("run", run.id)):
        answer = signed_in.get("/search", query_string={"q": public_id(noun, thing_id)})
        assert answer.location == f"/{noun}s/{public_id(noun, thing_id)}"
        assert signed_in.get(answer.location).status_code == 200


def test_a_run_is_found_by_its_number(signed_in: FlaskClient, organisation: UUID) -> None:
    run = factories.make_run()
    answer = signed_in.get("/search", query_string={"q": f"run {run.number}"})
    assert answer.location.endswith(public_id("run", run.id))
    assert signed_in.get("/search", query_string={"q": "run 999"}).status_code == 200


def test_what_begins_like_it_is_shown_by_list(signed_in: FlaskClient, organisation: UUID) -> None:
    payer = factories.make_payer(name="Élm Road Clinic")
    for _ in range(7):
        factories.make_draft_invoice(payer_id=payer.id)
    answer = signed_in.get("/search?q=elm")
    page = read_page(answer.text)
    assert not page.faults()
    assert "Élm Road Clinic" in answer.text
    assert "All 7" in answer.text
    assert 'href="/invoices?text=elm"' in answer.text


def test_a_reference_is_found(signed_in: FlaskClient, number: str) -> None:
    assert number in signed_in.get("/search?q=BERTH-77").text


@pytest.mark.parametrize("text", ["", "   ", "nobody", "%", "\x00", "a" * 5000, "inv_", "run", "İ"])
def test_nothing_found_says_what_search_can_do(
    signed_in: FlaskClient, organisation: UUID, text: str
) -> None:
    answer = signed_in.get("/search", query_string={"q": text})
    assert answer.status_code == 200
    assert "beginning" in answer.text


def test_nothing_of_another_organisation_is_found(
    signed_in: FlaskClient, other_organisation: UUID
) -> None:
    invoice = factories.make_issued_invoice(organisation_id=other_organisation)
    with acting_for(other_organisation):
        row = fetch_one("SELECT name FROM payers WHERE id = %s", (invoice.payer_id,))
    assert row is not None
    for text in (f"INV-{invoice.year}-{invoice.number}", row.name, invoice.external_ref):
        answer = signed_in.get("/search", query_string={"q": text})
        assert answer.status_code == 200
        assert row.name not in answer.text.replace(f"“{row.name}”", "").replace(
            f'value="{row.name}"', ""
        ).replace(f"{row.name} – Billing", "")
    found = signed_in.get("/search", query_string={"q": public_id("invoice", invoice.id)})
    assert signed_in.get(found.location).status_code == 404
