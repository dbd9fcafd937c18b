"""The life of a dispute: money of a payment that the payer's bank took back, and our answer."""

from portal.domain.states import Moves, State

RESPONSE_CHARACTERS_MAX = 5_000


class DisputeState(State):
    """How far a dispute has come."""

    NEEDS_RESPONSE = "needs_response", "Needs an answer"
    UNDER_REVIEW = "under_review", "Under review"
    WON = "won", "Won"
    LOST = "lost", "Lost"


DISPUTE_MOVES = Moves(
    {
        (DisputeState.NEEDS_RESPONSE, "answer"): DisputeState.UNDER_REVIEW,
        (DisputeState.NEEDS_RESPONSE, "accept"): DisputeState.LOST,
        (DisputeState.NEEDS_RESPONSE, "win"): DisputeState.WON,
        (DisputeState.NEEDS_RESPONSE, "lose"): DisputeState.LOST,
        (DisputeState.UNDER_REVIEW, "refuse_answer"): DisputeState.NEEDS_RESPONSE,
        (DisputeState.UNDER_REVIEW, "win"): DisputeState.WON,
        (DisputeState.UNDER_REVIEW, "lose"): DisputeState.LOST,
    },
    records={
        "answer": "answered",
        "accept": "accepted",
        "refuse_answer": "answer_refused",
        "win": "won",
        "lose": "lost",
    },
)

# The money is gone and may still come back; nothing of the invoice is collected meanwhile.
OPEN_DISPUTE_STATES = (DisputeState.NEEDS_RESPONSE, DisputeState.UNDER_REVIEW)
# Where a payment waits for a person when a dispute about it was lost; also its reason.
LOST_WORKLIST = "dispute_lost"
DISPUTE_REASONS = {
    "fraudulent": "The payer says that they did not order the payment.",
    "duplicate": "The payer says that they have paid twice.",
    "product_not_received": "The payer says that they did not receive what they paid for.",
    "product_unacceptable": "The payer says that what they received is not what was agreed.",
    "credit_not_processed": "The payer says that money promised back did not come.",
    "unrecognized": "The payer does not recognise the payment.",
}


def say_dispute_reason(code: str | None) -> str:
    """Say in one sentence why a payment is disputed."""
    unknown = f"The payer's bank gives the reason “{code}”." if code else "No reason was given."
    return DISPUTE_REASONS.get(code or "", unknown)
