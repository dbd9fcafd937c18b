"""Reading one invoice or credit note: the document, what paid it, what happened to it."""

from portal.queries.invoices._document import (
    InvoiceMissing,
    InvoiceRow,
    LineRow,
    TaxRow,
    document_number,
    find_invoice_by_number,
    get_invoice,
    list_invoice_currencies,
    list_lines,
    list_taxes,
)
from portal.queries.invoices._history import HistoryRow, list_history
from portal.queries.invoices._money import (
    AllocationRow,
    InvoiceAttemptRow,
    InvoicePaymentRow,
    list_allocations_of,
    list_attempts_of,
    list_payments_of,
    list_uses_of,
)

__all__ = [
    "AllocationRow",
    "HistoryRow",
    "InvoiceAttemptRow",
    "InvoiceMissing",
    "InvoicePaymentRow",
    "InvoiceRow",
    "LineRow",
    "TaxRow",
    "document_number",
    "find_invoice_by_number",
    "get_invoice",
    "list_allocations_of",
    "list_attempts_of",
    "list_history",
    "list_invoice_currencies",
    "list_lines",
    "list_payments_of",
    "list_taxes",
    "list_uses_of",
]
