"""Payouts of a gateway with their items, our settlements of them, and the bank's lines."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.settlements import MatchState, PayoutItemKind, PayoutState, SettlementState
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


class Payout(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """The gateway's transfer to our bank."""

    __tablename__ = "payouts"
    __table_args__ = (
        organisation_key(),
        key_to("gateway_accounts", "gateway_account_id", "currency"),
        UniqueConstraint("organisation_id", "gateway_account_id", "gateway_ref"),
        UniqueConstraint("organisation_id", "id", "currency"),
        state_check("state", PayoutState),
        currency_check(),
        CheckConstraint("net_minor = gross_minor - fee_minor", name="net_adds_up"),
    )

    gateway_account_id: Mapped[UUID]
    gateway_ref: Mapped[str]
    currency: Mapped[Currency]
    business_on: Mapped[date]
    state: Mapped[str]
    gross_minor: Mapped[Minor]
    fee_minor: Mapped[Minor]
    net_minor: Mapped[Minor]


class PayoutItem(OrganisationMixin, Base):
    """One part of a payout, matched to the attempt, refund or dispute it stems from."""

    __tablename__ = "payout_items"
    __table_args__ = (
        key_to("payouts", "payout_id", "currency"),
        key_to("payment_attempts", "attempt_id"),
        live_index(
            "uq_payout_items_attempt",
            "organisation_id",
            "attempt_id",
            "kind",
            where="attempt_id IS NOT NULL",
            unique=True,
        ),
        key_to("refunds", "refund_id"),
        live_index(
            "uq_payout_items_refund",
            "organisation_id",
            "refund_id",
            where="refund_id IS NOT NULL",
            unique=True,
        ),
        key_to("disputes", "dispute_id"),
        live_index(
            "uq_payout_items_dispute",
            "organisation_id",
            "dispute_id",
            "kind",
            where="dispute_id IS NOT NULL",
            unique=True,
        ),
        state_check("kind", PayoutItemKind),
        state_check("match_state", MatchState),
        currency_check(),
        CheckConstraint("net_minor = gross_minor - fee_minor", name="net_adds_up"),
    )

    payout_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str]
    currency: Mapped[Currency]
    gateway_ref: Mapped[str | None]
    merchant_ref: Mapped[str | None]
    gross_minor: Mapped[Minor]
    fee_minor: Mapped[Minor]
    net_minor: Mapped[Minor]
    attempt_id: Mapped[UUID | None]
    refund_id: Mapped[UUID | None]
    dispute_id: Mapped[UUID | None]
    match_state: Mapped[str] = mapped_column(server_default=text("'unmatched'"))
    discrepancy: Mapped[str | None]


class Settlement(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """Our booking of a payout."""

    __tablename__ = "settlements"
    __table_args__ = (
        organisation_key(),
        key_to("payouts", "payout_id"),
        UniqueConstraint("organisation_id", "payout_id"),
        live_index(
            "ix_settlements_unfinished",
            "organisation_id",
            "id",
            where="state IN ('open', 'matching', 'balanced')",
        ),
        state_check("state", SettlementState),
        CheckConstraint("tolerated_minor = 0 OR state = 'closed'", name="tolerated_when_closed"),
    )

    payout_id: Mapped[UUID]
    state: Mapped[str]
    residual_minor: Mapped[Minor]
    # What the bank showed beyond the payout; negative where it showed less.
    tolerated_minor: Mapped[Minor] = mapped_column(server_default=text("0"))
    closed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))


class BankLine(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """An entry on our bank account; the reference of the bank makes a repeat harmless."""

    __tablename__ = "bank_lines"
    __table_args__ = (
        organisation_key(),
        key_to("bank_accounts", "bank_account_id", "currency"),
        UniqueConstraint("organisation_id", "bank_account_id", "bank_ref"),
        Index("ix_bank_lines_reference", "organisation_id", "reference"),
        state_check("match_state", MatchState),
        currency_check(),
        CheckConstraint("amount_minor <> 0", name="amount_minor_not_zero"),
    )

    bank_account_id: Mapped[UUID]
    bank_ref: Mapped[str]
    booked_on: Mapped[date]
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    reference: Mapped[str]
    match_state: Mapped[str] = mapped_column(server_default=text("'unmatched'"))
