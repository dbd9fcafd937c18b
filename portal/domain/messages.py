"""The life of a message and the kinds of message that leave and arrive."""

from portal.domain.states import Moves, State


class MessageState(State):
    """How far a message has come."""

    READY = "ready", "Waiting"
    DONE = "done", "Done"
    PARKED = "parked", "Parked"
    WILL_NOT_SEND = "will_not_send", "Will not be sent"


class InboxState(State):
    """How far a message that arrived has come."""

    READY = "ready", "Waiting"
    DONE = "done", "Done"
    PARKED = "parked", "Parked"


class NoticeState(State):
    """What became of the notice of a reminder: the state of its message, as its readers say it."""

    READY = "ready", "Waiting"
    DONE = "done", "Sent"
    PARKED = "parked", "Parked"
    WILL_NOT_SEND = "will_not_send", "Will not be sent"


class MessageKind(State):
    """What a message asks the gateway for."""

    CHARGE = "gateway.charge", "Collect a payment"
    QUERY = "gateway.query", "Ask for an outcome"
    REFUND = "refund.create", "Give money back"
    REFUND_QUERY = "refund.query", "Ask what became of a refund"
    DISPUTE_ANSWER = "dispute.respond", "Answer a dispute"
    DISPUTE_ACCEPT = "dispute.accept", "Accept the loss of a dispute"
    DISPUTE_QUERY = "dispute.query", "Ask what became of a dispute"
    PAYER_REMINDER = "payer.reminder", "Remind a payer"
    CLOSE_DAY = "gateway.close_day", "Close a business day"
    LIST_EVENTS = "gateway.list_events", "Catch up on events"


MESSAGE_MOVES = Moves(
    {
        (MessageState.READY, "finish"): MessageState.DONE,
        (MessageState.READY, "park"): MessageState.PARKED,
        (MessageState.READY, "withdraw"): MessageState.WILL_NOT_SEND,
        (MessageState.PARKED, "release"): MessageState.READY,
        (MessageState.PARKED, "withdraw"): MessageState.WILL_NOT_SEND,
    },
    records={"release": "released", "withdraw": "withdrawn"},
)
# These change nothing at the gateway: they go on while a brake holds.
ASKING_KINDS = (
    MessageKind.QUERY,
    MessageKind.REFUND_QUERY,
    MessageKind.DISPUTE_QUERY,
    MessageKind.LIST_EVENTS,
)
# These move money: one is sent again only when the gateway surely has not seen it.
ORDER_KINDS = (MessageKind.CHARGE, MessageKind.REFUND)
DISPUTE_ORDER_KINDS = (MessageKind.DISPUTE_ANSWER, MessageKind.DISPUTE_ACCEPT)
# These move no money, and a gateway that sees one twice takes it once: when it is not known whether
# one arrived, it is sent again under the same key.
RESENT_KINDS = (*DISPUTE_ORDER_KINDS, MessageKind.PAYER_REMINDER)
# The newest form of a payload that this code can read; newer ones wait for newer code.
PAYLOAD_VERSION = 1

INBOX_MOVES = Moves(
    {
        (InboxState.READY, "finish"): InboxState.DONE,
        (InboxState.READY, "park"): InboxState.PARKED,
        (InboxState.PARKED, "release"): InboxState.READY,
    },
    noun="inbox message",
    records={"release": "released"},
)
