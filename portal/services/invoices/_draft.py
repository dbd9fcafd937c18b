"""Writing drafts, many at a time; a line's net amount is rounded here, once."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.invoices import InvoiceKind
from portal.domain.users import Actor
from portal.ids import new_id
from portal.services.events import record_events
from portal.services.rulesets import load_rule_set
from portal.sql import execute, stage_rows
from rules.ruleset import CompiledRuleSet

DRAFT_COLUMNS = {
    "id": "uuid",
    "kind": "text",
    "payer_id": "uuid",
    "currency": "text",
    "external_ref": "text",
    "purchase_order_ref": "text",
    "document_on": "date",
    "buyer_reference": "text",
    "cost_centre": "text",
    "payment_ref": "text",
    "period_from": "date",
    "period_to": "date",
    "net_minor": "bigint",
}
LINE_COLUMNS = {
    "invoice_id": "uuid",
    "position": "int",
    "description": "text",
    "quantity": "numeric",
    "unit_price": "numeric",
    "net_minor": "bigint",
    "revenue_code": "text",
    "tax_code": "text",
}


class NewLine(NamedTuple):
    """A line of a draft; the price is exact and may have more decimals than the currency."""

    description: str
    quantity: Decimal
    unit_price: Decimal
    revenue_code: str
    tax_code: str


class NewInvoice(NamedTuple):
    """A draft to be written; the lines of a credit note are positive like those of an invoice."""

    payer_id: UUID
    currency: str
    lines: Sequence[NewLine]
    kind: InvoiceKind = InvoiceKind.INVOICE
    external_ref: str | None = None
    purchase_order_ref: str | None = None
    document_on: date | None = None
    buyer_reference: str | None = None
    cost_centre: str | None = None
    payment_ref: str | None = None
    period_from: date | None = None
    # The last day is part of the period.
    period_to: date | None = None


def draft_invoices(
    *, invoices: Iterable[NewInvoice], on: date, actor: Actor, now: datetime
) -> list[UUID]:
    """Write drafts with their lines and return their ids, in the same order.

    Shape: tax is not computed before the document is issued, so a draft's total is its net amount.
    """
    organisation = (current_organisation_id(),)
    with transaction():
        _, rule_set = load_rule_set(on=on)
        drafts: list[tuple[object, ...]] = []
        lines: list[tuple[object, ...]] = []
        for invoice in invoices:
            invoice_id = new_id()
            net_minor = add_lines(lines, invoice_id, invoice, rule_set)
            drafts.append(
                (
                    invoice_id,
                    invoice.kind.value,
                    invoice.payer_id,
                    invoice.currency,
                    invoice.external_ref,
                    invoice.purchase_order_ref,
                    invoice.document_on or on,
                    invoice.buyer_reference,
                    invoice.cost_centre,
                    invoice.payment_ref,
                    invoice.period_from,
                    invoice.period_to,
                    net_minor,
                )
            )
        stage_rows("staged_drafts", DRAFT_COLUMNS, drafts)
        execute(
            f"INSERT INTO invoices (organisation_id, {_listed(DRAFT_COLUMNS)}, state, total_minor)"
            f" SELECT %s, {_listed(DRAFT_COLUMNS)}, 'draft', net_minor FROM pg_temp.staged_drafts",
            organisation,
        )
        write_lines(lines)
        ids = [UUID(str(draft[0])) for draft in drafts]
        record_events((("invoice.drafted", each) for each in ids), actor=actor, now=now)
        return ids


def write_lines(lines: Iterable[Sequence[object]]) -> None:
    """Append lines that are in the order of LINE_COLUMNS."""
    stage_rows("staged_lines_new", LINE_COLUMNS, lines)
    execute(
        f"INSERT INTO invoice_lines (organisation_id, {_listed(LINE_COLUMNS)})"
        f" SELECT %s, {_listed(LINE_COLUMNS)} FROM pg_temp.staged_lines_new",
        (current_organisation_id(),),
    )


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(columns)


def add_lines(
    lines: list[tuple[object, ...]],
    invoice_id: UUID,
    invoice: NewInvoice,
    rule_set: CompiledRuleSet,
) -> int:
    """Add the lines of a draft to those to be written and return what they come to."""
    net_minor = 0
    for position, line in enumerate(invoice.lines, start=1):
        line_minor = rule_set.line_net_minor(line.quantity, line.unit_price, invoice.currency)
        net_minor += line_minor
        lines.append(
            (
                invoice_id,
                position,
                line.description,
                line.quantity,
                line.unit_price,
                line_minor,
                line.revenue_code,
                line.tax_code,
            )
        )
    return net_minor
