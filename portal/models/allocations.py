"""Allocations: which part of which source paid which invoice."""

from datetime import date
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped

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
)


class Allocation(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """Part of exactly one source applied to an invoice; undone by a reversing row, never edited."""

    __tablename__ = "allocations"
    __table_args__ = (
        organisation_key(),
        key_to("invoices", "invoice_id", "currency"),
        key_to("payments", "payment_id", "currency"),
        key_to("deposits", "deposit_id", "currency"),
        key_to("payer_credits", "payer_credit_id", "currency"),
        key_to("invoices", "credit_note_id", "currency"),
        key_to("allocations", "reverses_id"),
        UniqueConstraint("organisation_id", "reverses_id"),
        Index("ix_allocations_invoice", "organisation_id", "invoice_id"),
        *(
            live_index(
                f"ix_allocations_{source}",
                "organisation_id",
                f"{source}_id",
                where=f"{source}_id IS NOT NULL",
            )
            for source in ("payment", "deposit", "payer_credit", "credit_note")
        ),
        currency_check(),
        CheckConstraint("amount_minor > 0", name="amount_minor_positive"),
        CheckConstraint(
            "num_nonnulls(payment_id, deposit_id, payer_credit_id, credit_note_id) = 1",
            name="one_source",
        ),
    )

    invoice_id: Mapped[UUID]
    payment_id: Mapped[UUID | None]
    deposit_id: Mapped[UUID | None]
    payer_credit_id: Mapped[UUID | None]
    credit_note_id: Mapped[UUID | None]
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    applied_on: Mapped[date]
    reverses_id: Mapped[UUID | None]
