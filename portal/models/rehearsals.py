"""What rehearsals found: the documents that differ, and what each chunk came to."""

from datetime import date
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.rehearsals import RehearsalChange
from portal.models.base import (
    Base,
    Currency,
    Minor,
    MinorZero,
    OrganisationMixin,
    currency_check,
    key_to,
    state_check,
)


class RehearsalDifference(OrganisationMixin, Base):
    """A document that a rehearsed version treats differently; without amounts where it is stopped.

    The difference is that of the totals and charges; what is stopped comes to nothing.
    """

    __tablename__ = "rehearsal_differences"
    __table_args__ = (
        key_to("batch_runs", "run_id"),
        key_to("invoices", "invoice_id"),
        state_check("change", RehearsalChange),
        currency_check(),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    invoice_id: Mapped[UUID] = mapped_column(primary_key=True)
    change: Mapped[str]
    payer_kind: Mapped[str]
    currency: Mapped[Currency]
    net_before_minor: Mapped[int | None] = mapped_column(BigInteger)
    tax_before_minor: Mapped[int | None] = mapped_column(BigInteger)
    total_before_minor: Mapped[int | None] = mapped_column(BigInteger)
    due_before_on: Mapped[date | None]
    charges_before_minor: Mapped[MinorZero]
    net_after_minor: Mapped[int | None] = mapped_column(BigInteger)
    tax_after_minor: Mapped[int | None] = mapped_column(BigInteger)
    total_after_minor: Mapped[int | None] = mapped_column(BigInteger)
    due_after_on: Mapped[date | None]
    charges_after_minor: Mapped[MinorZero]
    difference_minor: Mapped[Minor]
    appeared: Mapped[list[str]] = mapped_column(ARRAY(Text))
    vanished: Mapped[list[str]] = mapped_column(ARRAY(Text))
    clauses: Mapped[list[str]] = mapped_column(ARRAY(Text))


class RehearsalTotal(OrganisationMixin, Base):
    """What the documents of a chunk come to, those that do not differ as well."""

    __tablename__ = "rehearsal_totals"
    __table_args__ = (key_to("batch_runs", "run_id"), currency_check())

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    chunk_number: Mapped[int] = mapped_column(Integer, primary_key=True)
    currency: Mapped[Currency] = mapped_column(primary_key=True)
    payer_kind: Mapped[str] = mapped_column(primary_key=True)
    documents_count: Mapped[int] = mapped_column(Integer)
    differing_count: Mapped[int] = mapped_column(Integer)
    priced_before_count: Mapped[int] = mapped_column(Integer)
    net_before_minor: Mapped[Minor]
    tax_before_minor: Mapped[Minor]
    total_before_minor: Mapped[Minor]
    charges_before_minor: Mapped[Minor]
    priced_after_count: Mapped[int] = mapped_column(Integer)
    net_after_minor: Mapped[Minor]
    tax_after_minor: Mapped[Minor]
    total_after_minor: Mapped[Minor]
    charges_after_minor: Mapped[Minor]


class RehearsalFinding(OrganisationMixin, Base):
    """On how many documents of a chunk a clause finds something, before and after."""

    __tablename__ = "rehearsal_findings"
    __table_args__ = (key_to("batch_runs", "run_id"),)

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    chunk_number: Mapped[int] = mapped_column(Integer, primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    before_count: Mapped[int] = mapped_column(Integer)
    after_count: Mapped[int] = mapped_column(Integer)
