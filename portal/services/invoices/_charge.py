"""Charges: documents for fees and interest, which follow from other documents."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.users import Actor
from portal.services.invoices._book import Draft, Priced, book_documents
from portal.services.invoices._draft import write_lines
from portal.sql import execute, stage_rows
from rules.types import InvoicePrice

Charged = tuple[Draft, InvoicePrice, Sequence[Sequence[object]]]

_COLUMNS = {
    "id": "uuid",
    "kind": "text",
    "state": "text",
    "payer_id": "uuid",
    "currency": "text",
    "purchase_order_ref": "text",
    "buyer_reference": "text",
    "cost_centre": "text",
    "document_on": "date",
    "net_minor": "bigint",
    "total_minor": "bigint",
}


def book_charges(
    charges: Sequence[Charged], *, business_on: date, version: int, actor: Actor, now: datetime
) -> list[UUID]:
    """Write charges with their lines, book and number them, and return their ids in that order.

    Shape: each is a draft that has no row yet, its price, and lines in the order of LINE_COLUMNS;
    the caller has the transaction open.
    Raises: IssuedBeforeLast.
    """
    if not charges:
        return []
    stage_rows(
        "staged_charges",
        _COLUMNS,
        (
            (*(getattr(draft, name) for name in list(_COLUMNS)[:-2]), *([price.net_minor] * 2))
            for draft, price, _ in charges
        ),
    )
    listed = ", ".join(_COLUMNS)
    execute(
        f"INSERT INTO invoices (organisation_id, {listed})"
        f" SELECT %s, {listed} FROM pg_temp.staged_charges",
        (current_organisation_id(),),
    )
    write_lines(line for _, _, lines in charges for line in lines)
    priced = [Priced(draft, price) for draft, price, _ in charges]
    book_documents(priced, business_on=business_on, version=version, actor=actor, now=now)
    return [draft.id for draft, _, _ in charges]
