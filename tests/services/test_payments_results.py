from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.ids import new_id
from portal.services.payments import (
    AttemptResult,
    ResultKind,
    Verdict,
)
from tests.factories import BUSINESS_ON, answer_attempt, make_deposit
from tests.recording import Recording
from tests.services.books import assert_books_hold, events_of, rows
from tests.services.collecting import (
    apply_money,
    balances,
    case_of,
    claim,
    give_back,
    make_case,
    release_reservation,
    retry,
    run_together,
    send,
    start,
    tell,
    tell_one,
)

APPLIED, REPEATED, ILLEGAL = Verdict.APPLIED, Verdict.REPEATED, Verdict.ILLEGAL
# What each result does in each state: the verdict, and the state after it.
VERDICTS: dict[str, dict[ResultKind, tuple[Verdict, str]]] = {
    "created": {
        ResultKind.ACCEPT: (ILLEGAL, "created"),
        ResultKind.SUCCEED: (ILLEGAL, "created"),
        ResultKind.DECLINE: (ILLEGAL, "created"),
        ResultKind.ERROR: (ILLEGAL, "created"),
        ResultKind.LOSE: (REPEATED, "created"),
        ResultKind.NOT_SENT: (ILLEGAL, "created"),
        ResultKind.NOT_FOUND: (REPEATED, "created"),
        ResultKind.MISMATCH: (ILLEGAL, "created"),
        ResultKind.RETURN: (ILLEGAL, "created"),
    },
    "sending": {
        ResultKind.ACCEPT: (APPLIED, "pending"),
        ResultKind.SUCCEED: (APPLIED, "succeeded"),
        ResultKind.DECLINE: (APPLIED, "declined"),
        ResultKind.ERROR: (APPLIED, "errored"),
        ResultKind.LOSE: (APPLIED, "unknown"),
        ResultKind.NOT_SENT: (APPLIED, "created"),
        ResultKind.NOT_FOUND: (APPLIED, "unknown"),
        ResultKind.MISMATCH: (APPLIED, "unknown"),
        ResultKind.RETURN: (APPLIED, "returned"),
    },
    "unknown": {
        ResultKind.ACCEPT: (APPLIED, "pending"),
        ResultKind.SUCCEED: (APPLIED, "succeeded"),
        ResultKind.DECLINE: (APPLIED, "declined"),
        ResultKind.ERROR: (APPLIED, "errored"),
        ResultKind.LOSE: (APPLIED, "unknown"),
        ResultKind.NOT_SENT: (ILLEGAL, "unknown"),
        ResultKind.NOT_FOUND: (APPLIED, "unknown"),
        ResultKind.MISMATCH: (APPLIED, "unknown"),
        ResultKind.RETURN: (APPLIED, "returned"),
    },
    "pending": {
        ResultKind.ACCEPT: (REPEATED, "pending"),
        ResultKind.SUCCEED: (APPLIED, "succeeded"),
        ResultKind.DECLINE: (APPLIED, "declined"),
        ResultKind.ERROR: (ILLEGAL, "pending"),
        ResultKind.LOSE: (APPLIED, "pending"),
        ResultKind.NOT_SENT: (ILLEGAL, "pending"),
        ResultKind.NOT_FOUND: (APPLIED, "pending"),
        ResultKind.MISMATCH: (APPLIED, "unknown"),
        ResultKind.RETURN: (APPLIED, "returned"),
    },
    "succeeded": {
        ResultKind.ACCEPT: (REPEATED, "succeeded"),
        ResultKind.SUCCEED: (REPEATED, "succeeded"),
        ResultKind.DECLINE: (ILLEGAL, "succeeded"),
        ResultKind.ERROR: (ILLEGAL, "succeeded"),
        ResultKind.LOSE: (REPEATED, "succeeded"),
        ResultKind.NOT_SENT: (ILLEGAL, "succeeded"),
        ResultKind.NOT_FOUND: (REPEATED, "succeeded"),
        ResultKind.MISMATCH: (ILLEGAL, "succeeded"),
        ResultKind.RETURN: (APPLIED, "returned"),
    },
    "declined": {
        ResultKind.ACCEPT: (REPEATED, "declined"),
        ResultKind.SUCCEED: (ILLEGAL, "declined"),
        ResultKind.DECLINE: (REPEATED, "declined"),
        ResultKind.ERROR: (ILLEGAL, "declined"),
        ResultKind.LOSE: (REPEATED, "declined"),
        ResultKind.NOT_SENT: (ILLEGAL, "declined"),
        ResultKind.NOT_FOUND: (REPEATED, "declined"),
        ResultKind.MISMATCH: (ILLEGAL, "declined"),
        ResultKind.RETURN: (ILLEGAL, "declined"),
    },
    "errored": {
        ResultKind.ACCEPT: (ILLEGAL, "errored"),
        ResultKind.SUCCEED: (ILLEGAL, "errored"),
        ResultKind.DECLINE: (ILLEGAL, "errored"),
        ResultKind.ERROR: (REPEATED, "errored"),
        ResultKind.LOSE: (REPEATED, "errored"),
        ResultKind.NOT_SENT: (ILLEGAL, "errored"),
        ResultKind.NOT_FOUND: (REPEATED, "errored"),
        ResultKind.MISMATCH: (ILLEGAL, "errored"),
        ResultKind.RETURN: (ILLEGAL, "errored"),
    },
    "returned": {
        ResultKind.ACCEPT: (REPEATED, "returned"),
        ResultKind.SUCCEED: (REPEATED, "returned"),
        ResultKind.DECLINE: (ILLEGAL, "returned"),
        ResultKind.ERROR: (ILLEGAL, "returned"),
        ResultKind.LOSE: (REPEATED, "returned"),
        ResultKind.NOT_SENT: (ILLEGAL, "returned"),
        ResultKind.NOT_FOUND: (REPEATED, "returned"),
        ResultKind.MISMATCH: (ILLEGAL, "returned"),
        ResultKind.RETURN: (REPEATED, "returned"),
    },
}


@pytest.mark.parametrize("state", VERDICTS)
def test_every_result_in_every_state(organisation: UUID, state: str) -> None:
    assert VERDICTS[state].keys() == set(ResultKind)
    for kind, (verdict, after) in VERDICTS[state].items():
        case = make_case(state)

        found = tell_one(case.attempt, kind)

        assert (found, case_of(case.payment.id).attempt.state) == (verdict, after), kind
        if verdict is Verdict.REPEATED and state != "pending":
            assert case_of(case.payment.id) == case, kind
        if verdict is Verdict.ILLEGAL:
            assert case_of(case.payment.id).attempt == case.attempt, kind
    assert_books_hold()


def test_an_unknown_attempt_has_no_verdict(organisation: UUID) -> None:
    assert tell(AttemptResult(new_id(), ResultKind.SUCCEED)) == {}


def test_a_success_pays_the_invoice_and_is_posted_once(organisation: UUID) -> None:
    case = make_case("pending")

    verdicts = [
        tell_one(case.attempt, ResultKind.SUCCEED, amount_minor=11_900, currency="EUR")
        for _ in range(2)
    ]

    assert verdicts == [Verdict.APPLIED, Verdict.REPEATED]
    after = case_of(case.payment.id)
    assert (after.payment.state, after.payment.reserved_minor) == ("succeeded", 0)
    assert (after.invoice.paid_minor, after.invoice.in_payment_minor) == (11_900, 0)
    assert after.invoice.payment_status == "paid"
    (allocation,) = rows("SELECT * FROM allocations")
    assert (allocation.payment_id, allocation.amount_minor) == (case.payment.id, 11_900)
    assert allocation.applied_on == BUSINESS_ON
    assert balances() == (11_900, 0, 0)
    assert_books_hold()


def test_what_arrives_beyond_what_is_open_is_the_payers_credit(organisation: UUID) -> None:
    case = make_case("unknown")
    release_reservation(case)
    make_deposit(payer_id=case.invoice.payer_id, amount_minor=5_000)
    apply_money(case.invoice.payer_id)

    tell_one(case.attempt, ResultKind.SUCCEED)

    after = case_of(case.payment.id)
    assert (after.invoice.paid_minor, after.invoice.open_minor) == (11_900, 0)
    (credit,) = rows("SELECT * FROM payer_credits")
    assert (credit.payment_id, credit.left_minor) == (case.payment.id, 5_000)
    assert balances() == (11_900, 0, -5_000)
    assert_books_hold()


def test_all_of_it_is_credit_when_nothing_is_open(organisation: UUID) -> None:
    case = make_case("unknown")
    release_reservation(case)
    make_deposit(payer_id=case.invoice.payer_id, amount_minor=11_900)
    apply_money(case.invoice.payer_id)

    tell_one(case.attempt, ResultKind.SUCCEED)

    assert rows("SELECT id FROM allocations WHERE payment_id IS NOT NULL") == []
    (credit,) = rows("SELECT * FROM payer_credits")
    assert credit.left_minor == 11_900
    assert_books_hold()


@pytest.mark.parametrize(
    ("code", "state", "next_on", "worklist"),
    [
        ("AM04", "scheduled", date(2026, 3, 23), None),
        (None, "scheduled", date(2026, 3, 23), None),
        ("AC04", "failed", None, "hard_decline"),
        ("MD01", "failed", None, "hard_decline"),
        ("MD06", "failed", None, "needs_payer"),
        ("nobody_knows", "failed", None, "hard_decline"),
    ],
)
def test_the_rules_say_what_follows_a_decline(
    organisation: UUID, code: str | None, state: str, next_on: date | None, worklist: str | None
) -> None:
    case = make_case("pending")

    tell_one(case.attempt, ResultKind.DECLINE, reason_code=code, reason="No.")

    after = case_of(case.payment.id)
    assert (after.payment.state, after.payment.next_attempt_on) == (state, next_on)
    assert (after.payment.worklist, after.payment.reason_code) == (worklist, code)
    assert after.payment.explanation
    assert (after.attempt.state, after.attempt.reason) == ("declined", "No.")
    assert (after.payment.reserved_minor, after.invoice.in_payment_minor) == (0, 0)
    assert after.invoice.payment_status == "unpaid"
    assert events_of(case.payment.id)[-1] == "payment.declined"
    assert balances() == (0, 11_900, 0)
    assert_books_hold()


def test_agreed_attempts_come_to_an_end(organisation: UUID) -> None:
    case = make_case("sending")
    on = BUSINESS_ON
    for _ in range(3):
        tell_one(case_of(case.payment.id).attempt, ResultKind.DECLINE, reason_code="AM04")
        on = case_of(case.payment.id).payment.next_attempt_on
        retry(case.payment.id, on=on)
        send(claim())

    tell_one(case_of(case.payment.id).attempt, ResultKind.DECLINE, reason_code="AM04")

    after = case_of(case.payment.id)
    assert (after.payment.state, after.payment.worklist) == ("failed", "retries_exhausted")
    assert (after.attempt.number, on) == (4, date(2026, 4, 7))
    assert after.invoice.in_payment_minor == 0


def test_an_order_that_never_left_goes_to_a_worklist(organisation: UUID) -> None:
    case = make_case("sending")

    tell_one(case.attempt, ResultKind.ERROR)

    after = case_of(case.payment.id)
    assert (after.payment.state, after.payment.worklist) == ("failed", "gateway_trouble")
    assert (after.attempt.state, after.invoice.in_payment_minor) == ("errored", 0)


def test_what_was_surely_not_sent_is_still_to_be_decided(organisation: UUID) -> None:
    case = make_case("sending")

    tell_one(case.attempt, ResultKind.NOT_SENT)

    after = case_of(case.payment.id)
    assert (after.attempt.state, after.attempt.decided_at) == ("created", None)
    assert (after.payment.state, after.payment.reserved_minor) == ("processing", 11_900)
    assert after.invoice.in_payment_minor == 11_900


@pytest.mark.parametrize(
    "told", [{"amount_minor": 11_901}, {"currency": "USD"}, {"gateway_ref": "gw-another"}]
)
@pytest.mark.parametrize("kind", [ResultKind.ACCEPT, ResultKind.SUCCEED, ResultKind.DECLINE])
def test_an_answer_about_something_else_is_never_booked(
    organisation: UUID, kind: ResultKind, told: dict[str, Any]
) -> None:
    case = make_case("pending")

    verdict = tell_one(case.attempt, kind, **told)

    after = case_of(case.payment.id)
    assert verdict is Verdict.APPLIED
    assert (after.attempt.state, after.attempt.next_query_at) == ("unknown", None)
    assert after.attempt.gateway_ref == case.attempt.gateway_ref
    assert (after.payment.state, after.payment.worklist) == ("processing", "mismatch")
    assert (after.payment.reserved_minor, after.invoice.in_payment_minor) == (11_900, 11_900)
    assert balances() == (0, 11_900, 0)
    assert events_of(case.payment.id)[-1] == "payment.mismatched"


def test_the_right_answer_after_a_mismatch_is_booked_and_clears_the_worklist(
    organisation: UUID,
) -> None:
    case = make_case("pending")
    tell_one(case.attempt, ResultKind.SUCCEED, amount_minor=1)

    tell_one(case.attempt, ResultKind.SUCCEED, amount_minor=11_900, currency="EUR")

    after = case_of(case.payment.id)
    assert (after.payment.state, after.payment.worklist) == ("succeeded", None)
    assert_books_hold()


@pytest.mark.parametrize("state", ["declined", "errored"])
def test_a_success_of_what_had_failed_is_for_a_person_and_stops_retries(
    organisation: UUID, state: str
) -> None:
    case = make_case(state)

    assert tell_one(case.attempt, ResultKind.SUCCEED) is Verdict.ILLEGAL

    after = case_of(case.payment.id)
    assert after.payment.state == case.payment.state
    assert (after.payment.worklist, after.payment.next_attempt_on) == ("conflicting_outcome", None)
    assert after.payment.explanation == case.payment.explanation
    assert balances() == (0, 11_900, 0)


@pytest.mark.parametrize("is_at_once", [False, True])
@pytest.mark.parametrize(
    ("kind", "reason_code", "state"),
    [
        (ResultKind.SUCCEED, None, "succeeded"),
        (ResultKind.DECLINE, "AM04", "failed"),
        (ResultKind.DECLINE, "AC04", "failed"),
        (ResultKind.ERROR, None, "failed"),
    ],
)
def test_a_contradiction_outlives_what_comes_of_the_next_attempt(
    organisation: UUID, kind: ResultKind, reason_code: str | None, state: str, *, is_at_once: bool
) -> None:
    first = make_case("sending")
    tell_one(first.attempt, ResultKind.DECLINE, reason_code="AM04")
    retry(first.payment.id, on=date(2026, 3, 23))
    second = answer_attempt(case_of(first.payment.id).attempt)
    outcome = AttemptResult(second.id, kind, reason_code=reason_code)
    contradiction = AttemptResult(first.attempt.id, ResultKind.SUCCEED)

    if is_at_once:
        tell(contradiction, outcome)
    else:
        tell(contradiction)
        tell(contradiction)
        tell(outcome)

    after = case_of(first.payment.id)
    assert (after.payment.state, after.payment.worklist) == (state, "conflicting_outcome")
    assert (after.payment.next_attempt_on, after.payment.reserved_minor) == (None, 0)
    assert (after.attempt.id, after.invoice.in_payment_minor) == (second.id, 0)
    happened = events_of(first.payment.id)
    assert happened.count("payment.contradicted") == 1
    assert happened[-1] != "payment.contradicted"
    assert_books_hold()


def test_a_return_while_contradicted_plans_no_retry(organisation: UUID) -> None:
    case = make_case("succeeded")
    tell_one(case.attempt, ResultKind.MISMATCH)

    give_back(case.attempt)

    after = case_of(case.payment.id).payment
    assert (after.state, after.worklist) == ("failed", "conflicting_outcome")
    assert after.next_attempt_on is None
    assert_books_hold()


def test_the_same_success_told_by_two_threads_is_booked_once(
    organisation: UUID, app: Flask
) -> None:
    cases = [make_case("pending") for _ in range(5)]
    results = [AttemptResult(case.attempt.id, ResultKind.SUCCEED) for case in cases]

    found = run_together(app, partial(tell, *results), partial(tell, *reversed(results)))

    verdicts = [verdict for each in found for verdict in each.values()]
    assert verdicts.count(Verdict.APPLIED) == verdicts.count(Verdict.REPEATED) == 5
    assert balances() == (5 * 11_900, 0, 0)
    assert_books_hold()


def test_success_and_return_told_at_once_end_returned(organisation: UUID, app: Flask) -> None:
    cases = [make_case("pending") for _ in range(5)]
    succeeded = [AttemptResult(case.attempt.id, ResultKind.SUCCEED) for case in cases]
    returned = [AttemptResult(case.attempt.id, ResultKind.RETURN, None, 11_900) for case in cases]

    found = run_together(app, partial(tell, *succeeded), partial(tell, *reversed(returned)))

    assert not [each for each in found if isinstance(each, Exception)], found
    assert {case_of(case.payment.id).attempt.state for case in cases} == {"returned"}
    assert balances() == (0, 5 * 11_900, 0)
    assert_books_hold()


def test_a_collection_and_a_decline_at_once_leave_one_open_payment(
    organisation: UUID, app: Flask
) -> None:
    cases = [make_case("pending") for _ in range(4)]
    declined = [
        AttemptResult(case.attempt.id, ResultKind.DECLINE, reason_code="AM04") for case in cases
    ]

    found = run_together(
        app, partial(tell, *declined), partial(start, *(case.invoice.id for case in cases))
    )

    assert not [each for each in found if isinstance(each, Exception)], found
    assert {case_of(case.payment.id).payment.state for case in cases} == {"scheduled"}
    assert len(rows("SELECT id FROM payments")) == 4
    assert {row[0] for row in rows("SELECT in_payment_minor FROM invoices")} == {0}


@pytest.mark.parametrize("kind", [ResultKind.SUCCEED, ResultKind.DECLINE, ResultKind.RETURN])
def test_the_number_of_statements_does_not_grow_with_the_results(
    organisation: UUID,
    statements: Callable[[], AbstractContextManager[Recording]],
    kind: ResultKind,
) -> None:
    tell_one(make_case("pending").attempt, kind, reason_code="AC04")
    counts = []
    for size in (1, 12):
        attempts = [make_case("pending").attempt for _ in range(size)]
        results = [AttemptResult(each.id, kind, reason_code="AC04") for each in attempts]
        with statements() as recorded:
            assert set(tell(*results).values()) == {Verdict.APPLIED}
        counts.append(recorded.count)

    assert counts[0] == counts[1]
