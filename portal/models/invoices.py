"""Invoices and credit notes, their lines and taxes; the database guards the amounts."""

from datetime import date
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.invoices import InvoiceKind, InvoiceState
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

_OPEN = (
    "CASE WHEN state = 'issued' AND kind <> 'credit_note'"
    " THEN total_minor - paid_minor - credited_minor - written_off_minor ELSE 0 END"
)
_CREDIT_LEFT = (
    "CASE WHEN state = 'issued' AND kind = 'credit_note'"
    " THEN total_minor - applied_minor ELSE 0 END"
)
_STATUS = (
    "CASE WHEN state <> 'issued' OR kind = 'credit_note' THEN NULL"
    " WHEN total_minor = paid_minor + credited_minor + written_off_minor THEN 'paid'"
    " WHEN in_payment_minor > 0 THEN 'in_payment'"
    " WHEN paid_minor + credited_minor + written_off_minor > 0 THEN 'partially_paid'"
    " ELSE 'unpaid' END"
)


_SETTLED = "paid_minor + credited_minor + written_off_minor"
_STANDING = (
    "CASE WHEN state <> 'issued' THEN state"
    " WHEN kind = 'credit_note' AND applied_minor < total_minor THEN 'credit_left'"
    " WHEN kind = 'credit_note' THEN 'credit_used'"
    f" WHEN total_minor = {_SETTLED} THEN 'paid'"
    " WHEN in_payment_minor > 0 THEN 'in_payment'"
    f" WHEN {_SETTLED} > 0 THEN 'partially_paid'"
    " ELSE 'unpaid' END"
)


def _or_else(column: str, absent: str) -> str:
    """Stand in for an absent value; COALESCE would do but for row-level security, see the list.

    Shape: broken into lines as the database writes it, so that the two can be compared.
    """
    return f"(\nCASE\nWHEN {column} IS NULL THEN {absent}\nELSE {column}\nEND)"


_ISSUED = _or_else("issued_on", "'infinity'::date")
_DUE = _or_else("due_on", "'infinity'::date")
# What the list can be narrowed by. Behind the keys of each order, so that a row that does not fit
# is passed over within the index: a filter that few rows of an order fit costs no visit to them.
_CONDITIONS = ("payer_id", _ISSUED, _DUE, "total_minor", "open_minor", "kind", "currency")


def _list_indexes(name: str, *keys: str) -> tuple[Index, Index]:
    """Index an order of the list of invoices: all of them, and by status those not paid.

    Shape: nearly all invoices come to be paid, so the second is small, and finds the few open ones
    without a walk past the others.
    """
    conditions = [each for each in _CONDITIONS if each not in keys]
    whole = [*keys, "id", "status", *conditions]
    by_status = ["status", *keys, "id", *conditions]
    return (
        Index(f"ix_invoices_by_{name}", "organisation_id", *map(text, whole)),
        live_index(
            f"ix_invoices_by_status_{name}",
            "organisation_id",
            *map(text, by_status),
            where="status <> 'paid'",
        ),
    )


class Invoice(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """The legal document; immutable in its content once issued."""

    __tablename__ = "invoices"
    __table_args__ = (
        organisation_key(),
        key_to("payers", "payer_id"),
        key_to("invoices", "corrects_id", "currency"),
        UniqueConstraint("organisation_id", "id", "currency"),
        live_index(
            "uq_invoices_number",
            "organisation_id",
            "series",
            "year",
            "number",
            where="number IS NOT NULL",
            unique=True,
        ),
        live_index(
            "uq_invoices_external_ref",
            "organisation_id",
            "external_ref",
            where="external_ref IS NOT NULL AND state <> 'discarded'",
            unique=True,
        ),
        live_index("ix_invoices_draft", "organisation_id", "id", where="state = 'draft'"),
        live_index(
            "ix_invoices_open",
            "organisation_id",
            "due_on",
            "id",
            where="state = 'issued' AND payment_status <> 'paid'",
        ),
        live_index(
            "ix_invoices_credit_left",
            "organisation_id",
            "payer_id",
            where="state = 'issued' AND kind = 'credit_note' AND applied_minor < total_minor",
        ),
        Index("ix_invoices_payer", "organisation_id", "payer_id"),
        # The orders of the list, as portal/queries/tables/invoices.py asks for them.
        live_index(
            "ix_invoices_rare_kind",
            "organisation_id",
            "kind",
            where="kind IN ('correction', 'charge')",
        ),
        *_list_indexes(
            "number", "series", _or_else("year", "0::smallint"), _or_else("number", "0::bigint")
        ),
        *_list_indexes("issued", _ISSUED),
        *_list_indexes("due", _DUE),
        *_list_indexes("total", "total_minor"),
        *_list_indexes("open", "open_minor"),
        state_check("kind", InvoiceKind),
        state_check("state", InvoiceState),
        currency_check(),
        CheckConstraint("net_minor >= 0 AND tax_minor >= 0", name="parts_not_negative"),
        CheckConstraint("total_minor = net_minor + tax_minor", name="total_adds_up"),
        CheckConstraint(
            "paid_minor >= 0 AND credited_minor >= 0 AND written_off_minor >= 0"
            " AND in_payment_minor >= 0 AND applied_minor >= 0",
            name="amounts_not_negative",
        ),
        CheckConstraint(
            "paid_minor + credited_minor + written_off_minor + in_payment_minor <= total_minor",
            name="amounts_within_total",
        ),
        CheckConstraint("applied_minor <= total_minor", name="applied_within_total"),
        CheckConstraint(
            "kind = 'credit_note' OR applied_minor = 0", name="only_credit_notes_apply"
        ),
        CheckConstraint(
            "kind <> 'credit_note'"
            " OR paid_minor + credited_minor + written_off_minor + in_payment_minor = 0",
            name="credit_notes_are_not_paid",
        ),
        CheckConstraint(
            "(state IN ('issued', 'voided')) = (number IS NOT NULL)", name="issued_is_numbered"
        ),
        CheckConstraint(
            "number IS NULL OR (issued_on IS NOT NULL AND due_on IS NOT NULL"
            " AND year = EXTRACT(YEAR FROM issued_on))",
            name="numbered_in_its_year",
        ),
        CheckConstraint(
            "state <> 'draft' OR paid_minor + credited_minor + written_off_minor"
            " + in_payment_minor + applied_minor = 0",
            name="draft_has_no_payments",
        ),
    )

    currency: Mapped[Currency]
    kind: Mapped[str]
    state: Mapped[str]
    payer_id: Mapped[UUID]
    series: Mapped[str] = mapped_column(server_default=text("'INV'"))
    year: Mapped[int | None] = mapped_column(SmallInteger)
    number: Mapped[int | None] = mapped_column(BigInteger)
    external_ref: Mapped[str | None]
    purchase_order_ref: Mapped[str | None]
    buyer_reference: Mapped[str | None]
    cost_centre: Mapped[str | None]
    payment_ref: Mapped[str | None]
    # The last day is part of the period; a draft may have it wrong, and the rules tell.
    period_from: Mapped[date | None]
    period_to: Mapped[date | None]
    document_on: Mapped[date | None]
    issued_on: Mapped[date | None]
    due_on: Mapped[date | None]
    net_minor: Mapped[Minor]
    tax_minor: Mapped[MinorZero]
    total_minor: Mapped[Minor]
    paid_minor: Mapped[MinorZero]
    credited_minor: Mapped[MinorZero]
    written_off_minor: Mapped[MinorZero]
    in_payment_minor: Mapped[MinorZero]
    applied_minor: Mapped[MinorZero]
    open_minor: Mapped[int] = mapped_column(BigInteger, Computed(_OPEN, persisted=True))
    credit_left_minor: Mapped[int] = mapped_column(
        BigInteger, Computed(_CREDIT_LEFT, persisted=True)
    )
    payment_status: Mapped[str | None] = mapped_column(Text, Computed(_STATUS, persisted=True))
    status: Mapped[str] = mapped_column(Text, Computed(_STANDING, persisted=True))
    corrects_id: Mapped[UUID | None]
    rule_set_version: Mapped[int | None] = mapped_column(Integer)
    file_id: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))


class InvoiceLine(OrganisationMixin, Base):
    """One line of an invoice; its net amount is rounded once, when the line is written."""

    __tablename__ = "invoice_lines"
    __table_args__ = (key_to("invoices", "invoice_id"),)

    invoice_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    description: Mapped[str]
    quantity: Mapped[Decimal] = mapped_column(Numeric(18, 6))
    unit_price: Mapped[Decimal] = mapped_column(Numeric(20, 6))
    net_minor: Mapped[Minor]
    revenue_code: Mapped[str]
    tax_code: Mapped[str]
    source_line: Mapped[int | None] = mapped_column(Integer)


class InvoiceTax(OrganisationMixin, Base):
    """The one tax amount per tax category of an issued invoice."""

    __tablename__ = "invoice_taxes"
    __table_args__ = (
        key_to("invoices", "invoice_id"),
        CheckConstraint("rate_bps BETWEEN 0 AND 10000", name="rate_bps_in_range"),
    )

    invoice_id: Mapped[UUID] = mapped_column(primary_key=True)
    tax_code: Mapped[str] = mapped_column(primary_key=True)
    rate_bps: Mapped[int] = mapped_column(Integer)
    net_minor: Mapped[Minor]
    tax_minor: Mapped[Minor]
