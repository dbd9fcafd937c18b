"""Asking for a refund, and deciding about one that waits for a second person."""

from uuid import UUID

from flask import url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length

from portal.clock import now_utc, today
from portal.domain.errors import Conflict, Forbidden, Invalid, PortalError
from portal.domain.payments import (
    CONTESTED_WORKLISTS,
    REFUNDABLE_PAYMENT_STATES,
    PaymentMethod,
)
from portal.domain.refunds import REFUND_MOVES
from portal.domain.users import Permission
from portal.queries.payments import PaymentRow, get_payment
from portal.queries.refunds import RefundRow, get_refund
from portal.services.refunds import (
    DISPUTED,
    REASON_CHARACTERS_MAX,
    RefundWish,
    approval_limit,
    approve_refund,
    decline_refund,
    request_refund,
)
from portal.web.access import require, roles_with
from portal.web.formats import money, read_amount, typed_amount
from portal.web.htmx import render_part
from portal.web.once import answer_once, new_request_key
from portal.web.refunds._blueprint import OF_PAYMENT, REFUND, bp
from portal.web.visitors import current_actor, current_organisation, current_visitor

_TOO_LONG = f"Say it in at most {REASON_CHARACTERS_MAX} characters."


class RefundForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """How much is to be given back, and why."""

    request_key = HiddenField(validators=[InputRequired()])
    amount = StringField("Amount", [InputRequired("Enter how much is to be given back.")])
    reason = TextAreaField(
        "Reason",
        [
            InputRequired("Say why money is given back."),
            Length(max=REASON_CHARACTERS_MAX, message=_TOO_LONG),
        ],
    )


class DeclineForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """Why a refund is declined."""

    request_key = HiddenField()
    reason = TextAreaField(
        "Reason",
        [
            InputRequired("Say why the refund is declined."),
            Length(max=REASON_CHARACTERS_MAX, message=_TOO_LONG),
        ],
    )


@bp.get(OF_PAYMENT)
@require(Permission.REQUEST_REFUNDS)
def ask_request(payment_id: UUID) -> ResponseReturnValue:
    """Ask how much of a payment is to be given back, and why."""
    payment = get_payment(payment_id)
    form = RefundForm(
        formdata=None,
        request_key=new_request_key(),
        amount=typed_amount(payment.refundable_minor, payment.currency),
    )
    return _request_page(payment, form)


@bp.post(OF_PAYMENT)
@require(Permission.REQUEST_REFUNDS)
def request_one(payment_id: UUID) -> ResponseReturnValue:
    """Ask for a refund."""
    payment = get_payment(payment_id)
    form = RefundForm()
    if not form.validate_on_submit():
        return _request_page(payment, form, status=422)

    def work() -> tuple[str, str]:
        refund_id = request_refund(
            wish=RefundWish(
                payment_id, read_amount(form.amount.data, payment.currency), form.reason.data
            ),
            on=today(current_organisation().zone),
            actor=current_actor(),
            now=now_utc(),
        )
        waits = get_refund(refund_id).needs_approval
        sentence = "It waits for the approval of a second person." if waits else "It is on its way."
        return url_for(".show", refund_id=refund_id), f"The refund was asked for. {sentence}"

    try:
        return answer_once(work)
    except Invalid as refused:
        field = form.reason if refused.field == "reason" else form.amount
        field.errors = [refused.message]
        return _request_page(payment, form, status=422)
    except Conflict as refused:
        return _request_page(get_payment(payment_id), form, refused, status=409)


@bp.get(f"{REFUND}/approve")
@require(Permission.APPROVE_REFUNDS)
def ask_approve(refund_id: UUID) -> ResponseReturnValue:
    """Say what approving means, and ask for it."""
    return _decision_page(get_refund(refund_id), "approve")


@bp.post(f"{REFUND}/approve")
@require(Permission.APPROVE_REFUNDS)
def approve(refund_id: UUID) -> ResponseReturnValue:
    """Let a refund go that another person has asked for."""

    def work() -> tuple[str, str]:
        approve_refund(refund_id=refund_id, actor=current_actor(), now=now_utc())
        return _home(refund_id), "The refund is approved, and on its way to the gateway."

    try:
        return answer_once(work)
    except (Conflict, Forbidden) as refused:
        return _decision_page(get_refund(refund_id), "approve", refused)


@bp.get(f"{REFUND}/decline")
@require(Permission.APPROVE_REFUNDS)
def ask_decline(refund_id: UUID) -> ResponseReturnValue:
    """Ask why a refund is declined."""
    form = DeclineForm(formdata=None, request_key=new_request_key())
    return _decision_page(get_refund(refund_id), "decline", form=form)


@bp.post(f"{REFUND}/decline")
@require(Permission.APPROVE_REFUNDS)
def decline(refund_id: UUID) -> ResponseReturnValue:
    """Say no to a refund."""
    form = DeclineForm()
    if not form.validate_on_submit():
        return _decision_page(get_refund(refund_id), "decline", form=form, status=422)

    def work() -> tuple[str, str]:
        decline_refund(
            refund_id=refund_id, reason=form.reason.data, actor=current_actor(), now=now_utc()
        )
        return _home(refund_id), "The refund is declined; nothing is given back."

    try:
        return answer_once(work)
    except Invalid as refused:
        form.reason.errors = [refused.message]
        return _decision_page(get_refund(refund_id), "decline", form=form, status=422)
    except Conflict as refused:
        return _decision_page(get_refund(refund_id), "decline", refused, form=form)


def why_undecidable(refund: RefundRow) -> str | None:
    """Say why the person cannot decide about a refund that waits; None when they can."""
    roles = " or ".join(role.label.lower() for role in roles_with(Permission.APPROVE_REFUNDS))
    if not current_visitor().may(Permission.APPROVE_REFUNDS):
        return f"a {roles} who has not asked for it decides"
    if refund.requested_by_id is not None and refund.requested_by_id == current_actor().id:
        return f"you asked for it, so another {roles} must decide"
    return None


def _why_not(payment: PaymentRow) -> str | None:
    """Say why nothing of a payment can be given back; None when something can."""
    if payment.is_refundable:
        return None
    if payment.method is not PaymentMethod.MANDATE:
        return "it did not come through a gateway; send the money by bank transfer"
    if payment.is_disputed:
        return DISPUTED
    if payment.worklist in CONTESTED_WORKLISTS:
        return "the gateway has said two things about it; settle that first"
    if payment.state in REFUNDABLE_PAYMENT_STATES:
        return "all of it was given back, or is on its way back"
    return f"the payment is “{payment.state.label.lower()}”"


def _request_page(
    payment: PaymentRow,
    form: RefundForm,
    refused: PortalError | None = None,
    *,
    status: int = 200,
) -> ResponseReturnValue:
    impossible = _why_not(payment)
    return render_part(
        "refunds/new.html",
        "refunds/_new.html",
        status=409 if impossible else status,
        payment=payment,
        form=form,
        problem=refused.message if refused else None,
        impossible=impossible,
        left_minor=payment.refundable_minor,
        limit=money(approval_limit(on=today(current_organisation().zone)), payment.currency),
        back=url_for("payments.show", payment_id=payment.id),
    )


def _decision_page(
    refund: RefundRow,
    name: str,
    refused: PortalError | None = None,
    *,
    form: DeclineForm | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    """Show a page of confirmation; where nothing can be decided it says why and leads back."""
    impossible = None
    if not refused and not REFUND_MOVES.may(refund.state, name):
        impossible = f"the refund is “{refund.state.label.lower()}”"
    elif not refused and name == "approve":
        impossible = why_undecidable(refund)
    if impossible or isinstance(refused, Conflict):
        status = 409
    elif isinstance(refused, Forbidden):
        status = 403
    return render_part(
        f"refunds/{name}.html",
        f"refunds/_{name}.html",
        status=status,
        refund=refund,
        form=form,
        problem=refused.message if refused else None,
        impossible=impossible,
        hidden={"request_key": new_request_key()},
        back=_home(refund.id),
    )


def _home(refund_id: UUID) -> str:
    return url_for("refunds.show", refund_id=refund_id)
