"""The life of an invoice, the words for its kinds and payment, its number as people write it.

Amounts live in columns; whether an invoice may be voided is decided here, from what they say.
"""

import re
from typing import Final, NamedTuple

from portal.domain.states import Moves, State

# Numbers are written with at least this many digits, so that a year's documents stand in line.
NUMBER_DIGITS_MIN: Final = 6

_NUMBER = re.compile(r"([A-Z]{1,8})-([0-9]{4})-([0-9]{1,18})", re.ASCII)


class InvoiceKind(State):
    """What kind of document it is; all kinds are numbered and posted."""

    INVOICE = "invoice", "Invoice"
    CREDIT_NOTE = "credit_note", "Credit note"
    CORRECTION = "correction", "Correction"
    CHARGE = "charge", "Charge"


class InvoiceState(State):
    """How far a document has come."""

    DRAFT = "draft", "Draft"
    PENDING_APPROVAL = "pending_approval", "Waiting for approval"
    ISSUED = "issued", "Issued"
    VOIDED = "voided", "Void"
    DISCARDED = "discarded", "Discarded"


class PaymentStatus(State):
    """How far an issued invoice is paid; the database generates it from the amounts."""

    UNPAID = "unpaid", "Unpaid"
    IN_PAYMENT = "in_payment", "In payment"
    PARTIALLY_PAID = "partially_paid", "Partly paid"
    PAID = "paid", "Paid"


class InvoiceStatus(State):
    """How a document stands, in one word: the database generates it from state, kind and amounts.

    Shape: OVERDUE is never stored; it is how what waits for payment reads after its due date.
    """

    DRAFT = "draft", "Draft"
    PENDING_APPROVAL = "pending_approval", "Waiting for approval"
    OVERDUE = "overdue", "Overdue"
    UNPAID = "unpaid", "Unpaid"
    PARTIALLY_PAID = "partially_paid", "Partly paid"
    IN_PAYMENT = "in_payment", "In payment"
    PAID = "paid", "Paid"
    CREDIT_LEFT = "credit_left", "Credit left"
    CREDIT_USED = "credit_used", "Credit used"
    VOIDED = "voided", "Void"
    DISCARDED = "discarded", "Discarded"


STORED_INVOICE_STATUSES = tuple(one for one in InvoiceStatus if one is not InvoiceStatus.OVERDUE)
# What becomes overdue when its day has passed: nothing is on its way for it.
AWAITING_INVOICE_STATUSES = (InvoiceStatus.UNPAID, InvoiceStatus.PARTIALLY_PAID)

INVOICE_MOVES = Moves(
    {
        (InvoiceState.DRAFT, "submit"): InvoiceState.PENDING_APPROVAL,
        (InvoiceState.DRAFT, "issue"): InvoiceState.ISSUED,
        (InvoiceState.DRAFT, "discard"): InvoiceState.DISCARDED,
        (InvoiceState.PENDING_APPROVAL, "issue"): InvoiceState.ISSUED,
        (InvoiceState.PENDING_APPROVAL, "send_back"): InvoiceState.DRAFT,
        (InvoiceState.ISSUED, "void"): InvoiceState.VOIDED,
    },
    records={
        "submit": "submitted",
        "issue": "issued",
        "discard": "discarded",
        "send_back": "sent_back",
        "void": "voided",
    },
)


class DocumentNumber(NamedTuple):
    """The number of a document in its parts."""

    series: str
    year: int
    number: int


def format_document_number(number: DocumentNumber) -> str:
    """Write the number of a document as people read it: `INV-2026-000123`."""
    return f"{number.series}-{number.year:04}-{number.number:0{NUMBER_DIGITS_MIN}}"


def parse_document_number(text: str) -> DocumentNumber | None:
    """Read the number of a document; None when it is none.

    Shape: lower case, blanks around it and fewer or more zeros are accepted.
    """
    found = _NUMBER.fullmatch(text.strip().upper())
    if found is None:
        return None
    series, year, number = found.groups()
    return DocumentNumber(series, int(year), int(number))


class VoidFacts(NamedTuple):
    """What decides whether an invoice may be voided; payments of it are counted by what they do.

    Shape: `contradicted_count` counts payments about which the gateway said two things.
    """

    kind: InvoiceKind
    state: InvoiceState
    paid_minor: int
    credited_minor: int
    written_off_minor: int
    in_payment_minor: int
    live_count: int
    scheduled_count: int
    contradicted_count: int


class VoidRefusal(NamedTuple):
    """Why an invoice is not voided, and what to do instead; parts of a sentence."""

    reason: str
    advice: str


_NOT_ISSUED = {
    InvoiceState.DRAFT: VoidRefusal("it is a draft and has no number", "discard it instead"),
    InvoiceState.PENDING_APPROVAL: VoidRefusal("it waits for approval", "send it back instead"),
    InvoiceState.VOIDED: VoidRefusal("it is void already", "look at its credit note"),
    InvoiceState.DISCARDED: VoidRefusal("it was discarded", "there is nothing left to do"),
}


def find_void_refusal(facts: VoidFacts) -> VoidRefusal | None:
    """Say why an invoice may not be voided now, or None when it may."""
    if facts.kind is InvoiceKind.CREDIT_NOTE:
        return VoidRefusal("it is a credit note", "issue an invoice over its amount instead")
    if not INVOICE_MOVES.may(facts.state, "void"):
        return _NOT_ISSUED[facts.state]
    by_credit_note = "write a credit note over what is left instead"
    # What may still bring money comes first: its end decides about the rest.
    refusals = {
        VoidRefusal(
            "the gateway said two things about a payment of it", "settle that payment first"
        ): facts.contradicted_count,
        VoidRefusal("a payment of it is under way", "wait for its result"): (
            facts.live_count or facts.in_payment_minor
        ),
        VoidRefusal("a payment of it is planned", "stop that payment first"): (
            facts.scheduled_count
        ),
        VoidRefusal("it is paid, at least in part", by_credit_note): facts.paid_minor,
        VoidRefusal("it is credited, at least in part", by_credit_note): facts.credited_minor,
        VoidRefusal("it is written off, at least in part", by_credit_note): (
            facts.written_off_minor
        ),
    }
    return next((refusal for refusal, holds in refusals.items() if holds), None)
