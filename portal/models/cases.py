"""Cases: what was expected and did not come, what it is about, and how it ended."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.cases import CASE_REASON_CHARACTERS_MAX, CaseKind, CaseState, CaseSubject
from portal.models.base import (
    Base,
    Currency,
    IdMixin,
    Instant,
    OrganisationMixin,
    currency_check,
    key_to,
    live_index,
    organisation_key,
    state_check,
)


class Case(OrganisationMixin, IdMixin, Base):
    """One thing that did not come; while its cause stands there is no second case for it.

    Shape: `gone_at` is when the cause was seen to be gone; what a person has closed before then is
    not opened again.
    """

    __tablename__ = "cases"
    __table_args__ = (
        organisation_key(),
        key_to("gateway_accounts", "gateway_account_id"),
        live_index(
            "uq_cases_standing",
            "organisation_id",
            "kind",
            "subject_id",
            where="gone_at IS NULL",
            unique=True,
        ),
        live_index(
            "ix_cases_account",
            "organisation_id",
            "gateway_account_id",
            where="gateway_account_id IS NOT NULL AND gone_at IS NULL",
        ),
        # The orders of the list, as portal/queries/tables/cases.py asks for them.
        Index("ix_cases_by_opened", "organisation_id", "state", "opened_at", "id"),
        Index("ix_cases_by_since", "organisation_id", "state", "since_at", "id"),
        Index(
            "ix_cases_by_amount",
            "organisation_id",
            "state",
            # Written as the database gives it back, so that the two can be compared.
            text("(\nCASE\nWHEN amount_minor IS NULL THEN 0::bigint\nELSE amount_minor\nEND)"),
            "id",
        ),
        state_check("kind", CaseKind),
        state_check("state", CaseState),
        state_check("subject_type", CaseSubject),
        currency_check(),
        CheckConstraint("(state = 'open') = (ended_at IS NULL)", name="end_whole"),
        CheckConstraint(
            "(state = 'closed') = (closed_by IS NOT NULL)"
            " AND (closed_by IS NULL) = (reason IS NULL)",
            name="closed_by_whom",
        ),
        CheckConstraint(
            f"length(reason) BETWEEN 1 AND {CASE_REASON_CHARACTERS_MAX}", name="reason_given"
        ),
        CheckConstraint(
            "CASE state WHEN 'open' THEN gone_at IS NULL WHEN 'resolved' THEN gone_at IS NOT NULL"
            " ELSE true END",
            name="stands_while_open",
        ),
    )

    kind: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'open'"))
    subject_type: Mapped[str]
    subject_id: Mapped[UUID]
    # What people call the subject.
    subject_name: Mapped[str]
    # Whose record was compared; empty where no gateway's was.
    gateway_account_id: Mapped[UUID | None]
    since_at: Mapped[Instant]
    opened_at: Mapped[Instant]
    # Money is not at stake in everything that stands still.
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[Currency]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    ended_at: Mapped[datetime | None]
    gone_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    reason: Mapped[str | None]
