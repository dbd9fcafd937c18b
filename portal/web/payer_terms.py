"""The form of how a payer is dealt with: the hold, and what was agreed about paying later."""

from uuid import UUID

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import BooleanField, DateField, HiddenField, SelectChoice, SelectField, TextAreaField
from wtforms.validators import InputRequired, Length, Optional

from portal.clock import now_utc, today
from portal.domain.errors import Conflict, Invalid, PortalError
from portal.domain.payers import Arrangement, PayerTerms
from portal.domain.users import Permission
from portal.queries.payers import PayerRow, get_payer
from portal.services.payer_terms import TERMS_REASON_MAX, TermsInvalid, change_payer_terms
from portal.web.access import require
from portal.web.htmx import render_part
from portal.web.once import answer_once, new_request_key, seen_version
from portal.web.visitors import current_actor, current_organisation

TERMS = '/payers/<public("payer"):payer_id>/terms'
_TOO_LONG = f"Use at most {TERMS_REASON_MAX} characters."

bp = Blueprint("payer_terms", __name__)


class TermsForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """How a payer is to be dealt with, and which version of the payer was seen."""

    request_key = HiddenField()
    version = HiddenField()
    is_on_hold = BooleanField("The payer is on hold")
    arrangement = SelectField(
        "Arrangement",
        choices=[
            SelectChoice("", "None"),
            *(SelectChoice(one.value, one.label) for one in Arrangement),
        ],
    )
    arranged_until = DateField("Last day of the arrangement", [Optional()])
    reason = TextAreaField(
        "Why",
        [InputRequired("Say why."), Length(max=TERMS_REASON_MAX, message=_TOO_LONG)],
    )


@bp.get(TERMS)
@require(Permission.CHANGE_PAYERS)
def ask(payer_id: UUID) -> ResponseReturnValue:
    """Ask how a payer is to be dealt with."""
    payer = get_payer(payer_id)
    form = TermsForm(
        formdata=None,
        request_key=new_request_key(),
        version=str(payer.version),
        is_on_hold=payer.is_on_hold,
        arrangement=payer.arrangement or "",
        arranged_until=payer.arranged_until,
    )
    return _page(payer, form)


@bp.post(TERMS)
@require(Permission.CHANGE_PAYERS)
def change(payer_id: UUID) -> ResponseReturnValue:
    """Deal with a payer in another way from now on."""
    payer, form = get_payer(payer_id), TermsForm()
    if not form.validate_on_submit():
        return _page(payer, form, status=422)

    def work() -> tuple[str, str]:
        change_payer_terms(
            payer_id=payer_id,
            terms=_wanted(form),
            reason=form.reason.data,
            version=seen_version(),
            on=today(current_organisation().zone),
            actor=current_actor(),
            now=now_utc(),
        )
        return url_for("payers.show", payer_id=payer_id), f"{payer.name} is dealt with as you said."

    try:
        return answer_once(work)
    except TermsInvalid as refused:
        form[str(refused.field)].errors = [refused.message]
        return _page(payer, form, status=422)
    except (Invalid, Conflict) as refused:
        return _page(payer, form, refused)


def _wanted(form: TermsForm) -> PayerTerms:
    arrangement = Arrangement(form.arrangement.data) if form.arrangement.data else None
    return PayerTerms(form.is_on_hold.data, arrangement, form.arranged_until.data)


def _page(
    payer: PayerRow, form: TermsForm, refused: PortalError | None = None, *, status: int = 200
) -> ResponseReturnValue:
    if refused:
        status = 409 if isinstance(refused, Conflict) else 422
    return render_part(
        "payers/terms.html",
        "payers/_terms.html",
        status=status,
        payer=payer,
        form=form,
        problem=refused.message if refused else None,
        back=url_for("payers.show", payer_id=payer.id),
    )
