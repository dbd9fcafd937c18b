"""Reminders: what payers were told of overdue invoices, level by level; never changed."""

from datetime import date
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Index, Integer, SmallInteger, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

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
)


class Reminder(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """One notice about one invoice, with the charge document that it made; append-only.

    Shape: clause codes are those of the fees and the interest that it charged.
    """

    __tablename__ = "reminders"
    __table_args__ = (
        key_to("invoices", "invoice_id", "currency"),
        key_to("invoices", "charge_invoice_id", "currency"),
        key_to("payers", "payer_id"),
        UniqueConstraint("organisation_id", "invoice_id", "level"),
        # Never two notices about one document on a day.
        UniqueConstraint("organisation_id", "invoice_id", "reminded_on"),
        live_index(
            "uq_reminders_charge",
            "organisation_id",
            "charge_invoice_id",
            where="charge_invoice_id IS NOT NULL",
            unique=True,
        ),
        Index("ix_reminders_payer", "organisation_id", "payer_id"),
        currency_check(),
        CheckConstraint("level >= 1", name="level_from_one"),
        CheckConstraint("open_minor > 0", name="something_open"),
        CheckConstraint("fee_minor >= 0 AND interest_minor >= 0", name="parts_not_negative"),
        CheckConstraint(
            "(charge_invoice_id IS NOT NULL) = (fee_minor + interest_minor > 0)",
            name="charged_by_document",
        ),
    )

    invoice_id: Mapped[UUID]
    payer_id: Mapped[UUID]
    level: Mapped[int] = mapped_column(SmallInteger)
    reminded_on: Mapped[date]
    currency: Mapped[Currency]
    open_minor: Mapped[Minor]
    fee_minor: Mapped[Minor]
    interest_minor: Mapped[Minor]
    charge_invoice_id: Mapped[UUID | None]
    clause_codes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    rule_set_version: Mapped[int] = mapped_column(Integer)
