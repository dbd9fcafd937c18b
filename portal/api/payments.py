"""Payments for machines: watched, recorded when they came beside the gateway, retried, stopped."""

from typing import Any
from uuid import UUID

from flask import Response, url_for
from marshmallow import fields, validate

from portal.api.access import current_actor, current_day, require
from portal.api.answers import answer, check_match, money, shown_id
from portal.api.doors import DoorBlueprint, answers, matches, once, takes
from portal.api.fields import (
    Day,
    MoneySchema,
    PublicId,
    Strict,
    Text,
    amount_of_money,
    calendar_day,
    flag,
    moment,
    noun_name,
    own_id,
    state_of,
    whole,
    words,
)
from portal.api.lists import answer_list, list_schema, lists
from portal.api.problems import BodyInvalid, Finding
from portal.clock import now_utc
from portal.domain.money import Money
from portal.domain.payments import RECORDED_METHODS, PaymentMethod, PaymentState
from portal.domain.users import Permission
from portal.queries.invoices import get_invoice
from portal.queries.payments import PaymentRow, get_payment
from portal.queries.tables import PAYMENT_TABLE
from portal.services.payments import (
    move_retry,
    record_payment,
    retry_payment_now,
    stop_payment,
)

REASON_CHARACTERS_MAX = 500
REFERENCE_CHARACTERS_MAX = 100

bp = DoorBlueprint("payments", "Money from payers, by mandate, transfer or at a desk.")


class PaymentSchema(Strict):
    """A payment with its payer, its invoice and its last attempt."""

    object = noun_name("payment")
    id = own_id("payment")
    invoice_id = own_id("invoice", none=True)
    invoice = words(none=True, description="The number of the invoice.")
    payer_id = own_id("payer")
    payer = words()
    method = state_of(PaymentMethod)
    state = state_of(PaymentState)
    amount = amount_of_money()
    allocated = amount_of_money(description="What it has paid of invoices.")
    credit = amount_of_money(description="What is left of what it brought beyond them.")
    refunded = amount_of_money()
    currency = words()
    started = calendar_day()
    next = calendar_day(none=True, description="The day of the next try.")
    moved_by = words(none=True, description="Who has chosen that day, where a person has.")
    moved_from = calendar_day(none=True, description="The day it was planned for before.")
    attempts = whole()
    attempt_id = own_id("attempt", none=True, description="The last attempt.")
    worklist = words(none=True, description="What it waits for a person for.")
    reason_code = words(none=True)
    reason = words(none=True)
    reference = words(none=True, description="That of a payment recorded by hand.")
    is_retryable = flag(description="Whether it may be tried now, as far as it says itself.")
    is_movable = flag(description="Whether its next try may be moved to another day.")
    is_stoppable = flag()
    created = moment()
    version = whole()


class NewPaymentSchema(Strict):
    """Money that came beside the gateway."""

    invoice_id = PublicId("invoice", required=True)
    amount = fields.Nested(MoneySchema, required=True)
    paid = Day(required=True, metadata={"description": "The day it came; not in the future."})
    method = fields.String(
        required=True, validate=validate.OneOf([one.value for one in RECORDED_METHODS])
    )
    reference = Text(longest=REFERENCE_CHARACTERS_MAX, load_default="")


class MoveSchema(Strict):
    """For which day the next try is planned instead, and why."""

    day = Day(
        required=True,
        metadata={"description": "A day on which banks work, from today to 90 days ahead."},
    )
    reason = Text(longest=REASON_CHARACTERS_MAX, required=True)


class StopSchema(Strict):
    """Why a payment is stopped."""

    reason = Text(longest=REASON_CHARACTERS_MAX, required=True)


@bp.route("/payments")
@lists(PAYMENT_TABLE)
@answers(list_schema(PAYMENT_TABLE))
@require(Permission.VIEW_PAYMENTS)
def list_payments() -> Response:
    """List payments."""
    return answer_list(PAYMENT_TABLE)


@bp.route("/payments", methods=["POST"])
@takes(NewPaymentSchema)
@once(is_required=True)
@answers(PaymentSchema, 201, refuses=(404, 409), says="Recorded; found at its Location.")
@require(Permission.RECORD_PAYMENTS)
def add_payment(body: dict[str, Any]) -> Response:
    """Record money that came by transfer or at a desk, and settle the invoice with it."""
    invoice = get_invoice(body["invoice_id"])
    amount: Money = body["amount"]
    if amount.currency != invoice.currency:
        said = f"the invoice is in {invoice.currency}"
        raise BodyInvalid.of([Finding("/amount/currency", "invalid", said)])
    payment_id = record_payment(
        invoice_id=invoice.id,
        amount_minor=amount.amount_minor,
        paid_on=body["paid"],
        method=body["method"],
        reference=body["reference"],
        actor=current_actor(),
        now=now_utc(),
    )
    address = url_for("api_payments.show_payment", payment_id=payment_id)
    return answer(shown_payment(get_payment(payment_id)), 201, {"Location": address})


@bp.route("/payments/<api_id(payment):payment_id>")
@answers(PaymentSchema, refuses=(404,))
@require(Permission.VIEW_PAYMENTS)
def show_payment(payment_id: UUID) -> Response:
    """Show a payment."""
    return answer(shown_payment(get_payment(payment_id)))


@bp.route("/payments/<api_id(payment):payment_id>/retry", methods=["POST"])
@takes(None)
@once(is_required=True)
@matches(is_required=False)
@answers(PaymentSchema, refuses=(404, 409), says="The gateway is being asked for it.")
@require(Permission.CONTROL_PAYMENTS)
def try_payment(payment_id: UUID) -> Response:
    """Try a planned payment, or a failed one that waits for a person, at once."""
    payment = get_payment(payment_id)
    check_match(shown_payment(payment), is_required=False)
    retry_payment_now(
        payment_id=payment_id,
        version=payment.version,
        on=current_day(),
        actor=current_actor(),
        now=now_utc(),
    )
    return answer(shown_payment(get_payment(payment_id)))


@bp.route("/payments/<api_id(payment):payment_id>/move", methods=["POST"])
@takes(MoveSchema)
@once(is_required=True)
@matches(is_required=False)
@answers(PaymentSchema, refuses=(404, 409), says="Planned for that day.")
@require(Permission.CONTROL_PAYMENTS)
def move_payment(payment_id: UUID, body: dict[str, Any]) -> Response:
    """Plan the next try of a payment for another day."""
    payment = get_payment(payment_id)
    check_match(shown_payment(payment), is_required=False)
    move_retry(
        payment_id=payment_id,
        version=payment.version,
        day=body["day"],
        reason=body["reason"],
        on=current_day(),
        actor=current_actor(),
        now=now_utc(),
    )
    return answer(shown_payment(get_payment(payment_id)))


@bp.route("/payments/<api_id(payment):payment_id>/stop", methods=["POST"])
@takes(StopSchema)
@once(is_required=True)
@matches(is_required=False)
@answers(PaymentSchema, refuses=(404, 409))
@require(Permission.CONTROL_PAYMENTS)
def end_payment(payment_id: UUID, body: dict[str, Any]) -> Response:
    """Try a payment no more, and take it off its worklist."""
    payment = get_payment(payment_id)
    check_match(shown_payment(payment), is_required=False)
    stop_payment(
        payment_id=payment_id,
        version=payment.version,
        reason=body["reason"],
        actor=current_actor(),
        now=now_utc(),
    )
    return answer(shown_payment(get_payment(payment_id)))


def shown_payment(payment: PaymentRow) -> dict[str, Any]:
    """Write a payment."""
    currency = payment.currency
    return {
        "object": "payment",
        "id": shown_id("payment", payment.id),
        "invoice_id": shown_id("invoice", payment.invoice_id),
        "invoice": payment.invoice_number,
        "payer_id": shown_id("payer", payment.payer_id),
        "payer": payment.payer,
        "method": payment.method.value,
        "state": payment.state.value,
        "amount": money(payment.amount_minor, currency),
        "allocated": money(payment.allocated_minor, currency),
        "credit": money(payment.credit_minor, currency),
        "refunded": money(payment.refunded_minor, currency),
        "currency": currency,
        "started": payment.started_on,
        "next": payment.next_attempt_on,
        "moved_by": payment.moved_by,
        "moved_from": payment.moved_from,
        "attempts": payment.attempts_count,
        "attempt_id": shown_id("attempt", payment.attempt_id),
        "worklist": payment.worklist,
        "reason_code": payment.reason_code,
        "reason": payment.reason,
        "reference": payment.reference,
        "is_retryable": payment.is_retryable,
        "is_movable": payment.is_movable,
        "is_stoppable": payment.is_stoppable,
        "created": payment.created_at,
        "version": payment.version,
    }
