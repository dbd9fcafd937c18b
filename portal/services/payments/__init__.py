"""Payments: started or tried again, sent, and moved on by what the gateway answers."""

from portal.services.payments._inbox import handle_inbox
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
    "AttemptResult",
    "QueryPolicy",
    "ResultKind",
    "Sending",
    "Verdict",
    "apply_results",
    "begin_sending",
    "handle_inbox",
    "list_askable",
    "request_queries",
    "request_resends",
    "retry_payments",
    "start_payments",
]
