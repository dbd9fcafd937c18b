"""Documents for the tests of their pages: entered, issued, paid, and what the database holds."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.db import transaction
from portal.ids import public_id
from portal.sql import fetch
from tests.pages import Page
from tests.web.forms import read, send


def address_of(invoice: Any) -> str:
    """Return where the page of a document is."""
    return f"/invoices/{public_id('invoice', invoice.id)}"


def new_address(payer: Any) -> str:
    """Return where the form of a new draft for a payer is."""
    return f"/invoices/new?payer={public_id('payer', payer.id)}"


def rows(statement: str, *values: Any, organisation_id: UUID) -> list[Any]:
    """Read what the database of an organisation holds."""
    with transaction(organisation_id):
        return fetch(statement, values)


def list_documents(organisation_id: UUID) -> list[Any]:
    """List all documents, the oldest first."""
    return rows("SELECT * FROM invoices ORDER BY id", organisation_id=organisation_id)


def lines_of(invoice: Any) -> list[Any]:
    """List the lines of a document."""
    return rows(
        "SELECT * FROM invoice_lines WHERE invoice_id = %s ORDER BY position",
        invoice.id,
        organisation_id=invoice.organisation_id,
    )


def events_of(subject: Any) -> list[str]:
    """Name what is on record about a thing, the earliest first."""
    return [
        row.kind
        for row in rows(
            "SELECT kind FROM events WHERE subject_id = %s ORDER BY id",
            subject.id,
            organisation_id=subject.organisation_id,
        )
    ]


def payments_of(invoice: Any) -> list[Any]:
    """List the payments of an invoice, the oldest first."""
    return rows(
        "SELECT * FROM payments WHERE invoice_id = %s ORDER BY id",
        invoice.id,
        organisation_id=invoice.organisation_id,
    )


def toasts(client: FlaskClient, address: str) -> list[str]:
    """Open a page and return what it says was done."""
    return [one.text for one in read(client, address).find_all("div", class_="toast")]


def wrong_at(found: Page) -> dict[str, str]:
    """Say what is wrong at which field, and see that the summary leads there."""
    summary = [one.text for one in found.find("div", id="summary").find_all("a")]
    said = {}
    for one in found.find_all(aria_invalid="true"):
        name = one.attributes["name"]
        (words,) = [
            found.find(id=named).text
            for named in one.attributes["aria-describedby"].split()
            if named.endswith("-wrong")
        ]
        said[name] = words.removeprefix("Error: ")
        assert said[name] in summary
    assert found.find("title").text.startswith("Error: ")
    return said


def enter_draft(client: FlaskClient, payer: Any, **entered: str) -> TestResponse:
    """Open the form of a new draft, fill it in with one line, and send it."""
    codes = {f"lines_{place}_revenue_code": "4000" for place in range(3)}
    line = {"lines_0_description": "Berth fee", "lines_0_unit_price": "100,00"}
    wanted = {**codes, **line, **entered}
    return send(client, read(client, new_address(payer)), new_address(payer), **wanted)


def issue(client: FlaskClient, draft: Any, **entered: str) -> TestResponse:
    """Open the page that asks before a draft is issued, and say yes."""
    address = f"{address_of(draft)}/issue"
    return send(client, read(client, address), address, **entered)


def pay(client: FlaskClient, invoice: Any, **entered: str) -> TestResponse:
    """Open the form of a payment, fill it in as offered, and send it."""
    address = f"{address_of(invoice)}/payment"
    wanted = {"reference": "RF18 5390", **entered}
    return send(client, read(client, address), address, **wanted)
