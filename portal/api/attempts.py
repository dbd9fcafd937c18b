"""Attempts at the gateway for machines, to be read."""

from typing import Any
from uuid import UUID

from flask import Response

from portal.api.access import require
from portal.api.answers import answer, money, shown_id
from portal.api.doors import DoorBlueprint, answers
from portal.api.fields import (
    Strict,
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
from portal.domain.payments import AttemptState
from portal.domain.users import Permission
from portal.queries.payments import AttemptRow, get_attempt
from portal.queries.tables import ATTEMPT_TABLE

bp = DoorBlueprint("attempts", "Single tries of a payment at the gateway.")


class AttemptSchema(Strict):
    """One try at the gateway."""

    object = noun_name("attempt")
    id = own_id("attempt")
    payment_id = own_id("payment")
    invoice_id = own_id("invoice", none=True)
    invoice = words(none=True, description="The number of the invoice.")
    payer_id = own_id("payer")
    payer = words()
    # `try` is no name in Python.
    state = state_of(AttemptState)
    amount = amount_of_money()
    day = calendar_day(description="The business date.")
    reason_code = words(none=True)
    reason = words(none=True, description="What the gateway said.")
    reason_text = words(none=True, description="What the reason code means.")
    account = words(description="The gateway account it goes through.")
    merchant_ref = words(description="What the gateway knows it by.")
    gateway_ref = words(none=True)
    sent = moment(none=True)
    decided = moment(none=True)
    next_query = moment(none=True, description="When the gateway is asked next.")
    created = moment()
    version = whole()


AttemptSchema._declared_fields["try"] = whole(description="The how manieth of its payment.")  # noqa: SLF001 - the library's own way to add a member that is no name in Python


@bp.route("/attempts")
@lists(ATTEMPT_TABLE)
@answers(list_schema(ATTEMPT_TABLE))
@require(Permission.VIEW_PAYMENTS)
def list_attempts() -> Response:
    """List attempts."""
    return answer_list(ATTEMPT_TABLE)


@bp.route("/attempts/<api_id(attempt):attempt_id>")
@answers(AttemptSchema, refuses=(404,))
@require(Permission.VIEW_PAYMENTS)
def show_attempt(attempt_id: UUID) -> Response:
    """Show an attempt."""
    return answer(shown_attempt(get_attempt(attempt_id)))


def shown_attempt(attempt: AttemptRow) -> dict[str, Any]:
    """Write an attempt."""
    return {
        "object": "attempt",
        "id": shown_id("attempt", attempt.id),
        "payment_id": shown_id("payment", attempt.payment_id),
        "invoice_id": shown_id("invoice", attempt.invoice_id),
        "invoice": attempt.invoice_number,
        "payer_id": shown_id("payer", attempt.payer_id),
        "payer": attempt.payer,
        "try": attempt.number,
        "state": attempt.state.value,
        "amount": money(attempt.amount_minor, attempt.currency),
        "day": attempt.business_on,
        "reason_code": attempt.reason_code,
        "reason": attempt.reason,
        "reason_text": attempt.reason_text,
        "account": attempt.account_code,
        "merchant_ref": attempt.merchant_ref,
        "gateway_ref": attempt.gateway_ref,
        "sent": attempt.first_sent_at,
        "decided": attempt.decided_at,
        "next_query": attempt.next_query_at,
        "created": attempt.created_at,
        "version": attempt.version,
    }
