"""What every gateway takes and gives: orders, answers, events, payouts, and their errors.

Import them from `base.py`, where the protocol that uses them lives.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from portal.domain.errors import Forbidden, Invalid, Unavailable


class GatewayUnreachable(Unavailable):
    """The gateway {gateway} did not answer ({reason}); nothing was booked. Ask again later."""

    gateway: str
    reason: str


class SignatureInvalid(Forbidden):
    """This event is not signed by the gateway ({reason}); it was refused and not stored."""

    reason: str


class EventMalformed(Invalid):
    """This signed event cannot be read ({reason}); it was not applied. Ask the gateway for it."""

    reason: str


class GatewayUnsupported(Invalid):
    """There is no gateway of the kind {kind}; nothing was sent. Correct the gateway account."""

    kind: str


class GatewayKind(StrEnum):
    """The vendors that can be spoken to."""

    SANDBOX = "sandbox"


class AnswerKind(StrEnum):
    """What one call tells about one charge, refund, dispute or notice.

    `not_sent` speaks of that call only: a charge that was unknown before stays unknown.
    """

    PENDING = "pending"  # accepted, the result comes later
    SUCCEEDED = "succeeded"
    DECLINED = "declined"  # a business no
    NOT_SENT = "not_sent"  # certainly not executed
    UNKNOWN = "unknown"  # may have been executed: ask, never send under a new key
    NOT_FOUND = "not_found"  # status query only
    MISMATCH = "mismatch"  # another amount, currency or reference than ordered
    RETURNED = "returned"  # had succeeded, and the money was taken back
    WON = "won"  # a dispute: the money comes back
    LOST = "lost"  # a dispute: the money stays away


class EventKind(StrEnum):
    """What a gateway reports by itself."""

    CHARGE_SUCCEEDED = "charge.succeeded"
    CHARGE_DECLINED = "charge.declined"
    CHARGE_RETURNED = "charge.returned"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"
    DISPUTE_OPENED = "dispute.opened"
    DISPUTE_WON = "dispute.won"
    DISPUTE_LOST = "dispute.lost"
    PAYOUT_PAID = "payout.paid"


class ItemKind(StrEnum):
    """What a part of a payout is."""

    PAYMENT = "payment"
    REFUND = "refund"
    RETURN = "return"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSED = "chargeback_reversed"
    FEE = "fee"


class EffectState(StrEnum):
    """Whether moved money stayed or went back."""

    SUCCEEDED = "succeeded"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class GatewayAccess:
    """Where one gateway account is reached and with which secrets.

    Shape: webhook_secrets, newest first; each of them is accepted while a rotation lasts.
    """

    kind: str
    base_url: str
    account_code: str
    api_key: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)
    timeout_seconds: float = 20.0
    in_flight_max: int = 100


@dataclass(frozen=True, slots=True)
class ChargeOrder:
    """One attempt to collect; its key and reference were stored before the first send.

    Shape: invoice_total_minor lets the gateway's own record notice an invoice charged too often.
    """

    merchant_ref: str
    idempotency_key: str
    amount_minor: int
    currency: str
    mandate_token: str = field(repr=False)
    payment_ref: str
    invoice_ref: str
    business_date: date
    invoice_total_minor: int | None = None


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """One refund of what a charge collected; its key and reference were stored before.

    Shape: charge_ref is our reference of the charge.
    """

    merchant_ref: str
    idempotency_key: str
    charge_ref: str
    amount_minor: int
    currency: str
    business_date: date


@dataclass(frozen=True, slots=True)
class DisputeOrder:
    """Our answer to one dispute, or that we accept its loss; its key was stored before.

    Shape: merchant_ref is our reference of the charge, gateway_ref the gateway's of the dispute;
    text is empty when the loss is accepted.
    """

    merchant_ref: str
    gateway_ref: str
    idempotency_key: str
    amount_minor: int
    currency: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class NoticeOrder:
    """One reminder that a payer is to get; its key and reference were stored before.

    Shape: amount_minor is all that is to be paid: what is open of the invoice, and the fee and the
    interest, which the document fees_ref charges; pay_to is an IBAN, reference what is to be named.
    """

    merchant_ref: str
    idempotency_key: str
    amount_minor: int
    currency: str
    business_date: date
    level: int
    sender: str
    locale: str
    payer_name: str = field(repr=False)
    payer_email: str | None = field(repr=False)
    payer_country: str | None = field(repr=False)
    invoice_ref: str
    due_date: date
    open_minor: int
    fee_minor: int
    interest_minor: int
    fees_ref: str | None
    fees_due_date: date | None
    pay_to: str | None
    reference: str


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """What a charge, a refund, a dispute, a notice or a status query told.

    Shape: fee_minor is what the gateway keeps of the charge, or of its return when returned; a
    refund that failed is declined.
    """

    kind: AnswerKind
    gateway_ref: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    fee_minor: int = 0
    http_status: int | None = None
    retry_after_seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """One thing a gateway reported by itself.

    Shape: merchant_ref is empty and amount_minor the net amount for `payout.paid`; for a dispute
    merchant_ref is that of its charge, and gateway_ref the dispute's own.
    """

    event_id: str
    kind: EventKind
    merchant_ref: str
    gateway_ref: str
    amount_minor: int
    currency: str
    reason_code: str | None
    fee_minor: int
    occurred_at: datetime
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PayoutItemReport:
    """One part of a payout; net = gross - fee.

    Shape: the gross amount of a return, refund or chargeback is negative, that of a fee 0.
    """

    kind: ItemKind
    gateway_ref: str
    merchant_ref: str
    gross_minor: int
    fee_minor: int
    net_minor: int


@dataclass(frozen=True, slots=True)
class PayoutReport:
    """One transfer of a gateway to our bank, and all its parts."""

    gateway_ref: str
    business_date: date
    currency: str
    gross_minor: int
    fee_minor: int
    net_minor: int
    items: tuple[PayoutItemReport, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """One charge that moved money, as the gateway's own record has it.

    Shape: return_fee_minor and reason_code say something for a returned charge only;
    refunded_minor is what was given back of it, disputed_minor what open and lost disputes took.
    """

    merchant_ref: str
    payment_ref: str
    invoice_ref: str
    amount_minor: int
    currency: str
    state: EffectState
    gateway_ref: str
    business_date: date
    fee_minor: int = 0
    return_fee_minor: int = 0
    refunded_minor: int = 0
    disputed_minor: int = 0
    reason_code: str | None = None
