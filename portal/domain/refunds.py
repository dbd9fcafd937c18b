"""The life of a refund: money of a payment given back to its payer, through the same gateway."""

from portal.domain.states import Moves, State


class RefundState(State):
    """How far a refund has come."""

    REQUESTED = "requested", "Waits for approval"
    APPROVED = "approved", "Approved"
    SUBMITTED = "submitted", "With the gateway"
    SUCCEEDED = "succeeded", "Given back"
    FAILED = "failed", "Failed"
    DECLINED = "declined", "Declined"
    RETURNED = "returned", "Came back"


REFUND_MOVES = Moves(
    {
        (RefundState.REQUESTED, "approve"): RefundState.APPROVED,
        (RefundState.REQUESTED, "decline"): RefundState.DECLINED,
        (RefundState.REQUESTED, "fail"): RefundState.FAILED,
        (RefundState.APPROVED, "submit"): RefundState.SUBMITTED,
        (RefundState.APPROVED, "fail"): RefundState.FAILED,
        (RefundState.SUBMITTED, "not_sent"): RefundState.APPROVED,
        (RefundState.SUBMITTED, "succeed"): RefundState.SUCCEEDED,
        (RefundState.SUBMITTED, "fail"): RefundState.FAILED,
        (RefundState.SUCCEEDED, "return"): RefundState.RETURNED,
    },
    records={
        "approve": "approved",
        "decline": "declined",
        "fail": "failed",
        "submit": "submitted",
        "succeed": "succeeded",
        "return": "returned",
    },
)

# Nothing of these has been given back yet, and each reserves its amount of the payment.
OPEN_REFUND_STATES = (RefundState.REQUESTED, RefundState.APPROVED, RefundState.SUBMITTED)
# What has not left us can be taken back without asking the gateway.
UNSENT_REFUND_STATES = (RefundState.REQUESTED, RefundState.APPROVED)
# Why a refund failed that never reached a gateway.
CHARGE_RETURNED = "charge_returned"
CHARGE_DISPUTED = "charge_disputed"
NOT_REACHED = "not_reached"
REFUND_REASONS = {
    CHARGE_RETURNED: "The payer's bank took the money back before, so nothing is left to give.",
    CHARGE_DISPUTED: "The payer disputed the payment before, so the money is with their bank.",
    NOT_REACHED: "The gateway could not be reached; nothing was sent.",
    "charge_not_refundable": "The gateway says that nothing was collected by this payment.",
    "charge_not_found": "The gateway does not know the payment.",
    "refund_exceeds_charge": "The gateway says that no such amount is left of the payment.",
    "AC04": "The payer's account is closed.",
}
