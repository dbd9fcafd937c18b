"""Refunds for machines: listed, read, and asked for; a person approves those above the limit."""

from typing import Any
from uuid import UUID

from flask import Response, url_for
from marshmallow import fields

from portal.api.access import current_actor, current_day, require
from portal.api.answers import answer, money, shown_id
from portal.api.doors import DoorBlueprint, answers, once, takes
from portal.api.fields import (
    MoneySchema,
    PublicId,
    Strict,
    Text,
    amount_of_money,
    calendar_day,
    flag,
    moment,
    noun_name,
    own_id,
    state_of,
    whole,
    words,
)
from portal.api.lists import answer_list, list_schema, lists
from portal.api.problems import BodyInvalid, Finding
from portal.clock import now_utc
from portal.domain.money import Money
from portal.domain.refunds import RefundState
from portal.domain.users import Permission
from portal.queries.payments import get_payment
from portal.queries.refunds import RefundRow, get_refund
from portal.queries.tables import REFUND_TABLE
from portal.services.refunds import REASON_CHARACTERS_MAX, RefundWish, request_refund

bp = DoorBlueprint("refunds", "Money of payments given back to their payers.")


class RefundSchema(Strict):
    """A refund with its payment, its payer and its invoice."""

    object = noun_name("refund")
    id = own_id("refund")
    payment_id = own_id("payment")
    attempt_id = own_id("attempt", description="The attempt that had collected the money.")
    invoice_id = own_id("invoice", none=True)
    invoice = words(none=True, description="The number of the invoice.")
    payer_id = own_id("payer")
    payer = words()
    state = state_of(RefundState)
    amount = amount_of_money()
    currency = words()
    day = calendar_day(description="Its business date.")
    reason = words(description="Why it was asked for.")
    requested_by = words()
    needs_approval = flag(description="Whether a second person must approve it.")
    approved_by = words(none=True)
    approved = moment(none=True)
    gateway_ref = words(none=True)
    decided = moment(none=True)
    reason_code = words(none=True, description="Why it failed.")
    failure = words(none=True, description="Why it failed, in one sentence.")
    worklist = words(none=True, description="What it waits for a person for.")
    created = moment()
    version = whole()


class NewRefundSchema(Strict):
    """What is to be given back of a payment, and why."""

    payment_id = PublicId("payment", required=True)
    amount = fields.Nested(MoneySchema, required=True)
    reason = Text(longest=REASON_CHARACTERS_MAX, required=True)


@bp.route("/refunds")
@lists(REFUND_TABLE)
@answers(list_schema(REFUND_TABLE))
@require(Permission.VIEW_PAYMENTS)
def list_refunds() -> Response:
    """List refunds."""
    return answer_list(REFUND_TABLE)


@bp.route("/refunds", methods=["POST"])
@takes(NewRefundSchema)
@once(is_required=True)
@answers(RefundSchema, 201, refuses=(404, 409), says="Asked for; found at its Location.")
@require(Permission.REQUEST_REFUNDS)
def add_refund(body: dict[str, Any]) -> Response:
    """Ask that money of a payment is given back; from the limit on a person must approve it."""
    payment = get_payment(body["payment_id"])
    amount: Money = body["amount"]
    if amount.currency != payment.currency:
        said = f"the payment is in {payment.currency}"
        raise BodyInvalid.of([Finding("/amount/currency", "invalid", said)])
    refund_id = request_refund(
        wish=RefundWish(payment.id, amount.amount_minor, body["reason"]),
        on=current_day(),
        actor=current_actor(),
        now=now_utc(),
    )
    address = url_for("api_refunds.show_refund", refund_id=refund_id)
    return answer(shown_refund(get_refund(refund_id)), 201, {"Location": address})


@bp.route("/refunds/<api_id(refund):refund_id>")
@answers(RefundSchema, refuses=(404,))
@require(Permission.VIEW_PAYMENTS)
def show_refund(refund_id: UUID) -> Response:
    """Show a refund."""
    return answer(shown_refund(get_refund(refund_id)))


def shown_refund(refund: RefundRow) -> dict[str, Any]:
    """Write a refund."""
    return {
        "object": "refund",
        "id": shown_id("refund", refund.id),
        "payment_id": shown_id("payment", refund.payment_id),
        "attempt_id": shown_id("attempt", refund.attempt_id),
        "invoice_id": shown_id("invoice", refund.invoice_id),
        "invoice": refund.invoice_number,
        "payer_id": shown_id("payer", refund.payer_id),
        "payer": refund.payer,
        "state": refund.state.value,
        "amount": money(refund.amount_minor, refund.currency),
        "currency": refund.currency,
        "day": refund.business_on,
        "reason": refund.reason,
        "requested_by": refund.requested_by,
        "needs_approval": refund.needs_approval,
        "approved_by": refund.approved_by,
        "approved": refund.approved_at,
        "gateway_ref": refund.gateway_ref,
        "decided": refund.decided_at,
        "reason_code": refund.reason_code,
        "failure": refund.failure,
        "worklist": refund.worklist,
        "created": refund.created_at,
        "version": refund.version,
    }
