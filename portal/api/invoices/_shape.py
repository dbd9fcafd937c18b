"""What an invoice looks like outside, and how a draft is written by a machine."""

from datetime import date
from typing import Any

from marshmallow import fields, validate

from portal.api.answers import money, number, shown_id
from portal.api.fields import (
    Day,
    Number,
    PublicId,
    Strict,
    Text,
    amount_of_money,
    calendar_day,
    many,
    moment,
    noun_name,
    own_id,
    state_of,
    whole,
    words,
)
from portal.domain.invoices import (
    AWAITING_INVOICE_STATUSES,
    InvoiceKind,
    InvoiceState,
    InvoiceStatus,
)
from portal.queries.invoices import InvoiceRow, LineRow, TaxRow
from portal.queries.traces import TraceRow
from portal.services.invoices import NewInvoice, NewLine
from rules.types import Stage

DESCRIPTION_CHARACTERS_MAX = 2000
REFERENCE_CHARACTERS_MAX = 100
REASON_CHARACTERS_MAX = 500
CODE_CHARACTERS_MAX = 40
LINES_MAX = 1000
# What an agreement may ask for beyond the references: the member and where it is kept.
_FURTHER = {
    "buyer_reference": "buyer_reference",
    "cost_centre": "cost_centre",
    "payment_reference": "payment_ref",
    "period_from": "period_from",
    "period_to": "period_to",
}
WRITTEN_KINDS = (InvoiceKind.INVOICE, InvoiceKind.CREDIT_NOTE)


class LineSchema(Strict):
    """A line of a document."""

    object = noun_name("line")
    position = whole()
    description = words()
    quantity = words(example="12.5")
    unit_price = words(example="12.5", description="Exact, in the currency of the document.")
    net = amount_of_money()
    revenue_code = words()
    tax_code = words()


class TaxSchema(Strict):
    """The tax of one category of an issued document."""

    object = noun_name("tax")
    tax_code = words()
    rate_bps = whole(description="In hundredths of a percent.")
    net = amount_of_money()
    tax = amount_of_money()


class InvoiceSchema(Strict):
    """An invoice or credit note with its lines and taxes."""

    object = noun_name("invoice")
    id = own_id("invoice")
    number = words(none=True, description="Null while it is a draft.")
    kind = state_of(InvoiceKind)
    state = state_of(InvoiceState)
    status = state_of(InvoiceStatus, description="How it stands today, in one word.")
    payer_id = own_id("payer")
    payer = words()
    currency = words()
    reference = words(none=True, description="What the source system calls it.")
    order = words(none=True, description="The purchase order of the payer.")
    buyer_reference = words(none=True, description="Whom the payer asks to name.")
    cost_centre = words(none=True)
    payment_reference = words(none=True, description="What the payer writes on a transfer.")
    period_from = calendar_day(none=True)
    period_to = calendar_day(none=True, description="The last day that is billed.")
    date = calendar_day(none=True, description="The day of the document.")
    issued = calendar_day(none=True)
    due = calendar_day(none=True)
    net = amount_of_money()
    tax = amount_of_money(description="Nothing before it is issued.")
    total = amount_of_money()
    paid = amount_of_money()
    credited = amount_of_money()
    written_off = amount_of_money()
    in_payment = amount_of_money(description="What payments under way may bring.")
    open = amount_of_money()
    credit_left = amount_of_money(description="What is left of a credit note.")
    corrects_id = own_id("invoice", none=True, description="What a credit note takes back.")
    voided_by_id = own_id("invoice", none=True, description="The credit note that voided it.")
    lines = many(LineSchema)
    taxes = many(TaxSchema)
    created = moment()
    version = whole()


class NewLineSchema(Strict):
    """A line of a draft."""

    description = Text(longest=DESCRIPTION_CHARACTERS_MAX, required=True)
    quantity = Number(required=True)
    unit_price = Number(
        required=True, metadata={"description": "Exact, in the currency of the document."}
    )
    revenue_code = Text(longest=CODE_CHARACTERS_MAX, required=True)
    tax_code = Text(longest=CODE_CHARACTERS_MAX, required=True)


class DraftSchema(Strict):
    """A draft as a machine writes it; taxes and the total follow when it is issued."""

    payer_id = PublicId("payer", required=True)
    currency = fields.String(
        required=True,
        validate=validate.Regexp(r"^[A-Z]{3}\Z", error="It is not a code of ISO 4217 such as EUR."),
        metadata={"pattern": "^[A-Z]{3}$", "example": "EUR"},
    )
    kind = fields.String(
        load_default=InvoiceKind.INVOICE.value,
        validate=validate.OneOf([one.value for one in WRITTEN_KINDS]),
    )
    reference = Text(longest=REFERENCE_CHARACTERS_MAX, allow_none=True, load_default=None)
    order = Text(longest=REFERENCE_CHARACTERS_MAX, allow_none=True, load_default=None)
    buyer_reference = Text(longest=REFERENCE_CHARACTERS_MAX, allow_none=True, load_default=None)
    cost_centre = Text(longest=REFERENCE_CHARACTERS_MAX, allow_none=True, load_default=None)
    payment_reference = Text(longest=REFERENCE_CHARACTERS_MAX, allow_none=True, load_default=None)
    period_from = Day(allow_none=True, load_default=None)
    period_to = Day(
        allow_none=True,
        load_default=None,
        metadata={"description": "The last day that is billed."},
    )
    date = Day(metadata={"description": "The day of the document; today when it is new."})
    lines = fields.List(
        fields.Nested(NewLineSchema), required=True, validate=validate.Length(1, LINES_MAX)
    )


class TraceEntrySchema(Strict):
    """One clause's part in a decision."""

    object = noun_name("trace_entry")
    code = words(description="The clause; empty where the portal itself has decided.")
    sentence = words(example="C104 Issued on 1 Dec 2026, so due on 31 Dec 2026.")
    agreed = words(description="What the clause says in the version that decided.")


class TraceDecisionSchema(Strict):
    """What the rules decided about a document at one moment."""

    object = noun_name("trace_decision")
    stage = state_of(Stage)
    rule_set_version = whole()
    decided_on = calendar_day()
    recorded = moment()
    entries = many(TraceEntrySchema)


class TraceSchema(Strict):
    """Why a document is as it is: the decisions about it, the latest first."""

    object = noun_name("trace")
    invoice_id = own_id("invoice")
    decisions = many(TraceDecisionSchema)


class VoidSchema(Strict):
    """Why an invoice is voided."""

    reason = Text(longest=REASON_CHARACTERS_MAX, required=True)


def new_invoice(body: dict[str, Any]) -> NewInvoice:
    """Turn what a machine wrote into a draft to be saved."""
    return NewInvoice(
        payer_id=body["payer_id"],
        currency=body["currency"],
        lines=_new_lines(body),
        kind=InvoiceKind(body["kind"]),
        external_ref=body["reference"],
        purchase_order_ref=body["order"],
        document_on=body.get("date"),
        **{column: body[member] for member, column in _FURTHER.items()},
    )


def patched_invoice(invoice: InvoiceRow, lines: list[LineRow], patch: dict[str, Any]) -> NewInvoice:
    """Put what a patch says into a draft; what it does not name stays as it was stored.

    Shape: the stored parts are not held against the schema of the API, since people and files
    write drafts as well; the service checks the whole.
    """
    return NewInvoice(
        payer_id=patch.get("payer_id", invoice.payer_id),
        currency=patch.get("currency", invoice.currency),
        lines=_new_lines(patch) if "lines" in patch else [_kept_line(line) for line in lines],
        kind=InvoiceKind(patch.get("kind", invoice.kind)),
        external_ref=patch.get("reference", invoice.external_ref),
        purchase_order_ref=patch.get("order", invoice.purchase_order_ref),
        document_on=patch.get("date", invoice.document_on),
        **{
            column: patch.get(member, getattr(invoice, column))
            for member, column in _FURTHER.items()
        },
    )


def shown_invoice(
    invoice: InvoiceRow, lines: list[LineRow], taxes: list[TaxRow], *, on: date
) -> dict[str, Any]:
    """Write a document; whether it is overdue depends on the day."""
    currency = invoice.currency
    return {
        "object": "invoice",
        "id": shown_id("invoice", invoice.id),
        "number": invoice.number,
        "kind": invoice.kind.value,
        "state": invoice.state.value,
        "status": status_on(invoice, on).value,
        "payer_id": shown_id("payer", invoice.payer_id),
        "payer": invoice.payer_name,
        "currency": currency,
        "reference": invoice.external_ref,
        "order": invoice.purchase_order_ref,
        **{member: getattr(invoice, column) for member, column in _FURTHER.items()},
        "date": invoice.document_on,
        "issued": invoice.issued_on,
        "due": invoice.due_on,
        "net": money(invoice.net_minor, currency),
        "tax": money(invoice.tax_minor, currency),
        "total": money(invoice.total_minor, currency),
        "paid": money(invoice.paid_minor, currency),
        "credited": money(invoice.credited_minor, currency),
        "written_off": money(invoice.written_off_minor, currency),
        "in_payment": money(invoice.in_payment_minor, currency),
        "open": money(invoice.open_minor, currency),
        "credit_left": money(invoice.credit_left_minor, currency),
        "corrects_id": shown_id("invoice", invoice.corrects_id),
        "voided_by_id": shown_id("invoice", invoice.voided_by_id),
        "lines": [_shown_line(line, currency) for line in lines],
        "taxes": [_shown_tax(tax, currency) for tax in taxes],
        "created": invoice.created_at,
        "version": invoice.version,
    }


def shown_trace(invoice: InvoiceRow, rows: list[TraceRow]) -> dict[str, Any]:
    """Write what was decided about a document, in words."""
    return {
        "object": "trace",
        "invoice_id": shown_id("invoice", invoice.id),
        "decisions": [
            {
                "object": "trace_decision",
                "stage": row.stage,
                "rule_set_version": row.rule_set_version,
                "decided_on": row.decided_on,
                "recorded": row.recorded_at,
                "entries": [
                    {
                        "object": "trace_entry",
                        "code": entry.code,
                        "sentence": entry.sentence,
                        "agreed": entry.agreed,
                    }
                    for entry in row.explain(invoice.currency)
                ],
            }
            for row in rows
        ],
    }


def status_on(invoice: InvoiceRow, on: date) -> InvoiceStatus:
    """Say in one word how a document stands on a day, as its list says it."""
    if invoice.state is not InvoiceState.ISSUED:
        return InvoiceStatus(invoice.state.value)
    if invoice.kind is InvoiceKind.CREDIT_NOTE:
        return InvoiceStatus.CREDIT_LEFT if invoice.credit_left_minor else InvoiceStatus.CREDIT_USED
    assert invoice.payment_status is not None, "the database gives each issued invoice one"
    status = InvoiceStatus(invoice.payment_status.value)
    is_late = invoice.due_on is not None and invoice.due_on < on
    return InvoiceStatus.OVERDUE if is_late and status in AWAITING_INVOICE_STATUSES else status


def _new_lines(body: dict[str, Any]) -> list[NewLine]:
    return [NewLine(**line) for line in body["lines"]]


def _kept_line(line: LineRow) -> NewLine:
    return NewLine(
        description=line.description,
        quantity=line.quantity,
        unit_price=line.unit_price,
        revenue_code=line.revenue_code,
        tax_code=line.tax_code,
    )


def _shown_line(line: LineRow, currency: str) -> dict[str, Any]:
    return {
        "object": "line",
        "position": line.position,
        "description": line.description,
        "quantity": number(line.quantity),
        "unit_price": number(line.unit_price),
        "net": money(line.net_minor, currency),
        "revenue_code": line.revenue_code,
        "tax_code": line.tax_code,
    }


def _shown_tax(tax: TaxRow, currency: str) -> dict[str, Any]:
    return {
        "object": "tax",
        "tax_code": tax.tax_code,
        "rate_bps": tax.rate_bps,
        "net": money(tax.net_minor, currency),
        "tax": money(tax.tax_minor, currency),
    }
