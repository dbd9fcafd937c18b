"""Voiding: a credit note over the whole, books that hold, and every reason not to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.invoices import InvoiceState
from portal.domain.ledger import AccountKind
from portal.ids import new_id
from portal.queries.invoices import InvoiceMissing, get_invoice, list_allocations_of, list_uses_of
from portal.services.invoices import (
    InvoiceChanged,
    InvoiceNotVoidable,
    IssuedBeforeLast,
    VoidReasonInvalid,
    void_invoice,
)
from portal.services.payments import ResultKind, start_payments
from portal.sql import execute
from tests import books, factories
from tests.factories import (
    CLERK,
    NOW,
    Line,
    activate_rule_set,
    answer_attempt,
    attempt_of,
    make_credit_note,
    make_draft_invoice,
    make_issued_invoice,
    make_mandate,
    make_payer,
    make_payment,
    make_succeeded_payment,
)
from tests.factories import read_row as read
from tests.services.books import assert_books_hold, balance, events_of, pay, rows
from tests.services.drafting import broken_proofs, do_at_once

ON = factories.BUSINESS_ON
REASON = "Billed twice; the tenant left in May."


def void(invoice: Any, *, reason: str = REASON, on: date = ON, version: int | None = None) -> UUID:
    with acting_for(factories.home.get()):
        return void_invoice(
            invoice_id=invoice.id,
            version=read("invoices", invoice.id).version if version is None else version,
            reason=reason,
            on=on,
            actor=CLERK,
            now=NOW,
        )


def now_of(invoice: Any) -> Any:
    return read("invoices", invoice.id)


def refuse(invoice: Any, words: str) -> None:
    """Make sure that an invoice is not voided, is told why, before and after, and is untouched."""
    former = now_of(invoice)
    entries = rows("SELECT count(*) FROM ledger_entries")
    with acting_for(factories.home.get()):
        told = get_invoice(invoice.id).void_refusal

    with pytest.raises(InvoiceNotVoidable, match=words) as caught:
        void(invoice)

    assert told == (caught.value.reason, caught.value.advice)
    assert "Nothing was changed" in caught.value.message
    assert now_of(invoice) == former
    assert rows("SELECT count(*) FROM ledger_entries") == entries
    assert broken_proofs() == []


def test_a_void_invoice_is_taken_back_by_a_numbered_credit_note(organisation: UUID) -> None:
    make_credit_note()
    lines = (Line(10_000), Line(-1_000, "4900"), Line(3_333, "4100", "R"), Line(500, "4100", "E"))
    invoice = make_issued_invoice(lines=lines, purchase_order_ref="PO-7")
    receivable, credits_held = (
        balance(kind) for kind in (AccountKind.RECEIVABLE, AccountKind.PAYER_CREDITS)
    )

    note_id = void(invoice)

    after, note = now_of(invoice), read("invoices", note_id)
    assert (after.state, after.version) == ("voided", invoice.version + 1)
    assert (after.open_minor, after.credited_minor) == (0, invoice.total_minor)
    assert after.payment_status is None
    assert (note.kind, note.state, note.corrects_id) == ("credit_note", "issued", invoice.id)
    assert (note.series, note.year, note.number) == ("CN", 2026, 2)
    assert (note.issued_on, note.due_on, note.document_on) == (ON, ON, ON)
    assert (note.payer_id, note.currency) == (invoice.payer_id, invoice.currency)
    assert (note.external_ref, note.purchase_order_ref) == (None, "PO-7")
    assert (note.net_minor, note.tax_minor, note.total_minor) == (
        invoice.net_minor,
        invoice.tax_minor,
        invoice.total_minor,
    )
    assert (note.applied_minor, note.credit_left_minor) == (invoice.total_minor, 0)
    for table, columns in (
        ("invoice_lines", "position, description, quantity, unit_price, net_minor, revenue_code"),
        ("invoice_taxes", "tax_code, rate_bps, net_minor, tax_minor"),
    ):
        statement = f"SELECT {columns} FROM {table} WHERE invoice_id = %s ORDER BY 1"
        assert rows(statement, note_id) == rows(statement, invoice.id)
    assert balance(AccountKind.RECEIVABLE) == receivable - invoice.total_minor
    assert balance(AccountKind.PAYER_CREDITS) == credits_held
    for kind, code in (("revenue", "4900"), ("revenue", "4100"), ("tax_payable", "R")):
        assert balance(AccountKind(kind), code=code) == 0
    assert_books_hold()
    assert broken_proofs() == []


def test_a_void_is_recorded_with_its_reason_and_credit_note(organisation: UUID) -> None:
    invoice = make_issued_invoice()

    note_id = void(invoice, reason=f"  {REASON}\n")

    assert events_of(invoice.id) == ["invoice.issued", "invoice.credited", "invoice.voided"]
    assert events_of(note_id) == ["invoice.issued", "invoice.credit_applied"]
    (event,) = rows("SELECT * FROM events WHERE kind = 'invoice.voided'")
    assert (event.reason, event.actor_name, event.happened_at) == (REASON, CLERK.name, NOW)
    assert event.details == {
        "amount_minor": 11_900,
        "credit_note_id": str(note_id),
        "credit_note": "CN-2026-000001",
    }
    with acting_for(organisation):
        voided, note = get_invoice(invoice.id), get_invoice(note_id)
        (allocation,) = list_allocations_of(invoice.id)
        assert list_uses_of(note_id) == [allocation]
    assert voided.state is InvoiceState.VOIDED
    assert (voided.voided_by_id, voided.voided_by_number) == (note_id, "CN-2026-000001")
    assert (note.corrects_id, note.corrects_number) == (invoice.id, "INV-2026-000001")
    assert (allocation.source_kind, allocation.source_id) == ("credit_note", note_id)
    assert (allocation.amount_minor, allocation.applied_on) == (11_900, ON)


def test_the_taxes_are_those_of_the_invoice_whatever_is_agreed_by_now(organisation: UUID) -> None:
    invoice = make_issued_invoice(lines=(Line(501),))
    definition = rows("SELECT definition FROM rule_sets")[0].definition
    for clause in definition["clause"]:
        if clause["code"] == "C102":
            clause["parameters"] = {"rates": {"Z": 2_500}}
        if clause["code"] == "V101":
            clause["parameters"] = {"minimum_minor": 1_000_000}
    with acting_for(organisation):
        activate_rule_set(definition=definition, starts_on=ON)

    note = read("invoices", void(invoice))

    assert (note.total_minor, note.tax_minor) == (invoice.total_minor, invoice.tax_minor)
    assert note.rule_set_version == invoice.rule_set_version == 1
    assert broken_proofs() == []


def test_an_invoice_over_nothing_is_voided_too(organisation: UUID) -> None:
    definition = rows("SELECT definition FROM rule_sets")[0].definition
    definition["clause"] = [each for each in definition["clause"] if each["code"] != "V102"]
    with acting_for(organisation):
        activate_rule_set(definition=definition, starts_on=date(2026, 1, 1))
    invoice = make_issued_invoice(lines=(Line(1_000), Line(-1_000)))
    assert invoice.total_minor == 0

    note = read("invoices", void(invoice))

    assert (note.state, note.number) == ("issued", 1)
    with acting_for(organisation):
        assert get_invoice(invoice.id).voided_by_id == note.id
    assert now_of(invoice).state == "voided"
    assert rows("SELECT id FROM allocations") == []
    assert broken_proofs() == []


def test_a_month_with_voids_in_it_breaks_no_proof(organisation: UUID) -> None:
    books.write_month(organisation)
    untouched = rows(
        "SELECT i.* FROM invoices i WHERE state = 'issued' AND kind = 'invoice'"
        " AND paid_minor + credited_minor + in_payment_minor = 0"
        " AND NOT EXISTS (SELECT FROM payments y WHERE y.invoice_id = i.id"
        " AND y.state = 'scheduled') ORDER BY id"
    )
    assert len(untouched) >= 2

    for invoice in untouched[:2]:
        void(invoice)

    assert broken_proofs() == []


@pytest.mark.parametrize(
    ("reason", "words"),
    [("", "missing"), (" \n\t ", "missing"), ("x" * 501, "too long"), ("a\0b", "printed")],
)
def test_a_reason_must_be_given(organisation: UUID, reason: str, words: str) -> None:
    invoice = make_issued_invoice()

    with pytest.raises(VoidReasonInvalid, match=words) as caught:
        void(invoice, reason=reason)

    assert caught.value.field == "reason"
    assert now_of(invoice) == invoice
    void(invoice, reason=" " + "x" * 500)
    assert now_of(invoice).state == "voided"


def test_what_is_paid_or_credited_is_not_voided(organisation: UUID) -> None:
    paid = make_issued_invoice()
    pay(paid)
    collected = make_succeeded_payment()
    credited = make_issued_invoice()
    make_credit_note(payer_id=credited.payer_id)
    with transaction(organisation):
        assert books.apply_what_is_there(credited.payer_id) == 5_950

    for invoice_id, words in (
        (paid.id, "is paid"),
        (collected.invoice_id, "is paid"),
        (credited.id, "is credited"),
    ):
        former = read("invoices", invoice_id)
        with pytest.raises(InvoiceNotVoidable, match=words):
            void(former)
        assert read("invoices", invoice_id) == former


def test_what_may_still_be_paid_is_not_voided(organisation: UUID) -> None:
    live = make_payment()
    invoice = read("invoices", live.invoice_id)
    refuse(invoice, "under way")

    answer_attempt(attempt_of(live), ResultKind.LOSE)
    refuse(invoice, "under way.*wait for its result")

    answer_attempt(attempt_of(live), ResultKind.DECLINE, reason_code="AM04")
    assert read("payments", live.id).state == "scheduled"
    refuse(invoice, "planned.*stop that payment first")


def test_what_the_gateway_contradicts_itself_about_is_not_voided(organisation: UUID) -> None:
    payment = make_payment()
    answer_attempt(attempt_of(payment), ResultKind.DECLINE, reason_code="AC04")
    answer_attempt(attempt_of(payment), ResultKind.SUCCEED)
    assert read("payments", payment.id).worklist == "conflicting_outcome"

    refuse(read("invoices", payment.invoice_id), "said two things")


def test_what_failed_for_good_may_be_voided(organisation: UUID) -> None:
    payment = make_payment()
    answer_attempt(attempt_of(payment), ResultKind.DECLINE, reason_code="AC04")
    invoice = read("invoices", payment.invoice_id)
    assert read("payments", payment.id).state == "failed"

    void(invoice)

    assert now_of(invoice).state == "voided"
    assert broken_proofs() == []


def test_what_was_paid_and_taken_back_for_good_may_be_voided(organisation: UUID) -> None:
    payment = make_succeeded_payment()
    answer_attempt(attempt_of(payment), ResultKind.RETURN, reason_code="MD01", fee_minor=350)
    invoice = read("invoices", payment.invoice_id)
    assert invoice.open_minor == invoice.total_minor

    void(invoice)

    assert now_of(invoice).state == "voided"
    assert broken_proofs() == []


def test_what_is_not_issued_or_no_invoice_is_not_voided(organisation: UUID) -> None:
    refuse(make_draft_invoice(), "it is a draft.*discard it")
    refuse(make_draft_invoice(state="pending_approval"), "waits for approval")
    refuse(make_draft_invoice(state="discarded"), "was discarded")
    refuse(make_credit_note(), "it is a credit note")
    invoice = make_issued_invoice()
    void(invoice)
    refuse(invoice, "INV-2026-000001 cannot be voided: it is void already")


def test_written_off_is_not_voided(organisation: UUID) -> None:
    invoice = make_issued_invoice()
    with transaction(organisation):
        execute("UPDATE invoices SET written_off_minor = 100 WHERE id = %s", (invoice.id,))

    with pytest.raises(InvoiceNotVoidable, match="written off"):
        void(invoice)


def test_a_void_is_not_dated_before_its_invoice_or_the_last_credit_note(
    organisation: UUID,
) -> None:
    invoice = make_issued_invoice(business_on=date(2026, 3, 10))

    with pytest.raises(InvoiceNotVoidable, match="it is dated 2026-03-10"):
        void(invoice, on=date(2026, 3, 9))
    make_credit_note(business_on=ON)
    with pytest.raises(IssuedBeforeLast):
        void(invoice, on=date(2026, 3, 17))

    assert now_of(invoice) == invoice
    assert rows("SELECT id FROM invoices WHERE corrects_id IS NOT NULL") == []
    void(invoice, on=ON)
    assert now_of(invoice).state == "voided"


def test_who_has_seen_an_old_version_voids_nothing(organisation: UUID) -> None:
    invoice = make_issued_invoice()

    with pytest.raises(InvoiceChanged, match="“Issued” now"):
        void(invoice, version=invoice.version - 1)

    assert now_of(invoice) == invoice


def test_many_who_void_at_once_leave_one_credit_note(organisation: UUID, app: Flask) -> None:
    invoice = make_issued_invoice()
    work = partial(
        void_invoice,
        invoice_id=invoice.id,
        version=invoice.version,
        reason=REASON,
        on=ON,
        actor=CLERK,
        now=NOW,
    )

    results = do_at_once(app, [work] * 6)

    assert sum(isinstance(each, UUID) for each in results) == 1
    assert sum(isinstance(each, InvoiceChanged) for each in results) == 5
    assert len(rows("SELECT id FROM invoices WHERE kind = 'credit_note'")) == 1
    assert rows("SELECT last FROM number_series WHERE series = 'CN'")[0].last == 1
    assert broken_proofs() == []


def test_voids_of_many_invoices_at_once_are_numbered_without_gap(
    organisation: UUID, app: Flask
) -> None:
    payer = make_payer()
    invoices = [make_issued_invoice(payer_id=payer.id) for _ in range(6)]

    results = do_at_once(
        app,
        [
            partial(
                void_invoice,
                invoice_id=each.id,
                version=each.version,
                reason=REASON,
                on=ON,
                actor=CLERK,
                now=NOW,
            )
            for each in invoices
        ],
    )

    assert all(isinstance(each, UUID) for each in results)
    numbers = rows("SELECT number FROM invoices WHERE series = 'CN' ORDER BY number")
    assert [row.number for row in numbers] == [1, 2, 3, 4, 5, 6]
    assert broken_proofs() == []


def test_a_void_and_a_collection_at_once_have_one_effect(organisation: UUID, app: Flask) -> None:
    for _ in range(3):
        invoice = make_issued_invoice()
        make_mandate(payer_id=invoice.payer_id)

        voided, started = do_at_once(
            app,
            [
                partial(
                    void_invoice,
                    invoice_id=invoice.id,
                    version=invoice.version,
                    reason=REASON,
                    on=ON,
                    actor=CLERK,
                    now=NOW,
                ),
                partial(
                    start_payments,
                    invoice_ids=[invoice.id],
                    business_on=ON,
                    actor=CLERK,
                    now=NOW,
                ),
            ],
        )

        is_started = started[0].outcome is ItemOutcome.DONE
        assert isinstance(voided, UUID) is not is_started
        assert now_of(invoice).state == ("issued" if is_started else "voided")
        assert len(rows("SELECT id FROM payments WHERE invoice_id = %s", invoice.id)) == is_started
    assert broken_proofs() == []


def test_invoices_of_others_are_not_there(organisation: UUID, other_organisation: UUID) -> None:
    theirs = make_issued_invoice(organisation_id=other_organisation, lines=(Line(10_000, "water"),))

    for invoice_id in (theirs.id, new_id()):
        with pytest.raises(InvoiceMissing), acting_for(organisation):
            void_invoice(
                invoice_id=invoice_id, version=2, reason=REASON, on=ON, actor=CLERK, now=NOW
            )

    assert read("invoices", theirs.id, organisation_id=other_organisation) == theirs


def test_a_void_that_fails_behind_leaves_nothing(organisation: UUID) -> None:
    invoice = make_issued_invoice()

    def void_and_fail() -> None:
        with transaction(organisation):
            void_invoice(
                invoice_id=invoice.id,
                version=invoice.version,
                reason=REASON,
                on=ON,
                actor=CLERK,
                now=NOW,
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        void_and_fail()

    assert now_of(invoice) == invoice
    assert read("invoices", void(invoice)).number == 1


def test_the_number_of_statements_does_not_grow_with_the_lines(
    organisation: UUID, statements: Callable[[], Any]
) -> None:
    counts = []
    void(make_issued_invoice())  # Opens the accounts.
    for size in (1, 50):
        invoice = make_issued_invoice(lines=[Line(1_000)] * size)
        with statements() as recorded:
            void(invoice, version=invoice.version)
        counts.append(recorded.count)

    assert counts[0] == counts[1]
