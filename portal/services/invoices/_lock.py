"""Holding one document while it is changed, by one who has seen its present version."""

from typing import Any
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.errors import Conflict
from portal.domain.invoices import InvoiceState
from portal.queries.invoices import InvoiceMissing, document_number
from portal.sql import fetch_one

_SELECT = (
    f"SELECT i.*, {document_number('i')} AS written_number FROM invoices i"
    " WHERE i.organisation_id = %s AND i.id = %s FOR UPDATE"
)


class InvoiceChanged(Conflict):
    """Somebody changed the document in the meantime; it is “{label}” now. Nothing was saved; load
    it again, look at it, and then decide."""

    label: str
    # The version it has now.
    version: int


class InvoiceNotDraft(Conflict):
    """The document is “{label}”, and this is possible with a draft only. Nothing was changed; look
    at the document."""

    label: str


def lock_document(invoice_id: UUID, version: int) -> Any:
    """Lock one document and return its row, with its number in words, until the transaction ends.

    Raises: InvoiceMissing; InvoiceChanged when it has another version.
    """
    row = fetch_one(_SELECT, (current_organisation_id(), invoice_id))
    if row is None:
        raise InvoiceMissing
    if row.version != version:
        raise InvoiceChanged(label=InvoiceState(row.state).label, version=row.version)
    return row
