"""Refunds: money of a payment given back; a second person approves what is above the limit."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.refunds import RefundState
from portal.models.base import (
    Base,
    CreatedMixin,
    Currency,
    IdMixin,
    Minor,
    OrganisationMixin,
    currency_check,
    key_to,
    live_index,
    organisation_key,
    state_check,
)


class Refund(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """Part of a collected payment on its way back; its reference and key are made before it is
    sent."""

    __tablename__ = "refunds"
    __table_args__ = (
        organisation_key(),
        key_to("payments", "payment_id", "currency"),
        key_to("payment_attempts", "attempt_id"),
        key_to("gateway_accounts", "gateway_account_id", "currency"),
        UniqueConstraint("organisation_id", "request_key"),
        UniqueConstraint("organisation_id", "gateway_account_id", "merchant_ref"),
        UniqueConstraint("organisation_id", "gateway_account_id", "idempotency_key"),
        live_index(
            "uq_refunds_gateway_ref",
            "organisation_id",
            "gateway_account_id",
            "gateway_ref",
            where="gateway_ref IS NOT NULL",
            unique=True,
        ),
        live_index(
            "ix_refunds_query",
            "organisation_id",
            "next_query_at",
            where="state = 'submitted' AND next_query_at IS NOT NULL",
        ),
        Index("ix_refunds_payment", "organisation_id", "payment_id"),
        Index("ix_refunds_attempt", "organisation_id", "attempt_id"),
        # The orders of the list, as portal/queries/tables/refunds.py asks for them.
        Index("ix_refunds_by_day", "organisation_id", "state", "business_on", "id"),
        Index("ix_refunds_by_amount", "organisation_id", "state", "amount_minor", "id"),
        state_check("state", RefundState),
        currency_check(),
        CheckConstraint(
            "amount_minor BETWEEN 1 AND 9000000000000000", name="amount_minor_in_range"
        ),
        CheckConstraint("length(reason) BETWEEN 1 AND 500", name="reason_given"),
        CheckConstraint("approved_by_id <> requested_by_id", name="approved_by_another"),
        CheckConstraint(
            "(approved_by IS NULL) = (approved_at IS NULL)"
            " AND (approved_by_id IS NULL) = (approved_at IS NULL)",
            name="approval_whole",
        ),
        CheckConstraint(
            "NOT needs_approval OR approved_at IS NOT NULL"
            " OR state IN ('requested', 'declined', 'failed')",
            name="approved_before_sent",
        ),
    )

    payment_id: Mapped[UUID]
    # The attempt that brought the money: the gateway gives back what it collected by it.
    attempt_id: Mapped[UUID]
    gateway_account_id: Mapped[UUID]
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    reason: Mapped[str]
    state: Mapped[str]
    business_on: Mapped[date]
    needs_approval: Mapped[bool]
    requested_by: Mapped[str]
    requested_by_id: Mapped[UUID | None]
    approved_by: Mapped[str | None]
    approved_by_id: Mapped[UUID | None]
    approved_at: Mapped[datetime | None]
    request_key: Mapped[str | None]
    merchant_ref: Mapped[str]
    idempotency_key: Mapped[str]
    gateway_ref: Mapped[str | None]
    first_sent_at: Mapped[datetime | None]
    resend_until: Mapped[datetime | None]
    next_query_at: Mapped[datetime | None]
    queries_count: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    not_found_count: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    not_found_at: Mapped[datetime | None]
    decided_at: Mapped[datetime | None]
    reason_code: Mapped[str | None]
    worklist: Mapped[str | None]
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))
