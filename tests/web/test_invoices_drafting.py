"""Drafts in the browser: written for a payer, changed, and nothing typed is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from uuid import UUID

import pytest
import time_machine
from flask.testing import FlaskClient

from portal.domain.invoices import InvoiceState
from portal.domain.users import Role
from portal.web.invoices._drafting import LINES_MAX
from tests.factories import (
    NOW,
    Line,
    make_draft_invoice,
    make_payer,
    read_row,
)
from tests.web.conftest import post, sign_in
from tests.web.documents import (
    address_of,
    enter_draft,
    events_of,
    issue,
    lines_of,
    list_documents,
    new_address,
    toasts,
    wrong_at,
)
from tests.web.forms import fields_of, form_to, read, read_answer, send

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _on_the_day() -> Iterator[None]:
    """Let the pages see the day on which the factories bill."""
    with time_machine.travel(NOW, tick=False):
        yield


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
        (draft,) = list_documents(organisation)
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
        (draft,) = list_documents(here)
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
        (draft,) = list_documents(organisation)
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
        assert list_documents(organisation) == []

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
        assert list_documents(organisation) == []

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
        assert list_documents(organisation) == []

    def test_a_draft_without_a_line_is_refused_in_words(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        answer = enter_draft(
            signed_in, make_payer(), lines_0_description=" ", lines_0_unit_price=""
        )
        found = read_answer(answer, status=422)
        assert "it has no line; add what is to be billed" in found.find("div", id="summary").text
        assert list_documents(organisation) == []

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
        assert list_documents(organisation) == []
        sent = send(
            signed_in, found, new_address(payer), lines_0_quantity="", lines_2_description="",
            lines_3_description="Fourth", lines_3_unit_price="1", lines_3_revenue_code="4000",
        )  # fmt: skip
        assert sent.status_code == 303
        (draft,) = list_documents(organisation)
        assert draft.kind == "credit_note"
        assert [one.description for one in lines_of(draft)] == ["Berth fee", "Fourth"]

    def test_a_taken_reference_is_a_conflict_that_loses_nothing(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        make_draft_invoice(external_ref="R-1")
        payer = make_payer()
        found = read_answer(enter_draft(signed_in, payer, external_ref="R-1"), status=409)
        assert "has the reference R-1 already" in wrong_at(found)["external_ref"]
        assert len(list_documents(organisation)) == 1
        again = send(signed_in, found, new_address(payer), external_ref="R-2")
        assert again.status_code == 303
        assert [one.external_ref for one in list_documents(organisation)] == ["R-1", "R-2"]

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
        assert len(list_documents(organisation)) == 1
        other = send(signed_in, form, new_address(payer), **entered, external_ref="R-9")
        found = read_answer(other, status=409)
        assert "This form was sent before" in found.find("div", id="summary").text
        assert len(list_documents(organisation)) == 1
        assert send(signed_in, found, new_address(payer)).status_code == 303
        assert [one.external_ref for one in list_documents(organisation)] == [None, "R-9"]

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
        read_answer(send(signed_in, found, address), status=409)

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

    @pytest.mark.parametrize("place", [str(LINES_MAX), "1000000", "9" * 5000, "²", "007", "٥"])
    @pytest.mark.parametrize("add", [{}, {"add": "yes"}])
    def test_a_line_that_the_form_does_not_hold_is_not_dropped_silently(
        self, signed_in: FlaskClient, organisation: UUID, place: str, add: dict[str, str]
    ) -> None:
        draft = make_draft_invoice()
        address, payer = f"{address_of(draft)}/edit", make_payer()
        beyond = {f"lines-{place}-description": "Beyond", f"lines-{place}-unit_price": "1"}
        answer = send(signed_in, read(signed_in, address), address, **beyond, **add)
        assert f"this form holds {LINES_MAX}" in read_answer(answer, status=409).text
        read_answer(enter_draft(signed_in, payer, **beyond, **add), status=409)
        assert len(list_documents(organisation)) == 1
        assert read_row("invoices", draft.id).version == draft.version

    def test_the_last_line_of_the_form_is_kept(self, signed_in: FlaskClient) -> None:
        draft = make_draft_invoice()
        address = f"{address_of(draft)}/edit"
        last = {
            f"lines-{LINES_MAX - 1}-{name}": text
            for name, text in (
                ("description", "Last"), ("quantity", "1"), ("unit_price", "1"),
                ("revenue_code", "4000"), ("tax_code", "S"),
            )
        }  # fmt: skip
        assert send(signed_in, read(signed_in, address), address, **last).status_code == 303
        assert [one.description for one in lines_of(draft)] == ["Quayside services", "Last"]

    def test_only_a_draft_is_changed(self, signed_in: FlaskClient) -> None:
        draft = make_draft_invoice()
        form = read(signed_in, f"{address_of(draft)}/edit")
        issue(signed_in, draft)
        read(signed_in, f"{address_of(draft)}/edit", status=409)
        answer = send(signed_in, form, f"{address_of(draft)}/edit")
        assert "Somebody changed the document" in read_answer(answer, status=409).text
        assert read_row("invoices", draft.id).state == InvoiceState.ISSUED
