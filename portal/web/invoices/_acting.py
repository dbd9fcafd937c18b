"""Doing something with a document: issuing, voiding, discarding it, recording what was paid."""

from datetime import date
from typing import Any
from uuid import UUID

from flask import url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import (
    DateField,
    HiddenField,
    RadioField,
    SelectChoice,
    StringField,
    TextAreaField,
)
from wtforms.validators import DataRequired, InputRequired, Length, Optional

from portal.clock import now_utc, today
from portal.domain.errors import Conflict, Invalid
from portal.domain.invoices import INVOICE_MOVES, InvoiceKind, InvoiceState
from portal.domain.users import Permission
from portal.queries.invoices import InvoiceRow, get_invoice
from portal.services.invoices import (
    InvoiceBlocked,
    InvoiceNotDraft,
    InvoiceNotVoidable,
    assess_draft,
    discard_draft,
    issue_invoice,
    void_invoice,
)
from portal.services.payments import (
    InvoiceNotPayable,
    SecondLook,
    SimilarPayment,
    record_payment,
)
from portal.web.access import require
from portal.web.formats import money, read_amount, typed_amount
from portal.web.htmx import render_part
from portal.web.invoices._blueprint import DOCUMENT, bp
from portal.web.once import FormSentBefore, answer_once, new_request_key, seen_version
from portal.web.visitors import current_actor, current_organisation

METHODS = [SelectChoice("transfer", "Bank transfer"), SelectChoice("by_hand", "At the desk")]
REFERENCE_CHARACTERS_MAX = 100
REASON_CHARACTERS_MAX = 500


class VersionedForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """A confirmation of something seen: the version says which state of it was seen."""

    version = HiddenField(validators=[InputRequired()])
    request_key = HiddenField(validators=[InputRequired()])


class VoidForm(VersionedForm):
    """Why an invoice is taken back."""

    reason = TextAreaField(
        "Reason", [DataRequired("Say why the invoice is void."), Length(max=REASON_CHARACTERS_MAX)]
    )


class PaymentForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """What a payer paid beside the gateway."""

    request_key = HiddenField(validators=[InputRequired()])
    amount = StringField("Amount", [InputRequired("Enter what was paid.")])
    paid_on = DateField("Paid on", [InputRequired("Enter the day of the payment.")])
    method = RadioField("How", choices=METHODS, default="transfer")
    reference = StringField(
        "Reference", [DataRequired("Enter the reference of the statement or receipt."),
                      Length(max=REFERENCE_CHARACTERS_MAX)]
    )  # fmt: skip
    # The payment that this one resembles and is nevertheless another than.
    other_than = HiddenField(validators=[Optional()])


@bp.get(f"{DOCUMENT}/issue")
@require(Permission.ISSUE_INVOICES)
def ask_issue(invoice_id: UUID) -> ResponseReturnValue:
    """Show what issuing would come to, before it is done."""
    return _confirm_issue(get_invoice(invoice_id))


@bp.post(f"{DOCUMENT}/issue")
@require(Permission.ISSUE_INVOICES)
def issue(invoice_id: UUID) -> ResponseReturnValue:
    """Issue one draft."""

    def work() -> tuple[str, str]:
        issue_invoice(
            invoice_id=invoice_id, version=seen_version(), on=_today(), actor=current_actor(),
            now=now_utc(),
        )  # fmt: skip
        number = get_invoice(invoice_id).number
        return url_for(".show", invoice_id=invoice_id), f"{number} was issued."

    try:
        return answer_once(work)
    except InvoiceBlocked as refused:
        return _confirm_issue(get_invoice(invoice_id), problem=refused.message, status=422)


@bp.get(f"{DOCUMENT}/void")
@require(Permission.VOID_INVOICES)
def ask_void(invoice_id: UUID) -> ResponseReturnValue:
    """Ask why, and say what voiding means.

    Raises: InvoiceMissing; InvoiceNotVoidable.
    """
    invoice = get_invoice(invoice_id)
    refusal = invoice.void_refusal
    if refusal is not None:
        named = f"The document {invoice.number or ''}".strip()
        raise InvoiceNotVoidable(named=named, reason=refusal.reason, advice=refusal.advice)
    form = VoidForm(formdata=None, version=str(invoice.version), request_key=new_request_key())
    return _void_page(invoice, form)


@bp.post(f"{DOCUMENT}/void")
@require(Permission.VOID_INVOICES)
def void(invoice_id: UUID) -> ResponseReturnValue:
    """Void an issued invoice by a full credit note."""
    form = VoidForm()
    if not form.validate_on_submit():
        return _void_page(get_invoice(invoice_id), form, status=422)

    def work() -> tuple[str, str]:
        void_invoice(
            invoice_id=invoice_id, version=seen_version(), reason=form.reason.data, on=_today(),
            actor=current_actor(), now=now_utc(),
        )  # fmt: skip
        invoice = get_invoice(invoice_id)
        sentence = f"{invoice.number} is void; {invoice.voided_by_number} takes it back."
        return url_for(".show", invoice_id=invoice_id), sentence

    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        status = 422 if isinstance(refused, Invalid) else 409
        problem = _place(form, refused)
        return _void_page(get_invoice(invoice_id), form, problem=problem, status=status)


@bp.get(f"{DOCUMENT}/discard")
@require(Permission.EDIT_INVOICES)
def ask_discard(invoice_id: UUID) -> ResponseReturnValue:
    """Ask before a draft is thrown away.

    Raises: InvoiceMissing; InvoiceNotDraft.
    """
    invoice = get_invoice(invoice_id)
    if not INVOICE_MOVES.may(invoice.state, "discard"):
        raise InvoiceNotDraft(label=invoice.state.label)
    return render_part(
        "invoices/discard.html", "invoices/_discard.html", invoice=invoice,
        request_key=new_request_key(),
    )  # fmt: skip


@bp.post(f"{DOCUMENT}/discard")
@require(Permission.EDIT_INVOICES)
def discard(invoice_id: UUID) -> ResponseReturnValue:
    """Discard a draft."""

    def work() -> tuple[str, str]:
        discard_draft(
            invoice_id=invoice_id, version=seen_version(), actor=current_actor(), now=now_utc()
        )
        return url_for(".show", invoice_id=invoice_id), "The draft was discarded."

    return answer_once(work)


@bp.get(f"{DOCUMENT}/payment")
@require(Permission.RECORD_PAYMENTS)
def ask_payment(invoice_id: UUID) -> ResponseReturnValue:
    """Offer to record that all that is open was paid today.

    Raises: InvoiceMissing; InvoiceNotPayable.
    """
    invoice = _payable(invoice_id)
    form = PaymentForm(
        formdata=None,
        request_key=new_request_key(),
        amount=typed_amount(invoice.open_minor, invoice.currency),
        paid_on=_today(),
    )
    return _payment_page(invoice, form)


@bp.post(f"{DOCUMENT}/payment")
@require(Permission.RECORD_PAYMENTS)
def record(invoice_id: UUID) -> ResponseReturnValue:
    """Record a payment, after a second look where it resembles one that is there."""
    form = PaymentForm()
    invoice = _payable(invoice_id)
    amount_minor = _read_paid(form, invoice) if form.validate_on_submit() else None
    if amount_minor is None:
        return _payment_page(invoice, form, status=422)
    paid_on: date = form.paid_on.data

    def work() -> tuple[str, str]:
        record_payment(
            invoice_id=invoice_id, amount_minor=amount_minor, paid_on=paid_on,
            method=form.method.data, reference=form.reference.data, actor=current_actor(),
            now=now_utc(), second_look=SecondLook(_seen_payment(form)),
        )  # fmt: skip
        paid = money(amount_minor, invoice.currency)
        return url_for(".show", invoice_id=invoice_id), f"Payment of {paid} recorded."

    try:
        return answer_once(work)
    except SimilarPayment as found:
        form.other_than.data = found.payment.id.hex
        return _payment_page(invoice, form, similar=found.payment, status=409)
    except (Invalid, Conflict) as refused:
        status = 422 if isinstance(refused, Invalid) else 409
        return _payment_page(invoice, form, problem=_place(form, refused), status=status)


def _payable(invoice_id: UUID) -> InvoiceRow:
    """Return an invoice that money can be recorded for, as it is asked before it is recorded.

    Raises: InvoiceMissing; InvoiceNotPayable.
    """
    invoice = get_invoice(invoice_id)
    if invoice.kind is InvoiceKind.CREDIT_NOTE:
        advice = "Choose the invoice that the payer meant"
        raise InvoiceNotPayable(reason="a credit note is not paid by its payer", advice=advice)
    if invoice.state not in {InvoiceState.ISSUED, InvoiceState.VOIDED}:
        raise InvoiceNotPayable(reason="the invoice is not issued", advice="Issue it first")
    return invoice


def _place(form: VersionedForm | PaymentForm, refused: Invalid | Conflict) -> str | None:
    """Say what the service found at its field, and return what has none, to stand above all."""
    if isinstance(refused, FormSentBefore):
        form.request_key.data = new_request_key()
    if isinstance(refused, Invalid) and refused.field in form:
        form[refused.field].errors = [refused.message]
        return None
    return refused.message


def _read_paid(form: PaymentForm, invoice: InvoiceRow) -> int | None:
    try:
        return read_amount(form.amount.data, invoice.currency)
    except Invalid as refused:
        form.amount.errors = [refused.message]
        return None


def _seen_payment(form: PaymentForm) -> UUID | None:
    """Read which similar payment the person saw; one that cannot be read was seen by nobody."""
    try:
        return UUID(hex=form.other_than.data or "")
    except ValueError:
        return None


def _confirm_issue(
    invoice: InvoiceRow, *, problem: str | None = None, status: int = 200
) -> ResponseReturnValue:
    return render_part(
        "invoices/issue.html", "invoices/_issue.html", status=status, invoice=invoice,
        problem=problem, assessment=assess_draft(invoice_id=invoice.id, on=_today()),
        request_key=new_request_key(),
    )  # fmt: skip


def _void_page(
    invoice: InvoiceRow, form: VoidForm, *, problem: str | None = None, status: int = 200
) -> ResponseReturnValue:
    return render_part(
        "invoices/void.html", "invoices/_void.html", status=status, invoice=invoice, form=form,
        problem=problem,
    )  # fmt: skip


def _payment_page(
    invoice: InvoiceRow, form: PaymentForm, *, status: int = 200, **context: Any
) -> ResponseReturnValue:
    return render_part(
        "invoices/payment.html", "invoices/_payment.html", status=status, invoice=invoice,
        form=form, **context,
    )  # fmt: skip


def _today() -> date:
    return today(current_organisation().zone)
