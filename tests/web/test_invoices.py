"""Invoices in the browser: written, changed, issued, voided, discarded, paid, and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from typing import Any
from uuid import UUID

import pytest
import time_machine
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.db import transaction
from portal.domain.invoices import InvoiceState
from portal.domain.users import Role
from portal.ids import public_id
from portal.services.invoices import void_invoice
from portal.services.payments import ResultKind
from portal.sql import execute, fetch
from portal.web.invoices._drafting import LINES_MAX
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
from tests.pages import Page, read_page
from tests.recording import Recording
from tests.services.books import assert_books_hold
from tests.web.conftest import post, sign_in
from tests.web.forms import fields_of, form_to, read, read_answer, send

HTMX = {"HX-Request": "true"}
TOMORROW = date(2026, 3, 19)


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


def address_of(invoice: Any) -> str:
    return f"/invoices/{public_id('invoice', invoice.id)}"


def new_address(payer: Any) -> str:
    return f"/invoices/new?payer={public_id('payer', payer.id)}"


def rows(statement: str, *values: Any, organisation_id: UUID) -> list[Any]:
    with transaction(organisation_id):
        return fetch(statement, values)


def drafts(organisation_id: UUID) -> list[Any]:
    return rows("SELECT * FROM invoices ORDER BY id", organisation_id=organisation_id)


def lines_of(invoice: Any) -> list[Any]:
    return rows(
        "SELECT * FROM invoice_lines WHERE invoice_id = %s ORDER BY position",
        invoice.id,
        organisation_id=invoice.organisation_id,
    )


def events_of(subject: Any) -> list[str]:
    return [
        row.kind
        for row in rows(
            "SELECT kind FROM events WHERE subject_id = %s ORDER BY id",
            subject.id,
            organisation_id=subject.organisation_id,
        )
    ]


def payments_of(invoice: Any) -> list[Any]:
    return rows(
        "SELECT * FROM payments WHERE invoice_id = %s ORDER BY id",
        invoice.id,
        organisation_id=invoice.organisation_id,
    )


def toasts(client: FlaskClient, address: str) -> list[str]:
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


class TestNew:
    """Writing a draft."""

    def test_a_payer_is_chosen_first(self, signed_in: FlaskClient) -> None:
        clinic = make_payer(name="Elm Road Clinic")
        make_payer(name="Harbour Authority")
        found = read(signed_in, "/invoices/new")
        assert [row[0] for row in found.rows] == ["Elm Road Clinic", "Harbour Authority"]
        assert "2 payers." in found.text
        sought = read(signed_in, "/invoices/new?text=elm")
        assert [row[0] for row in sought.rows] == ["Elm Road Clinic"]
        assert "1 payer." in sought.text
        link = sought.find("tbody").find("a").attributes["href"]
        assert link == new_address(clinic)
        assert "For Elm Road Clinic" in read(signed_in, link).text

    def test_finding_a_payer_brings_only_the_list(self, signed_in: FlaskClient) -> None:
        make_payer(name="Elm Road Clinic")
        part = read(signed_in, "/invoices/new?text=elm", headers=HTMX)
        assert part.find_all("html") == []
        assert part.find("div", id="list").find_all("table")

    def test_nobody_found_is_said(self, signed_in: FlaskClient) -> None:
        assert "There are no payers yet" in read(signed_in, "/invoices/new").text
        sought = read(signed_in, "/invoices/new?text=nobody%00")
        assert "No payer's name or reference begins with “nobody”" in sought.text

    def test_a_payer_of_another_organisation_is_none(
        self, signed_in: FlaskClient, other_organisation: UUID
    ) -> None:
        other = make_payer(organisation_id=other_organisation, name="Foreign Works")
        assert "Foreign Works" not in read(signed_in, "/invoices/new").text
        read(signed_in, new_address(other), status=404)
        assert post(signed_in, new_address(other)).status_code == 404

    def test_an_unreadable_payer_leads_back_to_the_choice(self, signed_in: FlaskClient) -> None:
        assert "Who pays" in read(signed_in, "/invoices/new?payer=x").text
        answer = post(signed_in, "/invoices/new?payer=x")
        assert (answer.status_code, answer.location) == (303, "/invoices/new")

    def test_a_draft_is_saved_as_it_was_entered(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        payer = make_payer()
        answer = enter_draft(
            signed_in, payer, external_ref=" R-1 ", purchase_order_ref="PO 7",
            document_on="2026-03-10", lines_0_quantity="2,5", lines_0_unit_price="1.250,50",
            lines_0_tax_code="R", lines_2_description="Water", lines_2_unit_price="3",
        )  # fmt: skip
        (draft,) = drafts(organisation)
        assert (answer.status_code, answer.location) == (303, address_of(draft))
        assert (draft.state, draft.kind, draft.currency) == ("draft", "invoice", "EUR")
        assert (draft.payer_id, draft.external_ref, draft.purchase_order_ref) == (
            payer.id, "R-1", "PO 7"
        )  # fmt: skip
        assert draft.document_on == date(2026, 3, 10)
        assert [
            (one.description, str(one.quantity.normalize()), str(one.unit_price.normalize()),
             one.net_minor, one.tax_code)
            for one in lines_of(draft)
        ] == [
            ("Berth fee", "2.5", "1250.5", 312_625, "R"),
            ("Water", "1", "3", 300, "E"),
        ]  # fmt: skip
        assert draft.net_minor == 312_925
        assert events_of(draft) == ["invoice.drafted"]
        assert toasts(signed_in, answer.location) == ["The draft was saved."]

    @pytest.mark.parametrize(
        ("sample", "typed", "net_minor"),
        [
            ("harbour", "1.250,50", 125_050),
            ("harbour", "12.50", 1_250),
            ("harbour", "1.250", 125_000),
            ("rivertown", "1,250.50", 125_050),
            ("rivertown", "12.50", 1_250),
            ("rivertown", "1,250", 125_000),
        ],
    )
    def test_numbers_are_read_as_the_organisation_writes_them(
        self, client: FlaskClient, add_person: Callable[..., str], organisation: UUID,
        other_organisation: UUID, sample: str, typed: str, net_minor: int,
    ) -> None:  # fmt: skip
        here = organisation if sample == "harbour" else other_organisation
        sign_in(client, add_person(memberships=[(here, Role.CLERK)]))
        payer = make_payer(organisation_id=here)
        assert enter_draft(client, payer, lines_0_unit_price=typed).status_code == 303
        (draft,) = drafts(here)
        assert draft.net_minor == net_minor
        form = read(client, f"{address_of(draft)}/edit")
        assert send(client, form, f"{address_of(draft)}/edit").status_code == 303
        assert read_row("invoices", draft.id, organisation_id=here).net_minor == net_minor

    def test_revenue_codes_are_typed_and_those_booked_are_offered(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        payer = make_payer()
        found = read(signed_in, new_address(payer))
        assert found.find("datalist").find_all("option") == [], "nobody has booked anything yet"
        assert fields_of(form_to(found, new_address(payer)))["lines-0-revenue_code"] == ""
        answer = enter_draft(signed_in, payer, lines_0_revenue_code="")
        wrong = wrong_at(read_answer(answer, status=422))
        assert wrong == {"lines-0-revenue_code": "Revenue: the revenue code of line 1 is missing."}
        assert enter_draft(signed_in, payer, lines_0_revenue_code="4711").status_code == 303
        (draft,) = drafts(organisation)
        issue(signed_in, draft)
        found = read(signed_in, new_address(payer))
        offered = [one.attributes["value"] for one in found.find("datalist").find_all("option")]
        assert offered == ["4711"]
        assert fields_of(form_to(found, new_address(payer)))["lines-0-revenue_code"] == "4711"

    def test_a_number_of_another_country_is_refused(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        answer = enter_draft(signed_in, make_payer(), lines_0_unit_price="1,250.50")
        assert list(wrong_at(read_answer(answer, status=422))) == ["lines-0-unit_price"]
        assert drafts(organisation) == []

    def test_every_error_stands_at_its_field_and_nothing_typed_is_lost(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        answer = enter_draft(
            signed_in, make_payer(), document_on="", external_ref="x" * 101,
            lines_0_quantity="two", lines_0_unit_price="1.2.3", lines_1_description="Water",
            lines_2_description="w" * 2001, lines_2_unit_price="5",
        )  # fmt: skip
        found = read_answer(answer, status=422)
        said = wrong_at(found)
        assert set(said) == {
            "document_on", "external_ref", "lines-0-quantity", "lines-0-unit_price",
            "lines-1-unit_price", "lines-2-description",
        }  # fmt: skip
        assert said["lines-0-quantity"].startswith("“two” is not a number: it contains “t”")
        assert said["lines-1-unit_price"] == "Unit price: enter what one unit costs."
        kept = fields_of(form_to(found, found.find("form", class_="is-broad").attributes["action"]))
        assert kept["lines-0-quantity"] == "two"
        assert kept["lines-0-unit_price"] == "1.2.3"
        assert kept["lines-1-description"] == "Water"
        assert drafts(organisation) == []

    def test_what_the_service_finds_stands_at_its_field(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        answer = enter_draft(
            signed_in, make_payer(), currency="CHF", lines_0_description="",
            lines_0_unit_price="5", lines_1_description="Water", lines_1_quantity="0,12345678",
            lines_1_unit_price="1", lines_1_tax_code="Z",
        )  # fmt: skip
        found = read_answer(answer, status=422)
        assert set(wrong_at(found)) == {
            "currency", "lines-0-description", "lines-1-quantity", "lines-1-tax_code"
        }  # fmt: skip
        kept = fields_of(found.find("form", class_="is-broad"))
        assert (kept["currency"], kept["lines-1-tax_code"]) == ("CHF", "Z")
        assert drafts(organisation) == []

    def test_a_draft_without_a_line_is_refused_in_words(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        answer = enter_draft(
            signed_in, make_payer(), lines_0_description=" ", lines_0_unit_price=""
        )
        found = read_answer(answer, status=422)
        assert "it has no line; add what is to be billed" in found.find("div", id="summary").text
        assert drafts(organisation) == []

    def test_adding_a_line_keeps_what_was_typed(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        payer = make_payer()
        answer = enter_draft(
            signed_in, payer, add="yes", external_ref="R-1", kind="credit_note",
            lines_0_quantity="wrong", lines_2_description="Third",
        )  # fmt: skip
        found = read_answer(answer)
        assert found.find_all(id="summary") == []
        kept = fields_of(form_to(found, new_address(payer)))
        assert kept["external_ref"] == "R-1"
        assert kept["kind"] == "credit_note"
        assert kept["lines-0-quantity"] == "wrong"
        assert kept["lines-0-unit_price"] == "100,00"
        assert kept["lines-2-description"] == "Third"
        assert kept["lines-3-description"] == ""
        assert "lines-4-description" not in kept
        assert drafts(organisation) == []
        sent = send(
            signed_in, found, new_address(payer), lines_0_quantity="", lines_2_description="",
            lines_3_description="Fourth", lines_3_unit_price="1", lines_3_revenue_code="4000",
        )  # fmt: skip
        assert sent.status_code == 303
        (draft,) = drafts(organisation)
        assert draft.kind == "credit_note"
        assert [one.description for one in lines_of(draft)] == ["Berth fee", "Fourth"]

    def test_a_taken_reference_is_a_conflict_that_loses_nothing(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        make_draft_invoice(external_ref="R-1")
        payer = make_payer()
        found = read_answer(enter_draft(signed_in, payer, external_ref="R-1"), status=409)
        assert "has the reference R-1 already" in wrong_at(found)["external_ref"]
        assert len(drafts(organisation)) == 1
        again = send(signed_in, found, new_address(payer), external_ref="R-2")
        assert again.status_code == 303
        assert [one.external_ref for one in drafts(organisation)] == ["R-1", "R-2"]

    def test_a_form_sent_twice_writes_one_draft(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        payer = make_payer()
        form = read(signed_in, new_address(payer))
        entered = {
            "lines_0_description": "Berth fee",
            "lines_0_unit_price": "1",
            "lines_0_revenue_code": "4000",
        }
        first = send(signed_in, form, new_address(payer), **entered)
        second = send(signed_in, form, new_address(payer), **entered)
        assert first.location == second.location
        assert len(drafts(organisation)) == 1
        other = send(signed_in, form, new_address(payer), **entered, external_ref="R-9")
        found = read_answer(other, status=409)
        assert "This form was sent before" in found.find("div", id="summary").text
        assert len(drafts(organisation)) == 1
        assert send(signed_in, found, new_address(payer)).status_code == 303
        assert [one.external_ref for one in drafts(organisation)] == [None, "R-9"]

    def test_what_was_typed_cannot_break_the_page(self, signed_in: FlaskClient) -> None:
        canary = '"><script>alert(1)</script>'
        payer = make_payer(name=canary)
        answer = enter_draft(
            signed_in, payer, external_ref=canary, lines_0_description=canary,
            lines_0_quantity=canary,
        )  # fmt: skip
        found = read_answer(answer, status=422)
        assert fields_of(found.find("form", class_="is-broad"))["external_ref"] == canary


class TestEdit:
    """Changing a draft."""

    def test_a_draft_is_changed_and_its_version_counts(self, signed_in: FlaskClient) -> None:
        draft = make_draft_invoice(lines=(Line(10_000), Line(2_550, tax_code="R")))
        address = f"{address_of(draft)}/edit"
        form = read(signed_in, address)
        kept = fields_of(form_to(form, address))
        assert kept["lines-0-unit_price"] == "100"
        assert (kept["lines-1-unit_price"], kept["lines-1-tax_code"]) == ("25,5", "R")
        answer = send(
            signed_in, form, address, lines_0_description="", lines_0_quantity="",
            lines_0_unit_price="", lines_1_quantity="2",
        )  # fmt: skip
        assert (answer.status_code, answer.location) == (303, address_of(draft))
        changed = read_row("invoices", draft.id)
        assert (changed.net_minor, changed.version) == (5_100, draft.version + 1)
        assert [one.net_minor for one in lines_of(draft)] == [5_100]
        assert events_of(draft) == ["invoice.changed"]

    def test_what_somebody_else_saved_is_not_overwritten(self, signed_in: FlaskClient) -> None:
        draft = make_draft_invoice()
        address = f"{address_of(draft)}/edit"
        mine, theirs = read(signed_in, address), read(signed_in, address)
        assert send(signed_in, theirs, address, external_ref="THEIRS").status_code == 303
        answer = send(signed_in, mine, address, external_ref="MINE", lines_0_quantity="7")
        found = read_answer(answer, status=409)
        assert "Somebody changed the document" in found.find("div", id="summary").text
        kept = fields_of(form_to(found, address))
        assert (kept["external_ref"], kept["lines-0-quantity"]) == ("MINE", "7")
        assert read_row("invoices", draft.id).external_ref == "THEIRS"
        assert read_answer(send(signed_in, found, address), status=409)

    def test_two_clicks_change_it_once(self, signed_in: FlaskClient) -> None:
        draft = make_draft_invoice()
        address = f"{address_of(draft)}/edit"
        form = read(signed_in, address)
        for _ in range(2):
            answer = send(signed_in, form, address, external_ref="ONCE")
            assert (answer.status_code, answer.location) == (303, address_of(draft))
        assert read_row("invoices", draft.id).version == draft.version + 1
        assert toasts(signed_in, address_of(draft)) == ["The draft was saved."]

    def test_adding_a_line_changes_nothing_yet(self, signed_in: FlaskClient) -> None:
        draft = make_draft_invoice()
        address = f"{address_of(draft)}/edit"
        answer = send(signed_in, read(signed_in, address), address, add="yes", external_ref="NEW")
        kept = fields_of(form_to(read_answer(answer), address))
        assert (kept["external_ref"], kept["lines-1-description"]) == ("NEW", "")
        assert kept["version"] == str(draft.version)
        assert read_row("invoices", draft.id).external_ref == draft.external_ref

    def test_a_code_that_is_not_agreed_any_more_does_not_turn_into_another(
        self, signed_in: FlaskClient
    ) -> None:
        draft = make_draft_invoice(lines=(Line(10_000, revenue_code="8888", tax_code="OLD"),))
        address = f"{address_of(draft)}/edit"
        form = read(signed_in, address)
        kept = fields_of(form_to(form, address))
        assert (kept["lines-0-revenue_code"], kept["lines-0-tax_code"]) == ("8888", "OLD")
        found = read_answer(send(signed_in, form, address), status=422)
        assert "not agreed" in wrong_at(found)["lines-0-tax_code"]

    def test_more_lines_than_the_form_holds_are_refused_in_words(
        self, signed_in: FlaskClient
    ) -> None:
        most = make_draft_invoice(lines=[Line(100)] * LINES_MAX)
        found = read(signed_in, f"{address_of(most)}/edit")
        assert len(found.find("tbody").find_all("tr")) == LINES_MAX
        more = make_draft_invoice(lines=[Line(100)] * (LINES_MAX + 1))
        refused = read(signed_in, f"{address_of(more)}/edit", status=409)
        assert f"{LINES_MAX + 1} lines" in refused.text
        assert "And 1 more line" in read(signed_in, address_of(more)).text

    def test_only_a_draft_is_changed(self, signed_in: FlaskClient) -> None:
        draft = make_draft_invoice()
        form = read(signed_in, f"{address_of(draft)}/edit")
        issue(signed_in, draft)
        read(signed_in, f"{address_of(draft)}/edit", status=409)
        answer = send(signed_in, form, f"{address_of(draft)}/edit")
        assert "Somebody changed the document" in read_answer(answer, status=409).text
        assert read_row("invoices", draft.id).state == InvoiceState.ISSUED


def issue(client: FlaskClient, draft: Any, **entered: str) -> TestResponse:
    address = f"{address_of(draft)}/issue"
    return send(client, read(client, address), address, **entered)


class TestIssue:
    """Issuing one draft."""

    def test_the_price_that_is_shown_is_the_one_that_is_booked(
        self, signed_in: FlaskClient
    ) -> None:
        draft = make_draft_invoice(lines=(Line(10_000), Line(3_333, tax_code="R")))
        found = read(signed_in, f"{address_of(draft)}/issue")
        assert "154,66 €" in found.find("strong").text.replace("\xa0", " ")
        assert "21,33 € is tax" in found.text.replace("\xa0", " ")
        strip = read(signed_in, address_of(draft)).find("dl", class_="money-strip").text
        assert "154,66" in strip
        answer = issue(signed_in, draft)
        assert (answer.status_code, answer.location) == (303, address_of(draft))
        issued = read_row("invoices", draft.id)
        assert (issued.state, issued.total_minor, issued.tax_minor) == ("issued", 15_466, 2_133)
        assert issued.issued_on == BUSINESS_ON
        assert events_of(draft) == ["invoice.issued"]
        assert toasts(signed_in, address_of(draft)) == ["INV-2026-000001 was issued."]

    def test_two_clicks_issue_it_once(self, signed_in: FlaskClient, organisation: UUID) -> None:
        draft = make_draft_invoice()
        address = f"{address_of(draft)}/issue"
        form = read(signed_in, address)
        for _ in range(2):
            answer = send(signed_in, form, address)
            assert (answer.status_code, answer.location) == (303, address_of(draft))
        assert events_of(draft) == ["invoice.issued"]
        assert toasts(signed_in, address_of(draft)) == ["INV-2026-000001 was issued."]
        with transaction(organisation):
            assert_books_hold()

    def test_a_draft_that_the_rules_block_shows_why_and_stays_one(
        self, signed_in: FlaskClient
    ) -> None:
        draft = make_draft_invoice(lines=(Line(100),))
        shown = read(signed_in, address_of(draft))
        said = shown.find("div", class_="is-bad").text
        assert "V101" in said
        asked = read(signed_in, f"{address_of(draft)}/issue")
        assert "V101" in asked.text
        assert asked.find_all("button", class_="primary") == [], "it would be refused"
        token = fields_of(form_to(shown, "/sign-out"))["csrf_token"]
        answer = signed_in.post(
            f"{address_of(draft)}/issue",
            data={"csrf_token": token, "version": str(draft.version), "request_key": "k"},
        )
        found = read_answer(answer, status=422)
        assert "It stays a draft" in found.text
        assert "V101" in found.text
        kept = read_row("invoices", draft.id)
        assert (kept.state, kept.version, kept.number) == ("draft", draft.version, None)

    def test_what_was_changed_since_it_was_looked_at_is_not_issued(
        self, signed_in: FlaskClient
    ) -> None:
        draft = make_draft_invoice()
        form = read(signed_in, f"{address_of(draft)}/issue")
        edit = f"{address_of(draft)}/edit"
        send(signed_in, read(signed_in, edit), edit, lines_0_unit_price="900")
        answer = send(signed_in, form, f"{address_of(draft)}/issue")
        assert "Somebody changed the document" in read_answer(answer, status=409).text
        assert read_row("invoices", draft.id).state == InvoiceState.DRAFT

    @pytest.mark.parametrize("state", ["pending_approval", "discarded"])
    def test_what_is_no_draft_is_not_issued(self, signed_in: FlaskClient, state: str) -> None:
        draft = make_draft_invoice(state=state)
        assert f"{address_of(draft)}/issue" not in signed_in.get(address_of(draft)).text
        read(signed_in, f"{address_of(draft)}/issue", status=409)
        answer = post(
            signed_in, f"{address_of(draft)}/issue", version=str(draft.version), request_key="k"
        )
        assert answer.status_code == 409
        assert read_row("invoices", draft.id).state == state

    def test_a_dialog_is_the_part_of_the_page(self, signed_in: FlaskClient) -> None:
        draft = make_draft_invoice()
        address = f"{address_of(draft)}/issue"
        part = read(signed_in, address, headers=HTMX)
        assert part.find_all("html") == []
        assert part.find("h2", id="dialog-title").text == "Issue this draft?"
        answer = send(signed_in, part, address, headers=HTMX)
        assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, address_of(draft))
        assert read_row("invoices", draft.id).state == InvoiceState.ISSUED


class TestVoid:
    """Voiding an invoice."""

    def test_a_manager_voids_an_invoice_by_a_credit_note(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        invoice = make_issued_invoice()
        address = f"{address_of(invoice)}/void"
        found = read(signed_in, address)
        assert "119,00" in found.text
        answer = send(signed_in, found, address, reason="Sent to the wrong payer")
        assert (answer.status_code, answer.location) == (303, address_of(invoice))
        voided = read_row("invoices", invoice.id)
        assert (voided.state, voided.credited_minor) == ("voided", 11_900)
        (note,) = [one for one in drafts(organisation) if one.kind == "credit_note"]
        assert (note.corrects_id, note.total_minor, note.state) == (invoice.id, 11_900, "issued")
        (event,) = rows(
            "SELECT reason, actor_name FROM events WHERE kind = 'invoice.voided'",
            organisation_id=organisation,
        )
        assert (event.reason, event.actor_name) == ("Sent to the wrong payer", "Mara Weber")
        shown = read(signed_in, address_of(invoice))
        (toast,) = shown.find_all("div", class_="toast")
        assert toast.text == "INV-2026-000001 is void; CN-2026-000001 takes it back."
        assert "“Sent to the wrong payer”" in shown.text
        assert address_of(note) in [one.attributes.get("href") for one in shown.find_all("a")]
        assert address not in [one.attributes.get("href") for one in shown.find_all("a")]
        with transaction(organisation):
            assert_books_hold()

    @pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "a\x07b"])
    def test_a_reason_is_needed(self, signed_in: FlaskClient, reason: str) -> None:
        invoice = make_issued_invoice()
        address = f"{address_of(invoice)}/void"
        found = read_answer(
            send(signed_in, read(signed_in, address), address, reason=reason), status=422
        )
        assert list(wrong_at(found)) == ["reason"]
        assert read_row("invoices", invoice.id).state == InvoiceState.ISSUED

    def test_two_clicks_void_it_once(self, signed_in: FlaskClient, organisation: UUID) -> None:
        invoice = make_issued_invoice()
        address = f"{address_of(invoice)}/void"
        form = read(signed_in, address)
        for _ in range(2):
            assert send(signed_in, form, address, reason="Wrong").status_code == 303
        assert len(drafts(organisation)) == 2

    def test_what_changed_meanwhile_is_not_voided(self, signed_in: FlaskClient) -> None:
        payment = make_payment()
        invoice = read_row("invoices", payment.invoice_id)
        read(signed_in, f"{address_of(invoice)}/void", status=409)
        other = make_issued_invoice(business_on=BUSINESS_ON)
        address = f"{address_of(other)}/void"
        form = read(signed_in, address)
        pay(signed_in, other, amount="1")
        found = read_answer(send(signed_in, form, address, reason="Wrong"), status=409)
        assert "Somebody changed the document" in found.find("div", id="summary").text
        assert found.find("textarea").text == "Wrong"
        assert read_row("invoices", other.id).state == InvoiceState.ISSUED

    def test_a_draft_and_a_credit_note_are_not_voided(self, signed_in: FlaskClient) -> None:
        for document, said in ((make_draft_invoice(), "draft"), (make_credit_note(), "credit")):
            assert said in read(signed_in, f"{address_of(document)}/void", status=409).text

    @pytest.mark.parametrize("role", [Role.CLERK, Role.AUDITOR, Role.OPERATOR])
    def test_only_a_manager_may(self, as_role: Callable[[Role], FlaskClient], role: Role) -> None:
        client = as_role(role)
        invoice = make_issued_invoice()
        shown = read(client, address_of(invoice))
        assert "Only a manager may void it." in shown.text
        assert f"{address_of(invoice)}/void" not in client.get(address_of(invoice)).text
        read(client, f"{address_of(invoice)}/void", status=403)
        answer = post(
            client, f"{address_of(invoice)}/void", version=str(invoice.version), reason="x",
            request_key="k",
        )  # fmt: skip
        assert answer.status_code == 403
        assert read_row("invoices", invoice.id).state == InvoiceState.ISSUED


class TestDiscard:
    """Discarding a draft."""

    def test_a_draft_is_discarded_and_stays_to_be_read(self, signed_in: FlaskClient) -> None:
        draft = make_draft_invoice(external_ref="R-1")
        address = f"{address_of(draft)}/discard"
        form = read(signed_in, address)
        for _ in range(2):
            answer = send(signed_in, form, address)
            assert (answer.status_code, answer.location) == (303, address_of(draft))
        assert read_row("invoices", draft.id).state == InvoiceState.DISCARDED
        assert events_of(draft) == ["invoice.discarded"]
        shown = read(signed_in, address_of(draft))
        assert "It was discarded before it was issued." in shown.text
        actions = shown.find("div", class_="page-head").find_all("a", class_="button")
        assert actions == []
        make_draft_invoice(external_ref="R-1")

    def test_what_is_issued_or_was_changed_is_not_discarded(self, signed_in: FlaskClient) -> None:
        issued = make_issued_invoice()
        read(signed_in, f"{address_of(issued)}/discard", status=409)
        draft = make_draft_invoice()
        address = f"{address_of(draft)}/discard"
        form = read(signed_in, address)
        edit = f"{address_of(draft)}/edit"
        send(signed_in, read(signed_in, edit), edit, external_ref="NEW")
        read_answer(send(signed_in, form, address), status=409)
        assert read_row("invoices", draft.id).state == InvoiceState.DRAFT


def pay(client: FlaskClient, invoice: Any, **entered: str) -> TestResponse:
    address = f"{address_of(invoice)}/payment"
    wanted = {"reference": "RF18 5390", **entered}
    return send(client, read(client, address), address, **wanted)


class TestPayment:
    """Recording what was paid beside the gateway."""

    def test_all_that_is_open_is_offered_and_settles_it(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        invoice = make_issued_invoice(lines=(Line(1_000_000),))
        address = f"{address_of(invoice)}/payment"
        offered = fields_of(form_to(read(signed_in, address), address))
        assert (offered["amount"], offered["paid_on"], offered["method"]) == (
            "11900,00", "2026-03-18", "transfer"
        )  # fmt: skip
        answer = pay(signed_in, invoice)
        assert (answer.status_code, answer.location) == (303, address_of(invoice))
        (payment,) = payments_of(invoice)
        assert (payment.amount_minor, payment.state, payment.method, payment.started_on) == (
            1_190_000, "succeeded", "transfer", BUSINESS_ON
        )  # fmt: skip
        assert read_row("invoices", invoice.id).payment_status == "paid"
        shown = read(signed_in, address_of(invoice))
        (toast,) = shown.find_all("div", class_="toast")
        assert toast.text == "Payment of 11.900,00 € recorded."
        assert "Nothing is open." in shown.text
        assert address not in [one.attributes.get("href") for one in shown.find_all("a")]
        with transaction(organisation):
            assert_books_hold()

    def test_a_part_leaves_the_rest_open(self, signed_in: FlaskClient) -> None:
        invoice = make_issued_invoice()
        assert pay(signed_in, invoice, amount="19,00", method="by_hand").status_code == 303
        left = read_row("invoices", invoice.id)
        assert (left.payment_status, left.open_minor) == ("partially_paid", 10_000)
        address = f"{address_of(invoice)}/payment"
        offered = fields_of(form_to(read(signed_in, address), address))
        assert offered["amount"] == "100,00"
        assert [one.method for one in payments_of(invoice)] == ["by_hand"]

    def test_what_is_paid_beyond_becomes_credit(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        invoice = make_issued_invoice()
        assert pay(signed_in, invoice, amount="200").status_code == 303
        assert read_row("invoices", invoice.id).payment_status == "paid"
        (credit,) = rows("SELECT * FROM payer_credits", organisation_id=organisation)
        assert (credit.payer_id, credit.amount_minor) == (invoice.payer_id, 8_100)
        with transaction(organisation):
            assert_books_hold()

    def test_a_payment_like_another_is_asked_about_once(self, signed_in: FlaskClient) -> None:
        invoice = make_issued_invoice()
        assert pay(signed_in, invoice, amount="10").status_code == 303
        found = read_answer(pay(signed_in, invoice, amount="10", reference="B"), status=409)
        assert "Nothing was recorded yet" in found.text
        assert len(payments_of(invoice)) == 1
        (first,) = payments_of(invoice)
        links = [one.attributes.get("href") for one in found.find_all("a")]
        assert f"/payments/{public_id('payment', first.id)}" in links
        address = f"{address_of(invoice)}/payment"
        assert found.find("button", class_="primary").text == "Record another one"
        again = [send(signed_in, found, address) for _ in range(2)]
        assert [one.status_code for one in again] == [303, 303]
        assert [one.amount_minor for one in payments_of(invoice)] == [1_000, 1_000]

    def test_saying_yes_to_one_payment_is_no_yes_to_another(self, signed_in: FlaskClient) -> None:
        invoice = make_issued_invoice()
        pay(signed_in, invoice, amount="10")
        pay(signed_in, invoice, amount="20")
        found = read_answer(pay(signed_in, invoice, amount="10"), status=409)
        address = f"{address_of(invoice)}/payment"
        read_answer(send(signed_in, found, address, amount="20"), status=409)
        assert len(payments_of(invoice)) == 2

    def test_a_form_sent_twice_records_one_payment_and_says_one_sentence(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        invoice = make_issued_invoice()
        address = f"{address_of(invoice)}/payment"
        form = read(signed_in, address)
        for _ in range(2):
            answer = send(signed_in, form, address, amount="50", reference="RF18")
            assert (answer.status_code, answer.location) == (303, address_of(invoice))
        assert [one.amount_minor for one in payments_of(invoice)] == [5_000]
        assert toasts(signed_in, address_of(invoice)) == ["Payment of 50,00 € recorded."]
        with transaction(organisation):
            assert_books_hold()

    def test_while_the_gateway_collects_nothing_is_recorded(self, signed_in: FlaskClient) -> None:
        payment = make_payment()
        invoice = read_row("invoices", payment.invoice_id)
        found = read_answer(pay(signed_in, invoice), status=409)
        said = found.find("div", id="summary").text
        assert "The gateway is collecting this invoice" in said
        assert fields_of(found.find("form", class_="form"))["reference"] == "RF18 5390"
        assert len(payments_of(invoice)) == 1

    @pytest.mark.parametrize(
        ("field", "value", "said"),
        [
            ("amount", "", "Enter what was paid."),
            ("amount", "abc", "is not an amount"),
            ("amount", "1,234", "EUR has 2 decimals"),
            ("amount", "0", "not above zero"),
            ("amount", "-5", "not above zero"),
            ("amount", "9" * 20, "beyond the largest one"),
            ("paid_on", "", "Enter the day"),
            ("paid_on", "2026-02-30", "Not a valid date"),
            ("paid_on", "2026-03-19", "in the future"),
            ("paid_on", "2020-01-01", "more than a year before"),
            ("reference", " ", "Enter the reference"),
            ("reference", "x" * 101, "100 characters"),
            ("reference", "a\x07b", "cannot be shown"),
        ],
    )
    def test_what_cannot_be_right_is_said_at_its_field(
        self, signed_in: FlaskClient, field: str, value: str, said: str
    ) -> None:
        invoice = make_issued_invoice()
        found = read_answer(pay(signed_in, invoice, **{field: value}), status=422)
        wrong = wrong_at(found)
        assert list(wrong) == [field]
        assert said in wrong[field]
        assert payments_of(invoice) == []

    def test_a_way_of_paying_that_is_none_is_refused(self, signed_in: FlaskClient) -> None:
        invoice = make_issued_invoice()
        read_answer(pay(signed_in, invoice, method="mandate"), status=422)
        assert payments_of(invoice) == []

    def test_nothing_is_recorded_for_a_draft_or_a_credit_note(self, signed_in: FlaskClient) -> None:
        for document in (make_draft_invoice(), make_credit_note()):
            address = f"{address_of(document)}/payment"
            assert "The payment was not saved" in read(signed_in, address, status=409).text
            answer = post(
                signed_in, address, amount="1", paid_on="2026-03-18", reference="x",
                method="transfer", request_key="k",
            )  # fmt: skip
            assert answer.status_code == 409
            assert payments_of(document) == []


def in_every_status() -> dict[str, Any]:
    """Make a document of each status."""
    paid = make_succeeded_payment()
    moving = make_payment()
    part = make_issued_invoice()
    voided = make_issued_invoice()
    used = make_issued_invoice()
    with transaction(part.organisation_id):
        note_id = void_invoice(
            invoice_id=voided.id, version=voided.version, reason="Wrong", on=BUSINESS_ON,
            actor=CLERK, now=NOW,
        )  # fmt: skip
    del used
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
            assert recorded.count <= 10, (word, recorded.texts)

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
            assert page.find("main").find_all("a", class_="button") == []
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
        assert len(drafts(organisation)) == 2

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
        assert len(drafts(organisation)) == 1
        assert read_row("invoices", draft.id).version == draft.version
