"""Why: the pages that say which clause decided what, and that they are only of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import time_machine
from flask.testing import FlaskClient

from portal.db import acting_for, transaction
from portal.ids import public_id
from portal.services.invoices import issue_invoices, void_invoice
from portal.services.payments import ResultKind
from portal.services.traces import record_traces
from rules.types import Stage, TraceEntry
from tests import factories
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    NOW,
    Line,
    answer_attempt,
    attempt_of,
    make_draft_invoice,
    make_issued_invoice,
    make_payment,
)
from tests.pages import Page
from tests.web.documents import address_of
from tests.web.forms import read


@pytest.fixture(autouse=True)
def _on_the_day() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def why(client: FlaskClient, invoice: Any) -> Page:
    return read(client, f"{address_of(invoice)}/why")


def links(found: Page) -> list[str]:
    return [one.attributes["href"] for one in found.find("main").find_all("a")]


def test_an_issued_invoice_says_why_and_leads_to_the_agreement(signed_in: FlaskClient) -> None:
    invoice = make_issued_invoice(lines=(Line(10_000),))
    assert f"{address_of(invoice)}/why" in links(read(signed_in, address_of(invoice)))
    found = why(signed_in, invoice)
    (tax, due) = found.rows
    assert tax[0].startswith("C102")
    assert tax[1:3] == ["19.00 % of 100.00 EUR (tax code S)", "19.00 EUR"]
    assert "round the tax once" in tax[3]
    assert due[2].startswith("Due on ")
    assert {"/rules/1", "/rules/clauses/C102", "/rules/clauses/C104"} <= set(links(found))


def test_a_refused_draft_says_what_stopped_it(signed_in: FlaskClient, organisation: UUID) -> None:
    draft = make_draft_invoice(lines=(Line(100),))
    with transaction(organisation):
        issue_invoices(invoice_ids=[draft.id], business_on=BUSINESS_ON, actor=CLERK, now=NOW)
    ((clause, given, result, _),) = why(signed_in, draft).rows
    assert clause.startswith("V101")
    assert given == "The document"
    assert result.startswith("Stopped: The total")


def test_what_has_no_trace_says_so_plainly(signed_in: FlaskClient, organisation: UUID) -> None:
    draft = make_draft_invoice()
    assert "It is not issued" in why(signed_in, draft).find("main").text
    invoice = make_issued_invoice()
    with transaction(organisation):
        note_id = void_invoice(
            invoice_id=invoice.id, version=invoice.version, reason="Wrong", on=BUSINESS_ON,
            actor=CLERK, now=NOW,
        )  # fmt: skip
    found = read(signed_in, f"/invoices/{public_id('invoice', note_id)}/why")
    assert "It repeats the amounts of INV-" in found.find("main").text
    payment = make_payment()
    found = read(signed_in, f"/payments/{public_id('payment', payment.id)}/why")
    assert "No attempt has failed" in found.find("main").text


def test_a_failed_payment_says_why_it_is_tried_again(signed_in: FlaskClient) -> None:
    payment = make_payment()
    address = f"/payments/{public_id('payment', payment.id)}"
    answer_attempt(attempt_of(payment), ResultKind.DECLINE, reason_code="AM04")
    assert f"{address}/why" in links(read(signed_in, address))
    ((clause, given, result, agreed),) = read(signed_in, f"{address}/why").rows
    assert clause.startswith("P101")
    assert "try 1 (AM04: There was not enough money in the account)" in given
    assert result.startswith("Tried again on ")
    assert "4 attempts in all" in agreed


def test_long_traces_are_cut_and_say_so(signed_in: FlaskClient, organisation: UUID) -> None:
    draft = make_draft_invoice()
    entry = TraceEntry("C102", 1, {"tax_code": "<b>", "rate_bps": 0, "net": 0}, 0)
    with transaction(organisation):
        record_traces(
            [(draft.id, [entry] * 203)], subject_type="invoice", stage=Stage.ISSUE, version=1,
            on=BUSINESS_ON, now=NOW,
        )  # fmt: skip
    found = why(signed_in, draft)
    assert len(found.rows) == 200
    assert "And 3 more entries." in found.find("main").text
    assert "<b>" in found.rows[0][1]


def test_another_organisations_documents_are_not_there(
    signed_in: FlaskClient, other_organisation: UUID
) -> None:
    token = factories.home.set(other_organisation)
    with acting_for(other_organisation):
        foreign = make_issued_invoice()
    factories.home.reset(token)
    for address in (f"{address_of(foreign)}/why", "/invoices/inv_x/why", "/payments/pay_x/why"):
        assert signed_in.get(address).status_code == 404
