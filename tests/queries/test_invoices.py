"""Reading one document: header, number, lines, taxes, what paid it, and its history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.domain.invoices import InvoiceKind, InvoiceState, PaymentStatus
from portal.domain.payments import AttemptState, PaymentState
from portal.ids import new_id
from portal.queries.invoices import (
    HistoryRow,
    InvoiceMissing,
    LineRow,
    TaxRow,
    find_invoice_by_number,
    get_invoice,
    list_allocations_of,
    list_attempts_of,
    list_history,
    list_invoice_currencies,
    list_lines,
    list_payments_of,
    list_taxes,
    list_uses_of,
)
from portal.queries.tables import items_of_run, parse_request, read_page
from portal.services.invoices import change_draft, discard_draft, void_invoice
from portal.services.payments import ResultKind, retry_payments
from portal.sql import execute
from tests import factories
from tests.books import apply_what_is_there
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    EARLIER_ON,
    NOW,
    Line,
    answer_attempt,
    attempt_of,
    make_credit_note,
    make_deposit,
    make_issued_invoice,
    make_payer,
    make_payment,
    make_run,
    make_succeeded_payment,
    read_row,
)
from tests.services.books import make_payer_credit
from tests.services.drafting import draft, new_invoice

ROWS_MAX = 50


def history(invoice_id: UUID, rows_max: int = ROWS_MAX) -> list[HistoryRow]:
    with acting_for(factories.home.get()):
        return list_history(invoice_id, rows_max)


def test_a_draft_has_no_number_yet(organisation: UUID) -> None:
    payer = make_payer(name="Elm Road Clinic", is_on_hold=True)
    invoice_id = draft(payer_id=payer.id, external_ref="A-1", purchase_order_ref="PO-1")

    with acting_for(organisation):
        found = get_invoice(invoice_id)
        lines, taxes = list_lines(invoice_id), list_taxes(invoice_id)

    assert (found.id, found.number, found.version, found.lines_count) == (invoice_id, None, 1, 1)
    assert found.kind is InvoiceKind.INVOICE
    assert found.state is InvoiceState.DRAFT
    assert found.payment_status is None
    assert (found.payer_id, found.payer_name, found.payer_number) == (
        payer.id,
        "Elm Road Clinic",
        payer.number,
    )
    assert (found.payer_ref, found.payer_is_on_hold) == (payer.external_ref, True)
    assert (found.external_ref, found.purchase_order_ref) == ("A-1", "PO-1")
    assert (found.net_minor, found.tax_minor, found.total_minor) == (10_000, 0, 10_000)
    assert (found.issued_on, found.due_on, found.document_on) == (None, None, BUSINESS_ON)
    assert found.void_refusal is not None
    assert lines == [
        LineRow(1, "Berth fee", Decimal(1), Decimal(100), 10_000, "4000", "S", None),
    ]
    assert taxes == []


def test_an_issued_invoice_says_all_its_amounts(organisation: UUID) -> None:
    payer = make_payer()
    made = make_issued_invoice(payer_id=payer.id, lines=(Line(10_000), Line(2_000, "4100", "R")))
    make_credit_note(payer_id=payer.id, lines=(Line(1_000),))
    make_deposit(payer_id=payer.id, amount_minor=300)
    with transaction(organisation):
        apply_what_is_there(payer.id)
    payment = make_payment(invoice=read_row("invoices", made.id))

    with acting_for(organisation):
        found = get_invoice(made.id)
        taxes = list_taxes(made.id)

    assert found.number == "INV-2026-000001"
    assert found.payment_status is PaymentStatus.IN_PAYMENT
    assert (found.net_minor, found.tax_minor, found.total_minor) == (12_000, 2_040, 14_040)
    assert (found.credited_minor, found.paid_minor, found.written_off_minor) == (1_190, 300, 0)
    assert (found.in_payment_minor, found.open_minor) == (payment.amount_minor, 12_550)
    assert (found.issued_on, found.rule_set_version) == (EARLIER_ON, 1)
    assert (found.live_count, found.scheduled_count, found.contradicted_count) == (1, 0, 0)
    assert taxes == [TaxRow("R", 700, 2_000, 140), TaxRow("S", 1_900, 10_000, 1_900)]


def test_an_invoice_is_found_by_its_number(organisation: UUID, other_organisation: UUID) -> None:
    invoice, note = make_issued_invoice(), make_credit_note()
    make_issued_invoice(organisation_id=other_organisation)
    large = make_issued_invoice()
    theirs = make_issued_invoice(organisation_id=other_organisation)

    with acting_for(organisation):
        for text, wanted in (
            ("INV-2026-000001", invoice.id),
            (" inv-2026-1 ", invoice.id),
            ("CN-2026-000001", note.id),
            ("INV-2026-000002", large.id),
        ):
            found = find_invoice_by_number(text)
            assert found is not None
            assert found.id == wanted
        for text in ("INV-2025-000001", "INV-2026-000003", "INV-2026-" + "9" * 18, "x", "a\0b", ""):
            assert find_invoice_by_number(text) is None
        with pytest.raises(InvoiceMissing):
            get_invoice(theirs.id)
        with pytest.raises(InvoiceMissing):
            get_invoice(new_id())
        assert list_lines(theirs.id) == []
        assert list_history(theirs.id, ROWS_MAX) == []
        assert list_allocations_of(theirs.id) == []


def test_a_number_beyond_a_million_keeps_its_digits(organisation: UUID) -> None:
    make_issued_invoice()
    with transaction(organisation):
        execute("UPDATE number_series SET last = 1234566")
    made = make_issued_invoice()
    run = make_run(items_count=1, chunks_count=1)
    with transaction(organisation):
        factories.insert_row(
            "batch_items",
            organisation_id=organisation,
            run_id=run.id,
            item_id=made.id,
            chunk_number=1,
            outcome="done",
            amount_minor=1,
        )

    with acting_for(organisation):
        assert get_invoice(made.id).number == "INV-2026-1234567"
        assert find_invoice_by_number("INV-2026-1234567") == get_invoice(made.id)
        table = items_of_run(run.id)
        asked = parse_request(table, [], today=BUSINESS_ON, currency="EUR")
        (item,) = read_page(table, asked).rows
    assert item[table.places()["item"]] == "INV-2026-1234567"


def test_currencies_are_those_in_which_money_can_arrive(
    organisation: UUID, other_organisation: UUID
) -> None:
    with transaction(organisation):
        factories.insert_row(
            "bank_accounts",
            organisation_id=organisation,
            id=new_id(),
            iban="CH9300762011623852957",
            name="Francs",
            currency="CHF",
        )

    with acting_for(organisation):
        assert list_invoice_currencies() == ["EUR", "CHF"]
    with acting_for(other_organisation):
        assert list_invoice_currencies() == ["GBP"]


def test_allocations_say_their_sources_in_words(organisation: UUID) -> None:
    payer = make_payer()
    made = make_issued_invoice(payer_id=payer.id)
    note = make_credit_note(payer_id=payer.id, lines=(Line(1_000),))
    credit = make_payer_credit(payer_id=payer.id, amount_minor=500)
    deposit = make_deposit(payer_id=payer.id, amount_minor=700, purpose="key deposit")
    with transaction(organisation):
        apply_what_is_there(payer.id)
    payment = make_succeeded_payment(invoice=read_row("invoices", made.id))
    answer_attempt(attempt_of(payment), ResultKind.RETURN, reason_code="AM04")

    with acting_for(organisation):
        found = {each.source_kind: each for each in list_allocations_of(made.id)}
        (use,) = list_uses_of(note.id)

    assert {kind: (each.source_id, each.amount_minor) for kind, each in found.items()} == {
        "payment": (payment.id, 11_900 - 1_190 - 500 - 700),
        "credit_note": (note.id, 1_190),
        "payer_credit": (credit.id, 500),
        "deposit": (deposit.id, 700),
    }
    assert {kind: each.source_words for kind, each in found.items()} == {
        "payment": "Payment by mandate",
        "credit_note": "Credit note CN-2026-000001",
        "payer_credit": "Credit of the payer since 2026-03-18",
        "deposit": "Deposit: key deposit",
    }
    assert found["payment"].reversed_on == BUSINESS_ON
    assert found["credit_note"].reversed_on is None
    assert (use.invoice_id, use.invoice_number) == (made.id, "INV-2026-000001")
    assert use == found["credit_note"]


def test_payments_and_attempts_say_where_they_are_and_why(organisation: UUID) -> None:
    payment = make_payment()
    answer_attempt(attempt_of(payment), ResultKind.DECLINE, reason_code="AM04", reason="NSF")

    with acting_for(organisation):
        (paid,) = list_payments_of(payment.invoice_id)
        (tried,) = list_attempts_of(payment.invoice_id)

    assert (paid.id, paid.state, paid.method) == (payment.id, PaymentState.SCHEDULED, "mandate")
    assert (paid.amount_minor, paid.reserved_minor, paid.attempts_count) == (11_900, 0, 1)
    assert paid.reason_code == tried.reason_code == "AM04"
    assert paid.reason_text == tried.reason_text == ("There was not enough money in the account.")
    assert paid.next_attempt_on == tried.next_attempt_on
    assert (tried.number, tried.state, tried.business_on) == (1, AttemptState.DECLINED, BUSINESS_ON)
    assert (tried.decided_at, tried.next_query_at) == (NOW, None)
    assert tried.gateway_ref == f"gw-{tried.merchant_ref}"

    assert paid.next_attempt_on is not None
    with transaction(organisation):
        retry_payments(
            payment_ids=[payment.id], business_on=paid.next_attempt_on, actor=CLERK, now=NOW
        )
    answer_attempt(attempt_of(payment), ResultKind.LOSE)

    with acting_for(organisation):
        second, first = list_attempts_of(payment.invoice_id)
    assert (second.number, second.state) == (2, AttemptState.UNKNOWN)
    assert second.next_query_at is not None
    assert (first.number, first.next_attempt_on) == (1, None)


def test_a_reason_the_catalogue_does_not_know_is_said_as_the_gateway_did(
    organisation: UUID,
) -> None:
    payment = make_payment()
    answer_attempt(attempt_of(payment), ResultKind.DECLINE, reason_code="Q7", reason="Moon is full")

    with acting_for(organisation):
        (paid,) = list_payments_of(payment.invoice_id)
        (tried,) = list_attempts_of(payment.invoice_id)

    assert (paid.reason_text, tried.reason_text) == ("Moon is full", "Moon is full")


def test_the_history_of_a_draft_is_what_people_did_to_it(organisation: UUID) -> None:
    invoice_id = draft()
    later = NOW + timedelta(hours=1)
    with acting_for(organisation):
        change_draft(
            invoice_id=invoice_id,
            version=1,
            invoice=new_invoice(),
            on=BUSINESS_ON,
            actor=CLERK,
            now=later,
        )
        discard_draft(invoice_id=invoice_id, version=2, actor=CLERK, now=later)

    found = history(invoice_id)

    assert [each.kind for each in found] == [
        "invoice.discarded",
        "invoice.changed",
        "invoice.drafted",
    ]
    assert [each.happened_at for each in found] == [later, later, NOW]
    assert {(each.actor_kind, each.actor_name) for each in found} == {("user", "Ada Clerk")}
    assert {each.subject_id for each in found} == {invoice_id}
    assert [each.amount_minor for each in found] == [None, 10_000, None]
    assert found[1].details is not None
    assert "payer_id" in found[1].details["before"]


def test_the_history_tells_of_each_attempt_and_what_is_planned(organisation: UUID) -> None:
    payment = make_payment()
    first = answer_attempt(attempt_of(payment), ResultKind.DECLINE, reason_code="AM04")
    planned_on = read_row("payments", payment.id).next_attempt_on

    told = history(payment.invoice_id)

    assert [each.kind for each in told] == [
        "payment.planned",
        "payment.declined",
        "payment.started",
        "invoice.issued",
    ]
    planned, declined, started, issued = told
    assert (planned.planned_on, planned.happened_at, planned.actor_name) == (planned_on, None, None)
    assert (planned.attempt_number, planned.amount_minor) == (2, 11_900)
    assert (declined.attempt_number, declined.reason_code) == (1, "AM04")
    assert declined.reason_text == "There was not enough money in the account."
    assert (started.attempt_number, started.reason_code) == (1, None)
    assert (started.subject_type, started.subject_id) == ("payment", payment.id)
    assert started.amount_minor == first.amount_minor
    assert (issued.subject_type, issued.amount_minor, issued.currency) == ("invoice", 11_900, "EUR")
    assert issued.attempt_number is None


def test_the_history_tells_the_attempts_of_a_payment_apart(organisation: UUID) -> None:
    payment = make_payment()
    answer_attempt(attempt_of(payment), ResultKind.DECLINE, reason_code="AM04")
    with transaction(organisation):
        retry_payments(
            payment_ids=[payment.id],
            business_on=read_row("payments", payment.id).next_attempt_on,
            actor=CLERK,
            now=NOW,
        )
    answer_attempt(attempt_of(payment), ResultKind.SUCCEED, ResultKind.RETURN, reason_code="MD01")

    told = [
        (each.kind, each.attempt_number, each.reason_code, each.amount_minor)
        for each in history(payment.invoice_id)
        if each.happened_at is not None
    ]

    assert told == [
        ("payment.returned", 2, "MD01", 11_900),
        ("invoice.reopened", None, None, 11_900),
        ("payment.succeeded", 2, None, 11_900),
        ("payment.started", 2, None, 11_900),
        ("payment.declined", 1, "AM04", 11_900),
        ("payment.started", 1, None, 11_900),
        ("invoice.issued", None, None, 11_900),
    ]


def test_the_history_tells_of_an_attempt_that_waits_to_be_sent(organisation: UUID) -> None:
    payment = make_payment()
    attempt = attempt_of(payment)

    newest = history(payment.invoice_id)[0]

    assert (newest.kind, newest.subject_id) == ("attempt.send_planned", attempt.id)
    assert newest.planned_at is not None
    assert newest.details == {"tries": 0, "last_error": None}


def test_the_history_tells_when_the_gateway_is_asked(organisation: UUID) -> None:
    payment = make_payment()
    asked = answer_attempt(attempt_of(payment), ResultKind.LOSE)
    with transaction(organisation):
        execute("UPDATE messages SET tries = 2, last_error = 'timeout'")

    told = {each.kind: each for each in history(payment.invoice_id) if each.happened_at is None}

    assert told.keys() == {"attempt.query_planned", "attempt.send_planned"}
    assert told["attempt.query_planned"].planned_at == asked.next_query_at
    assert told["attempt.query_planned"].subject_id == asked.id
    assert told["attempt.send_planned"].details == {"tries": 2, "last_error": "timeout"}


def test_the_history_says_what_was_applied(organisation: UUID) -> None:
    payer = make_payer()
    made = make_issued_invoice(payer_id=payer.id)
    notes = []
    for net_minor in (1_000, 2_000):
        notes.append(make_credit_note(payer_id=payer.id, lines=(Line(net_minor),)))
        with transaction(organisation):
            apply_what_is_there(payer.id)
    make_deposit(payer_id=payer.id, amount_minor=700)
    make_payer_credit(payer_id=payer.id, amount_minor=500)
    with transaction(organisation):
        apply_what_is_there(payer.id)

    told = {(each.kind, each.amount_minor) for each in history(made.id)}

    assert told == {
        ("invoice.issued", 11_900),
        ("invoice.credited", 1_190),
        ("invoice.credited", 2_380),
        ("invoice.paid_from_deposit", 700),
        ("invoice.paid_from_credit", 500),
    }
    assert [(each.kind, each.amount_minor) for each in history(notes[1].id)] == [
        ("invoice.credit_applied", 2_380),
        ("invoice.issued", 2_380),
    ]


def test_the_history_says_no_amount_rather_than_a_wrong_one(organisation: UUID) -> None:
    payer = make_payer()
    made = make_issued_invoice(payer_id=payer.id)
    with transaction(organisation):
        for net_minor in (1_000, 2_000):
            make_credit_note(payer_id=payer.id, lines=(Line(net_minor),))
            apply_what_is_there(payer.id)

    credited = [each for each in history(made.id) if each.kind == "invoice.credited"]

    assert [each.amount_minor for each in credited] == [None, None]


def test_the_history_of_a_void_invoice_keeps_the_reason(organisation: UUID) -> None:
    made = make_issued_invoice()
    with acting_for(organisation):
        void_invoice(
            invoice_id=made.id,
            version=made.version,
            reason="Billed twice",
            on=BUSINESS_ON,
            actor=CLERK,
            now=NOW,
        )

    newest, credited, _ = history(made.id)

    assert (newest.kind, newest.reason, newest.amount_minor) == (
        "invoice.voided",
        "Billed twice",
        11_900,
    )
    assert newest.details is not None
    assert newest.details["credit_note"] == "CN-2026-000001"
    assert (credited.kind, credited.amount_minor) == ("invoice.credited", 11_900)
    assert len(history(made.id, rows_max=2)) == 2


def test_each_reading_is_one_statement(organisation: UUID, statements: Callable[[], Any]) -> None:
    payment = make_payment()
    answer_attempt(attempt_of(payment), ResultKind.SUCCEED)
    readings: list[Callable[[UUID], Any]] = [
        get_invoice,
        list_lines,
        list_taxes,
        list_allocations_of,
        list_uses_of,
        list_payments_of,
        list_attempts_of,
        lambda invoice_id: list_history(invoice_id, ROWS_MAX),
        lambda _: find_invoice_by_number("INV-2026-000001"),
    ]

    with acting_for(organisation), statements() as recorded:
        for reading in readings:
            reading(payment.invoice_id)

    assert recorded.count == len(readings)
