"""Why each computed amount and each decision is what it is: written once, never changed."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Integer
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.models.base import Base, Instant, OrganisationMixin, organisation_key


class RuleTrace(OrganisationMixin, Base):
    """What the clauses of one version decided about one thing at one moment; append-only.

    Shape: entries are lists of code, place in the definition (from one), inputs and result.
    """

    __tablename__ = "rule_traces"
    __table_args__ = (
        organisation_key(),
        CheckConstraint("subject_type IN ('invoice', 'payment')", name="subject_type_known"),
        CheckConstraint("jsonb_typeof(entries) = 'array'", name="entries_listed"),
    )

    # Before the number, so that the key finds all there is about one thing, in its order.
    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    subject_type: Mapped[str]
    stage: Mapped[str]
    rule_set_version: Mapped[int] = mapped_column(Integer)
    decided_on: Mapped[date]
    recorded_at: Mapped[Instant]
    entries: Mapped[list[Any]] = mapped_column(JSONB)
