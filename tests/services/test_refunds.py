from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.config import Config
from portal.db import acting_for
from portal.domain.states import MoveNotAllowed
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.payments import PaymentMissing
from portal.queries.refunds import RefundMissing
from portal.services.payments import ResultKind
from portal.services.refunds import (
    PaymentNotRefundable,
    RefundAmountInvalid,
    RefundApproverIsRequester,
    RefundApproverUnknown,
    RefundReasonInvalid,
    RefundRequestReused,
    RefundTooLarge,
    RefundWish,
    decline_refund,
    request_refund,
)
from tests import factories
from tests.factories import BUSINESS_ON, NOW, agree, make_succeeded_payment, read_row
from tests.services.books import events_of, rows
from tests.services.collecting import give_back, messages_of, run_together
from tests.services.refunding import (
    APPROVER,
    ASKER,
    REASON,
    approve,
    ask,
    assert_everything_holds,
    make_refund,
    tell_refund,
)

# The other organisation gives its payers thirty days.
EARLY_ON = date(2026, 2, 2)
SMALL, LARGE = 5_000, 10_000

pytestmark = pytest.mark.usefixtures("organisation")


def decline(refund_id: UUID, reason: str = "Not agreed.", actor: Actor = APPROVER) -> None:
    with acting_for(factories.home.get()):
        decline_refund(refund_id=refund_id, reason=reason, actor=actor, now=NOW)


def orders_of(refund_id: UUID) -> list[tuple[int, str, str]]:
    return messages_of(read_row("refunds", refund_id))


def test_a_small_refund_is_on_its_way_at_once(app: Flask) -> None:
    payment = make_succeeded_payment()

    refund_id = ask(payment, SMALL)

    refund = read_row("refunds", refund_id)
    assert (refund.state, refund.needs_approval, refund.amount_minor) == ("approved", False, SMALL)
    assert refund.requested_by_id == ASKER.id
    assert refund.approved_by_id is None
    assert orders_of(refund_id) == [(1, "refund.create", "ready")]
    assert read_row("payments", payment.id).refunding_minor == SMALL
    assert events_of(refund_id) == ["refund.requested"]
    assert_everything_holds()


def test_a_large_refund_waits_for_another_person() -> None:
    payment = make_succeeded_payment()

    refund_id = ask(payment, LARGE)

    assert read_row("refunds", refund_id).state == "requested"
    assert orders_of(refund_id) == []
    approve(refund_id)
    refund = read_row("refunds", refund_id)
    assert (refund.state, refund.approved_by_id) == ("approved", APPROVER.id)
    assert orders_of(refund_id) == [(1, "refund.create", "ready")]
    assert events_of(refund_id) == ["refund.requested", "refund.approved"]
    assert_everything_holds()


def test_the_limit_is_a_setting(app: Flask) -> None:
    config: Config = app.config["PORTAL"]
    app.config["PORTAL"] = config.changed(refund_approval_minor_min=1)

    assert read_row("refunds", ask(make_succeeded_payment(), 1)).state == "requested"


def test_an_agreement_may_name_its_own_limit() -> None:
    payment = make_succeeded_payment()
    with acting_for(payment.organisation_id):
        agree({"code": "P114", "parameters": {"limit_minor": SMALL}}, on=BUSINESS_ON)

    assert read_row("refunds", ask(payment, SMALL - 1)).state == "approved"
    assert read_row("refunds", ask(payment, SMALL)).state == "requested"


def test_nobody_approves_a_refund_of_their_own_or_without_a_name() -> None:
    refund_id = ask(make_succeeded_payment(), LARGE)

    with pytest.raises(RefundApproverIsRequester):
        approve(refund_id, ASKER)
    with pytest.raises(RefundApproverUnknown):
        approve(refund_id, Actor("portal", None, "portal"))

    assert read_row("refunds", refund_id).state == "requested"
    assert orders_of(refund_id) == []


def test_a_refund_is_approved_once() -> None:
    refund_id = ask(make_succeeded_payment(), LARGE)
    approve(refund_id)

    with pytest.raises(MoveNotAllowed):
        approve(refund_id)
    with pytest.raises(MoveNotAllowed):
        decline(refund_id)

    assert orders_of(refund_id) == [(1, "refund.create", "ready")]


def test_a_declined_refund_reserves_nothing_more() -> None:
    payment = make_succeeded_payment()
    refund_id = ask(payment, LARGE)

    decline(refund_id)

    assert read_row("refunds", refund_id).state == "declined"
    assert read_row("payments", payment.id).refunding_minor == 0
    assert events_of(refund_id) == ["refund.requested", "refund.declined"]
    ask(payment, 11_900)
    assert_everything_holds()


def test_declining_needs_a_reason() -> None:
    refund_id = ask(make_succeeded_payment(), LARGE)

    with pytest.raises(RefundReasonInvalid):
        decline(refund_id, "  ")

    assert read_row("refunds", refund_id).state == "requested"


def test_no_more_is_given_back_than_came_in() -> None:
    payment = make_succeeded_payment()
    make_refund("succeeded", payment=payment, amount_minor=4_000)
    make_refund("approved", payment=payment, amount_minor=7_800)
    with pytest.raises(RefundTooLarge):
        ask(payment, 101)
    ask(payment, 100)

    with pytest.raises(PaymentNotRefundable):
        ask(payment, 1)

    assert read_row("payments", payment.id).refunding_minor == 7_900
    assert_everything_holds()


def test_two_requests_at_once_share_what_is_there(app: Flask) -> None:
    payment = make_succeeded_payment()

    found = run_together(app, lambda: ask(payment, 9_000), lambda: ask(payment, 9_000))

    assert [type(each) for each in found if isinstance(each, Exception)] == [RefundTooLarge]
    assert read_row("payments", payment.id).refunding_minor == 9_000
    assert len(rows("SELECT id FROM refunds")) == 1
    assert_everything_holds()


def test_a_request_that_comes_twice_is_one_refund(app: Flask) -> None:
    payment = make_succeeded_payment()

    first = ask(payment, 2_000, request_key="form-1")
    again = ask(payment, 2_000, request_key="form-1")

    assert first == again
    assert read_row("payments", payment.id).refunding_minor == 2_000
    with pytest.raises(RefundRequestReused):
        ask(payment, 3_000, request_key="form-1")
    both = run_together(
        app,
        lambda: ask(payment, 1_000, request_key="form-2"),
        lambda: ask(payment, 1_000, request_key="form-2"),
    )
    assert both[0] == both[1]
    assert read_row("payments", payment.id).refunding_minor == 3_000


@pytest.mark.parametrize(
    ("amount_minor", "reason", "refused"),
    [
        (0, REASON, RefundAmountInvalid),
        (-5, REASON, RefundAmountInvalid),
        (11_901, REASON, RefundTooLarge),
        (100, " ", RefundReasonInvalid),
        (100, "x" * 501, RefundReasonInvalid),
        (100, "a\x07b", RefundReasonInvalid),
    ],
)
def test_what_makes_no_sense_is_refused(
    amount_minor: int, reason: str, refused: type[Exception]
) -> None:
    payment = make_succeeded_payment()
    wish = RefundWish(payment.id, amount_minor, reason)

    with pytest.raises(refused), acting_for(factories.home.get()):
        request_refund(wish=wish, on=BUSINESS_ON, actor=ASKER, now=NOW)

    assert rows("SELECT id FROM refunds") == []
    assert read_row("payments", payment.id).refunding_minor == 0


@pytest.mark.parametrize("state", ["processing", "returned"])
def test_only_what_was_collected_is_given_back(state: str) -> None:
    payment = factories.make_payment() if state == "processing" else make_succeeded_payment()
    if state == "returned":
        give_back(factories.attempt_of(payment))

    with pytest.raises(PaymentNotRefundable):
        ask(payment, 100)


def test_another_organisations_payment_is_not_there(other_organisation: UUID) -> None:
    token = factories.home.set(other_organisation)
    payment = make_succeeded_payment(business_on=EARLY_ON, document_on=EARLY_ON)
    factories.home.reset(token)

    with pytest.raises(PaymentMissing):
        ask(payment, 100)
    with pytest.raises(RefundMissing):
        approve(new_id())


def test_a_refund_that_was_declined_by_a_return_is_not_approved() -> None:
    payment = make_succeeded_payment()
    refund_id = ask(payment, LARGE)
    give_back(factories.attempt_of(payment))

    with pytest.raises(MoveNotAllowed):
        approve(refund_id)

    refund: Any = read_row("refunds", refund_id)
    assert (refund.state, refund.reason_code) == ("failed", "charge_returned")
    assert read_row("payments", payment.id).refunding_minor == 0
    assert tell_refund(refund_id, ResultKind.DECLINE).value == "repeated"
    assert_everything_holds()
