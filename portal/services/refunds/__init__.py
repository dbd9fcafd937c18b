"""Refunds: asked for, approved by a second person, sent, and booked by what the gateway says."""

from portal.services.refunds._inbox import handle_refund_events
from portal.services.refunds._request import (
    DISPUTED,
    REASON_CHARACTERS_MAX,
    PaymentNotRefundable,
    RefundAmountInvalid,
    RefundApproverIsRequester,
    RefundApproverUnknown,
    RefundReasonInvalid,
    RefundRequestReused,
    RefundTooLarge,
    RefundWish,
    approval_limit,
    approve_refund,
    decline_refund,
    request_refund,
)
from portal.services.refunds._results import RefundResult, apply_refund_results
from portal.services.refunds._sending import (
    RefundSending,
    begin_refunds,
    list_askable_refunds,
    request_refund_queries,
    request_refund_resends,
)

__all__ = [
    "DISPUTED",
    "REASON_CHARACTERS_MAX",
    "PaymentNotRefundable",
    "RefundAmountInvalid",
    "RefundApproverIsRequester",
    "RefundApproverUnknown",
    "RefundReasonInvalid",
    "RefundRequestReused",
    "RefundResult",
    "RefundSending",
    "RefundTooLarge",
    "RefundWish",
    "apply_refund_results",
    "approval_limit",
    "approve_refund",
    "begin_refunds",
    "decline_refund",
    "handle_refund_events",
    "list_askable_refunds",
    "request_refund",
    "request_refund_queries",
    "request_refund_resends",
]
