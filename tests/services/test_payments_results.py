from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import transaction
from portal.domain.ledger import AccountKind
from portal.ids import new_id
from portal.services.allocations import apply_credits
from portal.services.payments import (
    AttemptResult,
    ResultKind,
    Verdict,
    list_askable,
    request_queries,
    request_resends,
)
from portal.services.rulesets import load_rule_set
from portal.sql import execute
from tests import factories
from tests.factories import BUSINESS_ON, CLERK, NOW, QUERY_POLICY, make_deposit
from tests.recording import Recording
from tests.services.books import assert_books_hold, balance, events_of, rows
from tests.services.collecting import (
    Case,
    case_of,
    claim,
    expire,
    make_case,
    messages_of,
    retry,
    run_together,
    send,
    start,
    tell,
    tell_one,
)

RETURNED_ON = date(2026, 3, 25)
FEE_MINOR = 350
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


def books() -> tuple[int, ...]:
    kinds = (AccountKind.GATEWAY_CLEARING, AccountKind.RECEIVABLE, AccountKind.PAYER_CREDITS)
    return tuple(
        balance(kind, code="harbour" if kind is AccountKind.GATEWAY_CLEARING else "")
        for kind in kinds
    )


def give_back(attempt: Any, **over: Any) -> Verdict:
    wanted = {"reason_code": "AM04", "fee_minor": FEE_MINOR, "effective_on": RETURNED_ON}
    return tell_one(attempt, ResultKind.RETURN, **{**wanted, **over})


def release_reservation(case: Case) -> None:
    """Leave what a payment had reserved to others, as after a decision by a person."""
    with transaction(factories.home.get()):
        execute("UPDATE invoices SET in_payment_minor = 0 WHERE id = %s", (case.invoice.id,))
        execute("UPDATE payments SET reserved_minor = 0 WHERE id = %s", (case.payment.id,))


def apply_money(payer_id: UUID) -> None:
    with transaction(factories.home.get()):
        _, rule_set = load_rule_set(on=BUSINESS_ON)
        apply_credits(
            payer_ids=[payer_id], business_on=BUSINESS_ON, rule_set=rule_set, actor=CLERK, now=NOW
        )


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
    assert books() == (11_900, 0, 0)
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
    assert books() == (11_900, 0, -5_000)
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
    assert books() == (0, 11_900, 0)
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
    assert books() == (0, 11_900, 0)
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
    assert books() == (0, 11_900, 0)


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
    assert books() == (-FEE_MINOR, 11_900, 0)
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
    assert books() == (-FEE_MINOR, 6_900 + 11_900, 0)
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


def test_an_open_outcome_is_asked_for_at_growing_distances(organisation: UUID) -> None:
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.LOSE)
    waits = [(case_of(case.payment.id).attempt.next_query_at - NOW).total_seconds()]
    for _ in range(6):
        expire("payment_attempts", "next_query_at")
        with transaction(organisation):
            assert request_queries(limit=10, lease_seconds=60) == 1
            assert request_queries(limit=10, lease_seconds=60) == 0
        tell_one(case.attempt, ResultKind.LOSE)
        after = case_of(case.payment.id)
        waits.append((after.attempt.next_query_at - NOW).total_seconds())

    assert waits == [5.0, 30.0, 30.0, 30.0, 30.0, 30.0, 30.0]
    assert (after.payment.state, after.payment.worklist) == ("processing", "outcome_unknown")
    assert after.payment.reserved_minor == 11_900
    assert [each[1:] for each in messages_of(case.attempt)] == [
        ("gateway.charge", "ready"),
        *[("gateway.query", "ready")] * 6,
    ]
    tell_one(case.attempt, ResultKind.SUCCEED)
    assert case_of(case.payment.id).payment.worklist is None


def test_a_pending_outcome_is_asked_for_after_a_longer_while(organisation: UUID) -> None:
    case = make_case("sending")

    tell_one(case.attempt, ResultKind.ACCEPT)

    wait = (case_of(case.payment.id).attempt.next_query_at - NOW).total_seconds()
    assert wait == QUERY_POLICY.pending_seconds


def ask_again(case: Case, seconds: float) -> int:
    """Say that the gateway never saw the charge, and send it again where that is sure."""
    tell_one(case.attempt, ResultKind.NOT_FOUND, after_seconds=seconds)
    with transaction(factories.home.get()):
        return request_resends(
            attempt_ids=[case.attempt.id],
            quiet_seconds=QUERY_POLICY.not_found_quiet_seconds,
            now=NOW + timedelta(seconds=seconds),
        )


def test_what_is_twice_not_found_over_the_quiet_time_is_sent_under_the_same_key(
    organisation: UUID,
) -> None:
    case = make_case("created")
    sent = send(claim())
    tell_one(case.attempt, ResultKind.LOSE)

    resent = [ask_again(case, seconds) for seconds in (10, 20, 69, 71)]

    assert resent == [0, 0, 0, 1]
    assert [each[1] for each in messages_of(case.attempt)] == ["gateway.charge", "gateway.charge"]
    with transaction(organisation):
        execute("UPDATE messages SET state = 'done' WHERE sequence = 1")
    again = send(claim(), now=NOW + timedelta(seconds=80))
    ((_, first),), ((_, second),) = sent.orders, again.orders
    assert first == second
    after = case_of(case.payment.id)
    assert (after.attempt.state, after.attempt.first_sent_at) == ("sending", NOW)
    assert after.attempt.number == 1


def test_beyond_the_resend_window_a_person_is_asked(organisation: UUID) -> None:
    case = make_case("created")
    send(claim())
    tell_one(case.attempt, ResultKind.LOSE)

    resent = [ask_again(case, seconds) for seconds in (3_500, 3_600)]

    assert resent == [0, 0]
    after = case_of(case.payment.id)
    assert (after.payment.worklist, after.payment.state) == ("outcome_unknown", "processing")
    assert (after.attempt.state, after.invoice.in_payment_minor) == ("unknown", 11_900)
    assert len(messages_of(case.attempt)) == 1


def test_a_pending_attempt_is_never_sent_again(organisation: UUID) -> None:
    case = make_case("created")
    send(claim())
    tell_one(case.attempt, ResultKind.ACCEPT)

    assert [ask_again(case, seconds) for seconds in (10, 100, 200)] == [0, 0, 0]


def test_a_charge_whose_worker_died_is_lost_and_one_decided_meanwhile_needless(
    organisation: UUID,
) -> None:
    died, decided = make_case("created"), make_case("created")
    send(claim())
    tell_one(decided.attempt, ResultKind.SUCCEED)
    expire("messages")

    again = send(claim())

    assert again.orders == []
    assert [message.aggregate_id for message in again.lost] == [died.attempt.id]
    assert len(again.needless) == 1
    assert case_of(died.payment.id).attempt.state == "sending"


def test_only_open_outcomes_are_worth_asking(organisation: UUID) -> None:
    open_cases = [make_case("pending"), make_case("unknown")]
    decided = make_case("pending")
    expire("payment_attempts", "next_query_at")
    with transaction(organisation):
        execute("UPDATE messages SET state = 'done'")
        assert request_queries(limit=10, lease_seconds=60) == 3
    tell_one(decided.attempt, ResultKind.SUCCEED)

    claimed = claim()
    with transaction(organisation):
        askable, needless = list_askable(claimed)

    assert {ref for _, ref in askable} == {case.attempt.merchant_ref for case in open_cases}
    assert needless == [each.id for each in claimed if each.aggregate_id == decided.attempt.id]


def test_the_same_success_told_by_two_threads_is_booked_once(
    organisation: UUID, app: Flask
) -> None:
    cases = [make_case("pending") for _ in range(5)]
    results = [AttemptResult(case.attempt.id, ResultKind.SUCCEED) for case in cases]

    found = run_together(app, partial(tell, *results), partial(tell, *reversed(results)))

    verdicts = [verdict for each in found for verdict in each.values()]
    assert verdicts.count(Verdict.APPLIED) == verdicts.count(Verdict.REPEATED) == 5
    assert books() == (5 * 11_900, 0, 0)
    assert_books_hold()


def test_success_and_return_told_at_once_end_returned(organisation: UUID, app: Flask) -> None:
    cases = [make_case("pending") for _ in range(5)]
    succeeded = [AttemptResult(case.attempt.id, ResultKind.SUCCEED) for case in cases]
    returned = [AttemptResult(case.attempt.id, ResultKind.RETURN, None, 11_900) for case in cases]

    found = run_together(app, partial(tell, *succeeded), partial(tell, *reversed(returned)))

    assert not [each for each in found if isinstance(each, Exception)], found
    assert {case_of(case.payment.id).attempt.state for case in cases} == {"returned"}
    assert books() == (0, 5 * 11_900, 0)
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
