"""What happened, to what, by whom, why: written once, never changed."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.models.base import Base, Instant, OrganisationMixin, live_index, organisation_key


class Event(OrganisationMixin, Base):
    """One thing that happened; append-only."""

    __tablename__ = "events"
    __table_args__ = (
        organisation_key(),
        Index("ix_events_subject", "organisation_id", "subject_id"),
        # What people did is little among what runs did, and is what is looked for.
        live_index(
            "ix_events_people",
            "organisation_id",
            "id",
            where="actor_kind IN ('person', 'operator')",
        ),
        # The days of what is only ever added lie side by side.
        Index("ix_events_days", "happened_at", postgresql_using="brin"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str]
    subject_type: Mapped[str]
    subject_id: Mapped[UUID]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str]
    happened_at: Mapped[Instant]
    reason: Mapped[str | None] = mapped_column(Text)
    details: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
