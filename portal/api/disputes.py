"""Disputes for machines: listed, read and answered; accepting a loss is a person's to do."""

from typing import Any
from uuid import UUID

from flask import Response

from portal.api.access import current_actor, require
from portal.api.answers import answer, check_match, money, shown_id
from portal.api.doors import DoorBlueprint, answers, matches, once, takes
from portal.api.fields import (
    Strict,
    Text,
    amount_of_money,
    calendar_day,
    moment,
    noun_name,
    own_id,
    state_of,
    whole,
    words,
)
from portal.api.lists import answer_list, list_schema, lists
from portal.clock import now_utc
from portal.domain.disputes import RESPONSE_CHARACTERS_MAX, DisputeState
from portal.domain.users import Permission
from portal.queries.disputes import DisputeRow, get_dispute
from portal.queries.tables import DISPUTE_TABLE
from portal.services.disputes import answer_dispute

bp = DoorBlueprint("disputes", "Payments whose money the payer's bank has taken back.")


class DisputeSchema(Strict):
    """A dispute with its payment, its payer and its invoice."""

    object = noun_name("dispute")
    id = own_id("dispute")
    payment_id = own_id("payment")
    attempt_id = own_id("attempt", description="The attempt that had collected the money.")
    invoice_id = own_id("invoice", none=True)
    invoice = words(none=True, description="The number of the invoice.")
    payer_id = own_id("payer")
    payer = words()
    state = state_of(DisputeState)
    amount = amount_of_money(description="What was taken back.")
    fee = amount_of_money(description="What the gateway keeps for it, however it ends.")
    currency = words()
    reason_code = words(none=True)
    reason = words(description="Why the payment is disputed, in one sentence.")
    gateway_ref = words()
    opened = calendar_day()
    respond_by = calendar_day(description="The last day for an answer.")
    response = words(none=True, description="What was answered.")
    answered = moment(none=True)
    answered_by = words(none=True)
    closed = calendar_day(none=True, description="The day it was won or lost.")
    worklist = words(none=True, description="What it waits for a person for.")
    created = moment()
    version = whole()


class AnswerSchema(Strict):
    """What is answered to the payer's bank."""

    text = Text(longest=RESPONSE_CHARACTERS_MAX, required=True)


@bp.route("/disputes")
@lists(DISPUTE_TABLE)
@answers(list_schema(DISPUTE_TABLE))
@require(Permission.VIEW_PAYMENTS)
def list_disputes() -> Response:
    """List disputes."""
    return answer_list(DISPUTE_TABLE)


@bp.route("/disputes/<api_id(dispute):dispute_id>")
@answers(DisputeSchema, refuses=(404,))
@require(Permission.VIEW_PAYMENTS)
def show_dispute(dispute_id: UUID) -> Response:
    """Show a dispute."""
    return answer(shown_dispute(get_dispute(dispute_id)))


@bp.route("/disputes/<api_id(dispute):dispute_id>/answer", methods=["POST"])
@takes(AnswerSchema)
@once(is_required=True)
@matches(is_required=False)
@answers(DisputeSchema, refuses=(404, 409), says="The answer is on its way to the gateway.")
@require(Permission.ANSWER_DISPUTES)
def respond_to_dispute(dispute_id: UUID, body: dict[str, Any]) -> Response:
    """Answer a dispute that waits for it; the payer's bank decides."""
    dispute = get_dispute(dispute_id)
    check_match(shown_dispute(dispute), is_required=False)
    answer_dispute(
        dispute_id=dispute_id,
        version=dispute.version,
        text=body["text"],
        actor=current_actor(),
        now=now_utc(),
    )
    return answer(shown_dispute(get_dispute(dispute_id)))


def shown_dispute(dispute: DisputeRow) -> dict[str, Any]:
    """Write a dispute."""
    return {
        "object": "dispute",
        "id": shown_id("dispute", dispute.id),
        "payment_id": shown_id("payment", dispute.payment_id),
        "attempt_id": shown_id("attempt", dispute.attempt_id),
        "invoice_id": shown_id("invoice", dispute.invoice_id),
        "invoice": dispute.invoice_number,
        "payer_id": shown_id("payer", dispute.payer_id),
        "payer": dispute.payer,
        "state": dispute.state.value,
        "amount": money(dispute.amount_minor, dispute.currency),
        "fee": money(dispute.fee_minor, dispute.currency),
        "currency": dispute.currency,
        "reason_code": dispute.reason_code,
        "reason": dispute.reason,
        "gateway_ref": dispute.gateway_ref,
        "opened": dispute.opened_on,
        "respond_by": dispute.respond_by,
        "response": dispute.response,
        "answered": dispute.answered_at,
        "answered_by": dispute.answered_by,
        "closed": dispute.closed_on,
        "worklist": dispute.worklist,
        "created": dispute.created_at,
        "version": dispute.version,
    }
