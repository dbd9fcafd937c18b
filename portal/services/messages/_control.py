"""What a person decides about a message: send it again, withdraw it, or handle it again.

Nothing is sent from here: a message goes back to the queue, and whoever leases it decides by the
state of its attempt whether anything is sent at all.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.disputes import OPEN_DISPUTE_STATES, DisputeState
from portal.domain.errors import Conflict, Invalid
from portal.domain.messages import (
    DISPUTE_ORDER_KINDS,
    INBOX_MOVES,
    MESSAGE_MOVES,
    ORDER_KINDS,
    InboxState,
    MessageKind,
    MessageState,
)
from portal.domain.payments import (
    ASKABLE_ATTEMPT_STATES,
    UNDECIDED_ATTEMPT_STATES,
    AttemptState,
)
from portal.domain.refunds import UNSENT_REFUND_STATES, RefundState
from portal.domain.states import State
from portal.domain.users import Actor
from portal.queries.messages import UNDER_WAY, MessageMissing
from portal.queue import ring
from portal.services.events import record_event
from portal.services.messages._delivery import DELIVERY_BELL
from portal.sql import execute, fetch_one

REASON_CHARACTERS_MAX = 500
# Attempts and refunds that only their message brings on: without it they would wait for ever.
_CARRIED_STATES = (AttemptState.CREATED, AttemptState.SENDING, RefundState.APPROVED)


About = AttemptState | RefundState | DisputeState


# In which states of what it is about a message still has something to do.
_CARRIES_ON: Mapping[MessageKind, Sequence[State]] = {
    MessageKind.CHARGE: UNDECIDED_ATTEMPT_STATES,
    MessageKind.QUERY: ASKABLE_ATTEMPT_STATES,
    MessageKind.REFUND: (*UNSENT_REFUND_STATES, RefundState.SUBMITTED),
    MessageKind.REFUND_QUERY: (RefundState.SUBMITTED,),
    MessageKind.DISPUTE_ANSWER: (DisputeState.UNDER_REVIEW,),
    MessageKind.DISPUTE_ACCEPT: (DisputeState.LOST,),
    MessageKind.DISPUTE_QUERY: OPEN_DISPUTE_STATES,
}


class MessageUnderWay(Conflict):
    """A worker is delivering this message just now. Nothing was changed; look again in a minute."""


class MessageNeedless(Conflict):
    """Sending this message again would do nothing: what it is about is “{label}”. Nothing was
    changed; if the money is still wanted, try the payment again, which writes a new order."""

    label: str


class MessageNeeded(Conflict):
    """This message cannot be withdrawn: what it is about is “{label}” and ends only by it.
    Nothing was changed; let it be sent, and decide about the payment by what comes of it."""

    label: str


class WithdrawReasonInvalid(Invalid):
    """The message was not withdrawn: say why in 1 to {characters_max} characters that can be
    shown."""

    characters_max: int


class InboxMessageUnmovable(Conflict):
    """This message is “{label}”, so it cannot be handled again. Nothing was changed; only a parked
    one can."""

    label: str


def send_message_again(*, message_id: UUID, actor: Actor, now: datetime) -> None:
    """Put a parked message back into the queue, or bring a waiting one forward.

    Shape: it gets as many tries as a new one. An attempt whose outcome is not known is asked for
    as well; whether its order is sent again is decided as always.
    Raises: MessageMissing; MessageUnderWay; MessageNeedless; MoveNotAllowed.
    """
    with transaction():
        row = _lock(message_id)
        state = MessageState(row.state)
        if state is not MessageState.READY:
            state = MESSAGE_MOVES.next(state, "release")
        if row.is_under_way:
            raise MessageUnderWay
        about = _about(row)
        if _is_over(MessageKind(row.kind), about):
            raise MessageNeedless(label=about.label if about else "not there")
        execute(
            "UPDATE messages SET state = %s, next_at = clock_timestamp(), tries_before = tries,"
            " done_at = NULL WHERE organisation_id = %s AND id = %s",
            (state.value, current_organisation_id(), message_id),
        )
        _ask_early(row)
        kind = "message.brought_forward"
        if row.state != MessageState.READY:
            kind = MESSAGE_MOVES.recorded("release")
        record_event(kind, message_id, actor=actor, now=now, details=_details(row))
        ring(DELIVERY_BELL)


def withdraw_message(*, message_id: UUID, reason: str, actor: Actor, now: datetime) -> None:
    """Give up a message that waits or is parked.

    Raises: WithdrawReasonInvalid; MessageMissing; MessageUnderWay; MessageNeeded; MoveNotAllowed.
    """
    reason = _checked_reason(reason)
    with transaction():
        row = _lock(message_id)
        state = MESSAGE_MOVES.next(MessageState(row.state), "withdraw")
        if row.is_under_way:
            raise MessageUnderWay
        about = _about(row)
        is_carried = row.kind in ORDER_KINDS and about in _CARRIED_STATES
        if about is not None and (is_carried or _is_waited_for(row.kind, about)):
            raise MessageNeeded(label=about.label)
        execute(
            "UPDATE messages SET state = %s, done_at = clock_timestamp()"
            " WHERE organisation_id = %s AND id = %s",
            (state.value, current_organisation_id(), message_id),
        )
        _ask_early(row)
        record_event(
            MESSAGE_MOVES.recorded("withdraw"),
            message_id,
            actor=actor,
            now=now,
            reason=reason,
            details=_details(row),
        )


def handle_message_again(*, inbox_message_id: UUID, actor: Actor, now: datetime) -> None:
    """Let a parked message of a gateway be handled once more, with as many tries as a new one.

    Raises: MessageMissing; InboxMessageUnmovable.
    """
    with transaction():
        row = fetch_one(
            "SELECT state, last_error FROM inbox_messages"
            " WHERE organisation_id = %s AND id = %s FOR UPDATE",
            (current_organisation_id(), inbox_message_id),
        )
        if row is None:
            raise MessageMissing
        state = InboxState(row.state)
        if not INBOX_MOVES.may(state, "release"):
            raise InboxMessageUnmovable(label=state.label)
        execute(
            "UPDATE inbox_messages SET state = %s, tries = 0, next_at = clock_timestamp()"
            " WHERE organisation_id = %s AND id = %s",
            (
                INBOX_MOVES.next(state, "release").value,
                current_organisation_id(),
                inbox_message_id,
            ),
        )
        record_event(
            INBOX_MOVES.recorded("release"),
            inbox_message_id,
            actor=actor,
            now=now,
            details={"last_error": row.last_error},
        )
        ring(DELIVERY_BELL)


def _is_waited_for(kind: str, about: About) -> bool:
    """Say whether the gateway does not know yet what a person has said to a dispute."""
    return kind in DISPUTE_ORDER_KINDS and about in (DisputeState.UNDER_REVIEW, DisputeState.LOST)


def _about(row: Any) -> About | None:
    """Return the state of the attempt, refund or dispute that a message is about."""
    if row.dispute_state:
        return DisputeState(row.dispute_state)
    if row.refund_state:
        return RefundState(row.refund_state)
    return AttemptState(row.attempt_state) if row.attempt_state else None


def _is_over(kind: MessageKind, about: About | None) -> bool:
    """Say whether the queue would find nothing to do with a message."""
    if kind is MessageKind.CHARGE and about is None:
        return False
    return kind in _CARRIES_ON and about not in _CARRIES_ON[kind]


def _lock(message_id: UUID) -> Any:
    """Lock a message and read it with the state of its attempt.

    Raises: MessageMissing.
    """
    scope = (current_organisation_id(), message_id)
    execute("SELECT 1 FROM messages WHERE organisation_id = %s AND id = %s FOR UPDATE", scope)
    # Only a statement behind the lock sees what was committed while this one waited for it.
    row = fetch_one(
        f"SELECT m.kind, m.state, m.tries, m.last_error, m.aggregate_id, {UNDER_WAY}"
        " AS is_under_way, a.state AS attempt_state, r.state AS refund_state,"
        " d.state AS dispute_state FROM messages m"
        " LEFT JOIN payment_attempts a"
        " ON (a.organisation_id, a.id) = (m.organisation_id, m.aggregate_id)"
        " LEFT JOIN refunds r ON (r.organisation_id, r.id) = (m.organisation_id, m.aggregate_id)"
        " LEFT JOIN disputes d ON (d.organisation_id, d.id) = (m.organisation_id, m.aggregate_id)"
        " WHERE m.organisation_id = %s AND m.id = %s",
        scope,
    )
    if row is None:
        raise MessageMissing
    return row


def _ask_early(row: Any) -> None:
    """Have the gateway asked about an attempt that a person has to do with."""
    if row.kind == MessageKind.CHARGE and row.attempt_state in ASKABLE_ATTEMPT_STATES:
        execute(
            "UPDATE payment_attempts SET next_query_at = clock_timestamp()"
            " WHERE organisation_id = %s AND id = %s AND state = ANY(%s)",
            (
                current_organisation_id(),
                row.aggregate_id,
                [state.value for state in ASKABLE_ATTEMPT_STATES],
            ),
        )


def _details(row: Any) -> dict[str, Any]:
    return {"kind": row.kind, "from": row.state, "tries": row.tries, "last_error": row.last_error}


def _checked_reason(reason: str) -> str:
    """Tidy the reason up.

    Raises: WithdrawReasonInvalid.
    """
    tidy = " ".join(reason.split())
    if not 1 <= len(tidy) <= REASON_CHARACTERS_MAX or not tidy.isprintable():
        raise WithdrawReasonInvalid(characters_max=REASON_CHARACTERS_MAX, field="reason")
    return tidy
