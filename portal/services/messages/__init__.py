"""The outbox and the inbox: written with the change they belong to, leased, delivered, finished.

What a message's answer means is decided by the noun that wrote it, not here.
"""

from portal.services.messages._control import (
    InboxMessageUnmovable,
    MessageNeeded,
    MessageNeedless,
    MessageUnderWay,
    WithdrawReasonInvalid,
    handle_message_again,
    send_message_again,
    withdraw_message,
)
from portal.services.messages._delivery import (
    BREAKER_TROUBLES,
    DELIVERY_BELL,
    Claimed,
    DeliveryOutcome,
    claim_messages,
    finish_deliveries,
    list_due_accounts,
    note_health,
    pause_account,
    withdraw_messages,
)
from portal.services.messages._errands import (
    request_events,
    request_missing_events,
    request_payouts,
    write_followers,
    write_questions,
)
from portal.services.messages._handling import Trouble, settle_arrived
from portal.services.messages._inbox import (
    AccountNotFound,
    events_cursor,
    list_inbox_organisations,
    list_query_organisations,
    receive_event,
    store_events,
)

__all__ = [
    "BREAKER_TROUBLES",
    "DELIVERY_BELL",
    "AccountNotFound",
    "Claimed",
    "DeliveryOutcome",
    "InboxMessageUnmovable",
    "MessageNeeded",
    "MessageNeedless",
    "MessageUnderWay",
    "Trouble",
    "WithdrawReasonInvalid",
    "claim_messages",
    "events_cursor",
    "finish_deliveries",
    "handle_message_again",
    "list_due_accounts",
    "list_inbox_organisations",
    "list_query_organisations",
    "note_health",
    "pause_account",
    "receive_event",
    "request_events",
    "request_missing_events",
    "request_payouts",
    "send_message_again",
    "settle_arrived",
    "store_events",
    "withdraw_message",
    "withdraw_messages",
    "write_followers",
    "write_questions",
]
