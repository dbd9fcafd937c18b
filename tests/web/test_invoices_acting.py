"""What is done with a document in the browser: issued, voided, discarded, paid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
import time_machine
from flask.testing import FlaskClient

from portal.db import transaction
from portal.domain.invoices import InvoiceState
from portal.domain.users import Role
from portal.ids import public_id
from tests.factories import (
    BUSINESS_ON,
    NOW,
    Line,
    make_credit_note,
    make_draft_invoice,
    make_issued_invoice,
    make_payment,
    read_row,
)
from tests.services.books import assert_books_hold
from tests.web.conftest import post, sign_in
from tests.web.documents import (
    address_of,
    events_of,
    issue,
    list_documents,
    pay,
    payments_of,
    rows,
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


@pytest.fixture
def as_role(client: FlaskClient, add_person: Callable[..., str]) -> Callable[[Role], FlaskClient]:
    """Sign somebody of a role in."""

    def enter(role: Role) -> FlaskClient:
        assert sign_in(client, add_person(role)).status_code == 303
        return client

    return enter


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
        (note,) = [one for one in list_documents(organisation) if one.kind == "credit_note"]
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
        assert len(list_documents(organisation)) == 2

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
        for other_than in (found.find("input", name="other_than").attributes["value"], "x"):
            sent = send(signed_in, found, address, amount="20", other_than=other_than)
            read_answer(sent, status=409)
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
