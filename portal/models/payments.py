"""Payments and their attempts; one live attempt per payment, one open payment per invoice."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.payments import (
    LIVE_ATTEMPT_STATES,
    OPEN_PAYMENT_STATES,
    AttemptState,
    PaymentState,
)
from portal.domain.states import State
from portal.models.base import (
    Base,
    CreatedMixin,
    Currency,
    IdMixin,
    Minor,
    MinorZero,
    OrganisationMixin,
    currency_check,
    key_to,
    live_index,
    organisation_key,
    state_check,
)


def _among(column: str, states: Sequence[State]) -> str:
    return f"{column} IN ({', '.join(repr(str(state)) for state in states)})"


class Payment(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """The intent to move an amount from a payer; survives many attempts."""

    __tablename__ = "payments"
    __table_args__ = (
        organisation_key(),
        key_to("payers", "payer_id"),
        key_to("invoices", "invoice_id", "currency"),
        UniqueConstraint("organisation_id", "id", "currency"),
        live_index(
            "uq_payments_open_invoice",
            "organisation_id",
            "invoice_id",
            where=_among("state", OPEN_PAYMENT_STATES),
            unique=True,
        ),
        live_index(
            "ix_payments_scheduled",
            "organisation_id",
            "next_attempt_on",
            "id",
            where="state = 'scheduled'",
        ),
        live_index(
            "ix_payments_worklist",
            "organisation_id",
            "worklist",
            "id",
            where="worklist IS NOT NULL",
        ),
        Index("ix_payments_invoice", "organisation_id", "invoice_id"),
        Index("ix_payments_payer", "organisation_id", "payer_id"),
        # The orders of the lists, as portal/queries/tables/payments.py asks for them.
        Index("ix_payments_by_start", "organisation_id", "state", "started_on", "id"),
        Index("ix_payments_by_amount", "organisation_id", "state", "amount_minor", "id"),
        state_check("state", PaymentState),
        currency_check(),
        CheckConstraint("method IN ('mandate', 'transfer', 'by_hand')", name="method_known"),
        CheckConstraint(
            "amount_minor BETWEEN 1 AND 9000000000000000", name="amount_minor_in_range"
        ),
        CheckConstraint(
            "reserved_minor >= 0 AND reserved_minor <= amount_minor", name="reserved_in_range"
        ),
        CheckConstraint(
            "state = 'scheduled' OR next_attempt_on IS NULL", name="next_attempt_when_scheduled"
        ),
        CheckConstraint("refunded_minor BETWEEN 0 AND amount_minor", name="refunded_within_amount"),
        CheckConstraint(
            "refunding_minor >= 0 AND refunded_minor + refunding_minor <= amount_minor",
            name="refunding_within_rest",
        ),
        CheckConstraint(
            "disputed_minor >= 0 AND refunded_minor + disputed_minor <= amount_minor",
            name="rest_covers_disputed",
        ),
    )

    payer_id: Mapped[UUID]
    invoice_id: Mapped[UUID | None]
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    # What this payment holds of its invoice's in_payment_minor.
    reserved_minor: Mapped[MinorZero]
    refunded_minor: Mapped[MinorZero]
    # What refunds that are under way hold of it.
    refunding_minor: Mapped[MinorZero]
    # What disputes that are open or lost have taken of what its live attempt brought.
    disputed_minor: Mapped[MinorZero]
    method: Mapped[str]
    mandate_id: Mapped[UUID | None]
    state: Mapped[str]
    attempts_count: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    started_on: Mapped[date]
    next_attempt_on: Mapped[date | None]
    worklist: Mapped[str | None]
    reason_code: Mapped[str | None]
    explanation: Mapped[str | None]
    run_id: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))


class PaymentAttempt(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """One try at the gateway; its reference and key are made before the first send."""

    __tablename__ = "payment_attempts"
    __table_args__ = (
        organisation_key(),
        key_to("payments", "payment_id", "currency"),
        key_to("gateway_accounts", "gateway_account_id", "currency"),
        UniqueConstraint("organisation_id", "payment_id", "number"),
        UniqueConstraint("organisation_id", "gateway_account_id", "merchant_ref"),
        UniqueConstraint("organisation_id", "gateway_account_id", "idempotency_key"),
        live_index(
            "uq_payment_attempts_live",
            "organisation_id",
            "payment_id",
            where=_among("state", LIVE_ATTEMPT_STATES),
            unique=True,
        ),
        live_index(
            "ix_payment_attempts_query",
            "organisation_id",
            "next_query_at",
            where="state IN ('pending', 'unknown') AND next_query_at IS NOT NULL",
        ),
        live_index(
            "uq_payment_attempts_gateway_ref",
            "organisation_id",
            "gateway_account_id",
            "gateway_ref",
            where="gateway_ref IS NOT NULL",
            unique=True,
        ),
        # The orders of the list, as portal/queries/tables/attempts.py asks for them.
        Index("ix_payment_attempts_by_day", "organisation_id", "state", "business_on", "id"),
        Index("ix_payment_attempts_by_amount", "organisation_id", "state", "amount_minor", "id"),
        state_check("state", AttemptState),
        currency_check(),
        CheckConstraint(
            "amount_minor BETWEEN 1 AND 9000000000000000", name="amount_minor_in_range"
        ),
    )

    payment_id: Mapped[UUID]
    number: Mapped[int] = mapped_column(SmallInteger)
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    state: Mapped[str]
    gateway_account_id: Mapped[UUID]
    merchant_ref: Mapped[str]
    idempotency_key: Mapped[str]
    gateway_ref: Mapped[str | None]
    business_on: Mapped[date]
    first_sent_at: Mapped[datetime | None]
    resend_until: Mapped[datetime | None]
    next_query_at: Mapped[datetime | None]
    queries_count: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    not_found_count: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    not_found_at: Mapped[datetime | None]
    decided_at: Mapped[datetime | None]
    reason_code: Mapped[str | None]
    reason: Mapped[str | None]
    return_fee_minor: Mapped[MinorZero]
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))
