"""The lives of a gateway's payout and of our settlement of it."""

from portal.domain.states import Moves, State


class PayoutState(State):
    """How far a gateway's transfer has come."""

    PENDING = "pending", "Pending"
    IN_TRANSIT = "in_transit", "In transit"
    PAID = "paid", "Paid"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    RETURNED = "returned", "Returned"


class SettlementState(State):
    """How far our booking of a payout has come."""

    OPEN = "open", "Open"
    MATCHING = "matching", "Matching"
    BALANCED = "balanced", "Balanced, bank line awaited"
    CLOSED = "closed", "Closed"
    CLOSED_WITH_EXCEPTIONS = "closed_with_exceptions", "Closed with exceptions"


class PayoutItemKind(State):
    """What a part of a payout is."""

    PAYMENT = "payment", "Payment"
    REFUND = "refund", "Refund"
    RETURN = "return", "Return"
    CHARGEBACK = "chargeback", "Chargeback"
    CHARGEBACK_REVERSED = "chargeback_reversed", "Chargeback reversed"
    FEE = "fee", "Fee"
    ADJUSTMENT = "adjustment", "Adjustment"
    RESERVE = "reserve", "Reserve"


class MatchState(State):
    """Whether something was found that belongs to it."""

    UNMATCHED = "unmatched", "Unmatched"
    SUGGESTED = "suggested", "Suggested"
    MATCHED = "matched", "Matched"
    PARTIALLY_MATCHED = "partially_matched", "Partly matched"
    CONFLICTING = "conflicting", "Conflicting"
    EXCLUDED = "excluded", "Excluded"


class Discrepancy(State):
    """How an item of a payout differs from what is known here."""

    MISSING_HERE = "missing_here", "Not known here"
    DUPLICATE = "duplicate", "Paid out before"
    AMOUNT_DIFFERS = "amount_differs", "Another amount here"
    STATUS_DIFFERS = "status_differs", "Another outcome here"


SETTLEMENT_MOVES = Moves(
    {
        (SettlementState.OPEN, "match"): SettlementState.MATCHING,
        (SettlementState.OPEN, "balance"): SettlementState.BALANCED,
        (SettlementState.MATCHING, "balance"): SettlementState.BALANCED,
        (SettlementState.BALANCED, "close"): SettlementState.CLOSED,
        (SettlementState.MATCHING, "close_with_exceptions"): SettlementState.CLOSED_WITH_EXCEPTIONS,
        (SettlementState.BALANCED, "close_with_exceptions"): SettlementState.CLOSED_WITH_EXCEPTIONS,
    }
)
