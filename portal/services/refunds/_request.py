"""Asking for a refund, and what a second person says to it."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.disputes import OPEN_DISPUTE_STATES
from portal.domain.errors import Conflict, Forbidden, Invalid
from portal.domain.messages import MessageKind
from portal.domain.money import check_amount, format_amount
from portal.domain.payments import (
    CONTESTED_WORKLISTS,
    REFUNDABLE_PAYMENT_STATES,
    AttemptState,
    PaymentMethod,
    PaymentState,
)
from portal.domain.refunds import REFUND_MOVES, RefundState
from portal.domain.users import Actor
from portal.ids import new_id, public_id
from portal.queries.payments import PaymentMissing
from portal.queries.refunds import RefundMissing
from portal.services.events import record_event
from portal.services.gateways import settings
from portal.services.messages import write_followers
from portal.services.refunds._releasing import release_refund
from portal.services.rulesets import load_rule_set
from portal.sql import execute, fetch_one

REASON_CHARACTERS_MAX = 500
DISPUTED = "the payer's bank disputes it, and decides where the money goes"


class RefundReasonInvalid(Invalid):
    """Nothing was saved: say why in 1 to {characters_max} characters that can be shown."""

    characters_max: int


class RefundAmountInvalid(Invalid):
    """The refund was not saved: its amount must be above zero. Enter another amount."""


class RefundTooLarge(Invalid):
    """The refund was not saved: {left} {currency} can still be given back of this payment. Enter
    an amount up to that."""

    left: str
    currency: str


class PaymentNotRefundable(Conflict):
    """Nothing can be given back of this payment: {reason}. Nothing was saved; look at the payment
    again."""

    reason: str


class RefundRequestReused(Conflict):
    """This request was sent before with another payment or amount, and that refund stands. Nothing
    was saved this time; send it again as a new request if it is wanted as well."""


class RefundApproverIsRequester(Forbidden):
    """You asked for this refund, so another person must approve it; nothing was sent. Ask someone
    else who may approve refunds."""


class RefundApproverUnknown(Conflict):
    """A refund is approved by a person; nothing was sent. Say who approves it."""


class RefundWish(NamedTuple):
    """What is to be given back, and why.

    Shape: a request with the same key is the same refund, however often it comes.
    """

    payment_id: UUID
    amount_minor: int
    reason: str
    request_key: str | None = None


def approval_limit(*, on: date) -> int:
    """Return the amount from which on a refund waits for a second person.

    Shape: that of the agreement where it names one, that of the settings elsewhere.
    Units: minor units of whatever currency it is in.
    Raises: RuleSetNotFound.
    """
    _, rule_set = load_rule_set(on=on)
    agreed = rule_set.refund_limit_minor
    return settings().refund_approval_minor_min if agreed is None else agreed


def request_refund(*, wish: RefundWish, on: date, actor: Actor, now: datetime) -> UUID:
    """Ask that money of a payment is given back, and reserve it there.

    Shape: the refund's id; below the limit it is on its way at once, from there on
    it waits for a second person.
    Raises: RefundReasonInvalid; RefundAmountInvalid; AmountTooLarge; PaymentMissing;
    PaymentNotRefundable; RefundTooLarge; RefundRequestReused.
    """
    reason = _checked_reason(wish.reason)
    if wish.amount_minor <= 0:
        raise RefundAmountInvalid(field="amount")
    check_amount(wish.amount_minor)
    with transaction():
        payment = _lock_payment(wish.payment_id)
        earlier = _find_earlier(wish)
        if earlier is not None:
            return earlier
        attempt = _find_attempt(payment)
        left_minor = (
            payment.amount_minor
            - payment.refunded_minor
            - payment.refunding_minor
            - payment.disputed_minor
        )
        _refuse_disputed(payment.id)
        if not left_minor:
            raise PaymentNotRefundable(reason="all of it was given back, or is on its way back")
        if wish.amount_minor > left_minor:
            left = format_amount(left_minor, payment.currency)
            raise RefundTooLarge(left=left, currency=payment.currency, field="amount")
        needs_approval = wish.amount_minor >= approval_limit(on=on)
        refund_id = new_id()
        _insert(refund_id, wish._replace(reason=reason), payment, attempt, on, actor,
                needs_approval=needs_approval)  # fmt: skip
        details = {"amount_minor": wish.amount_minor, "currency": payment.currency}
        for kind, subject in (
            ("refund.requested", refund_id),
            ("payment.refund_requested", wish.payment_id),
        ):
            record_event(kind, subject, actor=actor, now=now, reason=reason, details=details)
        if not needs_approval:
            write_followers(MessageKind.REFUND, [(refund_id, attempt.gateway_account_id)])
    return refund_id


def approve_refund(*, refund_id: UUID, actor: Actor, now: datetime) -> None:
    """Let a refund go to the gateway that waits for a second person.

    Raises: RefundMissing; MoveNotAllowed when it does not wait; RefundApproverIsRequester;
    RefundApproverUnknown when the actor is no person.
    """
    if actor.kind != "person" or actor.id is None:
        raise RefundApproverUnknown
    with transaction():
        row = _lock_refund(refund_id)
        state = REFUND_MOVES.next(RefundState(row.state), "approve")
        if row.requested_by_id == actor.id:
            raise RefundApproverIsRequester
        execute(
            "UPDATE refunds SET state = %s, approved_by = %s, approved_by_id = %s,"
            " approved_at = %s, version = version + 1 WHERE organisation_id = %s AND id = %s",
            (state.value, actor.name, actor.id, now, current_organisation_id(), refund_id),
        )
        write_followers(MessageKind.REFUND, [(refund_id, row.gateway_account_id)])
        record_event(REFUND_MOVES.recorded("approve"), refund_id, actor=actor, now=now)


def decline_refund(*, refund_id: UUID, reason: str, actor: Actor, now: datetime) -> None:
    """Say no to a refund that waits for approval; what it reserved is free again.

    Raises: RefundReasonInvalid; RefundMissing; MoveNotAllowed when it does not wait.
    """
    said = _checked_reason(reason)
    with transaction():
        row = _lock_refund(refund_id)
        state = REFUND_MOVES.next(RefundState(row.state), "decline")
        execute(
            "UPDATE refunds SET state = %s, decided_at = %s, version = version + 1"
            " WHERE organisation_id = %s AND id = %s",
            (state.value, now, current_organisation_id(), refund_id),
        )
        release_refund(row.payment_id, row.amount_minor)
        kind = REFUND_MOVES.recorded("decline")
        record_event(kind, refund_id, actor=actor, now=now, reason=said)


def _checked_reason(reason: str) -> str:
    """Tidy the reason up.

    Raises: RefundReasonInvalid.
    """
    tidy = " ".join(reason.split())
    if not 1 <= len(tidy) <= REASON_CHARACTERS_MAX or not tidy.isprintable():
        raise RefundReasonInvalid(characters_max=REASON_CHARACTERS_MAX, field="reason")
    return tidy


def _lock_payment(payment_id: UUID) -> Any:
    row = fetch_one(
        "SELECT id, state, method, currency, amount_minor, refunded_minor, refunding_minor,"
        " disputed_minor, worklist FROM payments WHERE organisation_id = %s AND id = %s FOR UPDATE",
        (current_organisation_id(), payment_id),
    )
    if row is None:
        raise PaymentMissing
    return row


def _lock_refund(refund_id: UUID) -> Any:
    """Lock a refund, behind its payment as everybody does.

    Raises: RefundMissing.
    """
    scope = (current_organisation_id(), refund_id)
    execute(
        "SELECT 1 FROM payments y JOIN refunds r ON r.payment_id = y.id"
        " WHERE r.organisation_id = %s AND r.id = %s FOR UPDATE OF y",
        scope,
    )
    row = fetch_one(
        "SELECT id, state, payment_id, gateway_account_id, amount_minor, requested_by_id"
        " FROM refunds WHERE organisation_id = %s AND id = %s FOR UPDATE",
        scope,
    )
    if row is None:
        raise RefundMissing
    return row


def _find_earlier(wish: RefundWish) -> UUID | None:
    """Return the refund that this request made before.

    Raises: RefundRequestReused when it was about something else.
    """
    if wish.request_key is None:
        return None
    row = fetch_one(
        "SELECT id, payment_id, amount_minor FROM refunds"
        " WHERE organisation_id = %s AND request_key = %s",
        (current_organisation_id(), wish.request_key),
    )
    if row is None:
        return None
    if (row.payment_id, row.amount_minor) != (wish.payment_id, wish.amount_minor):
        raise RefundRequestReused
    found: UUID = row.id
    return found


def _find_attempt(payment: Any) -> Any:
    """Return the attempt that collected a payment.

    Raises: PaymentNotRefundable.
    """
    state = PaymentState(payment.state)
    if payment.method != PaymentMethod.MANDATE:
        reason = "it did not come through a gateway; send the money by bank transfer"
        raise PaymentNotRefundable(reason=reason)
    if state not in REFUNDABLE_PAYMENT_STATES:
        raise PaymentNotRefundable(reason=f"it is “{state.label.lower()}”")
    if payment.worklist in CONTESTED_WORKLISTS:
        reason = "the gateway has said two things about it; settle that first"
        raise PaymentNotRefundable(reason=reason)
    attempt = fetch_one(
        "SELECT id, gateway_account_id FROM payment_attempts"
        " WHERE organisation_id = %s AND payment_id = %s AND state = %s",
        (current_organisation_id(), payment.id, AttemptState.SUCCEEDED.value),
    )
    if attempt is None:
        raise PaymentNotRefundable(reason="nothing was collected by it")
    return attempt


def _refuse_disputed(payment_id: UUID) -> None:
    """Refuse while the payer's bank may take more of the payment, or give it back.

    Raises: PaymentNotRefundable.
    """
    dispute = fetch_one(
        "SELECT id FROM disputes WHERE organisation_id = %s AND payment_id = %s"
        " AND state = ANY(%s)",
        (current_organisation_id(), payment_id, [state.value for state in OPEN_DISPUTE_STATES]),
    )
    if dispute is not None:
        raise PaymentNotRefundable(reason=DISPUTED)


def _insert(
    refund_id: UUID,
    wish: RefundWish,
    payment: Any,
    attempt: Any,
    on: date,
    actor: Actor,
    *,
    needs_approval: bool,
) -> None:
    """Write the refund and reserve its amount of the payment."""
    organisation_id = current_organisation_id()
    execute(
        "UPDATE payments SET refunding_minor = refunding_minor + %s, version = version + 1"
        " WHERE organisation_id = %s AND id = %s",
        (wish.amount_minor, organisation_id, payment.id),
    )
    state = RefundState.REQUESTED if needs_approval else RefundState.APPROVED
    execute(
        "INSERT INTO refunds (organisation_id, id, payment_id, attempt_id, gateway_account_id,"
        " currency, amount_minor, reason, state, business_on, needs_approval, requested_by,"
        " requested_by_id, request_key, merchant_ref, idempotency_key)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            organisation_id,
            refund_id,
            payment.id,
            attempt.id,
            attempt.gateway_account_id,
            payment.currency,
            wish.amount_minor,
            wish.reason,
            state.value,
            on,
            needs_approval,
            actor.name,
            actor.id if actor.kind == "person" else None,
            wish.request_key,
            public_id("refund", refund_id),
            f"refund-{refund_id.hex}",
        ),
    )
