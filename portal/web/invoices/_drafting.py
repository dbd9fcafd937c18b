"""Writing drafts: a payer is chosen first, then the lines are entered as on paper."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import (
    DateField,
    FieldList,
    Form,
    FormField,
    HiddenField,
    SelectChoice,
    SelectField,
    StringField,
)
from wtforms.validators import InputRequired, Length, Optional

from portal.clock import now_utc, today
from portal.domain.errors import Conflict, Invalid
from portal.domain.invoices import InvoiceKind, InvoiceState
from portal.domain.money import NumberMalformed
from portal.domain.users import Permission
from portal.ids import parse_public_id, public_id
from portal.queries.invoices import (
    InvoiceRow,
    get_invoice,
    list_invoice_currencies,
    list_lines,
)
from portal.queries.payers import PayerRow, get_payer
from portal.queries.tables import PAYER_TABLE, parse_request, read_page
from portal.services.invoices import (
    DraftInvalid,
    ExternalRefTaken,
    InvoiceNotDraft,
    NewInvoice,
    NewLine,
    change_draft,
    draft_invoice,
)
from portal.services.rulesets import list_revenue_codes, list_tax_codes
from portal.web.access import require
from portal.web.formats import plain_decimal, rate, read_decimal
from portal.web.htmx import redirect_part, render_part
from portal.web.invoices._blueprint import DOCUMENT, bp
from portal.web.once import FormSentBefore, answer_once, new_request_key, seen_version
from portal.web.visitors import current_actor, current_organisation

LINES_MAX = 200
# How the form counts its lines; any other number is that of a line which it would drop.
PLACES = frozenset(str(place) for place in range(LINES_MAX))
LINES_AT_FIRST = 3
PAYERS_OFFERED = "20"
KINDS = [
    SelectChoice(kind.value, kind.label) for kind in (InvoiceKind.INVOICE, InvoiceKind.CREDIT_NOTE)
]


# What a draft may say besides; an agreement can ask for each of them.
FURTHER = "buyer_reference", "cost_centre", "payment_ref", "period_from", "period_to"


class TooManyLines(Conflict):
    """The draft has {lines_count} lines, and this form holds {lines_max}. Nothing was changed;
    correct the draft in the system that it came from, or discard it and write a shorter one."""

    lines_count: int
    lines_max: int


class LineForm(Form):  # type: ignore[misc]  # it carries no types
    """One line; a row without description, quantity and price is none."""

    description = StringField("Description", [Optional(), Length(max=2000)])
    quantity = StringField("Quantity", [Optional()])
    unit_price = StringField("Unit price", [Optional()])
    # Typed: an agreement need not list the codes, and the first one of all is known to nobody.
    revenue_code = StringField("Revenue", [Optional(), Length(max=100)])
    tax_code = SelectField("Tax", validate_choice=False)

    @property
    def is_blank(self) -> bool:
        """Whether nothing was entered in this row."""
        entered = (self.description.data, self.quantity.data, self.unit_price.data)
        return not any((text or "").strip() for text in entered)


class DraftForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """The head and the lines of a draft."""

    request_key = HiddenField(validators=[InputRequired()])
    version = HiddenField()
    kind = SelectField("Kind", choices=KINDS)
    currency = SelectField("Currency", validate_choice=False)
    document_on = DateField("Document date", [InputRequired("Enter the date of the document.")])
    external_ref = StringField("Reference", [Optional(), Length(max=100)])
    purchase_order_ref = StringField("Order of the payer", [Optional(), Length(max=100)])
    buyer_reference = StringField("Buyer reference", [Optional(), Length(max=100)])
    cost_centre = StringField("Cost centre", [Optional(), Length(max=100)])
    payment_ref = StringField("Payment reference", [Optional(), Length(max=100)])
    period_from = DateField("Period from", [Optional()])
    period_to = DateField("Period to", [Optional()])
    lines = FieldList(FormField(LineForm), min_entries=1, max_entries=LINES_MAX)


@bp.get("/invoices/new")
@require(Permission.EDIT_INVOICES)
def new() -> ResponseReturnValue:
    """Show the form of a draft; without a payer, let one be chosen first."""
    payer = _payer()
    if payer is None:
        return _choose_payer()
    form = DraftForm(
        formdata=None,
        request_key=new_request_key(),
        currency=current_organisation().currency,
        document_on=today(current_organisation().zone),
        lines=[_new_line()] * LINES_AT_FIRST,
    )
    return _draft_page(form, payer=payer, action=_new_address(payer))


@bp.post("/invoices/new")
@require(Permission.EDIT_INVOICES)
def create() -> ResponseReturnValue:
    """Write a draft.

    Raises: TooManyLines.
    """
    payer = _payer()
    if payer is None:
        return redirect_part(url_for(".new"))
    form = _sent_form()
    action = _new_address(payer)
    if "add" in request.form:
        return _with_a_line_more(form, payer=payer, action=action)
    draft = _read_draft(form, payer.id)
    if draft is None:
        return _draft_page(form, payer=payer, action=action, status=422)

    def work() -> tuple[str, str]:
        invoice_id = draft_invoice(
            invoice=draft, on=today(current_organisation().zone), actor=current_actor(),
            now=now_utc(),
        )  # fmt: skip
        return url_for(".show", invoice_id=invoice_id), "The draft was saved."

    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        return _refused_page(form, refused, payer=payer, action=action)


@bp.get(f"{DOCUMENT}/edit")
@require(Permission.EDIT_INVOICES)
def edit(invoice_id: UUID) -> ResponseReturnValue:
    """Show the form with what the draft says.

    Raises: InvoiceMissing; InvoiceNotDraft; TooManyLines.
    """
    invoice = get_invoice(invoice_id)
    if invoice.state is not InvoiceState.DRAFT:
        raise InvoiceNotDraft(label=invoice.state.label)
    if invoice.lines_count > LINES_MAX:
        raise TooManyLines(lines_count=invoice.lines_count, lines_max=LINES_MAX)
    form = DraftForm(formdata=None, request_key=new_request_key(), **_said_by(invoice))
    return _draft_page(
        form, payer=get_payer(invoice.payer_id), invoice=invoice,
        action=url_for(".change", invoice_id=invoice_id),
    )  # fmt: skip


@bp.post(f"{DOCUMENT}/edit")
@require(Permission.EDIT_INVOICES)
def change(invoice_id: UUID) -> ResponseReturnValue:
    """Save a draft that was changed; what somebody else saved meanwhile is not overwritten.

    Raises: InvoiceMissing; TooManyLines.
    """
    invoice = get_invoice(invoice_id)
    form = _sent_form()
    place: dict[str, Any] = {
        "payer": get_payer(invoice.payer_id),
        "invoice": invoice,
        "action": url_for(".change", invoice_id=invoice_id),
    }
    if "add" in request.form:
        return _with_a_line_more(form, **place)
    draft = _read_draft(form, invoice.payer_id)
    if draft is None:
        return _draft_page(form, status=422, **place)

    def work() -> tuple[str, str]:
        change_draft(
            invoice_id=invoice_id, version=seen_version(), invoice=draft,
            on=today(current_organisation().zone), actor=current_actor(), now=now_utc(),
        )  # fmt: skip
        return url_for(".show", invoice_id=invoice_id), "The draft was saved."

    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        return _refused_page(form, refused, **place)


def _payer() -> PayerRow | None:
    payer_id = parse_public_id("payer", request.args.get("payer", ""))
    return get_payer(payer_id) if payer_id is not None else None


def _new_address(payer: PayerRow) -> str:
    return url_for(".create", payer=public_id("payer", payer.id))


def _choose_payer() -> ResponseReturnValue:
    """Offer the payers whose names begin with what was typed, or the first ones."""
    text = " ".join(request.args.get("text", "").split())[:200].replace("\0", "")
    arguments = [("limit", PAYERS_OFFERED), *([("text", text)] if text else [])]
    organisation = current_organisation()
    asked = parse_request(
        PAYER_TABLE, arguments, today=today(organisation.zone), currency=organisation.currency
    )
    page = read_page(PAYER_TABLE, asked)
    payers = [dict(zip(PAYER_TABLE.places(), row, strict=True)) for row in page.rows]
    return render_part(
        "invoices/choose_payer.html", "invoices/_payers.html", payers=payers, text=text,
        has_more=page.older is not None,
    )  # fmt: skip


def _said_by(invoice: InvoiceRow) -> dict[str, Any]:
    return {
        "version": str(invoice.version),
        "kind": invoice.kind.value,
        "currency": invoice.currency,
        "document_on": invoice.document_on,
        "external_ref": invoice.external_ref,
        "purchase_order_ref": invoice.purchase_order_ref,
        **{name: getattr(invoice, name) for name in FURTHER},
        "lines": [
            {
                "description": line.description,
                "quantity": plain_decimal(line.quantity),
                "unit_price": plain_decimal(line.unit_price),
                "revenue_code": line.revenue_code,
                "tax_code": line.tax_code,
            }
            for line in list_lines(invoice.id)
        ],
    }


def _sent_form() -> DraftForm:
    """Read the form that was sent, with every line that was.

    Raises: TooManyLines.
    """
    # Cut as the list of fields cuts names, which is not told of what it leaves out.
    rests = (name[len("lines-") :] for name in request.form if name.startswith("lines"))
    places = {place for place in (rest.partition("-")[0] for rest in rests) if place.isdigit()}
    if not places <= PLACES:
        raise TooManyLines(lines_count=max(len(places), LINES_MAX + 1), lines_max=LINES_MAX)
    return DraftForm()


def _read_draft(form: DraftForm, payer_id: UUID) -> NewInvoice | None:
    """Read what was entered; None when a value cannot be read, which is said at its field."""
    is_valid = form.validate_on_submit()
    lines = []
    for entry in form.lines:
        line = entry.form
        if line.is_blank:
            continue
        quantity = _read_number(line.quantity, missing="1")
        unit_price = _read_number(line.unit_price)
        if quantity is None or unit_price is None:
            is_valid = False
            continue
        lines.append(
            NewLine(
                description=line.description.data or "",
                quantity=quantity,
                unit_price=unit_price,
                revenue_code=line.revenue_code.data or "",
                tax_code=line.tax_code.data or "",
            )
        )
    if not is_valid:
        return None
    return NewInvoice(
        payer_id=payer_id,
        currency=form.currency.data,
        lines=lines,
        kind=InvoiceKind(form.kind.data),
        external_ref=form.external_ref.data or None,
        purchase_order_ref=form.purchase_order_ref.data or None,
        document_on=form.document_on.data,
        **{name: form[name].data or None for name in FURTHER},
    )


def _read_number(field: Any, *, missing: str = "") -> Decimal | None:
    text = (field.data or "").strip() or missing
    if not text:
        field.errors = [f"{field.label.text}: enter what one unit costs."]
        return None
    try:
        return read_decimal(text)
    except NumberMalformed as refused:
        field.errors = [
            f"“{refused.text}” is not a number: {refused.reason}; write it as {refused.example}."
        ]
        return None


def _new_line() -> dict[str, Any]:
    """Fill in of a line what is the same most of the time."""
    known = list_revenue_codes(on=today(current_organisation().zone))
    return {"revenue_code": known[0] if known else ""}


def _with_a_line_more(form: DraftForm, **place: Any) -> ResponseReturnValue:
    if len(form.lines) < LINES_MAX:
        form.lines.append_entry(_new_line())
    return _draft_page(form, **place)


def _refused_page(
    form: DraftForm, refused: Invalid | Conflict, **place: Any
) -> ResponseReturnValue:
    """Show the form with what the service found, at its fields where they are in the form."""
    problem: str | None = refused.message
    if isinstance(refused, FormSentBefore):
        form.request_key.data = new_request_key()
    if isinstance(refused, ExternalRefTaken):
        form.external_ref.errors = [refused.message]
        problem = None
    if isinstance(refused, DraftInvalid):
        filled = [entry.form for entry in form.lines if not entry.form.is_blank]
        placed = [_say_at_field(form, filled, one.field, one.reason) for one in refused.problems]
        problem = None if all(placed) else problem
    return _draft_page(
        form, problem=problem, status=409 if isinstance(refused, Conflict) else 422, **place
    )


def _say_at_field(form: DraftForm, lines: list[Any], name: str, reason: str) -> bool:
    head, _, rest = name.partition(".")
    holder: Any = form
    if head == "lines" and rest:
        place, _, head = rest.partition(".")
        holder = lines[int(place)] if int(place) < len(lines) else None
    field = getattr(holder, head, None)
    if field is None or head == "lines":
        return False
    field.errors = [*field.errors, f"{field.label.text}: {reason}."]
    return True


def _draft_page(
    form: DraftForm, *, payer: PayerRow, action: str, status: int = 200, **context: Any
) -> ResponseReturnValue:
    day = today(current_organisation().zone)
    taxes = [
        (tax.tax_code, f"{tax.tax_code} · {rate(tax.rate_bps)}") for tax in list_tax_codes(on=day)
    ]
    _offer(form.currency, [(code, code) for code in list_invoice_currencies()])
    for entry in form.lines:
        _offer(entry.form.tax_code, taxes)
    # What was found after the form's own checks is not among its errors by itself.
    wrong = [entry.errors for entry in form.lines]
    form.lines.errors = wrong if any(wrong) else form.lines.errors
    return render_part(
        "invoices/edit.html", "invoices/edit.html", status=status, form=form, payer=payer,
        action=action, revenue_codes=list_revenue_codes(on=day), **context,
    )  # fmt: skip


def _offer(field: Any, choices: list[tuple[str, str]]) -> None:
    """Offer choices beside what the field holds, which would otherwise turn into the first one."""
    is_offered = not field.data or field.data in {value for value, _ in choices}
    offered = choices if is_offered else [(field.data, field.data), *choices]
    field.choices = [SelectChoice(value, words) for value, words in offered]
