"""Looking at invoices: the list, its CSV, and one document with its money and its history."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import url_for
from flask.typing import ResponseReturnValue

from portal.clock import today
from portal.domain.invoices import (
    AWAITING_INVOICE_STATUSES,
    InvoiceKind,
    InvoiceState,
    InvoiceStatus,
)
from portal.domain.users import Permission
from portal.queries.disputes import list_open_disputes_of_invoice
from portal.queries.invoices import (
    InvoiceRow,
    LineRow,
    get_invoice,
    list_allocations_of,
    list_attempts_of,
    list_history,
    list_lines,
    list_payments_of,
    list_taxes,
    list_uses_of,
)
from portal.queries.reminders import list_reminders_of_invoice
from portal.queries.tables import INVOICE_TABLE
from portal.services.invoices import assess_draft
from portal.web.access import require
from portal.web.htmx import render_part
from portal.web.invoices._blueprint import DOCUMENT, bp
from portal.web.invoices._words import (
    Happening,
    say_happening,
    say_pause,
    say_standing,
    say_untraced,
)
from portal.web.tables import send_csv, show_list
from portal.web.traces import Subject, show_why
from portal.web.visitors import current_organisation, current_visitor
from rules.types import PricedLine

HISTORY_ROWS_MAX = 60
LINES_SHOWN_MAX = 200


@bp.get("/invoices")
@require(Permission.VIEW_INVOICES)
def index() -> ResponseReturnValue:
    """List invoices and credit notes."""
    return show_list(INVOICE_TABLE, page="invoices/list.html")


@bp.get("/invoices.csv")
@require(Permission.VIEW_INVOICES)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(INVOICE_TABLE)


@bp.get(DOCUMENT)
@require(Permission.VIEW_INVOICES)
def show(invoice_id: UUID) -> ResponseReturnValue:
    """Show one document: what it says, what became of it and what can be done now."""
    invoice = get_invoice(invoice_id)
    day = today(current_organisation().zone)
    is_draft = invoice.state is InvoiceState.DRAFT
    assessment = assess_draft(invoice_id=invoice_id, on=day) if is_draft else None
    lines = list_lines(invoice_id)
    if assessment and assessment.price:
        lines = _as_priced(lines, assessment.price.lines)
    is_note = invoice.kind is InvoiceKind.CREDIT_NOTE
    return render_part(
        "invoices/show.html",
        "invoices/show.html",
        invoice=invoice,
        stands=status_on(invoice, day),
        standing=say_standing(invoice, day),
        pause=say_pause(invoice, day),
        lines=lines[:LINES_SHOWN_MAX],
        lines_hidden=max(0, len(lines) - LINES_SHOWN_MAX),
        assessment=assessment,
        taxes=[] if is_draft else list_taxes(invoice_id),
        allocations=list_uses_of(invoice_id) if is_note else list_allocations_of(invoice_id),
        payments=list_payments_of(invoice_id),
        disputes=list_open_disputes_of_invoice(invoice_id),
        attempts=list_attempts_of(invoice_id),
        reminders=[] if is_draft or is_note else list_reminders_of_invoice(invoice_id),
        happenings=_happenings(invoice_id),
        **_actions(invoice),
    )


@bp.get(f"{DOCUMENT}/why")
@require(Permission.VIEW_INVOICES)
def why(invoice_id: UUID) -> ResponseReturnValue:
    """Say why the amounts and the due date are what they are, and why it was refused."""
    invoice = get_invoice(invoice_id)
    title = invoice.number or "Draft"
    address = url_for(".show", invoice_id=invoice_id)
    subject = Subject(invoice_id, title, address, invoice.currency, say_untraced(invoice))
    return show_why(subject)


def _as_priced(lines: list[LineRow], priced: Sequence[PricedLine]) -> list[LineRow]:
    """Show the lines of a draft as the agreement would change and add to them."""
    by_position = {line.position: line for line in lines}
    for each in priced:
        kept = by_position.get(each.position)
        if kept is None:
            text = each.description or ""
            kept = LineRow(each.position, text, Decimal(1), Decimal(0), 0, "", "", None)
        by_position[each.position] = kept._replace(
            unit_price=kept.unit_price if each.unit_price is None else each.unit_price,
            net_minor=each.net_minor,
            revenue_code=each.revenue_code,
            tax_code=each.tax_code,
        )
    return [by_position[position] for position in sorted(by_position)]


def status_on(invoice: InvoiceRow, day: date) -> InvoiceStatus:
    """Say in one word how a document stands on a day, as the list says it."""
    if invoice.state is not InvoiceState.ISSUED:
        return InvoiceStatus(invoice.state.value)
    if invoice.payment_status is None:
        return InvoiceStatus.CREDIT_LEFT if invoice.credit_left_minor else InvoiceStatus.CREDIT_USED
    status = InvoiceStatus(invoice.payment_status.value)
    is_late = invoice.due_on is not None and invoice.due_on < day
    return InvoiceStatus.OVERDUE if is_late and status in AWAITING_INVOICE_STATUSES else status


def _happenings(invoice_id: UUID) -> list[Happening]:
    return [say_happening(row) for row in list_history(invoice_id, HISTORY_ROWS_MAX)]


def _actions(invoice: InvoiceRow) -> dict[str, Any]:
    """Say what this person may do with the document as it stands, and what they lack."""
    may = current_visitor().may
    is_draft = invoice.state is InvoiceState.DRAFT
    is_voidable = invoice.void_refusal is None
    is_owed = invoice.state is InvoiceState.ISSUED and invoice.open_minor > 0
    return {
        "may_edit": is_draft and may(Permission.EDIT_INVOICES),
        "may_issue": is_draft and may(Permission.ISSUE_INVOICES),
        "may_void": is_voidable and may(Permission.VOID_INVOICES),
        "may_record": is_owed and may(Permission.RECORD_PAYMENTS),
        "only_managers_void": is_voidable and not may(Permission.VOID_INVOICES),
    }
