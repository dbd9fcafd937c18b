"""Drafts one at a time, as people and machines write them: written, changed, discarded."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation

from portal.db import current_organisation_id, savepoint, transaction
from portal.domain.invoices import INVOICE_MOVES, InvoiceState
from portal.domain.users import Actor
from portal.services.events import record_event
from portal.services.invoices._check import ExternalRefTaken, check_draft
from portal.services.invoices._draft import NewInvoice, add_lines, draft_invoices, write_lines
from portal.services.invoices._lock import InvoiceNotDraft, lock_document
from portal.services.rulesets import load_rule_set
from portal.sql import execute

HEADER = (
    "kind",
    "payer_id",
    "currency",
    "external_ref",
    "purchase_order_ref",
    "document_on",
    "buyer_reference",
    "cost_centre",
    "payment_ref",
    "period_from",
    "period_to",
    "net_minor",
)


def draft_invoice(*, invoice: NewInvoice, on: date, actor: Actor, now: datetime) -> UUID:
    """Write one draft that a person or a machine hands in, checked whole, and return its id.

    Shape: the rules of issuing are asked when it is issued: a draft may be unfinished.
    Raises: DraftInvalid; DraftPayerMissing; ExternalRefTaken; RuleSetNotFound.
    """
    with transaction():
        tidy = check_draft(invoice, on=on)
        with _reference_kept_free(tidy):
            (invoice_id,) = draft_invoices(invoices=[tidy], on=on, actor=actor, now=now)
        return invoice_id


def change_draft(
    *, invoice_id: UUID, version: int, invoice: NewInvoice, on: date, actor: Actor, now: datetime
) -> int:
    """Replace the header and all lines of a draft and return its new version.

    Shape: `version` is that of the draft which the actor has seen; the event keeps what the header
    said before and says now.
    Raises: InvoiceMissing; InvoiceChanged; InvoiceNotDraft; and what drafting raises.
    """
    with transaction():
        former = lock_document(invoice_id, version)
        if former.state != InvoiceState.DRAFT:
            raise InvoiceNotDraft(label=InvoiceState(former.state).label)
        tidy = check_draft(invoice, on=on, invoice_id=invoice_id)
        _, rule_set = load_rule_set(on=on)
        lines: list[tuple[object, ...]] = []
        header: dict[str, Any] = {
            **{name: getattr(tidy, name) for name in HEADER[:-1]},
            "document_on": tidy.document_on or former.document_on or on,
            "net_minor": add_lines(lines, invoice_id, tidy, rule_set),
        }
        with _reference_kept_free(tidy):
            _write_header(invoice_id, header)
        execute(
            "DELETE FROM invoice_lines WHERE organisation_id = %s AND invoice_id = %s",
            (current_organisation_id(), invoice_id),
        )
        write_lines(lines)
        changed = [name for name in HEADER if getattr(former, name) != header[name]]
        record_event(
            "invoice.changed",
            invoice_id,
            actor=actor,
            now=now,
            details={
                "amount_minor": header["net_minor"],
                "lines_count": len(lines),
                "before": {name: _plain(getattr(former, name)) for name in changed},
                "after": {name: _plain(header[name]) for name in changed},
            },
        )
        new_version: int = former.version + 1
        return new_version


def discard_draft(*, invoice_id: UUID, version: int, actor: Actor, now: datetime) -> None:
    """Discard a draft: it stays to be read, and its reference may be used again.

    Raises: InvoiceMissing; InvoiceChanged; MoveNotAllowed.
    """
    with transaction():
        former = lock_document(invoice_id, version)
        state = INVOICE_MOVES.next(InvoiceState(former.state), "discard")
        execute(
            "UPDATE invoices SET state = %s, version = version + 1"
            " WHERE organisation_id = %s AND id = %s",
            (state.value, current_organisation_id(), invoice_id),
        )
        record_event(INVOICE_MOVES.recorded("discard"), invoice_id, actor=actor, now=now)


@contextmanager
def _reference_kept_free(invoice: NewInvoice) -> Iterator[None]:
    """Answer a rival who took the reference a moment ago as if it had been there before.

    Raises: ExternalRefTaken.
    """
    try:
        with savepoint():
            yield
    except UniqueViolation as taken:
        if taken.diag.constraint_name != "uq_invoices_external_ref":
            raise
        raise ExternalRefTaken(
            external_ref=invoice.external_ref, invoice_id=None, field="external_ref"
        ) from taken


def _write_header(invoice_id: UUID, header: dict[str, Any]) -> None:
    columns = ", ".join(f"{name} = %({name})s" for name in header)
    execute(
        f"UPDATE invoices SET {columns}, tax_minor = 0, total_minor = %(net_minor)s,"
        " version = version + 1 WHERE organisation_id = %(organisation)s AND id = %(id)s",
        {**header, "organisation": current_organisation_id(), "id": invoice_id},
    )


def _plain(value: object) -> object:
    """Write a value of the header so that JSON can hold it."""
    return value if value is None or isinstance(value, int) else str(value)
