"""Trying a version on one document, chosen by its number or typed in. Nothing is written."""

from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import DateField, FieldList, Form, FormField, SelectChoice, SelectField, StringField
from wtforms.validators import InputRequired, Length, Optional

from portal.clock import today
from portal.domain.errors import Invalid, NotFound
from portal.domain.money import NumberMalformed
from portal.domain.users import Permission
from portal.queries.rulesets import get_rule_set
from portal.services.rulesets import Trial, facts_of_document, try_rule_set
from portal.web.access import require
from portal.web.formats import read_amount, read_decimal
from portal.web.htmx import render_part
from portal.web.rulesets._blueprint import VERSION, bp
from portal.web.rulesets._reading import STAGE_WORDS
from portal.web.visitors import current_organisation
from rules.types import InvoiceFacts, LineFacts, Stage

LINES_MAX = 20
# The stages at which a document is looked at by itself.
STAGES = (Stage.ISSUE, Stage.IMPORT, Stage.DRAFT, Stage.COLLECT, Stage.REMIND)
PAYER_KINDS = ("person", "company", "public_body")


class LineForm(Form):  # type: ignore[misc]  # it carries no types
    """One line to be tried; a row without an amount is none."""

    net = StringField("Net amount", [Optional(), Length(max=40)])
    quantity = StringField("Quantity", [Optional(), Length(max=40)])
    revenue_code = StringField("Revenue", [Optional(), Length(max=100)])
    tax_code = StringField("Tax", [Optional(), Length(max=80)])


class TrialForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """What is to be tried, kept in the address: nothing is changed by it."""

    stage = SelectField(
        "Moment", choices=[SelectChoice(one.value, STAGE_WORDS[one]) for one in STAGES]
    )
    on = DateField("Business date", [InputRequired("Enter the day on which it is met.")])
    document = StringField("Number or reference of a document", [Optional(), Length(max=100)])
    payer_kind = SelectField(
        "Payer",
        choices=[SelectChoice(one, one.replace("_", " ").capitalize()) for one in PAYER_KINDS],
    )
    due_on = DateField("Due date", [Optional()])
    lines = FieldList(FormField(LineForm), min_entries=2, max_entries=LINES_MAX)


@bp.get(f"{VERSION}/test")
@require(Permission.VIEW_RULES)
def test(rule_set_version: int) -> ResponseReturnValue:
    """Say what a version makes of a document."""
    row = get_rule_set(rule_set_version)
    organisation = current_organisation()
    is_asked = "stage" in request.args
    form = TrialForm(
        formdata=request.args if is_asked else None,
        meta={"csrf": False},
        on=today(organisation.zone),
    )
    trial, problem = None, None
    if is_asked and form.validate():
        try:
            trial = _try(form, row.version)
        except (Invalid, NotFound) as refused:
            problem = refused.message
    elif is_asked:
        problem = "Something cannot be read; it is said beside its field."
    has_more = "add" in request.args and len(form.lines) < LINES_MAX
    if has_more:
        form.lines.append_entry({})
    return render_part(
        "rules/test.html",
        "rules/_trial.html",
        status=422 if problem or _has_wrong_line(form) else 200,
        version=row,
        form=form,
        trial=trial,
        problem=problem,
        currency=trial.facts.currency if trial else organisation.currency,
    )


def _try(form: TrialForm, version: int) -> Trial | None:
    """Ask the version about what was chosen; None when a line cannot be read or there is none."""
    document = (form.document.data or "").strip()
    if document:
        facts = facts_of_document(reference=document, on=form.on.data)
    else:
        read = [_read_line(place, line.form) for place, line in enumerate(form.lines, start=1)]
        if _has_wrong_line(form):
            return None
        lines = tuple(line for line in read if line is not None)
        if not lines:
            form.document.errors = ["Give the number of a document, or type a line below."]
            return None
        facts = _facts(form, lines)
    return try_rule_set(version=version, stage=Stage(form.stage.data), facts=facts)


def _facts(form: TrialForm, lines: tuple[LineFacts, ...]) -> InvoiceFacts:
    net_minor = sum(line.net_minor for line in lines)
    return InvoiceFacts(
        invoice_id="",
        kind="invoice",
        currency=current_organisation().currency,
        payer_kind=form.payer_kind.data,
        payer_ref="P-1",
        has_default_payer=False,
        external_ref="A-1",
        purchase_order_ref=None,
        document_on=form.on.data,
        business_date=form.on.data,
        is_duplicate=False,
        lines=lines,
        total_minor=net_minor,
        open_minor=net_minor,
        due_on=form.due_on.data,
    )


def _read_line(place: int, line: Any) -> LineFacts | None:
    if not any((cell.data or "").strip() for cell in (line.net, line.quantity)):
        return None
    net_minor, quantity = 0, None
    try:
        if (line.net.data or "").strip():
            net_minor = read_amount(line.net.data, current_organisation().currency)
    except Invalid as refused:
        line.net.errors = [refused.message]
    try:
        if (line.quantity.data or "").strip():
            quantity = read_decimal(line.quantity.data)
    except NumberMalformed as refused:
        line.quantity.errors = [refused.message]
    revenue_code, tax_code = (
        (cell.data or "").strip() for cell in (line.revenue_code, line.tax_code)
    )
    return LineFacts(place, net_minor, revenue_code, tax_code, quantity)


def _has_wrong_line(form: TrialForm) -> bool:
    wrong = any(cell.errors for line in form.lines for cell in line.form)
    return wrong or bool(form.document.errors)
