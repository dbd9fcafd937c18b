"""Deposits and credits of payers: money of theirs that waits to be used."""

from datetime import date
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.deposits import DepositState
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


class Deposit(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """A security or prepayment held as a liability."""

    __tablename__ = "deposits"
    __table_args__ = (
        organisation_key(),
        key_to("payers", "payer_id"),
        UniqueConstraint("organisation_id", "id", "currency"),
        live_index(
            "ix_deposits_usable",
            "organisation_id",
            "payer_id",
            where="state IN ('held', 'partially_applied')",
        ),
        state_check("state", DepositState),
        currency_check(),
        CheckConstraint("amount_minor > 0", name="amount_minor_positive"),
        CheckConstraint(
            "applied_minor >= 0 AND released_minor >= 0 AND forfeited_minor >= 0"
            " AND applied_minor + released_minor + forfeited_minor <= amount_minor",
            name="used_within_amount",
        ),
    )

    payer_id: Mapped[UUID]
    currency: Mapped[Currency]
    purpose: Mapped[str]
    state: Mapped[str]
    amount_minor: Mapped[Minor]
    applied_minor: Mapped[MinorZero]
    released_minor: Mapped[MinorZero]
    forfeited_minor: Mapped[MinorZero]
    left_minor: Mapped[int] = mapped_column(
        BigInteger,
        Computed(
            "CASE WHEN state = 'expected' THEN 0"
            " ELSE amount_minor - applied_minor - released_minor - forfeited_minor END",
            persisted=True,
        ),
    )
    received_on: Mapped[date | None]
    due_back_on: Mapped[date | None]
    may_set_off: Mapped[bool] = mapped_column(server_default=text("true"))
    bank_line_id: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))


class PayerCredit(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """Money that arrived beyond what was open, kept for the payer."""

    __tablename__ = "payer_credits"
    __table_args__ = (
        organisation_key(),
        key_to("payers", "payer_id"),
        key_to("payments", "payment_id", "currency"),
        UniqueConstraint("organisation_id", "id", "currency"),
        # A payment that was returned and collected again can leave a credit each time.
        Index("ix_payer_credits_payment", "organisation_id", "payment_id"),
        live_index(
            "ix_payer_credits_left",
            "organisation_id",
            "payer_id",
            where="applied_minor < amount_minor",
        ),
        currency_check(),
        CheckConstraint("amount_minor > 0", name="amount_minor_positive"),
        CheckConstraint(
            "applied_minor >= 0 AND applied_minor <= amount_minor", name="applied_within_amount"
        ),
    )

    payer_id: Mapped[UUID]
    payment_id: Mapped[UUID | None]
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    applied_minor: Mapped[MinorZero]
    left_minor: Mapped[int] = mapped_column(
        BigInteger, Computed("amount_minor - applied_minor", persisted=True)
    )
    since_on: Mapped[date]
