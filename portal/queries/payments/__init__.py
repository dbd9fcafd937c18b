"""Reading payments, their attempts, and what is to be tried again and why."""

from portal.queries.payments._attempts import (
    AttemptMissing,
    AttemptRow,
    MessageRow,
    count_attempts_by_state,
    get_attempt,
    list_attempts_of_payment,
    list_messages_of_attempt,
)
from portal.queries.payments._payments import (
    AllocationRow,
    HistoryRow,
    PaymentMissing,
    PaymentRow,
    find_similar_payment,
    get_payment,
    is_refused_for_good,
    list_allocations_of_payment,
    list_payment_history,
)
from portal.queries.payments._retries import (
    ComingRetries,
    CurrencySum,
    RetryCause,
    list_coming_retries,
    list_retry_causes,
)
from portal.queries.payments._words import CONTRADICTED_WORKLIST, MOVED_SQL

__all__ = [
    "CONTRADICTED_WORKLIST",
    "MOVED_SQL",
    "AllocationRow",
    "AttemptMissing",
    "AttemptRow",
    "ComingRetries",
    "CurrencySum",
    "HistoryRow",
    "MessageRow",
    "PaymentMissing",
    "PaymentRow",
    "RetryCause",
    "count_attempts_by_state",
    "find_similar_payment",
    "get_attempt",
    "get_payment",
    "is_refused_for_good",
    "list_allocations_of_payment",
    "list_attempts_of_payment",
    "list_coming_retries",
    "list_messages_of_attempt",
    "list_payment_history",
    "list_retry_causes",
]
