"""When jobs start by themselves, and what became of each time at which they were due."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.schedules import DueState, Misfire, OnHoliday
from portal.models.base import (
    Base,
    CreatedMixin,
    IdMixin,
    Instant,
    OrganisationMixin,
    key_to,
    live_index,
    organisation_key,
    state_check,
)


class Schedule(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """A rule by which a job or a sequence of an organisation starts."""

    __tablename__ = "schedules"
    __table_args__ = (
        organisation_key(),
        key_to("sequences", "sequence_id"),
        UniqueConstraint("organisation_id", "name"),
        CheckConstraint("num_nonnulls(job, sequence_id) = 1", name="job_or_sequence"),
        state_check("on_holiday", OnHoliday),
        state_check("misfire", Misfire),
        CheckConstraint("is_active = (next_at IS NOT NULL)", name="next_when_active"),
        CheckConstraint("is_active = (wake_at IS NOT NULL)", name="wakes_when_active"),
        live_index(
            "ix_schedules_sequence",
            "organisation_id",
            "sequence_id",
            where="sequence_id IS NOT NULL",
        ),
        live_index("ix_schedules_wake", "wake_at", where="wake_at IS NOT NULL"),
    )

    name: Mapped[str]
    job: Mapped[str | None]
    sequence_id: Mapped[UUID | None]
    rule: Mapped[str]
    on_holiday: Mapped[str]
    misfire: Mapped[str]
    is_active: Mapped[bool]
    next_at: Mapped[datetime | None]
    # When to look at it again: at the next due time, or sooner while an earlier one waits.
    wake_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))


class ScheduleDue(OrganisationMixin, Base):
    """A time at which a schedule was due, with the run it made or the reason why it made none."""

    __tablename__ = "schedule_dues"
    __table_args__ = (
        key_to("schedules", "schedule_id"),
        key_to("batch_runs", "run_id"),
        UniqueConstraint("organisation_id", "run_id"),
        state_check("state", DueState),
        CheckConstraint("(state = 'started') = (run_id IS NOT NULL)", name="run_when_started"),
    )

    schedule_id: Mapped[UUID] = mapped_column(primary_key=True)
    due_at: Mapped[Instant] = mapped_column(primary_key=True)
    business_on: Mapped[date]
    state: Mapped[str]
    reason: Mapped[str | None]
    run_id: Mapped[UUID | None]
    created_at: Mapped[Instant]
