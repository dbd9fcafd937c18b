"""The doors of invoices: listed, read, drafted, changed, discarded, issued, voided."""

from typing import Any
from uuid import UUID

from flask import Response, url_for

from portal.api.access import current_actor, current_day, require
from portal.api.answers import answer, check_match
from portal.api.doors import DoorBlueprint, answers, matches, once, patches, takes
from portal.api.invoices._shape import (
    DraftSchema,
    InvoiceSchema,
    TraceSchema,
    VoidSchema,
    new_invoice,
    patched_invoice,
    shown_invoice,
    shown_trace,
)
from portal.api.lists import answer_list, list_schema, lists
from portal.clock import now_utc
from portal.domain.users import Permission
from portal.queries.invoices import InvoiceRow, LineRow, get_invoice, list_lines, list_taxes
from portal.queries.tables import INVOICE_TABLE
from portal.queries.traces import list_traces
from portal.services.invoices import (
    change_draft,
    discard_draft,
    draft_invoice,
    issue_invoice,
    void_invoice,
)

bp = DoorBlueprint("invoices", "Invoices and credit notes.")


@bp.route("/invoices")
@lists(INVOICE_TABLE)
@answers(list_schema(INVOICE_TABLE))
@require(Permission.VIEW_INVOICES)
def list_invoices() -> Response:
    """List invoices and credit notes."""
    return answer_list(INVOICE_TABLE)


@bp.route("/invoices", methods=["POST"])
@takes(DraftSchema)
@once(is_required=False)
@answers(InvoiceSchema, 201, refuses=(404, 409), says="Saved; found at its Location.")
@require(Permission.EDIT_INVOICES)
def add_draft(body: dict[str, Any]) -> Response:
    """Write a draft."""
    invoice_id = draft_invoice(
        invoice=new_invoice(body), on=current_day(), actor=current_actor(), now=now_utc()
    )
    address = url_for("api_invoices.show_invoice", invoice_id=invoice_id)
    return _answer(invoice_id, 201, {"Location": address})


@bp.route("/invoices/<api_id(invoice):invoice_id>")
@answers(InvoiceSchema, refuses=(404,))
@require(Permission.VIEW_INVOICES)
def show_invoice(invoice_id: UUID) -> Response:
    """Show an invoice or credit note with its lines and taxes."""
    return _answer(invoice_id)


@bp.route("/invoices/<api_id(invoice):invoice_id>/trace")
@answers(TraceSchema, refuses=(404,))
@require(Permission.VIEW_INVOICES)
def show_trace(invoice_id: UUID) -> Response:
    """Say which clause of the rules decided what about a document, and with what."""
    return answer(shown_trace(get_invoice(invoice_id), list_traces(invoice_id)))


@bp.route("/invoices/<api_id(invoice):invoice_id>", methods=["PATCH"])
@patches(DraftSchema)
@matches(is_required=True)
@answers(InvoiceSchema, refuses=(404, 409))
@require(Permission.EDIT_INVOICES)
def edit_draft(invoice_id: UUID, patch: dict[str, Any]) -> Response:
    """Change a draft; a list of lines is replaced whole."""
    invoice, lines = _seen(invoice_id, is_required=True)
    change_draft(
        invoice_id=invoice_id,
        version=invoice.version,
        invoice=patched_invoice(invoice, lines, patch),
        on=current_day(),
        actor=current_actor(),
        now=now_utc(),
    )
    return _answer(invoice_id)


@bp.route("/invoices/<api_id(invoice):invoice_id>", methods=["DELETE"])
@takes(None)
@matches(is_required=True)
@answers(None, 204, refuses=(404, 409), says="Discarded: it stays to be read.")
@require(Permission.EDIT_INVOICES)
def drop_draft(invoice_id: UUID) -> Response:
    """Discard a draft."""
    invoice, _ = _seen(invoice_id, is_required=True)
    discard_draft(
        invoice_id=invoice_id, version=invoice.version, actor=current_actor(), now=now_utc()
    )
    return Response(status=204)


@bp.route("/invoices/<api_id(invoice):invoice_id>/issue", methods=["POST"])
@takes(None)
@once(is_required=True)
@matches(is_required=False)
@answers(InvoiceSchema, refuses=(404, 409), says="It has its number.")
@require(Permission.ISSUE_INVOICES)
def issue_draft(invoice_id: UUID) -> Response:
    """Issue a draft as a run would: checked by the agreement, priced, posted, numbered."""
    invoice, _ = _seen(invoice_id, is_required=False)
    issue_invoice(
        invoice_id=invoice_id,
        version=invoice.version,
        on=current_day(),
        actor=current_actor(),
        now=now_utc(),
    )
    return _answer(invoice_id)


@bp.route("/invoices/<api_id(invoice):invoice_id>/void", methods=["POST"])
@takes(VoidSchema)
@once(is_required=True)
@matches(is_required=False)
@answers(InvoiceSchema, refuses=(404, 409), says="It is void by the credit note `voided_by_id`.")
@require(Permission.VOID_INVOICES)
def take_back_invoice(invoice_id: UUID, body: dict[str, Any]) -> Response:
    """Void an issued invoice by a credit note, while nothing of it is paid or on its way."""
    invoice, _ = _seen(invoice_id, is_required=False)
    void_invoice(
        invoice_id=invoice_id,
        version=invoice.version,
        reason=body["reason"],
        on=current_day(),
        actor=current_actor(),
        now=now_utc(),
    )
    return _answer(invoice_id)


def _seen(invoice_id: UUID, *, is_required: bool) -> tuple[InvoiceRow, list[LineRow]]:
    """Read a document and refuse to change one that the sender has seen otherwise."""
    invoice, lines = get_invoice(invoice_id), list_lines(invoice_id)
    shown = shown_invoice(invoice, lines, list_taxes(invoice_id), on=current_day())
    check_match(shown, is_required=is_required)
    return invoice, lines


def _answer(invoice_id: UUID, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    shown = shown_invoice(
        get_invoice(invoice_id), list_lines(invoice_id), list_taxes(invoice_id), on=current_day()
    )
    return answer(shown, status, headers)
