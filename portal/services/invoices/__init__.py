"""Invoices and credit notes: drafted, issued."""

from portal.services.invoices._draft import NewInvoice, NewLine, draft_invoices
from portal.services.invoices._issue import IssuedBeforeLast, issue_invoices

__all__ = [
    "IssuedBeforeLast",
    "NewInvoice",
    "NewLine",
    "draft_invoices",
    "issue_invoices",
]
