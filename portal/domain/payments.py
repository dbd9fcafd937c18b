"""The lives of a payment and of its attempts, and what each answer of a gateway means for them."""

from portal.domain.states import Moves, State


class PaymentState(State):
    """How far a payment has come."""

    SCHEDULED = "scheduled", "Scheduled"
    PROCESSING = "processing", "Processing"
    REQUIRES_ACTION = "requires_action", "Needs the payer"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    PARTIALLY_REFUNDED = "partially_refunded", "Partly refunded"
    REFUNDED = "refunded", "Refunded"


class PaymentMethod(State):
    """How the money of a payment comes; only the first goes through a gateway."""

    MANDATE = "mandate", "Collected by mandate"
    TRANSFER = "transfer", "Bank transfer"
    BY_HAND = "by_hand", "Paid by hand"


class AttemptState(State):
    """How far one try at the gateway has come."""

    CREATED = "created", "Created"
    SENDING = "sending", "Sending"
    PENDING = "pending", "Accepted, result later"
    UNKNOWN = "unknown", "Outcome unknown"
    SUCCEEDED = "succeeded", "Succeeded"
    DECLINED = "declined", "Declined"
    ERRORED = "errored", "Not executed"
    ABORTED = "aborted", "Stopped by a rule"
    RETURNED = "returned", "Returned"


PAYMENT_MOVES = Moves(
    {
        (PaymentState.SCHEDULED, "start"): PaymentState.PROCESSING,
        (PaymentState.SCHEDULED, "cancel"): PaymentState.CANCELLED,
        (PaymentState.SCHEDULED, "fail"): PaymentState.FAILED,
        (PaymentState.PROCESSING, "succeed"): PaymentState.SUCCEEDED,
        (PaymentState.PROCESSING, "retry_later"): PaymentState.SCHEDULED,
        (PaymentState.PROCESSING, "fail"): PaymentState.FAILED,
        (PaymentState.PROCESSING, "ask_payer"): PaymentState.REQUIRES_ACTION,
        (PaymentState.REQUIRES_ACTION, "succeed"): PaymentState.SUCCEEDED,
        (PaymentState.REQUIRES_ACTION, "fail"): PaymentState.FAILED,
        (PaymentState.SUCCEEDED, "retry_later"): PaymentState.SCHEDULED,
        (PaymentState.SUCCEEDED, "fail"): PaymentState.FAILED,
        (PaymentState.SUCCEEDED, "refund_part"): PaymentState.PARTIALLY_REFUNDED,
        (PaymentState.SUCCEEDED, "refund"): PaymentState.REFUNDED,
        (PaymentState.PARTIALLY_REFUNDED, "refund_part"): PaymentState.PARTIALLY_REFUNDED,
        (PaymentState.PARTIALLY_REFUNDED, "refund"): PaymentState.REFUNDED,
        (PaymentState.FAILED, "retry_later"): PaymentState.SCHEDULED,
    }
)

ATTEMPT_MOVES = Moves(
    {
        (AttemptState.CREATED, "send"): AttemptState.SENDING,
        (AttemptState.CREATED, "abort"): AttemptState.ABORTED,
        (AttemptState.SENDING, "accept"): AttemptState.PENDING,
        (AttemptState.SENDING, "succeed"): AttemptState.SUCCEEDED,
        (AttemptState.SENDING, "decline"): AttemptState.DECLINED,
        (AttemptState.SENDING, "error"): AttemptState.ERRORED,
        (AttemptState.SENDING, "lose"): AttemptState.UNKNOWN,
        (AttemptState.SENDING, "not_sent"): AttemptState.CREATED,
        (AttemptState.UNKNOWN, "accept"): AttemptState.PENDING,
        (AttemptState.UNKNOWN, "succeed"): AttemptState.SUCCEEDED,
        (AttemptState.UNKNOWN, "decline"): AttemptState.DECLINED,
        (AttemptState.UNKNOWN, "error"): AttemptState.ERRORED,
        (AttemptState.UNKNOWN, "resend"): AttemptState.SENDING,
        (AttemptState.PENDING, "succeed"): AttemptState.SUCCEEDED,
        (AttemptState.PENDING, "decline"): AttemptState.DECLINED,
        (AttemptState.SUCCEEDED, "return"): AttemptState.RETURNED,
    }
)

OPEN_PAYMENT_STATES = (
    PaymentState.SCHEDULED,
    PaymentState.PROCESSING,
    PaymentState.REQUIRES_ACTION,
)
SETTLED_PAYMENT_STATES = (
    PaymentState.SUCCEEDED,
    PaymentState.PARTIALLY_REFUNDED,
    PaymentState.REFUNDED,
)
REFUNDABLE_PAYMENT_STATES = (PaymentState.SUCCEEDED, PaymentState.PARTIALLY_REFUNDED)
RECORDED_METHODS = (PaymentMethod.TRANSFER, PaymentMethod.BY_HAND)
# The reason of a payment that a person has stopped: its invoice is not collected through the same
# mandate again.
STOPPED_REASON = "stopped"
# What the gateway says contradicts what is booked here: only a person may settle that.
CONTESTED_WORKLISTS = ("conflicting_outcome", "mismatch", "outcome_unknown")
ASKABLE_ATTEMPT_STATES = (AttemptState.PENDING, AttemptState.UNKNOWN)
LIVE_ATTEMPT_STATES = (
    AttemptState.CREATED,
    AttemptState.SENDING,
    AttemptState.PENDING,
    AttemptState.UNKNOWN,
    AttemptState.SUCCEEDED,
)
UNDECIDED_ATTEMPT_STATES = (
    AttemptState.CREATED,
    AttemptState.SENDING,
    AttemptState.PENDING,
    AttemptState.UNKNOWN,
)
