"""Disputes: opened by a gateway, answered or accepted by a person, won or lost at the gateway."""

from portal.services.disputes._answer import (
    DisputeChanged,
    ResponseInvalid,
    accept_dispute,
    answer_dispute,
)
from portal.services.disputes._inbox import handle_dispute_events
from portal.services.disputes._open import (
    DisputeAlreadyOpen,
    DisputeDiffers,
    DisputeReport,
    DisputeTooLarge,
    open_dispute,
)
from portal.services.disputes._results import DisputeResult, apply_dispute_result
from portal.services.disputes._sending import plan_dispute_calls, request_dispute_queries

__all__ = [
    "DisputeAlreadyOpen",
    "DisputeChanged",
    "DisputeDiffers",
    "DisputeReport",
    "DisputeResult",
    "DisputeTooLarge",
    "ResponseInvalid",
    "accept_dispute",
    "answer_dispute",
    "apply_dispute_result",
    "handle_dispute_events",
    "open_dispute",
    "plan_dispute_calls",
    "request_dispute_queries",
]
