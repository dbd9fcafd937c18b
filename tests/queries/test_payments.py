from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.domain.messages import MessageKind, MessageState
from portal.domain.payments import AttemptState, PaymentMethod, PaymentState
from portal.ids import new_id
from portal.queries.payments import (
    AttemptMissing,
    ComingRetries,
    CurrencySum,
    PaymentMissing,
    PaymentRow,
    count_attempts_by_state,
    get_attempt,
    get_payment,
    list_allocations_of_payment,
    list_attempts_of_payment,
    list_coming_retries,
    list_messages_of_attempt,
    list_payment_history,
    list_retry_causes,
)
from portal.services.payments import ResultKind, stop_payment
from portal.sql import execute
from tests import factories
from tests.factories import BUSINESS_ON, CLERK, NOW, make_issued_invoice, make_payer
from tests.recording import Recording
from tests.services.collecting import Case, case_of, claim, give_back, make_case, send, tell_one
from tests.services.test_payments_by_hand import planned, put_on, record

NEXT_ON = date(2026, 3, 23)


def read(function: Callable[..., Any], *arguments: Any) -> Any:
    with acting_for(factories.home.get()):
        return function(*arguments)


def change(statement: str, *parameters: Any) -> None:
    with transaction(factories.home.get()):
        assert execute(statement, parameters)


def row_of(case: Case) -> PaymentRow:
    row: PaymentRow = read(get_payment, case.payment.id)
    return row


def test_a_payment_is_read_with_its_payer_invoice_and_last_attempt(organisation: UUID) -> None:
    payer = make_payer(name="Harbour Authority")
    case = make_case("sending", payer_id=payer.id)
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")

    row = row_of(case)

    assert (row.payer, row.payer_id) == ("Harbour Authority", payer.id)
    assert (row.invoice_id, row.invoice_number) == (case.invoice.id, "INV-2026-000001")
    assert (row.currency, row.amount_minor, row.invoice_open_minor) == ("EUR", 11_900, 11_900)
    assert (row.allocated_minor, row.credit_minor, row.reserved_minor) == (0, 0, 0)
    assert (row.state, row.method) == (PaymentState.SCHEDULED, PaymentMethod.MANDATE)
    assert (row.next_attempt_on, row.attempts_count, row.worklist) == (NEXT_ON, 1, None)
    assert (row.attempt_id, row.attempt_state) == (case.attempt.id, AttemptState.DECLINED)
    assert (row.reason_code, row.reason) == (
        "AM04",
        "There was not enough money in the account.",
    )
    assert row.explanation is not None
    assert "Attempt 2 of 4 is on 2026-03-23" in row.explanation
    assert row.version == case_of(case.payment.id).payment.version
    assert row.mandate_reference == case.mandate.reference


def test_a_recorded_payment_says_its_reference_and_what_is_left(organisation: UUID) -> None:
    payment_id = record(make_issued_invoice().id, 12_000, method="by_hand", reference=" Till 7 ")

    row = read(get_payment, payment_id)

    assert (row.method, row.reference) == (PaymentMethod.BY_HAND, "Till 7")
    assert (row.allocated_minor, row.credit_minor) == (11_900, 100)
    assert (row.attempt_id, row.attempt_state, row.reason) == (None, None, None)


def test_what_is_not_there_or_another_organisations_is_missing(
    organisation: UUID, other_organisation: UUID
) -> None:
    case = make_case("sending")

    for organisation_id, payment_id, attempt_id in (
        (organisation, new_id(), new_id()),
        (other_organisation, case.payment.id, case.attempt.id),
    ):
        with acting_for(organisation_id):
            with pytest.raises(PaymentMissing):
                get_payment(payment_id)
            with pytest.raises(AttemptMissing):
                get_attempt(attempt_id)
            assert list_attempts_of_payment(payment_id) == []
            assert list_payment_history(payment_id, 10) == []
            assert list_allocations_of_payment(payment_id) == []
            assert list_messages_of_attempt(attempt_id) == []


@pytest.mark.parametrize(
    ("state", "worklist", "reason_code", "retryable", "stoppable", "askable"),
    [
        ("sending", None, None, False, False, False),
        ("unknown", "outcome_unknown", None, False, False, True),
        ("pending", None, None, False, False, True),
        ("errored", "retries_exhausted", "AM04", True, True, False),
        ("errored", "needs_payer", "expired_card", True, True, False),
        ("errored", "hard_decline", "AC04", False, True, False),
        ("errored", "conflicting_outcome", "AM04", False, True, False),
        ("succeeded", None, None, False, False, False),
    ],
)
def test_a_payment_says_what_a_person_may_do(
    organisation: UUID,
    state: str,
    worklist: str | None,
    reason_code: str | None,
    *,
    retryable: bool,
    stoppable: bool,
    askable: bool,
) -> None:
    case = make_case(state)
    change(
        "UPDATE payments SET worklist = %s, reason_code = %s WHERE id = %s",
        worklist,
        reason_code,
        case.payment.id,
    )

    row = row_of(case)

    assert (row.is_retryable, row.is_stoppable, row.is_askable) == (retryable, stoppable, askable)


@pytest.mark.parametrize("reason_code", [None, "AM04", "stopped"])
def test_what_the_gateway_contradicts_is_said_before_an_earlier_reason(
    organisation: UUID, reason_code: str | None
) -> None:
    case = planned()
    change(
        "UPDATE payments SET worklist = 'conflicting_outcome', next_attempt_on = NULL,"
        " reason_code = %s WHERE id = %s",
        reason_code,
        case.payment.id,
    )

    row = row_of(case)

    assert row.reason == "The gateway says something else than what is booked here."
    assert (row.is_retryable, row.is_stoppable) == (False, True)


def test_a_stopped_payment_says_so(organisation: UUID) -> None:
    case = planned()
    assert row_of(case).is_retryable
    with acting_for(organisation):
        stop_payment(
            payment_id=case.payment.id,
            version=case.payment.version,
            reason="Agreed on instalments.",
            actor=CLERK,
            now=NOW,
        )

    row = row_of(case)

    assert (row.reason, row.explanation) == ("A person stopped it.", "Agreed on instalments.")
    assert (row.is_retryable, row.is_stoppable, row.is_askable) == (False, False, False)


def test_attempts_are_read_with_what_the_gateway_said(organisation: UUID) -> None:
    case = make_case("created")
    (message,) = claim()
    send([message])
    tell_one(
        case.attempt,
        ResultKind.DECLINE,
        reason_code="51",
        reason="insufficient",
        gateway_ref="gw-77",
    )
    change("UPDATE payments SET next_attempt_on = %s", BUSINESS_ON)
    change("UPDATE payment_attempts SET queries_count = 3")

    (row,) = read(list_attempts_of_payment, case.payment.id)

    assert row == read(get_attempt, case.attempt.id)
    assert (row.number, row.state, row.queries_count) == (1, AttemptState.DECLINED, 3)
    assert (row.gateway_ref, row.merchant_ref) == ("gw-77", case.attempt.merchant_ref)
    assert (row.account_code, row.first_sent_at, row.decided_at) == ("harbour", NOW, NOW)
    assert (row.reason_code, row.reason) == ("51", "insufficient")
    assert row.reason_text == "There was not enough money on the card."
    assert row.invoice_number == "INV-2026-000001"
    (sent,) = read(list_messages_of_attempt, case.attempt.id)
    assert (sent.kind, sent.state) == (MessageKind.CHARGE, MessageState.READY)
    assert (sent.sequence, sent.tries, sent.last_outcome) == (1, 1, None)


def test_the_history_goes_from_the_newest_to_the_oldest(organisation: UUID) -> None:
    case = make_case("created")
    send(claim())
    tell_one(case.attempt, ResultKind.SUCCEED, after_seconds=5)
    give_back(case.attempt, after_seconds=60.0)

    found = read(list_payment_history, case.payment.id, 20)

    kinds = [row.kind for row in found]
    assert kinds[:2] == ["payment.returned", "attempt.returned"]
    assert kinds[-2:] == ["payment.started", "attempt.sent"]
    assert "payment.succeeded" in kinds
    returned = found[1]
    assert (returned.attempt_number, returned.amount_minor) == (1, 11_900)
    assert (returned.reason_code, returned.currency) == ("AM04", "EUR")
    assert returned.reason_text == "There was not enough money in the account."
    assert found[0].actor == "Ada Clerk"
    assert [row.kind for row in read(list_payment_history, case.payment.id, 1)] == kinds[:1]


def test_allocations_say_what_was_taken_back(organisation: UUID) -> None:
    case = make_case("succeeded")
    give_back(case.attempt)

    first, second = read(list_allocations_of_payment, case.payment.id)

    assert (first.invoice_id, first.invoice_number) == (case.invoice.id, "INV-2026-000001")
    assert (first.amount_minor, first.is_reversal, first.is_reversed) == (11_900, False, True)
    assert (second.amount_minor, second.is_reversal, second.is_reversed) == (11_900, True, False)


def test_attempts_are_counted_by_state(organisation: UUID, other_organisation: UUID) -> None:
    make_case("sending")
    make_case("declined")
    make_case("declined")

    counts = read(count_attempts_by_state)

    assert set(counts) == set(AttemptState)
    assert {state: n for state, n in counts.items() if n} == {
        AttemptState.SENDING: 1,
        AttemptState.DECLINED: 2,
    }
    with acting_for(other_organisation):
        assert set(count_attempts_by_state().values()) == {0}


def test_causes_come_by_how_often_they_are_there(organisation: UUID) -> None:
    for _ in range(2):
        planned()
    exhausted = make_case("errored")
    put_on("retries_exhausted", exhausted.payment.id)
    change("UPDATE payments SET reason_code = 'AM04' WHERE id = %s", exhausted.payment.id)
    put_on("gateway_trouble", make_case("errored").payment.id)
    make_case("sending")

    first, second = read(list_retry_causes, 10)

    assert (first.code, first.text) == ("AM04", "There was not enough money in the account.")
    assert (first.payments_count, first.scheduled_count, first.worklist_count) == (3, 2, 1)
    assert first.amounts == (CurrencySum("EUR", 35_700),)
    assert (second.code, second.payments_count) == ("gateway_trouble", 1)
    assert "nothing was sent" in second.text
    assert read(list_retry_causes, 1) == [first]


def test_each_coming_day_says_what_is_tried_on_it(organisation: UUID) -> None:
    planned()
    planned()
    late = planned()
    change(
        "UPDATE payments SET next_attempt_on = %s WHERE id = %s",
        BUSINESS_ON - timedelta(days=4),
        late.payment.id,
    )
    far = planned()
    change(
        "UPDATE payments SET next_attempt_on = %s WHERE id = %s",
        NEXT_ON + timedelta(days=30),
        far.payment.id,
    )

    found = read(list_coming_retries, BUSINESS_ON, 7)

    assert [row.on for row in found] == [BUSINESS_ON + timedelta(days=n) for n in range(7)]
    assert found[0] == ComingRetries(BUSINESS_ON, 1, (CurrencySum("EUR", 11_900),))
    assert found[5] == ComingRetries(NEXT_ON, 2, (CurrencySum("EUR", 23_800),))
    assert {row.payments_count for row in found} == {0, 1, 2}


def test_each_reading_is_one_statement(
    organisation: UUID, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    case = make_case("succeeded")
    give_back(case.attempt)
    readings: list[Callable[[], Any]] = [
        lambda: get_payment(case.payment.id),
        lambda: get_attempt(case.attempt.id),
        lambda: list_attempts_of_payment(case.payment.id),
        lambda: list_messages_of_attempt(case.attempt.id),
        lambda: list_payment_history(case.payment.id, 50),
        lambda: list_allocations_of_payment(case.payment.id),
        count_attempts_by_state,
        lambda: list_retry_causes(10),
        lambda: list_coming_retries(BUSINESS_ON, 30),
    ]
    for reading in readings:
        with acting_for(organisation), statements() as recorded:
            reading()
        assert recorded.count == 1
