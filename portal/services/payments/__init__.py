"""Payments: started or tried again, sent, moved on by what the gateway answers or a person decides.

Money that came beside the gateway is recorded here as well.
"""

from portal.services.payments._by_hand import (
    GatewayIsCollecting,
    InvoiceNotPayable,
    PaidInvoiceMissing,
    PaymentInvalid,
    SecondLook,
    SimilarPayment,
    record_payment,
)
from portal.services.payments._control import (
    NothingToAsk,
    PaymentChanged,
    PaymentNotRetryable,
    PaymentNotStoppable,
    PaymentUnderWay,
    StopReasonInvalid,
    ask_gateway_now,
    retry_payment_now,
    stop_payment,
)
from portal.services.payments._inbox import handle_inbox
from portal.services.payments._move import (
    MOVE_DAYS_MAX,
    MoveReasonInvalid,
    RetryDayInvalid,
    RetryNotMovable,
    move_retry,
)
from portal.services.payments._plan import list_attempts_max
from portal.services.payments._refunds import end_refunds
from portal.services.payments._results import (
    AttemptResult,
    QueryPolicy,
    ResultKind,
    Verdict,
    apply_results,
)
from portal.services.payments._sending import (
    Sending,
    begin_sending,
    list_askable,
    request_queries,
    request_resends,
)
from portal.services.payments._start import retry_payments, start_payments

__all__ = [
    "MOVE_DAYS_MAX",
    "AttemptResult",
    "GatewayIsCollecting",
    "InvoiceNotPayable",
    "MoveReasonInvalid",
    "NothingToAsk",
    "PaidInvoiceMissing",
    "PaymentChanged",
    "PaymentInvalid",
    "PaymentNotRetryable",
    "PaymentNotStoppable",
    "PaymentUnderWay",
    "QueryPolicy",
    "ResultKind",
    "RetryDayInvalid",
    "RetryNotMovable",
    "SecondLook",
    "Sending",
    "SimilarPayment",
    "StopReasonInvalid",
    "Verdict",
    "apply_results",
    "ask_gateway_now",
    "begin_sending",
    "end_refunds",
    "handle_inbox",
    "list_askable",
    "list_attempts_max",
    "move_retry",
    "record_payment",
    "request_queries",
    "request_resends",
    "retry_payment_now",
    "retry_payments",
    "start_payments",
    "stop_payment",
]
