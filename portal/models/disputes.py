"""Disputes: money of a payment that the payer's bank took back; one open at a time."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.disputes import OPEN_DISPUTE_STATES, RESPONSE_CHARACTERS_MAX, DisputeState
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

_OPEN = f"state IN ({', '.join(repr(state.value) for state in OPEN_DISPUTE_STATES)})"


class Dispute(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """Part of a collected payment taken back by the card network, until it is won or lost."""

    __tablename__ = "disputes"
    __table_args__ = (
        organisation_key(),
        key_to("payments", "payment_id", "currency"),
        key_to("payment_attempts", "attempt_id"),
        key_to("gateway_accounts", "gateway_account_id", "currency"),
        UniqueConstraint("organisation_id", "gateway_account_id", "gateway_ref"),
        live_index(
            "uq_disputes_open_payment", "organisation_id", "payment_id", where=_OPEN, unique=True
        ),
        live_index(
            "ix_disputes_query",
            "organisation_id",
            "next_query_at",
            where=f"{_OPEN} AND next_query_at IS NOT NULL",
        ),
        Index("ix_disputes_payment", "organisation_id", "payment_id"),
        Index("ix_disputes_attempt", "organisation_id", "attempt_id"),
        # The orders of the list, as portal/queries/tables/disputes.py asks for them.
        Index("ix_disputes_by_day", "organisation_id", "state", "opened_on", "id"),
        Index("ix_disputes_by_deadline", "organisation_id", "state", "respond_by", "id"),
        Index("ix_disputes_by_amount", "organisation_id", "state", "amount_minor", "id"),
        state_check("state", DisputeState),
        currency_check(),
        CheckConstraint(
            "amount_minor BETWEEN 1 AND 9000000000000000", name="amount_minor_in_range"
        ),
        CheckConstraint("fee_minor BETWEEN 0 AND 9000000000000000", name="fee_minor_in_range"),
        CheckConstraint(
            f"length(response) BETWEEN 1 AND {RESPONSE_CHARACTERS_MAX}", name="response_given"
        ),
        CheckConstraint(
            "(response IS NULL) = (answered_at IS NULL)"
            " AND (response IS NOT NULL OR state <> 'under_review')",
            name="answered_before_review",
        ),
        CheckConstraint(
            "(closed_on IS NOT NULL) = (state IN ('won', 'lost'))", name="closed_when_decided"
        ),
    )

    payment_id: Mapped[UUID]
    # The attempt that brought the money: the gateway names a dispute by it.
    attempt_id: Mapped[UUID]
    gateway_account_id: Mapped[UUID]
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    # What the gateway keeps for it, however it ends.
    fee_minor: Mapped[MinorZero]
    reason_code: Mapped[str | None]
    state: Mapped[str]
    gateway_ref: Mapped[str]
    opened_on: Mapped[date]
    respond_by: Mapped[date]
    closed_on: Mapped[date | None]
    response: Mapped[str | None]
    answered_at: Mapped[datetime | None]
    answered_by: Mapped[str | None]
    next_query_at: Mapped[datetime | None]
    queries_count: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    worklist: Mapped[str | None]
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))
