"""Deciding about a payment: try it now, move its next try, stop it, ask the gateway about it."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from flask import request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import DateField, HiddenField, TextAreaField
from wtforms.validators import InputRequired, Length

from portal.clock import now_utc, today
from portal.domain.errors import Conflict, Invalid, PortalError
from portal.domain.users import Permission
from portal.queries.payments import PaymentRow, get_payment
from portal.services.payments import (
    MOVE_DAYS_MAX,
    MoveReasonInvalid,
    RetryDayInvalid,
    StopReasonInvalid,
    ask_gateway_now,
    list_attempts_max,
    move_retry,
    retry_payment_now,
    stop_payment,
)
from portal.web.access import require
from portal.web.formats import day, money
from portal.web.htmx import render_part
from portal.web.once import answer_once, new_request_key
from portal.web.payments._actions import why_not
from portal.web.payments._blueprint import PAYMENT, bp
from portal.web.payments._words import say_ordinal
from portal.web.visitors import current_actor, current_organisation

REASON_CHARACTERS_MAX = 500
VERSION_DIGITS_MAX = 9


class StopForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """Why a payment is tried no more, and which version of it was seen."""

    version = HiddenField()
    request_key = HiddenField()
    reason = TextAreaField(
        "Reason",
        [
            InputRequired("Say why the payment is stopped."),
            Length(
                max=REASON_CHARACTERS_MAX,
                message=f"Say it in at most {REASON_CHARACTERS_MAX} characters.",
            ),
        ],
    )


class MoveForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """For which day the next try is planned instead, why, and which version was seen."""

    version = HiddenField()
    request_key = HiddenField()
    day = DateField("New day", [InputRequired("Enter the day of the next try.")])
    reason = TextAreaField(
        "Reason",
        [
            InputRequired("Say why the try is moved."),
            Length(
                max=REASON_CHARACTERS_MAX,
                message=f"Say it in at most {REASON_CHARACTERS_MAX} characters.",
            ),
        ],
    )


@bp.get(f"{PAYMENT}/retry")
@require(Permission.CONTROL_PAYMENTS)
def ask_retry(payment_id: UUID) -> ResponseReturnValue:
    """Say what trying now would do, and ask for it."""
    return _retry_page(get_payment(payment_id))


@bp.post(f"{PAYMENT}/retry")
@require(Permission.CONTROL_PAYMENTS)
def retry(payment_id: UUID) -> ResponseReturnValue:
    """Try a payment now."""

    def work() -> tuple[str, str]:
        retry_payment_now(
            payment_id=payment_id,
            version=_version(),
            on=today(current_organisation().zone),
            actor=current_actor(),
            now=now_utc(),
        )
        return _home(payment_id), "A new attempt is on its way to the gateway."

    return _answer(payment_id, work, _retry_page)


@bp.get(f"{PAYMENT}/move")
@require(Permission.CONTROL_PAYMENTS)
def ask_move(payment_id: UUID) -> ResponseReturnValue:
    """Ask for another day for the next try, and why."""
    payment = get_payment(payment_id)
    form = MoveForm(
        formdata=None,
        day=payment.next_attempt_on,
        version=str(payment.version),
        request_key=new_request_key(),
    )
    return _move_page(payment, form)


@bp.post(f"{PAYMENT}/move")
@require(Permission.CONTROL_PAYMENTS)
def move(payment_id: UUID) -> ResponseReturnValue:
    """Plan the next try of a payment for another day."""
    form = MoveForm()
    if not form.validate_on_submit():
        return _move_page(get_payment(payment_id), form, status=422)
    chosen: date = form.day.data

    def work() -> tuple[str, str]:
        move_retry(
            payment_id=payment_id,
            version=_version(),
            day=chosen,
            reason=form.reason.data,
            on=today(current_organisation().zone),
            actor=current_actor(),
            now=now_utc(),
        )
        return _home(payment_id), f"The next try is planned for {day(chosen).striptags()} now."

    def again(payment: PaymentRow, refused: PortalError) -> ResponseReturnValue:
        if not isinstance(refused, MoveReasonInvalid | RetryDayInvalid):
            return _move_page(payment, form, refused)
        form[str(refused.field)].errors = [refused.message]
        return _move_page(payment, form, status=422)

    return _answer(payment_id, work, again)


@bp.get(f"{PAYMENT}/stop")
@require(Permission.CONTROL_PAYMENTS)
def ask_stop(payment_id: UUID) -> ResponseReturnValue:
    """Ask why a payment is to be stopped, and say what it means."""
    payment = get_payment(payment_id)
    form = StopForm(formdata=None, version=str(payment.version), request_key=new_request_key())
    return _stop_page(payment, form)


@bp.post(f"{PAYMENT}/stop")
@require(Permission.CONTROL_PAYMENTS)
def stop(payment_id: UUID) -> ResponseReturnValue:
    """Stop a payment, or take it off its worklist."""
    form = StopForm()
    if not form.validate_on_submit():
        return _stop_page(get_payment(payment_id), form, status=422)

    def work() -> tuple[str, str]:
        stop_payment(
            payment_id=payment_id,
            version=_version(),
            reason=form.reason.data,
            actor=current_actor(),
            now=now_utc(),
        )
        return _home(payment_id), "The payment is stopped; it is not tried again."

    def again(payment: PaymentRow, refused: PortalError) -> ResponseReturnValue:
        if not isinstance(refused, StopReasonInvalid):
            return _stop_page(payment, form, refused)
        form.reason.errors = [refused.message]
        return _stop_page(payment, form, status=422)

    return _answer(payment_id, work, again)


@bp.get(f"{PAYMENT}/query")
@require(Permission.CONTROL_PAYMENTS)
def ask_query(payment_id: UUID) -> ResponseReturnValue:
    """Say what asking the gateway does, and ask for it."""
    return _query_page(get_payment(payment_id))


@bp.post(f"{PAYMENT}/query")
@require(Permission.CONTROL_PAYMENTS)
def query(payment_id: UUID) -> ResponseReturnValue:
    """Have the gateway asked at once what became of a payment."""

    def work() -> tuple[str, str]:
        ask_gateway_now(payment_id=payment_id, actor=current_actor(), now=now_utc())
        sentence = "The gateway is being asked; what it answers appears here in a moment."
        return _home(payment_id), sentence

    return _answer(payment_id, work, _query_page)


def _answer(
    payment_id: UUID,
    work: Callable[[], tuple[str, str]],
    again: Callable[..., ResponseReturnValue],
) -> ResponseReturnValue:
    """Do the work once; what is refused is said on the page that asked for it."""
    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        return again(get_payment(payment_id), refused)


def _retry_page(payment: PaymentRow, refused: PortalError | None = None) -> ResponseReturnValue:
    planned = list_attempts_max(
        payment_ids=[payment.id], on=today(current_organisation().zone)
    ).get(payment.id, 0)
    collected_minor = payment.amount_minor
    if payment.invoice_open_minor is not None:
        collected_minor = min(collected_minor, payment.invoice_open_minor)
    return _page(
        payment,
        "retry",
        refused,
        ordinal=say_ordinal(payment.attempts_count + 1).lower(),
        attempts_max=planned,
        collected=money(collected_minor, payment.currency),
    )


def _move_page(
    payment: PaymentRow, form: MoveForm, refused: PortalError | None = None, *, status: int = 200
) -> ResponseReturnValue:
    first_on = today(current_organisation().zone)
    last_on = first_on + timedelta(days=MOVE_DAYS_MAX)
    form.day.render_kw = {"min": first_on.isoformat(), "max": last_on.isoformat()}
    return _page(payment, "move", refused, status=status, form=form, last_on=last_on)


def _stop_page(
    payment: PaymentRow, form: StopForm, refused: PortalError | None = None, *, status: int = 200
) -> ResponseReturnValue:
    return _page(payment, "stop", refused, status=status, form=form)


def _query_page(payment: PaymentRow, refused: PortalError | None = None) -> ResponseReturnValue:
    return _page(payment, "query", refused)


def _page(
    payment: PaymentRow,
    name: str,
    refused: PortalError | None,
    *,
    status: int = 200,
    **context: Any,
) -> ResponseReturnValue:
    """Show a page of confirmation; where nothing can be decided it says why and leads back."""
    impossible = None if refused else why_not(payment, name)
    if impossible or isinstance(refused, Conflict):
        status = 409
    elif refused:
        status = 422
    return render_part(
        f"payments/{name}.html",
        f"payments/_{name}.html",
        status=status,
        payment=payment,
        problem=refused.message if refused else None,
        impossible=impossible,
        hidden={"version": payment.version, "request_key": new_request_key()},
        back=_home(payment.id),
        **context,
    )


def _home(payment_id: UUID) -> str:
    return url_for("payments.show", payment_id=payment_id)


def _version() -> int:
    text = request.form.get("version", "")
    # A version that cannot be read is none that anybody has seen.
    is_number = text.isascii() and text.isdigit() and len(text) <= VERSION_DIGITS_MAX
    return int(text) if is_number else 0
