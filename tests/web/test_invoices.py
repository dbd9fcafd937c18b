"""Documents in the browser: one of each status, what it says, who may do what with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import pytest
import time_machine
from flask.testing import FlaskClient

from portal.db import transaction
from portal.domain.users import Role
from portal.ids import public_id
from portal.services.invoices import void_invoice
from portal.services.payments import ResultKind
from portal.sql import execute
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    NOW,
    Line,
    answer_attempt,
    attempt_of,
    make_credit_note,
    make_draft_invoice,
    make_issued_invoice,
    make_payer,
    make_payment,
    make_succeeded_payment,
    read_row,
)
from tests.pages import read_page
from tests.recording import Recording
from tests.web.conftest import post, sign_in
from tests.web.documents import (
    address_of,
    issue,
    list_documents,
    new_address,
    pay,
)
from tests.web.forms import read


@pytest.fixture(autouse=True)
def _on_the_day() -> Iterator[None]:
    """Let the pages see the day on which the factories bill."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def as_role(client: FlaskClient, add_person: Callable[..., str]) -> Callable[[Role], FlaskClient]:
    """Sign somebody of a role in."""

    def enter(role: Role) -> FlaskClient:
        assert sign_in(client, add_person(role)).status_code == 303
        return client

    return enter


def in_every_status() -> dict[str, Any]:
    """Make a document of each status."""
    paid = make_succeeded_payment()
    moving = make_payment()
    part = make_issued_invoice()
    voided = make_issued_invoice()
    with transaction(part.organisation_id):
        note_id = void_invoice(
            invoice_id=voided.id, version=voided.version, reason="Wrong", on=BUSINESS_ON,
            actor=CLERK, now=NOW,
        )  # fmt: skip
    return {
        "Draft": make_draft_invoice(),
        "Waiting for approval": make_draft_invoice(state="pending_approval"),
        "Discarded": make_draft_invoice(state="discarded"),
        "Overdue": part,
        "Unpaid": make_issued_invoice(business_on=BUSINESS_ON),
        "In payment": read_row("invoices", moving.invoice_id),
        "Paid": read_row("invoices", paid.invoice_id),
        "Void": read_row("invoices", voided.id),
        "Credit used": read_row("invoices", note_id),
        "Credit left": make_credit_note(business_on=BUSINESS_ON),
    }


class TestShow:
    """Reading one document."""

    def test_each_status_has_its_page_with_the_word_of_the_list(
        self, signed_in: FlaskClient
    ) -> None:
        documents = in_every_status()
        listed = {row[0]: row[2] for row in read(signed_in, "/invoices").rows}
        for word, document in documents.items():
            found = read(signed_in, address_of(document))
            assert found.find("div", class_="page-title").find(class_="badge").text == word
            number = found.find("h1").text
            assert word in {"Draft", "Waiting for approval", "Discarded"} or listed[number] == word
            for link in found.find("main").find_all("a"):
                address = link.attributes["href"]
                if address.startswith("/"):
                    assert signed_in.get(address).status_code == 200, (word, address)

    def test_every_button_of_a_page_leads_to_what_it_says(self, signed_in: FlaskClient) -> None:
        offered = {}
        for word, document in in_every_status().items():
            actions = read(signed_in, address_of(document)).find("div", class_="page-head")
            offered[word] = [one.text for one in actions.find_all("a", class_="button")]
        assert offered == {
            "Draft": ["Issue", "Edit", "Discard"],
            "Waiting for approval": [],
            "Discarded": [],
            "Overdue": ["Record payment", "Void"],
            "Unpaid": ["Record payment", "Void"],
            "In payment": ["Record payment"],
            "Paid": [],
            "Void": [],
            "Credit used": [],
            "Credit left": [],
        }

    def test_the_money_adds_up_in_the_strip(self, signed_in: FlaskClient) -> None:
        invoice = make_issued_invoice()
        pay(signed_in, invoice, amount="19")
        found = read(signed_in, address_of(invoice))
        figures = [one.text for one in found.find("dl", class_="money-strip").find_all("dd")]
        assert figures == ["119,00 €", "19,00 €", "0,00 €", "100,00 €"]
        assert "100,00 € is overdue by 2 days." in found.text.replace("\xa0", " ")

    def test_what_happened_is_told_in_words(self, signed_in: FlaskClient) -> None:
        payment = make_payment()
        answer_attempt(attempt_of(payment), ResultKind.DECLINE, reason_code="AM04")
        invoice = read_row("invoices", payment.invoice_id)
        told = read(signed_in, address_of(invoice)).find("ol", class_="timeline").text
        assert "Declined, attempt 1" in told
        assert "Collection of 119,00 € started, attempt 1" in told.replace("\xa0", " ")
        assert "Issued over 119,00 €" in told.replace("\xa0", " ")
        assert "_" not in told

    def test_a_document_of_another_organisation_is_not_there(
        self, signed_in: FlaskClient, other_organisation: UUID
    ) -> None:
        draft = make_draft_invoice(organisation_id=other_organisation)
        issued = make_issued_invoice(organisation_id=other_organisation)
        unknown = f"/invoices/{public_id('invoice', UUID(int=1))}"
        read(signed_in, "/invoices/inv_x", status=404)
        for address in (address_of(draft), address_of(issued), unknown):
            read(signed_in, address, status=404)
            for action in ("edit", "issue", "discard", "void", "payment"):
                read(signed_in, f"{address}/{action}", status=404)
                sent = {"version": "1", "request_key": action, "reason": "x"}
                answer = post(
                    signed_in, f"{address}/{action}", **sent, amount="1", paid_on="2026-03-18",
                    method="transfer", reference="x", document_on="2026-03-18", kind="invoice",
                )  # fmt: skip
                assert answer.status_code == 404, (address, action)
        for one in (draft, issued):
            kept = read_row("invoices", one.id, organisation_id=other_organisation)
            assert (kept.state, kept.version) == (one.state, one.version)

    def test_a_page_costs_few_statements_however_long_it_is(
        self,
        signed_in: FlaskClient,
        organisation: UUID,
        statements: Callable[[], AbstractContextManager[Recording]],
    ) -> None:
        documents = in_every_status()
        for number in range(12):
            pay(signed_in, documents["Overdue"], amount=str(number + 1))
        documents["Long draft"] = make_draft_invoice(lines=[Line(1_000)] * 150)
        signed_in.get(address_of(documents["Draft"]))
        for word, document in documents.items():
            with statements() as recorded:
                signed_in.get(address_of(document))
            assert recorded.count <= 12, (word, recorded.texts)

    def test_what_others_wrote_cannot_break_the_page(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        canary = "<script>alert(1)</script>"
        payer = make_payer(name=canary)
        draft = make_draft_invoice(payer_id=payer.id, external_ref=canary)
        with transaction(organisation):
            execute("UPDATE invoice_lines SET description = %s", (canary,))
        found = read(signed_in, address_of(draft))
        assert found.text.count(canary) >= 3
        assert all("src" in one.attributes for one in found.find_all("script"))


ACTIONS = ("edit", "issue", "discard", "void", "payment")


class TestAccess:
    """Who may do what."""

    def test_an_auditor_sees_no_button_and_can_send_nothing(
        self, as_role: Callable[[Role], FlaskClient], organisation: UUID
    ) -> None:
        client = as_role(Role.AUDITOR)
        draft, issued = make_draft_invoice(), make_issued_invoice()
        assert "/invoices/new" not in client.get("/invoices").text
        read(client, "/invoices/new", status=403)
        assert post(client, new_address(make_payer())).status_code == 403
        for document in (draft, issued):
            page = read(client, address_of(document))
            offered = page.find("main").find_all("a", class_="button")
            assert {link.attributes["href"] for link in offered} <= {f"{address_of(document)}/why"}
            assert page.find("main").find_all("button") == []
            for action in ACTIONS:
                read(client, f"{address_of(document)}/{action}", status=403)
                answer = post(
                    client, f"{address_of(document)}/{action}", version=str(document.version),
                    request_key="k", reason="x", amount="1", paid_on="2026-03-18",
                )  # fmt: skip
                assert answer.status_code == 403
            kept = read_row("invoices", document.id)
            assert (kept.state, kept.version) == (document.state, document.version)
        assert len(list_documents(organisation)) == 2

    def test_a_clerk_may_do_all_but_void(self, as_role: Callable[[Role], FlaskClient]) -> None:
        client = as_role(Role.CLERK)
        draft = make_draft_invoice()
        assert issue(client, draft).status_code == 303
        assert pay(client, read_row("invoices", draft.id)).status_code == 303
        assert read_row("invoices", draft.id).payment_status == "paid"

    def test_a_form_without_its_token_does_nothing(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        draft = make_draft_invoice()
        for action in ACTIONS:
            sent = {"version": str(draft.version), "request_key": "k"}
            answer = signed_in.post(f"{address_of(draft)}/{action}", data=sent)
            assert answer.status_code == 400
            assert "Nothing was saved" in read_page(answer.text).text
        sent = {"lines-0-description": "x", "lines-0-unit_price": "1", "request_key": "k"}
        assert signed_in.post(new_address(make_payer()), data=sent).status_code == 400
        assert len(list_documents(organisation)) == 1
        assert read_row("invoices", draft.id).version == draft.version
