"""The tone and the picture of each state's badge."""

from portal.domain.batches import ItemOutcome, RunState
from portal.domain.brakes import BrakeState
from portal.domain.cases import CaseState
from portal.domain.deposits import DepositState
from portal.domain.disputes import DisputeState
from portal.domain.gateway_accounts import BreakerState
from portal.domain.invoices import InvoiceStatus
from portal.domain.messages import InboxState, MessageState
from portal.domain.payers import MandateState
from portal.domain.payments import AttemptState, PaymentState
from portal.domain.refunds import RefundState
from portal.domain.rehearsals import RehearsalChange
from portal.domain.rulesets import RuleSetState
from portal.domain.schedules import DueState
from portal.domain.sequences import SequenceState
from portal.domain.settlements import MatchState, SettlementState
from portal.domain.states import State

# Tone and picture of a badge: colour is never the only sign.
OK = ("ok", "tick")
WARN = ("warn", "again")
BAD = ("bad", "alert")
INFO = ("info", "half")
IDLE = ("idle", "dash")
HOLD = ("hold", "question")
PAUSED = ("hold", "pause")
TONES: dict[State, tuple[str, str]] = {
    RunState.PREPARED: IDLE,
    RunState.AWAITING_APPROVAL: PAUSED,
    RunState.STOPPING: WARN,
    RunState.STOPPED: PAUSED,
    RunState.COMPLETED: OK,
    RunState.FAILED: BAD,
    RunState.ABANDONED: IDLE,
    SequenceState.STOPPED: PAUSED,
    SequenceState.COMPLETED: OK,
    SequenceState.ABANDONED: IDLE,
    ItemOutcome.DONE: OK,
    ItemOutcome.FILTERED: IDLE,
    ItemOutcome.SKIPPED: WARN,
    ItemOutcome.FAILED: BAD,
    ItemOutcome.UNKNOWN: HOLD,
    ItemOutcome.PARKED: PAUSED,
    InvoiceStatus.DRAFT: IDLE,
    InvoiceStatus.PENDING_APPROVAL: PAUSED,
    InvoiceStatus.OVERDUE: BAD,
    InvoiceStatus.UNPAID: INFO,
    InvoiceStatus.PARTIALLY_PAID: WARN,
    InvoiceStatus.IN_PAYMENT: INFO,
    InvoiceStatus.PAID: OK,
    InvoiceStatus.CREDIT_LEFT: INFO,
    InvoiceStatus.CREDIT_USED: IDLE,
    InvoiceStatus.VOIDED: IDLE,
    InvoiceStatus.DISCARDED: IDLE,
    AttemptState.CREATED: IDLE,
    AttemptState.SENDING: INFO,
    AttemptState.PENDING: INFO,
    AttemptState.UNKNOWN: HOLD,
    AttemptState.SUCCEEDED: OK,
    AttemptState.ERRORED: WARN,
    AttemptState.ABORTED: IDLE,
    DepositState.EXPECTED: IDLE,
    DepositState.RECEIVED: INFO,
    DepositState.HELD: OK,
    DepositState.PARTIALLY_APPLIED: INFO,
    DepositState.APPLIED: IDLE,
    DepositState.RELEASE_REQUESTED: WARN,
    DepositState.FORFEITED: IDLE,
    MandateState.DRAFT: IDLE,
    MandateState.SUSPENDED: PAUSED,
    MandateState.CANCELLED: IDLE,
    MandateState.EXPIRED: IDLE,
    CaseState.RESOLVED: OK,
    BreakerState.CLOSED: OK,
    BreakerState.OPEN: BAD,
    BreakerState.PROBING: WARN,
    BrakeState.ACTIVE: BAD,
    BrakeState.RELEASED: OK,
    BrakeState.EXPIRED: IDLE,
    DueState.WAITING: PAUSED,
    DueState.STARTED: OK,
    DueState.MISSED: WARN,
    DueState.REFUSED: BAD,
    InboxState.READY: INFO,
    InboxState.DONE: OK,
    InboxState.PARKED: PAUSED,
    MessageState.READY: INFO,
    MessageState.DONE: OK,
    MessageState.PARKED: PAUSED,
    MessageState.WILL_NOT_SEND: IDLE,
    PaymentState.SCHEDULED: WARN,
    PaymentState.PROCESSING: INFO,
    PaymentState.REQUIRES_ACTION: HOLD,
    PaymentState.SUCCEEDED: OK,
    PaymentState.FAILED: BAD,
    PaymentState.CANCELLED: IDLE,
    PaymentState.PARTIALLY_REFUNDED: IDLE,
    PaymentState.REFUNDED: IDLE,
    DisputeState.NEEDS_RESPONSE: WARN,
    DisputeState.UNDER_REVIEW: INFO,
    DisputeState.WON: OK,
    DisputeState.LOST: BAD,
    RehearsalChange.DIFFERS: INFO,
    RehearsalChange.NEWLY_BLOCKED: BAD,
    RehearsalChange.NO_LONGER_BLOCKED: OK,
    RefundState.REQUESTED: PAUSED,
    RefundState.APPROVED: INFO,
    RefundState.SUBMITTED: INFO,
    RefundState.SUCCEEDED: OK,
    RefundState.FAILED: BAD,
    RefundState.DECLINED: IDLE,
    RefundState.RETURNED: WARN,
}

# Nouns may store the same word, which is one key of a dictionary: those that look otherwise than
# the one that has it above say so here.
OWN_TONES: dict[type[State], dict[State, tuple[str, str]]] = {
    AttemptState: {AttemptState.DECLINED: BAD, AttemptState.RETURNED: BAD},
    CaseState: {CaseState.OPEN: WARN, CaseState.CLOSED: IDLE},
    DepositState: {DepositState.RELEASED: IDLE},
    MandateState: {MandateState.ACTIVE: OK, MandateState.REQUESTED: INFO},
    RuleSetState: {RuleSetState.ACTIVE: OK, RuleSetState.REQUESTED: PAUSED},
    RunState: {RunState.STARTED: INFO},
    MatchState: {
        MatchState.UNMATCHED: HOLD,
        MatchState.SUGGESTED: INFO,
        MatchState.MATCHED: OK,
        MatchState.PARTIALLY_MATCHED: WARN,
        MatchState.CONFLICTING: BAD,
    },
    SettlementState: {
        SettlementState.OPEN: INFO,
        SettlementState.MATCHING: HOLD,
        SettlementState.BALANCED: INFO,
        SettlementState.CLOSED: OK,
        SettlementState.CLOSED_WITH_EXCEPTIONS: WARN,
    },
}


def tone_of(state: State) -> tuple[str, str]:
    """Return the tone and the picture of a state's badge."""
    return OWN_TONES.get(type(state), {}).get(state) or TONES.get(state, IDLE)
