from datetime import date
from uuid import UUID

from portal.db import transaction
from portal.domain.ledger import AccountKind
from portal.services.payments import (
    ResultKind,
    Verdict,
)
from portal.sql import execute
from tests import factories
from tests.factories import BUSINESS_ON, make_deposit
from tests.services.books import assert_books_hold, balance, events_of, rows
from tests.services.collecting import (
    FEE_MINOR,
    RETURNED_ON,
    apply_money,
    balances,
    case_of,
    claim,
    give_back,
    make_case,
    release_reservation,
    retry,
    send,
    start,
    tell_one,
)


def test_a_return_opens_the_invoice_and_posts_its_fee(organisation: UUID) -> None:
    case = make_case("succeeded")

    assert give_back(case.attempt) is Verdict.APPLIED
    assert give_back(case.attempt) is Verdict.REPEATED

    after = case_of(case.payment.id)
    assert (after.invoice.paid_minor, after.invoice.open_minor) == (0, 11_900)
    assert (after.attempt.state, after.attempt.return_fee_minor) == ("returned", FEE_MINOR)
    assert (after.payment.state, after.payment.next_attempt_on) == ("scheduled", date(2026, 3, 30))
    assert [row.effective_on for row in rows("SELECT * FROM ledger_entries ORDER BY id")][
        -1
    ] == RETURNED_ON
    assert balances() == (-FEE_MINOR, 11_900, 0)
    assert balance(AccountKind.RETURN_FEES) == FEE_MINOR
    happened = events_of(case.payment.id)
    assert happened.count("payment.returned") == 1
    assert_books_hold()
    (result,) = retry(case.payment.id, on=date(2026, 3, 30))
    assert result.amount_minor == 11_900


def test_a_return_takes_the_credit_that_the_payment_left_over(organisation: UUID) -> None:
    case = make_case("unknown")
    release_reservation(case)
    make_deposit(payer_id=case.invoice.payer_id, amount_minor=5_000)
    apply_money(case.invoice.payer_id)
    tell_one(case.attempt, ResultKind.SUCCEED)
    other = factories.make_issued_invoice(payer_id=case.invoice.payer_id)
    apply_money(case.invoice.payer_id)
    assert factories.read_row("invoices", other.id).paid_minor == 5_000

    give_back(case.attempt, reason_code="MD06")

    after = case_of(case.payment.id)
    assert (after.payment.state, after.payment.worklist) == ("failed", "needs_payer")
    assert after.invoice.open_minor == 6_900
    assert factories.read_row("invoices", other.id).open_minor == 11_900
    assert balances() == (-FEE_MINOR, 6_900 + 11_900, 0)
    assert_books_hold()


def test_a_return_before_its_success_books_both_in_order(organisation: UUID) -> None:
    case = make_case("pending")

    give_back(case.attempt)

    found = rows(
        "SELECT kind, effective_on FROM ledger_entries WHERE source_id = %s ORDER BY id",
        case.attempt.id,
    )
    assert [tuple(row) for row in found] == [
        ("payment_succeeded", BUSINESS_ON),
        ("payment_returned", RETURNED_ON),
    ]
    after = case_of(case.payment.id)
    assert (after.attempt.state, after.attempt.return_fee_minor) == ("returned", FEE_MINOR)
    assert after.attempt.reason_code == "AM04"
    assert (after.invoice.open_minor, after.invoice.in_payment_minor) == (11_900, 0)
    assert events_of(case.payment.id)[-2:] == ["payment.succeeded", "payment.returned"]
    assert tell_one(case.attempt, ResultKind.SUCCEED) is Verdict.REPEATED
    assert_books_hold()


def test_an_answer_that_comes_late_does_not_touch_a_return(organisation: UUID) -> None:
    case = make_case("succeeded")
    give_back(case.attempt)
    with transaction(organisation):
        execute("UPDATE payment_attempts SET queries_count = 100")
    before = case_of(case.payment.id)

    assert tell_one(case.attempt, ResultKind.ACCEPT) is Verdict.REPEATED

    assert case_of(case.payment.id) == before


def test_a_return_while_another_payment_of_the_invoice_is_open_is_booked(
    organisation: UUID,
) -> None:
    # Another payment of the payer leaves 69.00 over, which pays a part of the invoice.
    earlier = make_case("unknown")
    release_reservation(earlier)
    make_deposit(payer_id=earlier.invoice.payer_id, amount_minor=6_900)
    apply_money(earlier.invoice.payer_id)
    tell_one(earlier.attempt, ResultKind.SUCCEED)
    invoice = factories.make_issued_invoice(payer_id=earlier.invoice.payer_id)
    apply_money(invoice.payer_id)
    (part,) = start(invoice.id)
    assert part.amount_minor == 5_000
    send(claim())
    (row,) = rows("SELECT id FROM payments WHERE invoice_id = %s", invoice.id)
    paid = case_of(row.id)
    tell_one(paid.attempt, ResultKind.SUCCEED)
    # It is returned, so that the rest of the invoice is open again and collected.
    give_back(earlier.attempt, reason_code="MD06")
    (rest,) = start(invoice.id, on=date(2026, 3, 26))
    assert rest.amount_minor == 6_900

    assert give_back(paid.attempt) is Verdict.APPLIED

    after = case_of(paid.payment.id)
    assert (after.payment.state, after.payment.worklist) == ("failed", None)
    assert after.payment.explanation
    assert (after.invoice.open_minor, after.invoice.in_payment_minor) == (11_900, 6_900)
    assert_books_hold()
