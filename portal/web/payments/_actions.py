"""What a person may decide about a payment now, and why not where it is not possible."""

from collections.abc import Mapping
from typing import NamedTuple

from flask import url_for

from portal.domain.payments import STOPPED_REASON, AttemptState, PaymentMethod, PaymentState
from portal.domain.users import Permission
from portal.queries.payments import PaymentRow, is_refused_for_good
from portal.web.access import roles_with
from portal.web.visitors import current_visitor

_BEING_SENT = (AttemptState.CREATED, AttemptState.SENDING)


class Action(NamedTuple):
    """Something to decide: the page that asks for it, or else why there is nothing to decide."""

    name: str
    label: str
    address: str
    picture: str
    key: str
    why_not: str | None


def list_actions(payment: PaymentRow) -> list[Action]:
    """List every action with its page, or with the reason why it is not possible."""
    lacks = lacks_role()
    return [
        Action(
            name,
            label,
            url_for(f"payments.ask_{name}", payment_id=payment.id),
            picture,
            key,
            lacks or why_not(payment, name),
        )
        for name, label, picture, key in (
            ("retry", "Try now", "again", "t"),
            ("move", "Move", "calendar", "m"),
            ("stop", "Stop", "stop", "s"),
            ("query", "Ask the gateway now", "question", "q"),
        )
    ]


def list_refusals(actions: list[Action]) -> Mapping[str, list[str]]:
    """Group what is not possible by its reason, so that each reason is said once.

    Shape: reason → labels.
    """
    found: dict[str, list[str]] = {}
    for action in actions:
        if action.why_not:
            found.setdefault(action.why_not, []).append(action.label)
    return found


def lacks_role() -> str | None:
    """Say who may decide about payments, to a person who may only look."""
    if current_visitor().may(Permission.CONTROL_PAYMENTS):
        return None
    roles = " or ".join(role.label.lower() for role in roles_with(Permission.CONTROL_PAYMENTS))
    return f"your role may look at payments; a {roles} decides about them"


def why_not(payment: PaymentRow, name: str) -> str | None:
    """Say why an action is not possible in the state the payment is in; None when it is."""
    return {
        "retry": _why_no_retry,
        "move": _why_no_move,
        "stop": _why_no_stop,
        "query": _why_no_query,
    }[name](payment)


def _why_no_retry(payment: PaymentRow) -> str | None:
    if payment.is_retryable:
        return None
    if payment.is_under_way or payment.state is PaymentState.PROCESSING:
        return "an attempt is under way, and a second one could take the money twice"
    if payment.is_contradicted:
        return "the gateway has said two things about it; settle that first, and then stop it"
    if payment.worklist and is_refused_for_good(payment.reason_code, payment.worklist):
        return "the bank refuses for good; agree with the payer on another way"
    return _nothing_left(payment)


def _why_no_move(payment: PaymentRow) -> str | None:
    if payment.is_movable:
        return None
    if payment.is_under_way or payment.state is PaymentState.PROCESSING:
        return "what is on its way to the gateway cannot be called back; wait for the outcome"
    if payment.worklist is not None:
        return "no other try is planned"
    return _nothing_left(payment)


def _why_no_stop(payment: PaymentRow) -> str | None:
    if payment.is_stoppable:
        return None
    if payment.is_under_way or payment.state is PaymentState.PROCESSING:
        return "what is on its way to the gateway cannot be called back; wait for the outcome"
    return _nothing_left(payment)


def _why_no_query(payment: PaymentRow) -> str | None:
    if payment.is_askable:
        return None
    if payment.method is not PaymentMethod.MANDATE:
        return "this money did not come through a gateway"
    if payment.attempt_state in _BEING_SENT:
        return "the order is just being sent"
    if payment.attempt_state is None:
        return "nothing has been sent to the gateway yet"
    if payment.is_retryable or payment.is_stoppable:
        return "the outcome of the last attempt is known"
    return _nothing_left(payment)


def _nothing_left(payment: PaymentRow) -> str:
    if payment.reason_code == STOPPED_REASON:
        return "a person has stopped it"
    return f"the payment is “{payment.state.label.lower()}”, and nothing waits for a decision"
