from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import transaction
from portal.domain.batches import ItemOutcome
from portal.ids import new_id, public_id
from portal.services.allocations import apply_credits
from portal.services.outcomes import ItemResult
from portal.services.payments import ResultKind
from portal.services.rulesets import load_rule_set
from portal.sql import execute
from tests import factories
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    NOW,
    Line,
    make_deposit,
    make_draft_invoice,
    make_issued_invoice,
    make_mandate,
    make_payer,
    read_row,
)
from tests.recording import Recording
from tests.services.books import assert_books_hold, events_of, rows
from tests.services.collecting import case_of, make_case, retry, run_together, start, tell_one

LATER_ON = date(2026, 3, 23)


def make_due(**over: Any) -> Any:
    invoice = make_issued_invoice(**over)
    make_mandate(payer_id=invoice.payer_id)
    return invoice


def pay_from_deposit(payer_id: UUID, amount_minor: int) -> None:
    make_deposit(payer_id=payer_id, amount_minor=amount_minor)
    with transaction(factories.home.get()):
        _, rule_set = load_rule_set(on=BUSINESS_ON)
        apply_credits(
            payer_ids=[payer_id], business_on=BUSINESS_ON, rule_set=rule_set, actor=CLERK, now=NOW
        )


def test_starting_reserves_and_writes_payment_attempt_and_message(organisation: UUID) -> None:
    invoice = make_due()

    (result,) = start(invoice.id)

    assert result == ItemResult(invoice.id, ItemOutcome.DONE, amount_minor=11_900)
    (payment,) = rows("SELECT id FROM payments")
    case = case_of(payment.id)
    assert (case.payment.state, case.payment.method) == ("processing", "mandate")
    assert (case.payment.amount_minor, case.payment.reserved_minor) == (11_900, 11_900)
    assert (case.payment.attempts_count, case.payment.started_on) == (1, BUSINESS_ON)
    assert (case.attempt.state, case.attempt.number) == ("created", 1)
    assert (case.attempt.amount_minor, case.attempt.business_on) == (11_900, BUSINESS_ON)
    assert case.attempt.merchant_ref == public_id("attempt", case.attempt.id)
    assert case.attempt.idempotency_key == f"charge-{case.attempt.id.hex}"
    assert (case.invoice.in_payment_minor, case.invoice.open_minor) == (11_900, 11_900)
    assert case.invoice.payment_status == "in_payment"
    assert case.invoice.version == invoice.version + 1
    assert case.mandate.last_used_on == BUSINESS_ON
    (message,) = rows("SELECT * FROM messages")
    assert (message.aggregate_id, message.sequence) == (case.attempt.id, 1)
    assert (message.kind, message.state) == ("gateway.charge", "ready")
    assert events_of(case.payment.id) == ["payment.started"]
    assert_books_hold()


def test_a_partly_paid_invoice_is_collected_for_the_rest(organisation: UUID) -> None:
    invoice = make_due()
    pay_from_deposit(invoice.payer_id, 1_900)

    (result,) = start(invoice.id)

    assert result.amount_minor == 10_000
    after = read_row("invoices", invoice.id)
    assert (after.paid_minor, after.in_payment_minor, after.open_minor) == (1_900, 10_000, 10_000)


def test_each_reason_not_to_collect_is_said(organisation: UUID) -> None:
    draft = make_draft_invoice()
    paid = make_due()
    pay_from_deposit(paid.payer_id, 11_900)
    under_way = make_case("sending").invoice
    waiting = make_case("declined").invoice
    on_hold = make_due(payer_id=make_payer(is_on_hold=True).id)
    without = make_issued_invoice()
    suspended = make_issued_invoice()
    make_mandate(payer_id=suspended.payer_id, state="suspended")
    lapsed = make_issued_invoice()
    make_mandate(payer_id=lapsed.payer_id, signed_on=date(2023, 3, 18))
    small = make_due(lines=(Line(5_000),))
    pay_from_deposit(small.payer_id, 5_900)
    credit_note = make_due(kind="credit_note")
    early = make_due(business_on=date(2026, 3, 10))
    expected = {
        draft.id: "nothing_open",
        paid.id: "nothing_open",
        under_way.id: "nothing_open",
        waiting.id: "in_payment",
        on_hold.id: "payer_on_hold",
        without.id: "no_mandate",
        suspended.id: "no_mandate",
        lapsed.id: "mandate_lapsed",
        small.id: "P104",
        credit_note.id: "nothing_open",
        early.id: "not_due",
        new_id(): "not_found",
    }
    payments = len(rows("SELECT id FROM payments"))

    results = {each.item_id: each for each in start(*expected)}

    assert {item_id: each.code for item_id, each in results.items()} == expected
    assert {each.outcome for each in results.values()} == {ItemOutcome.FILTERED}
    assert all(each.message for each in results.values())
    assert len(rows("SELECT id FROM payments")) == payments


def test_a_mandate_used_lately_does_not_lapse(organisation: UUID) -> None:
    invoice = make_issued_invoice()
    make_mandate(
        payer_id=invoice.payer_id, signed_on=date(2020, 1, 1), last_used_on=date(2023, 3, 19)
    )

    (result,) = start(invoice.id)

    assert result.outcome is ItemOutcome.DONE


def test_what_is_scheduled_to_be_tried_again_is_not_started_anew(organisation: UUID) -> None:
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    assert case_of(case.payment.id).payment.state == "scheduled"

    (result,) = start(case.invoice.id)

    assert result.code == "in_payment"


@pytest.mark.parametrize("worklist", ["conflicting_outcome", "hard_decline"])
def test_while_a_person_is_to_look_at_a_failed_payment_no_other_starts(
    organisation: UUID, worklist: str
) -> None:
    case = make_case("errored")
    with transaction(organisation):
        execute("UPDATE payments SET worklist = %s WHERE id = %s", (worklist, case.payment.id))

    (result,) = start(case.invoice.id)
    assert result.code == "on_worklist"

    with transaction(organisation):
        execute("UPDATE payments SET worklist = NULL WHERE id = %s", (case.payment.id,))
    (result,) = start(case.invoice.id)
    assert result.outcome is ItemOutcome.DONE


def test_a_reservation_lets_only_one_of_two_threads_collect(organisation: UUID, app: Flask) -> None:
    invoices = sorted((make_due() for _ in range(6)), key=lambda each: each.id)
    ids = [each.id for each in invoices]

    found = run_together(app, partial(start, *ids), partial(start, *reversed(ids)))

    outcomes = [each.outcome for results in found for each in results]
    assert outcomes.count(ItemOutcome.DONE) == 6
    assert outcomes.count(ItemOutcome.FILTERED) == 6
    assert len(rows("SELECT id FROM payments")) == 6
    assert len(rows("SELECT id FROM messages")) == 6
    reserved = rows("SELECT in_payment_minor FROM invoices")
    assert {row.in_payment_minor for row in reserved} == {11_900}


def test_another_organisations_invoice_does_not_exist(
    organisation: UUID, other_organisation: UUID
) -> None:
    theirs = make_issued_invoice(organisation_id=other_organisation)
    make_mandate(payer_id=theirs.payer_id, organisation_id=other_organisation)

    (result,) = start(theirs.id)

    assert result.code == "not_found"


def test_the_number_of_statements_does_not_grow_with_the_invoices(
    organisation: UUID, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    counts = []
    start(make_due().id)
    for size in (1, 20):
        ids = [make_due().id for _ in range(size)]
        with statements() as recorded:
            results = start(*ids)
        assert {each.outcome for each in results} == {ItemOutcome.DONE}
        counts.append(recorded.count)
        with statements() as recorded:
            start(*ids)
        counts.append(recorded.count)

    assert counts[:2] == counts[2:]


def test_a_retry_is_a_new_attempt_with_a_key_of_its_own(organisation: UUID) -> None:
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")

    (result,) = retry(case.payment.id, on=LATER_ON)

    assert result == ItemResult(case.payment.id, ItemOutcome.DONE, amount_minor=11_900)
    after = case_of(case.payment.id)
    assert (after.payment.state, after.payment.next_attempt_on) == ("processing", None)
    assert (after.payment.attempts_count, after.payment.started_on) == (2, BUSINESS_ON)
    assert (after.attempt.number, after.attempt.state) == (2, "created")
    assert after.attempt.business_on == LATER_ON
    assert after.attempt.idempotency_key != case.attempt.idempotency_key
    assert after.attempt.merchant_ref != case.attempt.merchant_ref
    assert (after.invoice.in_payment_minor, after.payment.reserved_minor) == (11_900, 11_900)
    assert events_of(case.payment.id)[-1] == "payment.started"


def test_a_retry_takes_only_what_is_still_open(organisation: UUID) -> None:
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    pay_from_deposit(case.invoice.payer_id, 5_000)

    (result,) = retry(case.payment.id, on=LATER_ON)

    assert result.amount_minor == 6_900
    after = case_of(case.payment.id)
    assert (after.attempt.amount_minor, after.payment.amount_minor) == (6_900, 6_900)
    assert (after.invoice.in_payment_minor, after.invoice.open_minor) == (6_900, 6_900)


def test_a_payment_whose_invoice_was_paid_otherwise_is_cancelled(organisation: UUID) -> None:
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    pay_from_deposit(case.invoice.payer_id, 11_900)

    (result,) = retry(case.payment.id, on=LATER_ON)

    assert (result.outcome, result.code) == (ItemOutcome.FILTERED, "paid_otherwise")
    after = case_of(case.payment.id)
    assert (after.payment.state, after.payment.next_attempt_on) == ("cancelled", None)
    assert after.payment.reserved_minor == 0
    assert after.attempt.number == 1
    assert events_of(case.payment.id)[-1] == "payment.cancelled"
    assert_books_hold()


def test_a_retry_before_its_date_of_another_state_or_on_hold_waits(organisation: UUID) -> None:
    case = make_case("sending")
    under_way = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    nobody = new_id()

    early = retry(case.payment.id, under_way.payment.id, nobody, on=date(2026, 3, 20))
    with transaction(organisation):
        execute("UPDATE payers SET is_on_hold = true WHERE id = %s", (case.invoice.payer_id,))
    (held,) = retry(case.payment.id, on=LATER_ON)

    codes = {each.item_id: each.code for each in early}
    assert codes == {
        case.payment.id: "not_scheduled",
        under_way.payment.id: "not_scheduled",
        nobody: "not_found",
    }
    assert held.code == "payer_on_hold"
    after = case_of(case.payment.id)
    assert (after.payment.state, after.attempt.number) == ("scheduled", 1)


def test_a_scheduled_payment_that_a_person_is_to_look_at_is_not_tried(organisation: UUID) -> None:
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    tell_one(case.attempt, ResultKind.SUCCEED)
    assert case_of(case.payment.id).payment.worklist == "conflicting_outcome"

    (result,) = retry(case.payment.id, on=LATER_ON)

    assert result.code == "not_scheduled"
    assert case_of(case.payment.id).attempt.number == 1


def test_a_mandate_that_replaced_the_first_is_used(organisation: UUID) -> None:
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    with transaction(organisation):
        execute("UPDATE mandates SET state = 'cancelled'")
    assert [each.code for each in retry(case.payment.id, on=LATER_ON)] == ["no_mandate"]
    newer = make_mandate(payer_id=case.invoice.payer_id)

    retry(case.payment.id, on=LATER_ON + timedelta(days=1))

    assert case_of(case.payment.id).mandate.id == newer.id


def test_two_threads_try_a_payment_again_once(organisation: UUID, app: Flask) -> None:
    cases = [make_case("sending") for _ in range(4)]
    for case in cases:
        tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    ids = [case.payment.id for case in cases]

    found = run_together(
        app, partial(retry, *ids, on=LATER_ON), partial(retry, *reversed(ids), on=LATER_ON)
    )

    outcomes = [each.outcome for results in found for each in results]
    assert outcomes.count(ItemOutcome.DONE) == 4
    assert {case_of(each).attempt.number for each in ids} == {2}
    assert {case_of(each).invoice.in_payment_minor for each in ids} == {11_900}
