from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.domain.ledger import AccountKind
from portal.domain.money import AMOUNT_MINOR_MAX, AmountTooLarge
from portal.ids import new_id
from portal.queries.checks import run_checks
from portal.queries.payments import find_similar_payment
from portal.services.payments import (
    GatewayIsCollecting,
    InvoiceNotPayable,
    PaidInvoiceMissing,
    PaymentInvalid,
    ResultKind,
    SecondLook,
    SimilarPayment,
    record_payment,
)
from portal.sql import execute
from tests import factories
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    NOW,
    make_credit_note,
    make_draft_invoice,
    make_issued_invoice,
    make_mandate,
    read_row,
)
from tests.recording import Recording
from tests.services.books import assert_books_hold, balance, events_of, rows
from tests.services.collecting import (
    Case,
    apply_money,
    case_of,
    make_case,
    retry,
    run_together,
    start,
    tell_one,
)

LATER_ON = date(2026, 3, 23)


def record(invoice_id: UUID, amount_minor: int = 11_900, **over: Any) -> UUID:
    wanted: dict[str, Any] = {
        "invoice_id": invoice_id,
        "amount_minor": amount_minor,
        "paid_on": BUSINESS_ON,
        "method": "transfer",
        "reference": "RF18 5390 0754 7034",
        "actor": CLERK,
        "now": NOW,
    }
    with acting_for(factories.home.get()):
        return record_payment(**{**wanted, **over})


def assert_proofs_hold() -> None:
    with acting_for(factories.home.get()):
        assert {result.check: result.sample for result in run_checks() if result.rows} == {}
    assert_books_hold()


def planned() -> Case:
    """Make a payment that was declined and is planned again for LATER_ON."""
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    return case_of(case.payment.id)


def put_on(worklist: str, payment_id: UUID) -> None:
    with transaction(factories.home.get()):
        execute(
            "UPDATE payments SET worklist = %s, next_attempt_on = NULL WHERE id = %s",
            (worklist, payment_id),
        )


@pytest.mark.parametrize("method", ["transfer", "by_hand"])
def test_a_payment_settles_its_invoice_and_is_banked(organisation: UUID, method: str) -> None:
    invoice = make_issued_invoice()

    payment_id = record(invoice.id, method=method, paid_on=date(2026, 3, 17))

    payment = read_row("payments", payment_id)
    assert (payment.state, payment.method, payment.amount_minor) == ("succeeded", method, 11_900)
    assert (payment.started_on, payment.attempts_count) == (date(2026, 3, 17), 0)
    after = read_row("invoices", invoice.id)
    assert (after.payment_status, after.paid_minor, after.open_minor) == ("paid", 11_900, 0)
    assert after.version == invoice.version + 1
    (allocation,) = rows("SELECT * FROM allocations")
    assert (allocation.payment_id, allocation.amount_minor) == (payment_id, 11_900)
    (entry,) = rows("SELECT * FROM ledger_entries WHERE source_id = %s", payment_id)
    assert (entry.kind, entry.effective_on) == ("payment_recorded", date(2026, 3, 17))
    assert (balance(AccountKind.BANK), balance(AccountKind.RECEIVABLE)) == (11_900, 0)
    (event,) = rows("SELECT * FROM events WHERE subject_id = %s", payment_id)
    assert (event.kind, event.actor_name) == ("payment.recorded", "Ada Clerk")
    assert event.details == {
        "amount_minor": 11_900,
        "currency": "EUR",
        "method": method,
        "reference": "RF18 5390 0754 7034",
        "allocated_minor": 11_900,
        "credit_minor": 0,
    }
    assert_proofs_hold()


def test_a_part_leaves_the_rest_open(organisation: UUID) -> None:
    invoice = make_issued_invoice()

    record(invoice.id, 1_900)

    after = read_row("invoices", invoice.id)
    assert (after.payment_status, after.open_minor) == ("partially_paid", 10_000)
    assert rows("SELECT id FROM payer_credits") == []
    assert_proofs_hold()


def test_what_exceeds_the_open_amount_is_the_payers_credit(organisation: UUID) -> None:
    invoice = make_issued_invoice()
    other = make_issued_invoice(payer_id=invoice.payer_id)

    payment_id = record(invoice.id, 15_000)

    (credit,) = rows("SELECT * FROM payer_credits")
    assert (credit.payment_id, credit.amount_minor) == (payment_id, 3_100)
    assert (credit.payer_id, credit.since_on) == (invoice.payer_id, BUSINESS_ON)
    assert balance(AccountKind.PAYER_CREDITS) == -3_100
    assert_proofs_hold()
    apply_money(invoice.payer_id)
    assert read_row("invoices", other.id).open_minor == 8_800
    assert_proofs_hold()


def test_money_for_what_is_paid_or_void_is_kept_whole(organisation: UUID) -> None:
    paid = make_issued_invoice()
    record(paid.id)

    record(paid.id, 700)

    assert [row.amount_minor for row in rows("SELECT amount_minor FROM payer_credits")] == [700]
    assert len(rows("SELECT id FROM allocations")) == 1
    assert_proofs_hold()


def test_what_is_no_issued_invoice_is_not_paid(
    organisation: UUID, other_organisation: UUID
) -> None:
    draft = make_draft_invoice()
    note = make_credit_note()
    theirs = make_issued_invoice(organisation_id=other_organisation)

    with pytest.raises(InvoiceNotPayable, match="not issued"):
        record(draft.id)
    with pytest.raises(InvoiceNotPayable, match="credit note"):
        record(note.id)
    for unknown in (theirs.id, new_id()):
        with pytest.raises(PaidInvoiceMissing):
            record(unknown)
    assert rows("SELECT id FROM payments") == []


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"amount_minor": 0}, "amount"),
        ({"amount_minor": -1}, "amount"),
        ({"method": "mandate"}, "method"),
        ({"method": "barter"}, "method"),
        ({"paid_on": BUSINESS_ON + timedelta(days=1)}, "paid_on"),
        ({"paid_on": date(2025, 2, 28)}, "paid_on"),
        ({"reference": "x" * 101}, "reference"),
        ({"reference": "line\nbreak"}, "reference"),
        ({"reference": "\u202eturned"}, "reference"),
    ],
)
def test_what_cannot_be_right_is_refused(
    organisation: UUID, over: dict[str, Any], field: str
) -> None:
    invoice = make_issued_invoice()

    with pytest.raises(PaymentInvalid) as refused:
        record(invoice.id, **over)

    assert refused.value.field == field
    assert rows("SELECT id FROM payments") == []


def test_an_amount_that_cannot_be_stored_is_refused(organisation: UUID) -> None:
    with pytest.raises(AmountTooLarge):
        record(make_issued_invoice().id, AMOUNT_MINOR_MAX + 1)


def test_the_day_is_that_of_the_organisation(organisation: UUID) -> None:
    invoice = make_issued_invoice()
    late = NOW.replace(hour=23, minute=30)  # It is past midnight in Berlin.

    record(invoice.id, 100, paid_on=BUSINESS_ON + timedelta(days=1), now=late, reference="")
    with pytest.raises(PaymentInvalid):
        record(invoice.id, 100, paid_on=BUSINESS_ON + timedelta(days=2), now=late)


@pytest.mark.parametrize("state", ["created", "sending", "pending", "unknown"])
def test_while_the_gateway_could_take_the_money_nothing_is_recorded(
    organisation: UUID, state: str
) -> None:
    case = make_case(state)

    with pytest.raises(GatewayIsCollecting, match="ask the gateway"):
        record(case.invoice.id)

    assert len(rows("SELECT id FROM payments")) == 1
    assert case_of(case.payment.id) == case


def test_a_planned_retry_is_cancelled_when_nothing_is_left_for_it(organisation: UUID) -> None:
    case = planned()

    record(case.invoice.id)

    after = case_of(case.payment.id).payment
    assert (after.state, after.next_attempt_on) == ("cancelled", None)
    assert after.version == case.payment.version + 1
    assert events_of(after.id)[-1] == "payment.cancelled"
    (result,) = retry(after.id, on=LATER_ON)
    assert result.code == "not_scheduled"
    assert case_of(after.id).attempt.number == 1
    assert_proofs_hold()


def test_a_planned_retry_is_made_smaller_by_a_part(organisation: UUID) -> None:
    case = planned()

    record(case.invoice.id, 5_000)

    after = case_of(case.payment.id).payment
    assert (after.state, after.amount_minor) == ("scheduled", 6_900)
    assert after.next_attempt_on == LATER_ON
    assert events_of(after.id)[-1] == "payment.reduced"
    record(case.invoice.id, 100)
    (result,) = retry(after.id, on=LATER_ON)
    assert result.amount_minor == 6_800
    tell_one(case_of(after.id).attempt, ResultKind.LOSE)
    assert_proofs_hold()


def test_a_failed_payment_leaves_its_worklist_when_all_is_paid(organisation: UUID) -> None:
    case = make_case("errored")
    put_on("retries_exhausted", case.payment.id)

    record(case.invoice.id, 900)
    assert case_of(case.payment.id).payment.worklist == "retries_exhausted"
    record(case.invoice.id, 11_000)

    after = case_of(case.payment.id).payment
    assert (after.state, after.worklist) == ("failed", None)
    assert events_of(after.id)[-1] == "payment.resolved"
    assert_proofs_hold()


def test_what_the_gateway_contradicts_stays_for_a_person(organisation: UUID) -> None:
    case = planned()
    tell_one(case.attempt, ResultKind.SUCCEED)
    before = case_of(case.payment.id).payment
    assert before.worklist == "conflicting_outcome"

    record(case.invoice.id)

    assert case_of(case.payment.id).payment == before
    assert_proofs_hold()


def test_a_clerk_and_a_run_do_not_take_the_same_money(organisation: UUID, app: Flask) -> None:
    invoices = [make_issued_invoice() for _ in range(6)]
    for invoice in invoices:
        make_mandate(payer_id=invoice.payer_id)
    ids = [invoice.id for invoice in invoices]

    *recorded, collected = run_together(
        app, *(partial(record, each) for each in ids), partial(start, *ids)
    )

    for invoice_id, outcome, result in zip(ids, recorded, sorted_by(ids, collected), strict=True):
        after = read_row("invoices", invoice_id)
        if isinstance(outcome, UUID):
            assert (after.paid_minor, after.in_payment_minor) == (11_900, 0)
            assert result.code == "nothing_open"
        else:
            assert isinstance(outcome, GatewayIsCollecting)
            assert (after.paid_minor, after.in_payment_minor) == (0, 11_900)
    assert_proofs_hold()


def sorted_by(ids: list[UUID], results: Any) -> list[Any]:
    by_id = {result.item_id: result for result in results}
    return [by_id[each] for each in ids]


def test_two_clerks_at_once_lose_nothing(organisation: UUID, app: Flask) -> None:
    invoice = make_issued_invoice()

    found = run_together(app, *(partial(record, invoice.id, 10_000) for _ in range(4)))

    assert all(isinstance(each, UUID) for each in found)
    assert read_row("invoices", invoice.id).paid_minor == 11_900
    (kept,) = rows("SELECT sum(amount_minor)::bigint AS minor FROM payer_credits")
    assert kept.minor == 28_100
    assert_proofs_hold()


@pytest.mark.parametrize("is_one_invoice", [True, False])
def test_of_similar_payments_at_once_only_one_is_recorded_unseen(
    organisation: UUID, app: Flask, *, is_one_invoice: bool
) -> None:
    invoice = make_issued_invoice()
    others = [make_issued_invoice(payer_id=invoice.payer_id).id for _ in range(3)]
    ids = [invoice.id] * 4 if is_one_invoice else [invoice.id, *others]
    works = [partial(record, each, 5_000, second_look=SecondLook()) for each in ids]

    found = run_together(app, *works)

    (first_id,) = [each for each in found if isinstance(each, UUID)]
    refused = [each for each in found if isinstance(each, SimilarPayment)]
    assert [each.payment.id for each in refused] == [first_id] * 3
    (booked,) = rows("SELECT count(*) AS n, sum(amount_minor)::bigint AS minor FROM payments")
    assert (booked.n, booked.minor) == (1, 5_000)
    seen = partial(record, invoice.id, 5_000, second_look=SecondLook(first_id))
    again = run_together(app, seen, seen)
    assert sum(isinstance(each, UUID) for each in again) == 1, "one was seen, not both"
    record(invoice.id, 1_000)
    assert isinstance(record(invoice.id, 1_000), UUID), "a machine is not asked"
    assert_proofs_hold()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "DELETE FROM postings WHERE entry_id = (SELECT id FROM ledger_entries"
            " WHERE kind = 'payment_recorded')",
            {"bank", "entries_of_recorded_payments", "receivable_per_invoice"},
        ),
        (
            "UPDATE payments SET state = 'cancelled' WHERE method = 'transfer'",
            {"bank", "entries_of_recorded_payments", "allocated_payments"},
        ),
        (
            "UPDATE payments SET amount_minor = amount_minor + 1 WHERE method = 'transfer'",
            {"bank", "entries_of_recorded_payments", "allocated_payments"},
        ),
    ],
)
def test_the_proofs_see_what_becomes_of_a_recorded_payment(
    organisation: UUID, unguarded: None, statement: str, named: set[str]
) -> None:
    record(make_issued_invoice().id)

    with transaction(organisation):
        assert execute(statement)

    with acting_for(organisation):
        assert named <= {result.check for result in run_checks() if result.rows}


def test_a_similar_payment_is_found(
    organisation: UUID, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    invoice = make_issued_invoice()
    sibling = make_issued_invoice(payer_id=invoice.payer_id)
    stranger = make_issued_invoice()
    payment_id = record(invoice.id)

    def similar(invoice_id: UUID, amount_minor: int, paid_on: date) -> UUID | None:
        with acting_for(organisation), statements() as recorded:
            found = find_similar_payment(invoice_id, amount_minor, paid_on)
        assert recorded.count == 1
        return found.id if found else None

    assert similar(invoice.id, 11_900, BUSINESS_ON) == payment_id
    assert similar(sibling.id, 11_900, BUSINESS_ON) == payment_id
    assert similar(stranger.id, 11_900, BUSINESS_ON) is None
    assert similar(invoice.id, 11_901, BUSINESS_ON) is None
    assert similar(invoice.id, 11_900, LATER_ON) is None
