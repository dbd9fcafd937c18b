"""Invoices and credit notes: drafted, changed, issued, voided."""

from portal.services.invoices._book import Draft, IssuedBeforeLast
from portal.services.invoices._change import change_draft, discard_draft, draft_invoice
from portal.services.invoices._charge import book_charges
from portal.services.invoices._check import (
    DraftInvalid,
    DraftPayerMissing,
    DraftProblem,
    ExternalRefTaken,
)
from portal.services.invoices._draft import NewInvoice, NewLine, draft_invoices
from portal.services.invoices._issue import (
    InvoiceBlocked,
    Judged,
    assess_draft,
    facts_of_draft,
    issue_invoice,
    issue_invoices,
    judge_document,
    read_documents,
    result_of,
)
from portal.services.invoices._lock import InvoiceChanged, InvoiceNotDraft
from portal.services.invoices._void import InvoiceNotVoidable, VoidReasonInvalid, void_invoice

__all__ = [
    "Draft",
    "DraftInvalid",
    "DraftPayerMissing",
    "DraftProblem",
    "ExternalRefTaken",
    "InvoiceBlocked",
    "InvoiceChanged",
    "InvoiceNotDraft",
    "InvoiceNotVoidable",
    "IssuedBeforeLast",
    "Judged",
    "NewInvoice",
    "NewLine",
    "VoidReasonInvalid",
    "assess_draft",
    "book_charges",
    "change_draft",
    "discard_draft",
    "draft_invoice",
    "draft_invoices",
    "facts_of_draft",
    "issue_invoice",
    "issue_invoices",
    "judge_document",
    "read_documents",
    "result_of",
    "void_invoice",
]
