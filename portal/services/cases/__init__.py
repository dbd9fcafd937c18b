"""Cases: looking for what did not come, and closing what a person has settled."""

from portal.services.cases._close import CaseReasonInvalid, close_case
from portal.services.cases._compare import ComparedAccount, claim_comparisons, compare_record
from portal.services.cases._watch import Limits, Watched, limits_of, watch, watch_organisations

__all__ = [
    "CaseReasonInvalid",
    "ComparedAccount",
    "Limits",
    "Watched",
    "claim_comparisons",
    "close_case",
    "compare_record",
    "limits_of",
    "watch",
    "watch_organisations",
]
