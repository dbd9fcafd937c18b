from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.ledger import AccountKind
from portal.domain.users import Actor
from portal.services.messages import MessageNeeded, withdraw_message
from portal.services.payments import ResultKind, Verdict
from portal.services.refunds import (
    handle_refund_events,
    list_askable_refunds,
    request_refund_queries,
    request_refund_resends,
)
from portal.sql import execute
from tests import factories
from tests.factories import (
    CLERK,
    NOW,
    QUERY_POLICY,
    Line,
    attempt_of,
    make_inbox_message,
    make_issued_invoice,
    read_row,
)
from tests.services.books import balance, events_of, rows
from tests.services.collecting import (
    apply_money,
    balances,
    case_of,
    claim,
    expire,
    give_back,
    make_case,
    messages_of,
    release_reservation,
    start,
    tell_one,
)
from tests.services.refunding import (
    assert_everything_holds,
    make_refund,
    pay_out_refund,
    send_refunds,
    tell_refund,
)

pytestmark = pytest.mark.usefixtures("organisation")

GATEWAY = Actor("gateway", None, "gateway")


def payment_of(refund: Any) -> Any:
    return read_row("payments", refund.payment_id)


def overpaid() -> Any:
    """Make a payment of 119.00 of which 47.60 is left as credit and 71.40 paid the invoice."""
    case = make_case("sending")
    release_reservation(case)
    factories.make_credit_note(payer_id=case.payment.payer_id, lines=(Line(4_000),))
    apply_money(case.payment.payer_id)
    tell_one(case.attempt, ResultKind.SUCCEED)
    return case_of(case.payment.id).payment


def test_a_part_given_back_opens_the_invoice_for_so_much() -> None:
    refund = make_refund("submitted", amount_minor=5_000)

    assert tell_refund(refund.id, ResultKind.SUCCEED, gateway_ref="re_1") is Verdict.APPLIED

    payment = payment_of(refund)
    invoice = read_row("invoices", payment.invoice_id)
    assert (payment.state, payment.refunded_minor, payment.refunding_minor) == (
        "partially_refunded",
        5_000,
        0,
    )
    assert (invoice.paid_minor, invoice.open_minor) == (6_900, 5_000)
    assert balances() == (6_900, 5_000, 0)
    assert read_row("refunds", refund.id).gateway_ref == "re_1"
    assert events_of(refund.id) == ["refund.requested", "refund.succeeded"]
    assert "payment.partly_refunded" in events_of(payment.id)
    assert_everything_holds()


def test_the_rest_given_back_refunds_the_payment() -> None:
    refund = make_refund("succeeded", amount_minor=5_000)
    payment = payment_of(refund)

    make_refund("succeeded", payment=payment, amount_minor=3_000)
    make_refund("succeeded", payment=payment, amount_minor=3_900)

    payment = payment_of(refund)
    assert (payment.state, payment.refunded_minor) == ("refunded", 11_900)
    assert balances() == (0, 11_900, 0)
    assert_everything_holds()


def test_credit_that_is_left_is_given_back_first() -> None:
    payment = overpaid()

    make_refund("succeeded", payment=payment, amount_minor=4_760)

    assert read_row("invoices", payment.invoice_id).open_minor == 0
    assert balance(AccountKind.PAYER_CREDITS) == 0
    assert_everything_holds()


def test_credit_that_was_used_elsewhere_comes_last() -> None:
    payment = overpaid()
    other = make_issued_invoice(payer_id=payment.payer_id, lines=(Line(3_000),))
    apply_money(payment.payer_id)
    assert read_row("invoices", other.id).open_minor == 0

    # 11.90 of credit are left, 71.40 paid the invoice, 35.70 the other one.
    make_refund("succeeded", payment=payment, amount_minor=9_000)

    assert read_row("invoices", payment.invoice_id).open_minor == 7_140
    assert read_row("invoices", other.id).open_minor == 670
    assert_everything_holds()


def test_an_invoice_of_which_money_was_given_back_is_not_collected_by_a_run() -> None:
    refund = make_refund("succeeded")

    (result,) = start(payment_of(refund).invoice_id)

    assert (result.outcome, result.code) == (ItemOutcome.FILTERED, "stopped")


def test_a_refund_that_fails_leaves_the_payment_as_it_was() -> None:
    refund = make_refund("failed")

    payment = payment_of(refund)
    assert (payment.state, payment.refunding_minor, payment.refunded_minor) == ("succeeded", 0, 0)
    assert balances() == (11_900, 0, 0)
    assert tell_refund(refund.id, ResultKind.DECLINE) is Verdict.REPEATED
    assert_everything_holds()


def test_a_result_told_twice_is_booked_once() -> None:
    refund = make_refund("succeeded")

    assert tell_refund(refund.id, ResultKind.SUCCEED) is Verdict.REPEATED
    assert tell_refund(refund.id, ResultKind.ACCEPT) is Verdict.REPEATED

    assert payment_of(refund).refunded_minor == 5_000
    assert_everything_holds()


def test_contradictions_wait_for_a_person_and_move_nothing() -> None:
    refund = make_refund("failed")

    assert tell_refund(refund.id, ResultKind.SUCCEED) is Verdict.ILLEGAL

    after = read_row("refunds", refund.id)
    assert (after.state, after.worklist) == ("failed", "conflicting_outcome")
    assert payment_of(refund).refunded_minor == 0


def test_another_amount_is_not_booked() -> None:
    refund = make_refund("submitted")

    tell_refund(refund.id, ResultKind.SUCCEED, amount_minor=5_001)

    after = read_row("refunds", refund.id)
    assert (after.state, after.worklist, after.next_query_at) == ("submitted", "mismatch", None)


def test_an_unknown_outcome_is_asked_for_and_not_sent_again() -> None:
    refund = make_refund("submitted")

    tell_refund(refund.id, ResultKind.LOSE)
    expire("refunds", "next_query_at")
    with transaction(factories.home.get()):
        assert request_refund_queries(limit=10, lease_seconds=60) == 1
        assert request_refund_queries(limit=10, lease_seconds=60) == 0
        execute("UPDATE messages SET state = 'done' WHERE kind = 'refund.create'")

    assert messages_of(refund) == [(1, "refund.create", "done"), (2, "refund.query", "ready")]
    with acting_for(factories.home.get()):
        leased = claim()
        askable, needless = list_askable_refunds(leased)
    questions = [each for each in leased if each.kind == "refund.query"]
    assert [(message.id, ref) for message, ref in askable] == [
        (questions[0].id, refund.merchant_ref)
    ]
    assert questions[0].id not in needless


def test_it_is_sent_again_under_its_key_when_the_gateway_has_twice_not_seen_it() -> None:
    refund = make_refund("submitted")
    tell_refund(refund.id, ResultKind.LOSE)
    tell_refund(refund.id, ResultKind.NOT_FOUND, after_seconds=5)
    assert resend(refund.id, after_seconds=5) == 0
    tell_refund(refund.id, ResultKind.NOT_FOUND, after_seconds=70)

    assert resend(refund.id, after_seconds=70) == 1

    with transaction(factories.home.get()):
        execute("UPDATE messages SET state = 'done' WHERE aggregate_id = %s AND sequence = 1",
                (refund.id,))  # fmt: skip
    ((_, order),) = send_refunds(claim()).orders
    assert (order.idempotency_key, order.merchant_ref) == (
        refund.idempotency_key,
        refund.merchant_ref,
    )
    assert read_row("refunds", refund.id).state == "submitted"


def resend(refund_id: UUID, *, after_seconds: float) -> int:
    with transaction(factories.home.get()):
        return request_refund_resends(
            refund_ids=[refund_id], quiet_seconds=60, now=NOW + timedelta(seconds=after_seconds)
        )


def test_what_the_gateway_has_accepted_is_never_sent_again() -> None:
    refund = make_refund("submitted")
    tell_refund(refund.id, ResultKind.ACCEPT, gateway_ref="re_1")
    tell_refund(refund.id, ResultKind.NOT_FOUND, after_seconds=5)
    tell_refund(refund.id, ResultKind.NOT_FOUND, after_seconds=70)

    assert resend(refund.id, after_seconds=140) == 0


def test_beyond_the_window_a_person_is_asked() -> None:
    refund = make_refund("submitted")
    tell_refund(refund.id, ResultKind.NOT_FOUND)
    tell_refund(refund.id, ResultKind.NOT_FOUND, after_seconds=90_000)

    assert resend(refund.id, after_seconds=90_000) == 0

    assert read_row("refunds", refund.id).worklist == "outcome_unknown"


def test_a_refund_whose_worker_died_is_asked_for() -> None:
    refund = make_refund("submitted")
    expire("messages")

    sending = send_refunds(claim())

    assert sending.orders == []
    assert [message.aggregate_id for message in sending.lost] == [refund.id]


def test_what_surely_did_not_leave_is_sent_later() -> None:
    refund = make_refund("submitted")

    tell_refund(refund.id, ResultKind.NOT_SENT)
    assert read_row("refunds", refund.id).state == "approved"
    expire("messages")
    ((_, order),) = send_refunds(claim()).orders

    assert order.merchant_ref == refund.merchant_ref


def test_the_order_of_an_approved_refund_cannot_be_withdrawn() -> None:
    refund = make_refund("approved")
    (message,) = rows("SELECT id FROM messages WHERE aggregate_id = %s", refund.id)

    with pytest.raises(MessageNeeded), acting_for(factories.home.get()):
        withdraw_message(message_id=message.id, reason="No.", actor=CLERK, now=NOW)


def test_a_return_is_first_and_the_refund_fails_afterwards() -> None:
    refund = make_refund("submitted")
    give_back(attempt_of(payment_of(refund)))

    payment = payment_of(refund)
    assert payment.state in ("scheduled", "failed")
    assert payment.refunding_minor == 0
    assert_everything_holds()
    tell_refund(refund.id, ResultKind.DECLINE, reason_code="charge_returned")

    assert read_row("refunds", refund.id).state == "failed"
    assert payment_of(refund).refunding_minor == 0
    assert_everything_holds()


def test_a_success_after_a_return_is_not_booked_by_itself() -> None:
    refund = make_refund("submitted")
    give_back(attempt_of(payment_of(refund)))
    before = balances()

    assert tell_refund(refund.id, ResultKind.SUCCEED) is Verdict.ILLEGAL

    assert read_row("refunds", refund.id).worklist == "conflicting_outcome"
    assert balances() == before


def test_a_return_before_the_order_left_takes_the_order_back() -> None:
    refund = make_refund("approved")
    give_back(attempt_of(payment_of(refund)))

    sending = send_refunds(claim())

    assert (sending.orders, sending.lost) == ([], [])
    assert len(sending.needless) == 1
    assert read_row("refunds", refund.id).state == "failed"
    assert_everything_holds()


def arrive(refund: Any, kind: str, **over: Any) -> Any:
    content = {
        "merchant_ref": refund.merchant_ref,
        "gateway_ref": "re_1",
        "amount_minor": refund.amount_minor,
        "currency": refund.currency,
        "reason_code": None,
        "fee_minor": 0,
        "occurred_at": NOW.isoformat(),
        "returned_on": None,
    }
    return make_inbox_message(kind=kind, content={**content, **over})


def handle() -> int:
    with acting_for(factories.home.get()):
        return handle_refund_events(limit=100, policy=QUERY_POLICY, actor=GATEWAY, now=NOW)


def test_an_event_decides_the_refund_once() -> None:
    refund = make_refund("submitted")
    message = arrive(refund, "refund.succeeded")
    arrive(refund, "refund.succeeded")

    assert handle() == 1
    assert handle() == 1
    assert handle() == 0

    assert read_row("refunds", refund.id).state == "succeeded"
    assert payment_of(refund).refunded_minor == 5_000
    (found,) = rows("SELECT state FROM inbox_messages WHERE id = %s", message.id)
    assert found.state == "done"
    assert_everything_holds()


def test_an_event_of_no_refund_of_ours_is_parked_and_an_early_one_waits() -> None:
    refund = make_refund("approved")
    early = arrive(refund, "refund.succeeded")
    nobodys = arrive(refund, "refund.failed", merchant_ref="nobody's")

    handle()

    states = {row.id: row.state for row in rows("SELECT id, state FROM inbox_messages")}
    assert states == {early.id: "ready", nobodys.id: "parked"}
    assert read_row("refunds", refund.id).state == "approved"


@pytest.mark.parametrize(
    ("state", "amount_minor", "found"),
    [
        ("succeeded", 5_000, ("matched", None)),
        ("submitted", 5_000, ("suggested", None)),
        ("failed", 5_000, ("conflicting", "status_differs")),
        ("succeeded", 5_100, ("conflicting", "amount_differs")),
    ],
)
def test_a_refund_in_a_payout_is_matched(
    state: str, amount_minor: int, found: tuple[str, str | None]
) -> None:
    refund = make_refund(state)

    pay_out_refund(refund, amount_minor)

    (item,) = rows(
        "SELECT refund_id, match_state, discrepancy FROM payout_items WHERE kind = 'refund'"
    )
    assert (item.match_state, item.discrepancy) == found
    assert item.refund_id == refund.id
    if found[0] == "matched":
        assert rows("SELECT state FROM settlements")[0].state == "balanced"
        assert_everything_holds()
