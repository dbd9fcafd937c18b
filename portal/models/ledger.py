"""The ledger: accounts, entries and postings; a posting cannot be unbalanced."""

from datetime import date
from typing import Annotated
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.ledger import AccountKind, EntryKind
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

# The transaction that wrote the row, which the app role cannot name itself: a posting is tied to
# an entry of its own transaction, so that no later one adds to it.
SealedXid = Annotated[
    int,
    mapped_column(BigInteger, server_default=text("(pg_current_xact_id())::text::bigint")),
]


class LedgerAccount(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """One account of an organisation in one currency."""

    __tablename__ = "ledger_accounts"
    __table_args__ = (
        organisation_key(),
        UniqueConstraint("organisation_id", "currency", "kind", "code"),
        UniqueConstraint("organisation_id", "id", "currency"),
        state_check("kind", AccountKind),
        currency_check(),
    )

    currency: Mapped[Currency]
    kind: Mapped[str]
    code: Mapped[str] = mapped_column(server_default=text("''"))


class LedgerEntry(OrganisationMixin, IdMixin, Base):
    """A set of postings with one unique source; corrected only by a reversing entry."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        organisation_key(),
        UniqueConstraint("organisation_id", "source_id", "kind"),
        UniqueConstraint("organisation_id", "id", "sealed_xid"),
        UniqueConstraint("organisation_id", "reverses_id"),
        key_to("ledger_entries", "reverses_id"),
        Index("ix_ledger_entries_day", "organisation_id", "effective_on"),
        state_check("kind", EntryKind),
    )

    kind: Mapped[str]
    source_type: Mapped[str]
    source_id: Mapped[UUID]
    effective_on: Mapped[date]
    reverses_id: Mapped[UUID | None]
    sealed_xid: Mapped[SealedXid]


class Posting(OrganisationMixin, Base):
    """An amount moved to its debit account from its credit account."""

    __tablename__ = "postings"
    __table_args__ = (
        key_to("ledger_entries", "entry_id", "sealed_xid"),
        key_to("ledger_accounts", "debit_account_id", "currency"),
        key_to("ledger_accounts", "credit_account_id", "currency"),
        key_to("payers", "payer_id"),
        CheckConstraint("amount_minor > 0", name="amount_minor_positive"),
        CheckConstraint("debit_account_id <> credit_account_id", name="accounts_differ"),
        live_index(
            "ix_postings_invoice",
            "organisation_id",
            "invoice_id",
            where="invoice_id IS NOT NULL",
        ),
        live_index(
            "ix_postings_payer", "organisation_id", "payer_id", where="payer_id IS NOT NULL"
        ),
        currency_check(),
    )

    entry_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    debit_account_id: Mapped[UUID]
    credit_account_id: Mapped[UUID]
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    payer_id: Mapped[UUID | None]
    invoice_id: Mapped[UUID | None]
    sealed_xid: Mapped[SealedXid]
