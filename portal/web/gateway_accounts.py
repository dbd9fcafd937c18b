"""Gateway accounts as people see them: rate, breaker and brake, and the form of the rate."""

from typing import Any
from uuid import UUID

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, IntegerField, StringField
from wtforms.validators import InputRequired

from portal.clock import now_utc
from portal.domain.errors import Conflict, Invalid, PortalError
from portal.domain.gateway_accounts import BURST_MAX, AccountRate
from portal.domain.money import NumberMalformed, parse_decimal
from portal.domain.users import Permission
from portal.queries.gateway_accounts import (
    AccountStateRow,
    get_account_state,
    list_account_states,
)
from portal.services.gateway_accounts import RateInvalid, set_account_rate
from portal.web.access import require, roles_with
from portal.web.formats import plain_decimal, read_decimal, whole
from portal.web.htmx import render_part
from portal.web.once import answer_once, new_request_key
from portal.web.visitors import current_actor, current_visitor

ACCOUNT = '/gateway-accounts/<public("gateway_account"):gateway_account_id>'

bp = Blueprint("gateway_accounts", __name__)


class RateForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """How fast an account is called, and the rate that was seen."""

    request_key = HiddenField()
    seen_per_second = HiddenField()
    seen_burst = HiddenField()
    per_second = StringField("Calls a second", [InputRequired("Enter how many calls a second.")])
    burst = IntegerField(
        "Calls at once", [InputRequired(f"Enter how many calls at once, 1 to {BURST_MAX}.")]
    )


@bp.get("/gateway-accounts")
@require(Permission.VIEW_MESSAGES)
def index() -> ResponseReturnValue:
    """List the gateway accounts as they stand."""
    return render_part(
        "gateway_accounts/list.html",
        "gateway_accounts/list.html",
        accounts=list_account_states(),
        may_change=current_visitor().may(Permission.CHANGE_RATES),
        changing_roles=[role.label.lower() for role in roles_with(Permission.CHANGE_RATES)],
    )


@bp.get(f"{ACCOUNT}/rate")
@require(Permission.CHANGE_RATES)
def ask_rate(gateway_account_id: UUID) -> ResponseReturnValue:
    """Ask how fast an account is to be called."""
    account = get_account_state(gateway_account_id)
    form = RateForm(
        formdata=None,
        request_key=new_request_key(),
        seen_per_second=str(account.rate.per_second),
        seen_burst=str(account.rate.burst),
        per_second=plain_decimal(account.rate.per_second),
        burst=account.rate.burst,
    )
    return _page(account, form)


@bp.post(f"{ACCOUNT}/rate")
@require(Permission.CHANGE_RATES)
def change_rate(gateway_account_id: UUID) -> ResponseReturnValue:
    """Let an account be called at another rate."""
    account, form = get_account_state(gateway_account_id), RateForm()
    if not form.validate_on_submit():
        return _page(account, form, status=422)

    def work() -> tuple[str, str]:
        wanted = AccountRate(read_decimal(form.per_second.data), form.burst.data)
        set_account_rate(
            gateway_account_id=gateway_account_id,
            rate=wanted,
            seen=_seen(form),
            actor=current_actor(),
            now=now_utc(),
        )
        said = f"{plain_decimal(wanted.per_second)} calls a second, {whole(wanted.burst)} at once"
        return url_for(".index"), f"{account.code} is called at the new rate: {said}."

    try:
        return answer_once(work)
    except NumberMalformed as refused:
        return _marked(account, form, "per_second", refused)
    except RateInvalid as refused:
        return _marked(account, form, str(refused.field), refused)
    except (Invalid, Conflict) as refused:
        return _page(account, form, refused)


def _seen(form: RateForm) -> AccountRate:
    """Read which rate the person saw; one that cannot be read was seen by nobody."""
    try:
        burst = int(form.seen_burst.data or 0)
        return AccountRate(parse_decimal(form.seen_per_second.data or "0"), burst)
    except (ValueError, NumberMalformed):
        return AccountRate(parse_decimal("0"), 0)


def _marked(
    account: AccountStateRow, form: RateForm, name: str, refused: PortalError
) -> ResponseReturnValue:
    form[name].errors = [refused.message]
    return _page(account, form, status=422)


def _page(
    account: AccountStateRow,
    form: RateForm,
    refused: PortalError | None = None,
    *,
    status: int = 200,
    **context: Any,
) -> ResponseReturnValue:
    if refused:
        status = 409 if isinstance(refused, Conflict) else 422
    return render_part(
        "gateway_accounts/rate.html",
        "gateway_accounts/_rate.html",
        status=status,
        account=account,
        form=form,
        problem=refused.message if refused else None,
        back=url_for(".index"),
        **context,
    )
