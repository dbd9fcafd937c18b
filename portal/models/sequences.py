"""Sequences of jobs, their steps as they were in each version, and their executions."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Index,
    Integer,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.sequences import STEPS_MAX, SequenceState, StepCondition
from portal.models.base import (
    Base,
    CreatedMixin,
    IdMixin,
    OrganisationMixin,
    key_to,
    live_index,
    organisation_key,
    state_check,
)


class JobSequence(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """A named, ordered list of steps; the steps of its version are those that count."""

    __tablename__ = "sequences"
    __table_args__ = (organisation_key(), UniqueConstraint("organisation_id", "name"))

    name: Mapped[str]
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))


class SequenceStep(OrganisationMixin, Base):
    """A step of one version of a sequence, which never changes: executions keep what they began."""

    __tablename__ = "sequence_steps"
    __table_args__ = (
        key_to("sequences", "sequence_id"),
        state_check("condition", StepCondition),
        CheckConstraint(f"number BETWEEN 1 AND {STEPS_MAX}", name="number_in_range"),
    )

    sequence_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    job: Mapped[str]
    condition: Mapped[str]


class SequenceRun(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """An execution of a sequence for a business date, and the step at which it is or ended."""

    __tablename__ = "sequence_runs"
    __table_args__ = (
        organisation_key(),
        key_to(
            "sequence_steps",
            "sequence_id",
            "version",
            "step_number",
            remote=("sequence_id", "version", "number"),
        ),
        UniqueConstraint("organisation_id", "request_key"),
        live_index(
            "uq_sequence_runs_running",
            "organisation_id",
            "sequence_id",
            "business_on",
            where="state = 'running'",
            unique=True,
        ),
        Index("ix_sequence_runs_step", "organisation_id", "sequence_id", "version", "step_number"),
        state_check("state", SequenceState),
        CheckConstraint(
            "(state IN ('completed', 'abandoned')) = (finished_at IS NOT NULL)",
            name="finished_when_over",
        ),
        CheckConstraint(
            "(state IN ('stopped', 'abandoned')) = (reason IS NOT NULL)", name="stopped_with_reason"
        ),
    )

    sequence_id: Mapped[UUID]
    version: Mapped[int] = mapped_column(Integer)
    step_number: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    business_on: Mapped[date]
    request_key: Mapped[str | None]
    state: Mapped[str]
    # Why it goes no further.
    reason: Mapped[str | None]
    started_by: Mapped[str]
    # Who is meant by a name; empty where it was no person and no key.
    started_by_id: Mapped[UUID | None]
    finished_at: Mapped[datetime | None]
