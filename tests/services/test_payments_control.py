from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.ids import new_id
from portal.queries.payments import PaymentMissing
from portal.queries.populations import POPULATIONS
from portal.services.messages import list_query_organisations
from portal.services.payments import (
    NothingToAsk,
    PaymentChanged,
    PaymentNotRetryable,
    PaymentNotStoppable,
    PaymentUnderWay,
    ResultKind,
    StopReasonInvalid,
    ask_gateway_now,
    list_attempts_max,
    request_queries,
    retry_payment_now,
    stop_payment,
)
from portal.sql import execute, fetch
from tests import factories
from tests.factories import BUSINESS_ON, CLERK, NOW, attempt_of, make_issued_invoice, make_mandate
from tests.services.books import events_of, rows
from tests.services.collecting import (
    Case,
    balances,
    case_of,
    give_back,
    make_case,
    messages_of,
    retry,
    run_together,
    start,
    tell_one,
)
from tests.services.test_payments_by_hand import assert_proofs_hold, planned, put_on, record

NEXT_ON = date(2026, 3, 23)
LIVE = ("created", "sending", "pending", "unknown")


def try_now(payment: Any, *, on: date = BUSINESS_ON, version: int | None = None) -> UUID:
    with acting_for(factories.home.get()):
        return retry_payment_now(
            payment_id=payment.id,
            version=payment.version if version is None else version,
            on=on,
            actor=CLERK,
            now=NOW,
        )


def stop(payment: Any, reason: str = "The payer pays by transfer.", **over: Any) -> None:
    with acting_for(factories.home.get()):
        stop_payment(
            payment_id=payment.id,
            version=over.get("version", payment.version),
            reason=reason,
            actor=CLERK,
            now=NOW,
        )


def ask(payment_id: UUID) -> None:
    with acting_for(factories.home.get()):
        ask_gateway_now(payment_id=payment_id, actor=CLERK, now=NOW)


def on_worklist(worklist: str, reason_code: str | None = None) -> Case:
    """Make a failed payment that waits for a person."""
    case = make_case("errored")
    put_on(worklist, case.payment.id)
    with transaction(factories.home.get()):
        execute(
            "UPDATE payments SET reason_code = %s WHERE id = %s", (reason_code, case.payment.id)
        )
    return case_of(case.payment.id)


def contradicted() -> Case:
    """Make a planned payment of which the gateway later says that it was paid."""
    case = planned()
    tell_one(case.attempt, ResultKind.SUCCEED)
    return case_of(case.payment.id)


def collectable() -> set[UUID]:
    with transaction(factories.home.get()):
        made = POPULATIONS["payment_collection"](NEXT_ON, {})
        return {row.id for row in fetch(made.statement, made.parameters)}


def test_a_planned_payment_is_tried_at_once(organisation: UUID) -> None:
    case = planned()

    attempt_id = try_now(case.payment)

    after = case_of(case.payment.id)
    assert (after.attempt.id, after.attempt.number) == (attempt_id, 2)
    assert (after.attempt.state, after.attempt.business_on) == ("created", BUSINESS_ON)
    assert after.attempt.idempotency_key != case.attempt.idempotency_key
    assert messages_of(after.attempt) == [(1, "gateway.charge", "ready")]
    assert (after.payment.state, after.payment.next_attempt_on) == ("processing", None)
    assert (after.invoice.in_payment_minor, after.payment.reserved_minor) == (11_900, 11_900)
    assert events_of(case.payment.id)[-2:] == ["payment.retry_requested", "payment.started"]
    tell_one(factories.answer_attempt(after.attempt), ResultKind.SUCCEED)
    assert case_of(case.payment.id).payment.state == "succeeded"
    assert_proofs_hold()


@pytest.mark.parametrize(
    ("worklist", "reason_code"),
    [
        ("retries_exhausted", "AM04"),
        ("needs_payer", "expired_card"),
        ("gateway_trouble", None),
    ],
)
def test_a_failed_payment_that_may_succeed_is_tried_once_more(
    organisation: UUID, worklist: str, reason_code: str | None
) -> None:
    case = on_worklist(worklist, reason_code)

    try_now(case.payment)

    after = case_of(case.payment.id)
    assert (after.payment.state, after.payment.worklist) == ("processing", None)
    assert (after.payment.attempts_count, after.attempt.number) == (2, 2)
    (event,) = rows("SELECT details FROM events WHERE kind = 'payment.retry_requested'")
    assert event.details == {"worklist": worklist, "planned_on": None}
    assert_proofs_hold()


def test_a_retry_takes_only_what_is_still_open(organisation: UUID) -> None:
    case = on_worklist("retries_exhausted", "AM04")
    record(case.invoice.id, 900)

    try_now(case_of(case.payment.id).payment)

    after = case_of(case.payment.id)
    assert (after.attempt.amount_minor, after.invoice.in_payment_minor) == (11_000, 11_000)
    assert_proofs_hold()


@pytest.mark.parametrize(
    ("worklist", "reason_code", "said"),
    [
        ("hard_decline", "AC04", "The account is closed"),
        ("hard_decline", "MD01", "no valid mandate"),
        ("retries_exhausted", "stolen_card", "reported stolen"),
        ("hard_decline", None, "refuses for good"),
        ("retries_exhausted", "X99", "not in the catalogue"),
    ],
)
def test_what_the_bank_refuses_for_good_is_not_tried(
    organisation: UUID, worklist: str, reason_code: str | None, said: str
) -> None:
    case = on_worklist(worklist, reason_code)

    with pytest.raises(PaymentNotRetryable, match=said):
        try_now(case.payment)

    assert case_of(case.payment.id) == case


def test_the_rules_of_collecting_hold_for_a_person_as_well(organisation: UUID) -> None:
    case = planned()

    def change(statement: str) -> None:
        with transaction(organisation):
            execute(statement)

    def refused() -> str:
        with pytest.raises(PaymentNotRetryable) as error:
            try_now(case.payment)
        return error.value.message

    change("UPDATE payers SET is_on_hold = true")
    assert "The payer is on hold." in refused()
    change("UPDATE payers SET is_on_hold = false")
    change("UPDATE mandates SET state = 'suspended'")
    assert "no active mandate" in refused()
    change("UPDATE mandates SET state = 'active', last_used_on = DATE '2023-03-01'")
    assert "36 months" in refused()
    assert case_of(case.payment.id).payment == case.payment
    assert len(rows("SELECT id FROM messages")) == 1


@pytest.mark.parametrize("state", LIVE)
def test_what_is_under_way_is_neither_tried_nor_stopped(organisation: UUID, state: str) -> None:
    case = make_case(state)

    with pytest.raises(PaymentUnderWay, match="gateway is being asked"):
        try_now(case.payment)
    with pytest.raises(PaymentUnderWay, match="cannot be stopped"):
        stop(case.payment)

    assert case_of(case.payment.id) == case


def test_an_outcome_that_is_unknown_for_long_is_not_decided_by_hand(organisation: UUID) -> None:
    case = make_case("unknown")
    with transaction(organisation):
        execute("UPDATE payments SET worklist = 'outcome_unknown'")

    for decide in (try_now, stop):
        with pytest.raises(PaymentUnderWay):
            decide(case.payment)


def test_what_is_over_is_neither_tried_nor_stopped(organisation: UUID) -> None:
    succeeded = make_case("succeeded").payment
    failed = make_case("errored").payment
    put_on("retries_exhausted", failed.id)
    with transaction(organisation):
        execute("UPDATE payments SET worklist = NULL WHERE id = %s", (failed.id,))

    for payment, said in ((succeeded, "Succeeded"), (failed, "Failed")):
        with pytest.raises(PaymentNotRetryable, match=said):
            try_now(payment)
        with pytest.raises(PaymentNotStoppable, match=said):
            stop(payment)


def test_while_another_payment_of_the_invoice_is_open_a_failed_one_is_not_tried(
    organisation: UUID,
) -> None:
    case = make_case("errored")
    with transaction(organisation):
        execute("UPDATE payments SET worklist = NULL")
    (result,) = start(case.invoice.id)
    assert result.outcome == "done"
    put_on("gateway_trouble", case.payment.id)

    with pytest.raises(PaymentNotRetryable, match="Another payment"):
        try_now(case_of(case.payment.id).payment)


def test_a_decision_about_an_older_version_is_refused(organisation: UUID) -> None:
    payment = planned().payment

    with pytest.raises(PaymentChanged):
        try_now(payment, version=payment.version - 1)
    with pytest.raises(PaymentChanged):
        stop(payment, version=payment.version - 1)

    assert case_of(payment.id).payment == payment


def test_another_organisations_payment_does_not_exist(
    organisation: UUID, other_organisation: UUID
) -> None:
    home = factories.home.set(other_organisation)
    invoice = make_issued_invoice()
    theirs = record(invoice.id)
    factories.home.reset(home)
    mine = planned().payment

    for payment_id in (theirs, new_id()):
        payment = mine._replace(id=payment_id)
        for decide in (try_now, stop):
            with pytest.raises(PaymentMissing):
                decide(payment)
        with pytest.raises(PaymentMissing):
            ask(payment_id)


def test_twenty_people_and_a_run_make_one_attempt(organisation: UUID, app: Flask) -> None:
    payment = planned().payment

    found = run_together(
        app,
        *(partial(try_now, payment, on=NEXT_ON) for _ in range(20)),
        partial(retry, payment.id, on=NEXT_ON),
    )

    made = [each for each in found[:20] if isinstance(each, UUID)]
    made += [each for each in found[20] if each.outcome == "done"]
    assert len(made) == 1
    others = [each for each in found[:20] if not isinstance(each, UUID)]
    assert {type(each) for each in others} <= {PaymentUnderWay, PaymentChanged}
    assert case_of(payment.id).attempt.number == 2
    assert len(rows("SELECT id FROM messages")) == 2
    assert case_of(payment.id).invoice.in_payment_minor == 11_900


def test_a_person_stops_or_tries_but_not_both(organisation: UUID, app: Flask) -> None:
    payments = [planned().payment for _ in range(4)]

    works = [partial(decide, each) for each in payments for decide in (try_now, stop)]
    found = run_together(app, *works)

    for place, payment in enumerate(payments):
        tried, stopped = found[2 * place : 2 * place + 2]
        assert isinstance(tried, UUID) != (stopped is None)
        assert case_of(payment.id).payment.state == (
            "processing" if isinstance(tried, UUID) else "cancelled"
        )
    assert_proofs_hold()


def test_a_stopped_payment_is_tried_no_more(organisation: UUID) -> None:
    case = planned()

    stop(case.payment, "  The payer pays\nby transfer. ")

    after = case_of(case.payment.id)
    assert (after.payment.state, after.payment.next_attempt_on) == ("cancelled", None)
    assert (after.payment.reserved_minor, after.invoice.in_payment_minor) == (0, 0)
    assert after.payment.explanation == "The payer pays by transfer."
    assert after.invoice.payment_status == "unpaid"
    (event,) = rows("SELECT * FROM events WHERE kind = 'payment.stopped'")
    assert (event.subject_id, event.reason) == (case.payment.id, "The payer pays by transfer.")
    assert event.details == {"worklist": None, "reason_code": "AM04"}
    assert [each.code for each in retry(case.payment.id, on=NEXT_ON)] == ["not_scheduled"]
    with pytest.raises(PaymentNotStoppable):
        stop(after.payment)
    assert_proofs_hold()


def test_what_was_stopped_is_collected_only_through_another_mandate(organisation: UUID) -> None:
    case = planned()
    stop(case.payment)

    assert case.invoice.id not in collectable()
    assert [each.code for each in start(case.invoice.id, on=NEXT_ON)] == ["stopped"]

    with transaction(organisation):
        execute("UPDATE mandates SET state = 'cancelled'")
    make_mandate(payer_id=case.invoice.payer_id)
    assert case.invoice.id in collectable()
    assert [each.outcome for each in start(case.invoice.id, on=NEXT_ON)] == ["done"]


def test_a_failed_payment_is_handled_outside(organisation: UUID) -> None:
    case = on_worklist("hard_decline", "AC04")

    stop(case.payment)

    after = case_of(case.payment.id).payment
    assert (after.state, after.worklist) == ("failed", None)
    assert after.version == case.payment.version + 1
    (event,) = rows("SELECT * FROM events WHERE kind = 'payment.resolved'")
    assert event.details == {"worklist": "hard_decline", "reason_code": "AC04"}
    assert [each.code for each in start(case.invoice.id)] == ["stopped"]
    record(case.invoice.id)
    assert_proofs_hold()


def test_a_planned_payment_that_the_gateway_contradicts_can_be_stopped(organisation: UUID) -> None:
    case = contradicted()
    assert (case.payment.state, case.payment.next_attempt_on) == ("scheduled", None)

    stop(case.payment, "The gateway confirms that nothing was taken.")

    after = case_of(case.payment.id).payment
    assert (after.state, after.worklist) == ("cancelled", None)
    assert_proofs_hold()


@pytest.mark.parametrize("reason_code", [None, "MS03", "AC04"])
@pytest.mark.parametrize("is_failed", [False, True])
def test_what_the_gateway_contradicts_is_not_tried_but_stopped(
    organisation: UUID, reason_code: str | None, *, is_failed: bool
) -> None:
    case = on_worklist("conflicting_outcome", reason_code) if is_failed else contradicted()

    with pytest.raises(PaymentNotRetryable, match="said two things"):
        try_now(case.payment)

    assert case_of(case.payment.id) == case
    stop(case.payment)
    after = case_of(case.payment.id).payment
    assert (after.state, after.worklist) == ("failed" if is_failed else "cancelled", None)
    assert_proofs_hold()


def test_what_is_contradicted_after_it_was_stopped_blocks_the_invoice(organisation: UUID) -> None:
    case = planned()
    stop(case.payment)
    with transaction(organisation):
        execute("UPDATE mandates SET state = 'cancelled'")
    make_mandate(payer_id=case.invoice.payer_id)
    tell_one(case.attempt, ResultKind.SUCCEED)
    late = case_of(case.payment.id).payment
    assert (late.state, late.worklist) == ("cancelled", "conflicting_outcome")

    assert case.invoice.id not in collectable()
    assert [each.code for each in start(case.invoice.id, on=NEXT_ON)] == ["on_worklist"]
    stop(late)
    assert case_of(late.id).payment.worklist is None
    assert case.invoice.id in collectable()


def test_a_succeeded_payment_leaves_its_worklist_unharmed(organisation: UUID) -> None:
    case = make_case("succeeded")
    tell_one(case.attempt, ResultKind.MISMATCH)
    marked = case_of(case.payment.id).payment
    assert marked.worklist == "conflicting_outcome"

    stop(marked)

    after = case_of(case.payment.id).payment
    assert (after.state, after.worklist, after.reason_code) == ("succeeded", None, None)
    assert balances()[0] == 11_900
    assert_proofs_hold()


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 501, "bell\x07"])
def test_a_stop_needs_a_reason(organisation: UUID, reason: str) -> None:
    payment = planned().payment

    with pytest.raises(StopReasonInvalid) as refused:
        stop(payment, reason)

    assert refused.value.field == "reason"
    assert case_of(payment.id).payment == payment


@pytest.mark.parametrize("state", ["pending", "unknown"])
def test_the_gateway_is_asked_at_once_and_not_twice(organisation: UUID, state: str) -> None:
    case = make_case(state)
    with transaction(organisation):
        execute("UPDATE payment_attempts SET next_query_at = now() + interval '1 hour'")
    assert list_query_organisations() == []

    ask(case.payment.id)

    assert list_query_organisations() == [organisation]
    with transaction(organisation):
        assert request_queries(limit=10, lease_seconds=60.0) == 1
    ask(case.payment.id)
    assert list_query_organisations() == []
    assert [each[1:] for each in messages_of(case.attempt)] == [
        ("gateway.charge", "ready"),
        ("gateway.query", "ready"),
    ]
    assert events_of(case.payment.id)[-1] == "payment.query_requested"


def test_what_is_known_or_just_being_sent_is_not_asked_for(organisation: UUID) -> None:
    for state, said in (("sending", "just being sent"), ("succeeded", "outcome is known")):
        with pytest.raises(NothingToAsk, match=said):
            ask(make_case(state).payment.id)


def test_the_most_attempts_are_those_of_the_agreement(organisation: UUID) -> None:
    first = make_case("sending")
    declined = planned()
    returned = make_case("succeeded")
    give_back(returned.attempt)
    hard = make_case("sending")
    tell_one(hard.attempt, ResultKind.DECLINE, reason_code="AC04")
    recorded = record(make_case("errored").invoice.id)

    with acting_for(organisation):
        found = list_attempts_max(
            payment_ids=[first.payment.id, declined.payment.id, returned.payment.id,
                         hard.payment.id, recorded, new_id()],
            on=BUSINESS_ON,
        )  # fmt: skip
        assert list_attempts_max(payment_ids=[], on=BUSINESS_ON) == {}

    assert found == {
        first.payment.id: 4,
        declined.payment.id: 4,
        returned.payment.id: 2,
        hard.payment.id: 1,
        recorded: 0,
    }
    assert "Attempt 2 of 4" in case_of(declined.payment.id).payment.explanation
    assert attempt_of(first.payment).number == 1
