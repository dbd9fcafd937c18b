"""Invoices and credit notes: drafted, changed, issued, voided."""

from portal.services.invoices._book import IssuedBeforeLast
from portal.services.invoices._change import change_draft, discard_draft, draft_invoice
from portal.services.invoices._check import (
    DraftInvalid,
    DraftPayerMissing,
    DraftProblem,
    ExternalRefTaken,
)
from portal.services.invoices._draft import NewInvoice, NewLine, draft_invoices
from portal.services.invoices._issue import (
    InvoiceBlocked,
    assess_draft,
    issue_invoice,
    issue_invoices,
)
from portal.services.invoices._lock import InvoiceChanged, InvoiceNotDraft
from portal.services.invoices._void import InvoiceNotVoidable, VoidReasonInvalid, void_invoice

__all__ = [
    "DraftInvalid",
    "DraftPayerMissing",
    "DraftProblem",
    "ExternalRefTaken",
    "InvoiceBlocked",
    "InvoiceChanged",
    "InvoiceNotDraft",
    "InvoiceNotVoidable",
    "IssuedBeforeLast",
    "NewInvoice",
    "NewLine",
    "VoidReasonInvalid",
    "assess_draft",
    "change_draft",
    "discard_draft",
    "draft_invoice",
    "draft_invoices",
    "issue_invoice",
    "issue_invoices",
    "void_invoice",
]
