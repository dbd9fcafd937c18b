"""Messages to the gateways for machines: listed, read with each try, sent again, withdrawn."""

from typing import Any
from uuid import UUID

from flask import Response

from portal.api.access import current_actor, require
from portal.api.answers import answer, check_match, shown_id
from portal.api.doors import DoorBlueprint, answers, matches, once, takes
from portal.api.fields import (
    Strict,
    Text,
    flag,
    many,
    moment,
    noun_name,
    own_id,
    state_of,
    whole,
    words,
)
from portal.api.lists import answer_list, list_schema, lists
from portal.clock import now_utc
from portal.domain.messages import MessageKind, MessageState
from portal.domain.users import Permission
from portal.queries.messages import get_message, list_deliveries
from portal.queries.tables import MACHINE_MESSAGE_TABLE
from portal.services.messages import send_message_again, withdraw_message

REASON_CHARACTERS_MAX = 500

bp = DoorBlueprint("messages", "What waits between us and a gateway, and what was tried.")


class DeliverySchema(Strict):
    """One try to deliver a message."""

    number = whole()
    tried = moment()
    outcome = words()
    http_status = whole(none=True)
    error = words(none=True)


class MessageSchema(Strict):
    """A message to a gateway with every try to deliver it."""

    object = noun_name("message")
    id = own_id("message")
    kind = state_of(MessageKind)
    state = state_of(MessageState)
    account = words(description="The gateway account it goes through.")
    attempt_id = own_id("attempt", none=True, description="The attempt it is about.")
    payment_id = own_id("payment", none=True)
    tries = whole(description="How often it was taken up, also where no try came of it.")
    next = moment(none=True, description="When it is taken up next; null unless it waits.")
    is_under_way = flag(description="Whether a worker is delivering it just now.")
    error = words(none=True, description="What was wrong last.")
    created = moment()
    done = moment(none=True)
    deliveries = many(DeliverySchema, description="The tries, the last one first.")


class WithdrawSchema(Strict):
    """Why a message is given up."""

    reason = Text(longest=REASON_CHARACTERS_MAX, required=True)


@bp.route("/messages")
@lists(MACHINE_MESSAGE_TABLE)
@answers(list_schema(MACHINE_MESSAGE_TABLE))
@require(Permission.VIEW_MESSAGES)
def list_messages() -> Response:
    """List messages to the gateways."""
    return answer_list(MACHINE_MESSAGE_TABLE)


@bp.route("/messages/<api_id(message):message_id>")
@answers(MessageSchema, refuses=(404,))
@require(Permission.VIEW_MESSAGES)
def show_message(message_id: UUID) -> Response:
    """Show a message with every try to deliver it."""
    return answer(shown_message(message_id))


@bp.route("/messages/<api_id(message):message_id>/send", methods=["POST"])
@takes(None)
@once(is_required=True)
@matches(is_required=False)
@answers(MessageSchema, refuses=(404, 409), says="It is in the queue.")
@require(Permission.CONTROL_MESSAGES)
def resend_message(message_id: UUID) -> Response:
    """Put a parked message back into the queue, or bring a waiting one forward."""
    check_match(shown_message(message_id), is_required=False)
    send_message_again(message_id=message_id, actor=current_actor(), now=now_utc())
    return answer(shown_message(message_id))


@bp.route("/messages/<api_id(message):message_id>/withdraw", methods=["POST"])
@takes(WithdrawSchema)
@once(is_required=True)
@matches(is_required=False)
@answers(MessageSchema, refuses=(404, 409), says="It is not sent.")
@require(Permission.CONTROL_MESSAGES)
def drop_message(message_id: UUID, body: dict[str, Any]) -> Response:
    """Give up a message that waits or is parked."""
    check_match(shown_message(message_id), is_required=False)
    withdraw_message(
        message_id=message_id, reason=body["reason"], actor=current_actor(), now=now_utc()
    )
    return answer(shown_message(message_id))


def shown_message(message_id: UUID) -> dict[str, Any]:
    """Write a message with its tries."""
    row = get_message(message_id)
    about = row.about
    return {
        "object": "message",
        "id": shown_id("message", row.id),
        "kind": row.kind.value,
        "state": row.state.value,
        "account": row.account_code,
        "attempt_id": shown_id("attempt", about.attempt_id) if about else None,
        "payment_id": shown_id("payment", about.payment_id) if about else None,
        "tries": row.tries,
        "next": row.next_at if row.state is MessageState.READY else None,
        "is_under_way": row.is_under_way,
        "error": row.last_error,
        "created": row.created_at,
        "done": row.done_at,
        "deliveries": [
            {
                "number": one.try_number,
                "tried": one.tried_at,
                "outcome": one.outcome,
                "http_status": one.http_status,
                "error": one.error,
            }
            for one in list_deliveries(message_id)
        ],
    }
