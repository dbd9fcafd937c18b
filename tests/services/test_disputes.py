from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.ledger import AccountKind
from portal.domain.states import MoveNotAllowed
from portal.queries.disputes import DisputeMissing, get_dispute
from portal.queries.populations import read_preview
from portal.services.disputes import (
    DisputeAlreadyOpen,
    DisputeChanged,
    DisputeDiffers,
    DisputeTooLarge,
    ResponseInvalid,
    answer_dispute,
    request_dispute_queries,
)
from portal.services.messages import MessageNeeded, withdraw_message
from portal.services.payments import ResultKind, Verdict, handle_inbox
from portal.services.refunds import PaymentNotRefundable
from portal.sql import execute
from tests import factories
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    NOW,
    QUERY_POLICY,
    Line,
    attempt_of,
    make_issued_invoice,
    make_succeeded_payment,
    read_row,
)
from tests.services.books import balance, events_of
from tests.services.collecting import (
    apply_money,
    balances,
    case_of,
    claim,
    give_back,
    make_case,
    messages_of,
    retry,
    start,
    tell_one,
)
from tests.services.disputing import (
    DISPUTE_FEE_MINOR,
    TEXT,
    accept,
    answer,
    arrive,
    calls_of,
    dispute,
    handle,
    inbox_states,
    list_disputes,
    make_dispute,
    match_payout,
    pay_out_dispute,
    tell_dispute,
)
from tests.services.refunding import ask, assert_everything_holds, make_refund, tell_refund

pytestmark = pytest.mark.usefixtures("organisation")

FEE = DISPUTE_FEE_MINOR


def payment_of(found: Any) -> Any:
    return read_row("payments", found.payment_id)


def invoice_of(found: Any) -> Any:
    return read_row("invoices", payment_of(found).invoice_id)


def test_a_dispute_takes_the_money_and_opens_the_invoice() -> None:
    found = make_dispute()

    payment, invoice = payment_of(found), invoice_of(found)
    assert (payment.state, payment.disputed_minor) == ("succeeded", 11_900)
    assert (invoice.paid_minor, invoice.open_minor) == (0, 11_900)
    assert balances() == (-FEE, 11_900, 0)
    assert balance(AccountKind.RETURN_FEES) == FEE
    assert events_of(found.id) == ["dispute.opened"]
    assert "payment.disputed" in events_of(payment.id)
    assert_everything_holds()


def test_what_is_disputed_is_not_collected_meanwhile() -> None:
    found = make_dispute()
    invoice = invoice_of(found)

    (result,) = start(invoice.id)
    with acting_for(factories.home.get()):
        preview = read_preview("payment_collection", invoice.due_on, {})

    assert (result.outcome, result.code) == (ItemOutcome.FILTERED, "disputed")
    assert preview.items_count == 0
    assert [one.code for one in preview.left_out] == ["disputed"]


def test_a_dispute_that_is_won_pays_the_invoice_again() -> None:
    found = make_dispute("won")

    payment, invoice = payment_of(found), invoice_of(found)
    assert (payment.state, payment.disputed_minor, payment.worklist) == ("succeeded", 0, None)
    assert (invoice.paid_minor, invoice.open_minor) == (11_900, 0)
    assert balances() == (11_900 - FEE, 0, 0)
    assert events_of(found.id) == ["dispute.opened", "dispute.answered", "dispute.won"]
    assert_everything_holds()


def test_what_was_paid_otherwise_meanwhile_is_the_payers_credit() -> None:
    found = make_dispute()
    invoice = invoice_of(found)
    factories.make_credit_note(payer_id=invoice.payer_id, lines=(Line(4_000),))
    apply_money(invoice.payer_id)

    tell_dispute(found, "win")

    assert read_row("invoices", invoice.id).open_minor == 0
    assert balance(AccountKind.PAYER_CREDITS) == -4_760
    assert_everything_holds()


def test_a_dispute_of_the_whole_that_is_lost_fails_the_payment() -> None:
    found = make_dispute("lost")

    payment = payment_of(found)
    assert (payment.state, payment.worklist) == ("failed", "dispute_lost")
    assert (payment.disputed_minor, attempt_of(payment).state) == (0, "returned")
    assert invoice_of(found).open_minor == 11_900
    assert balances() == (-FEE, 11_900, 0)
    (result,) = start(payment.invoice_id)
    assert result.code == "on_worklist"
    assert_everything_holds()


def test_a_lost_payment_that_a_person_tries_again_can_succeed() -> None:
    found = make_dispute("lost")
    payment = payment_of(found)
    with transaction(factories.home.get()):
        execute(
            "UPDATE payments SET state = 'scheduled', next_attempt_on = %s, worklist = NULL"
            " WHERE id = %s",
            (BUSINESS_ON, payment.id),
        )

    (result,) = retry(payment.id, on=BUSINESS_ON)
    factories.answer_attempt(attempt_of(payment_of(found)), ResultKind.SUCCEED)

    assert result.amount_minor == 11_900
    assert invoice_of(found).open_minor == 0
    assert_everything_holds()


def test_a_part_that_is_lost_leaves_the_payment_and_waits_for_a_person() -> None:
    found = make_dispute("lost", amount_minor=4_000)

    payment = payment_of(found)
    assert (payment.state, payment.worklist) == ("succeeded", "dispute_lost")
    assert payment.disputed_minor == 4_000
    assert invoice_of(found).open_minor == 4_000
    (result,) = start(payment.invoice_id)
    assert result.code == "on_worklist"
    assert_everything_holds()


def test_credit_that_the_payment_left_over_is_taken_and_comes_back() -> None:
    case = make_case("unknown")
    factories.make_credit_note(payer_id=case.payment.payer_id, lines=(Line(4_000),))
    with transaction(factories.home.get()):
        execute("UPDATE invoices SET in_payment_minor = 0 WHERE id = %s", (case.invoice.id,))
        execute("UPDATE payments SET reserved_minor = 0 WHERE id = %s", (case.payment.id,))
    apply_money(case.payment.payer_id)
    tell_one(case.attempt, ResultKind.SUCCEED)
    other = make_issued_invoice(payer_id=case.payment.payer_id, lines=(Line(3_000),))
    apply_money(case.payment.payer_id)
    assert read_row("invoices", other.id).open_minor == 0

    found = make_dispute(payment=case_of(case.payment.id).payment)
    assert read_row("invoices", other.id).open_minor == 3_570
    assert balance(AccountKind.PAYER_CREDITS) == 0
    assert_everything_holds()

    answer(found)
    tell_dispute(found, "win")
    assert read_row("invoices", case.invoice.id).open_minor == 0
    # What its credit had paid elsewhere is credit again, for the next matching.
    assert balance(AccountKind.PAYER_CREDITS) == -4_760
    assert_everything_holds()

    give_back(read_row("payment_attempts", case.attempt.id), reason_code="MD06")
    assert balance(AccountKind.PAYER_CREDITS) == 0
    assert_everything_holds()


def test_the_same_report_twice_changes_nothing() -> None:
    found = make_dispute()
    attempt = read_row("payment_attempts", found.attempt_id)

    assert dispute(attempt) is Verdict.REPEATED
    with pytest.raises(DisputeDiffers):
        dispute(attempt, 5_000)

    assert balances() == (-FEE, 11_900, 0)


def test_one_dispute_at_a_time_and_no_more_than_was_paid() -> None:
    found = make_dispute(amount_minor=4_000)
    attempt = read_row("payment_attempts", found.attempt_id)

    with pytest.raises(DisputeAlreadyOpen):
        dispute(attempt, 1_000, gateway_ref="dp-2")
    with pytest.raises(DisputeTooLarge):
        dispute(attempt, 7_901, gateway_ref="dp-2")
    tell_dispute(found, "lose")
    assert dispute(attempt, 7_900, gateway_ref="dp-2") is Verdict.APPLIED

    assert payment_of(found).disputed_minor == 11_900
    assert_everything_holds()


def test_an_answer_is_sent_under_one_key() -> None:
    found = make_dispute("under_review")

    (order,) = calls_of(claim())

    assert (order.text, order.gateway_ref) == (TEXT, found.gateway_ref)
    assert order.idempotency_key == f"dispute-{found.id.hex}-1"
    assert (found.response, found.answered_by) == (TEXT, CLERK.name)


def test_a_second_answer_a_stale_one_and_an_empty_one_are_refused() -> None:
    found = make_dispute()

    for text in ("", "  \n ", "x" * 5_001, "bell\x07"):
        with pytest.raises(ResponseInvalid):
            answer(found, text)
    with pytest.raises(DisputeChanged):
        answer(found._replace(version=found.version + 1))
    answer(found)
    with pytest.raises(MoveNotAllowed):
        answer(read_row("disputes", found.id))
    with pytest.raises(MoveNotAllowed):
        accept(read_row("disputes", found.id))

    assert messages_of(found) == [(1, "dispute.respond", "ready")]


def test_another_organisations_dispute_is_not_there() -> None:
    found = make_dispute()
    other = factories.make_organisation("rivertown")

    with acting_for(other), pytest.raises(DisputeMissing):
        get_dispute(found.id)
    with acting_for(other), pytest.raises(DisputeMissing):
        answer_dispute(dispute_id=found.id, version=1, text=TEXT, actor=CLERK, now=NOW)
    with acting_for(factories.home.get()), pytest.raises(DisputeMissing):
        answer_dispute(dispute_id=uuid4(), version=1, text=TEXT, actor=CLERK, now=NOW)


def test_accepting_is_losing_and_the_gateway_is_told() -> None:
    found = make_dispute()

    accept(found)

    assert payment_of(found).worklist == "dispute_lost"
    (order,) = calls_of(claim())
    assert order.text == ""
    after = read_row("disputes", found.id)
    assert tell_dispute(after, "lose") is Verdict.REPEATED
    assert tell_dispute(after, "win") is Verdict.ILLEGAL
    assert read_row("disputes", found.id).worklist == "conflicting_outcome"
    assert_everything_holds()


def test_an_answer_that_was_refused_can_be_given_again() -> None:
    found = make_dispute("under_review")

    assert tell_dispute(found, "refuse_answer", reason="Too late.") is Verdict.APPLIED

    again = read_row("disputes", found.id)
    assert again.state == "needs_response"
    answer(again, "Once more.")
    assert [sequence for sequence, _, _ in messages_of(found)] == [1, 2]


def test_an_answer_on_its_way_cannot_be_withdrawn() -> None:
    make_dispute("under_review")
    (message,) = [one for one in claim(lease_seconds=0.0) if one.kind == "dispute.respond"]

    with acting_for(factories.home.get()), pytest.raises(MessageNeeded):
        withdraw_message(message_id=message.id, reason="Why not.", actor=CLERK, now=NOW)


def test_another_amount_is_for_a_person() -> None:
    found = make_dispute("under_review")

    assert tell_dispute(found, "win", amount_minor=1) is Verdict.ILLEGAL

    assert read_row("disputes", found.id).worklist == "mismatch"
    assert balances() == (-FEE, 11_900, 0)


def test_the_gateway_is_asked_when_the_deadline_is_over() -> None:
    found = make_dispute("under_review")
    with transaction(factories.home.get()):
        execute("UPDATE disputes SET next_query_at = clock_timestamp()")
        assert request_dispute_queries(limit=10, lease_seconds=60) == 1
        assert request_dispute_queries(limit=10, lease_seconds=60) == 0

    assert [kind for _, kind, _ in messages_of(found)] == ["dispute.respond", "dispute.query"]


def test_events_in_their_order_open_and_win() -> None:
    attempt = attempt_of(make_succeeded_payment())
    arrive("dispute.opened", attempt)
    arrive("dispute.won", attempt, occurred_at="2027-01-01T00:00:00+00:00")

    assert handle() == 2

    (found,) = list_disputes("true")
    assert (found.state, found.reason_code) == ("won", "fraudulent")
    assert_everything_holds()


def test_won_before_opened_waits_for_it() -> None:
    attempt = attempt_of(make_succeeded_payment())
    arrive("dispute.won", attempt)

    assert handle() == 0
    assert inbox_states() == ["ready"]
    arrive("dispute.opened", attempt, occurred_at="2027-01-01T00:00:00+00:00")
    assert handle(2) == 2

    assert [one.state for one in list_disputes("true")] == ["won"]
    assert inbox_states() == ["done", "done"]
    assert_everything_holds()


def test_what_never_fits_is_parked() -> None:
    attempt = attempt_of(make_succeeded_payment())
    arrive("dispute.lost", attempt)
    arrive("dispute.opened", attempt, merchant_ref="nobody")
    arrive("dispute.opened", attempt, amount_minor=11_901)

    handle(8)

    assert inbox_states() == ["parked", "parked", "parked"]
    assert list_disputes("true") == []
    assert_everything_holds()


def test_a_dispute_before_the_success_waits_for_it() -> None:
    case = make_case("pending")
    arrive("dispute.opened", case.attempt)

    assert handle() == 0
    tell_one(case.attempt, ResultKind.SUCCEED)
    assert handle() == 1

    assert len(list_disputes("true")) == 1
    assert_everything_holds()


def test_a_return_of_what_is_disputed_changes_nothing() -> None:
    found = make_dispute()

    with pytest.raises(Exception, match="a dispute has taken money"):
        give_back(read_row("payment_attempts", found.attempt_id))

    assert balances() == (-FEE, 11_900, 0)
    assert_everything_holds()


def test_a_dispute_ends_refunds_that_were_not_sent_and_allows_no_new_ones() -> None:
    refund = make_refund("approved", amount_minor=5_000)

    found = make_dispute(payment=payment_of(refund))

    after = read_row("refunds", refund.id)
    assert (after.state, after.reason_code) == ("failed", "charge_disputed")
    assert payment_of(found).refunding_minor == 0
    with pytest.raises(PaymentNotRefundable):
        ask(payment_of(found), 100)
    assert_everything_holds()


def test_a_refund_with_the_gateway_goes_on_and_contradicts_if_nothing_is_left() -> None:
    refund = make_refund("submitted", amount_minor=5_000)

    found = make_dispute(payment=payment_of(refund))

    assert payment_of(found).refunding_minor == 5_000
    assert_everything_holds()
    assert tell_refund(refund.id, ResultKind.SUCCEED) is Verdict.ILLEGAL
    assert read_row("refunds", refund.id).worklist == "conflicting_outcome"
    assert tell_refund(refund.id, ResultKind.DECLINE, reason_code="AC04") is Verdict.APPLIED
    assert payment_of(found).refunding_minor == 0
    assert_everything_holds()


def test_the_rest_of_a_partly_refunded_payment_can_be_disputed() -> None:
    refund = make_refund("succeeded", amount_minor=5_000)
    payment = payment_of(refund)

    with pytest.raises(DisputeTooLarge):
        dispute(attempt_of(payment))
    found = make_dispute("lost", payment=payment, amount_minor=6_900)

    after = payment_of(found)
    assert (after.state, after.worklist) == ("partially_refunded", "dispute_lost")
    assert balances() == (-FEE, 11_900, 0)
    assert_everything_holds()


@pytest.mark.parametrize("late", [False, True])
def test_chargebacks_and_their_reversals_settle(*, late: bool) -> None:
    found = make_dispute()

    taken = pay_out_dispute(found, ref="po-1", is_reversed=False, with_payment=True)
    assert (taken.state, taken.residual_minor) == ("balanced", 0)
    assert_everything_holds()

    answer(found)
    if late:
        back = pay_out_dispute(found, ref="po-2", is_reversed=True, with_payment=False)
        assert back.state == "matching"
        tell_dispute(found, "win")
        back = match_payout(back.payout_id)
    else:
        tell_dispute(found, "win")
        back = pay_out_dispute(found, ref="po-2", is_reversed=True, with_payment=False)
    assert back.state == "balanced"
    assert balance(AccountKind.GATEWAY_CLEARING, code="harbour") == 0
    assert_everything_holds()


def test_a_chargeback_that_is_paid_out_before_it_is_told_waits() -> None:
    payment = make_succeeded_payment()
    attempt = attempt_of(payment)
    found = make_dispute()
    unknown = found._replace(attempt_id=attempt.id, gateway_ref="dp-untold")

    taken = pay_out_dispute(unknown, ref="po-1", is_reversed=False, with_payment=True)
    assert taken.state == "matching"
    dispute(attempt, gateway_ref="dp-untold")

    assert match_payout(taken.payout_id).state == "balanced"
    assert_everything_holds()


def test_the_organisation_sees_its_own(organisation: UUID) -> None:
    found = make_dispute()

    with acting_for(organisation):
        shown = get_dispute(found.id)

    assert shown.reason == "The payer says that they did not receive what they paid for."
    assert shown.is_open


def test_a_return_of_a_partly_refunded_payment_is_parked_for_a_person() -> None:
    refund = make_refund("succeeded", amount_minor=5_000)
    attempt = read_row("payment_attempts", refund.attempt_id)
    arrive("charge.returned", attempt, gateway_ref=attempt.gateway_ref or "ch-1")

    for _ in range(8):
        with transaction(factories.home.get()):
            execute("UPDATE inbox_messages SET next_at = clock_timestamp()")
        with acting_for(factories.home.get()):
            handle_inbox(limit=10, policy=QUERY_POLICY, actor=CLERK, now=NOW)

    assert inbox_states() == ["parked"]
    assert payment_of(refund).state == "partially_refunded"
    assert_everything_holds()
