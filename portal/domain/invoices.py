"""The life of an invoice and the words for its kinds and payment; amounts live in columns."""

from portal.domain.states import Moves, State


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


INVOICE_MOVES = Moves(
    {
        (InvoiceState.DRAFT, "submit"): InvoiceState.PENDING_APPROVAL,
        (InvoiceState.DRAFT, "issue"): InvoiceState.ISSUED,
        (InvoiceState.DRAFT, "discard"): InvoiceState.DISCARDED,
        (InvoiceState.PENDING_APPROVAL, "issue"): InvoiceState.ISSUED,
        (InvoiceState.PENDING_APPROVAL, "send_back"): InvoiceState.DRAFT,
        (InvoiceState.ISSUED, "void"): InvoiceState.VOIDED,
    }
)
