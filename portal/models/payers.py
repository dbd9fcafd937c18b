"""Payers and their mandates."""

from datetime import date
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.payers import Arrangement, MandateState, PayerKind
from portal.models.base import (
    Base,
    CreatedMixin,
    Currency,
    IdMixin,
    OrganisationMixin,
    currency_check,
    key_to,
    live_index,
    organisation_key,
    state_check,
)


class Payer(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """Who owes: a person, a company or a public body."""

    __tablename__ = "payers"
    __table_args__ = (
        organisation_key(),
        UniqueConstraint("organisation_id", "external_ref"),
        Index("ix_payers_name", "organisation_id", "name_sort", "id"),
        Index("ix_payers_number", "organisation_id", "number", "id"),
        state_check("kind", PayerKind),
        state_check("arrangement", Arrangement),
        CheckConstraint(
            "(arrangement IS NULL) = (arranged_until IS NULL)", name="arranged_with_an_end"
        ),
    )

    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    external_ref: Mapped[str]
    name: Mapped[str]
    # Compared by code point, so that the names with a prefix stand together.
    name_sort: Mapped[str] = mapped_column(Text(collation="C"))
    kind: Mapped[str]
    email: Mapped[str | None]
    country: Mapped[str | None]
    vat_id: Mapped[str | None]
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    is_on_hold: Mapped[bool] = mapped_column(server_default=text("false"))
    arrangement: Mapped[str | None]
    arranged_until: Mapped[date | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))


class Mandate(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """Permission to collect from a payer through one gateway account."""

    __tablename__ = "mandates"
    __table_args__ = (
        organisation_key(),
        key_to("payers", "payer_id"),
        key_to("gateway_accounts", "gateway_account_id", "currency"),
        UniqueConstraint("organisation_id", "reference"),
        live_index(
            "uq_mandates_active",
            "organisation_id",
            "payer_id",
            "currency",
            where="state = 'active'",
            unique=True,
        ),
        state_check("state", MandateState),
        currency_check(),
    )

    payer_id: Mapped[UUID]
    gateway_account_id: Mapped[UUID]
    currency: Mapped[Currency]
    reference: Mapped[str]
    token: Mapped[str]
    state: Mapped[str]
    signed_on: Mapped[date]
    last_used_on: Mapped[date | None]
