"""Cases: what was expected and did not come, or differs; opened and resolved by a watch.

Each kind says what is wrong, what the portal has done about it already, and what a person can do.
"""

from collections.abc import Mapping
from typing import NamedTuple

from portal.domain.states import Moves, State

CASE_REASON_CHARACTERS_MAX = 500


class CaseState(State):
    """How far a case has come."""

    OPEN = "open", "Open"
    RESOLVED = "resolved", "Resolved itself"
    CLOSED = "closed", "Closed"


CASE_MOVES = Moves(
    {
        (CaseState.OPEN, "resolve"): CaseState.RESOLVED,
        (CaseState.OPEN, "close"): CaseState.CLOSED,
    },
    records={"resolve": "resolved", "close": "closed"},
)


class CaseKind(State):
    """What did not come, or how two records differ."""

    ACKNOWLEDGEMENT_LATE = "acknowledgement_late", "Result is late"
    UNKNOWN_OUTCOME_LATE = "unknown_outcome_late", "Outcome unknown for long"
    WEBHOOK_STUCK = "webhook_stuck", "Arrived message not handled"
    REFUND_LATE = "refund_late", "Refund is late"
    DISPUTE_DUE = "dispute_due", "Dispute waits for our answer"
    RUN_STUCK = "run_stuck", "Run stands still"
    PAYOUT_LATE = "payout_late", "Money not paid out"
    PAYOUT_NOT_ON_BANK = "payout_not_on_bank", "Payout not at the bank"
    CLEARING_AGED = "clearing_aged", "Old balance in between"
    MISSING_HERE = "missing_here", "Only the gateway knows it"
    MISSING_THERE = "missing_there", "The gateway does not know it"
    AMOUNT_DIFFERS = "amount_differs", "Another amount at the gateway"
    STATUS_DIFFERS = "status_differs", "Another outcome at the gateway"
    DUPLICATE = "duplicate", "Charged twice"


class CaseText(NamedTuple):
    """What a kind of case means: what is wrong, what was done already, and what to do."""

    sentence: str
    done: str
    advice: str


_COMPARED = "Both records were compared; nothing was changed here."

CASE_TEXTS: Mapping[CaseKind, CaseText] = {
    CaseKind.ACKNOWLEDGEMENT_LATE: CaseText(
        "The gateway has accepted this order, but has not said yet what became of it.",
        "The gateway is asked again and again; nothing is sent twice.",
        "Ask the gateway's support about our reference. Do not collect it in another way yet.",
    ),
    CaseKind.UNKNOWN_OUTCOME_LATE: CaseText(
        "Nobody knows whether this order was carried out.",
        "The gateway is asked again and again; nothing is sent twice.",
        "Ask the gateway's support about our reference. Do not collect it in another way yet.",
    ),
    CaseKind.REFUND_LATE: CaseText(
        "The gateway has not said yet what became of this refund.",
        "The gateway is asked again and again; nothing is sent twice.",
        "Ask the gateway's support about our reference. Do not give it back in another way yet.",
    ),
    CaseKind.DISPUTE_DUE: CaseText(
        "The payer's bank has taken this money back, and the time to answer is almost over.",
        "The money is booked as gone, and the invoice is not collected meanwhile.",
        "Answer the dispute or accept the loss; without an answer it is lost.",
    ),
    CaseKind.WEBHOOK_STUCK: CaseText(
        "The gateway has reported something that is not booked yet.",
        "The message is kept as it came, and repeats of it change nothing.",
        "Look at the message: it says why. Handle it again once its cause is mended.",
    ),
    CaseKind.RUN_STUCK: CaseText(
        "Parts of this run are free, but no worker takes them.",
        "The workers are rung for again and again; what is done stays done.",
        "Look whether workers are running (`portal doctor`); the run goes on by itself then.",
    ),
    CaseKind.PAYOUT_LATE: CaseText(
        "The gateway has collected this money and has not paid it out.",
        "Payouts are asked for whenever a business day is settled.",
        "Settle the payouts of the last days once more; then ask the gateway for the payout.",
    ),
    CaseKind.PAYOUT_NOT_ON_BANK: CaseText(
        "The gateway says that it has paid out, but the bank has not reported the money.",
        "Each line of the bank is compared with the payouts that wait.",
        "Look whether the statement of the bank is recorded; then ask the gateway for the trace.",
    ),
    CaseKind.CLEARING_AGED: CaseText(
        "This account only carries money onwards, and part of its balance is old.",
        "What comes in is taken to go out in the order of its days; this part is left over.",
        "Look for payouts that are missing or not explained, for refunds the gateway has not taken"
        " off a payout, or for money nobody has assigned.",
    ),
    CaseKind.MISSING_HERE: CaseText(
        "The gateway has moved money for an order that is not known here.",
        _COMPARED,
        "Find out with the gateway who ordered it. It is not in the books.",
    ),
    CaseKind.MISSING_THERE: CaseText(
        "The books say that this money was collected, but the gateway's record does not have it.",
        _COMPARED,
        "Show the gateway its own message about it, and ask for its record.",
    ),
    CaseKind.AMOUNT_DIFFERS: CaseText(
        "The gateway has moved another amount than the books say.",
        _COMPARED,
        "Compare both; give the difference back, or collect it, once it is clear who is right.",
    ),
    CaseKind.STATUS_DIFFERS: CaseText(
        "The gateway says something else about the outcome than the books.",
        _COMPARED,
        "Look for a message that did not arrive or is parked; ask for the outcome once more.",
    ),
    CaseKind.DUPLICATE: CaseText(
        "The gateway has charged the same more than once.",
        _COMPARED,
        "Have the gateway give one charge back, and tell the payer.",
    ),
}

# Watched often: each is found by an index over what is under way.
WORK_KINDS = (
    CaseKind.ACKNOWLEDGEMENT_LATE,
    CaseKind.UNKNOWN_OUTCOME_LATE,
    CaseKind.REFUND_LATE,
    CaseKind.DISPUTE_DUE,
    CaseKind.WEBHOOK_STUCK,
    CaseKind.RUN_STUCK,
)
# Watched now and then: what was collected and booked is summed up for them.
BOOK_KINDS = (CaseKind.PAYOUT_LATE, CaseKind.PAYOUT_NOT_ON_BANK, CaseKind.CLEARING_AGED)
# Known only after a gateway has shown its own record.
DIFFERENCE_KINDS = (
    CaseKind.MISSING_HERE,
    CaseKind.MISSING_THERE,
    CaseKind.AMOUNT_DIFFERS,
    CaseKind.STATUS_DIFFERS,
    CaseKind.DUPLICATE,
)


class CaseSubject(State):
    """What a case is about."""

    ATTEMPT = "attempt", "Attempt"
    INBOX_MESSAGE = "inbox_message", "Arrived message"
    RUN = "run", "Run"
    PAYOUT = "payout", "Payout"
    COLLECTED_DAY = "collected_day", "What was collected on a day"
    LEDGER_ACCOUNT = "ledger_account", "Account of the ledger"
    PAYMENT = "payment", "Payment"
    INVOICE = "invoice", "Invoice"
    REFUND = "refund", "Refund"
    DISPUTE = "dispute", "Dispute"
    GATEWAY_RECORD = "gateway_record", "Record of the gateway"
