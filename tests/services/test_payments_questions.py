from datetime import timedelta
from uuid import UUID

from portal.db import transaction
from portal.services.payments import (
    ResultKind,
    list_askable,
    request_queries,
    request_resends,
)
from portal.sql import execute
from tests import factories
from tests.factories import NOW, QUERY_POLICY
from tests.services.collecting import (
    Case,
    case_of,
    claim,
    expire,
    make_case,
    messages_of,
    send,
    tell_one,
)


def test_an_open_outcome_is_asked_for_at_growing_distances(organisation: UUID) -> None:
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.LOSE)
    waits = [(case_of(case.payment.id).attempt.next_query_at - NOW).total_seconds()]
    for _ in range(6):
        expire("payment_attempts", "next_query_at")
        with transaction(organisation):
            assert request_queries(limit=10, lease_seconds=60) == 1
            assert request_queries(limit=10, lease_seconds=60) == 0
        answer_questions(case)
        tell_one(case.attempt, ResultKind.LOSE)
        after = case_of(case.payment.id)
        waits.append((after.attempt.next_query_at - NOW).total_seconds())

    assert waits == [5.0, 30.0, 30.0, 30.0, 30.0, 30.0, 30.0]
    assert (after.payment.state, after.payment.worklist) == ("processing", "outcome_unknown")
    assert after.payment.reserved_minor == 11_900
    assert [each[1:] for each in messages_of(case.attempt)] == [
        ("gateway.charge", "ready"),
        *[("gateway.query", "done")] * 6,
    ]
    tell_one(case.attempt, ResultKind.SUCCEED)
    assert case_of(case.payment.id).payment.worklist is None


def answer_questions(case: Case) -> None:
    """Say that each question was answered."""
    with transaction(factories.home.get()):
        execute(
            "UPDATE messages SET state = 'done' WHERE aggregate_id = %s AND kind = 'gateway.query'",
            (case.attempt.id,),
        )


def test_no_second_question_waits_behind_one_that_was_not_answered(organisation: UUID) -> None:
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.LOSE)
    for _ in range(3):
        expire("payment_attempts", "next_query_at")
        with transaction(organisation):
            assert request_queries(limit=10, lease_seconds=60) == 1

    asked = [each[1:] for each in messages_of(case.attempt)]
    assert asked == [("gateway.charge", "ready"), ("gateway.query", "ready")]

    answer_questions(case)
    expire("payment_attempts", "next_query_at")
    with transaction(organisation):
        assert request_queries(limit=10, lease_seconds=60) == 1
    assert messages_of(case.attempt)[-1][1:] == ("gateway.query", "ready")


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
