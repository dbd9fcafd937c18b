"""Batch runs, their chunks, and the durable outcome of every item."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.domain.batches import UNFINISHED_RUN_STATES, ChunkState, ItemOutcome, RunState
from portal.models.base import (
    Base,
    CreatedMixin,
    IdMixin,
    Minor,
    MinorZero,
    OrganisationMixin,
    key_to,
    live_index,
    organisation_key,
    state_check,
)

_UNFINISHED = ", ".join(f"'{state.value}'" for state in UNFINISHED_RUN_STATES)


class BatchRun(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """One run of a job for an organisation and a business date, over a frozen population."""

    __tablename__ = "batch_runs"
    __table_args__ = (
        organisation_key(),
        key_to("batch_runs", "repeats_id"),
        key_to("sequence_runs", "sequence_run_id"),
        UniqueConstraint("organisation_id", "sequence_run_id", "step_number"),
        CheckConstraint(
            "(sequence_run_id IS NULL) = (step_number IS NULL)", name="step_of_a_sequence"
        ),
        UniqueConstraint("organisation_id", "request_key"),
        UniqueConstraint("organisation_id", "number"),
        live_index(
            "uq_batch_runs_unfinished",
            "organisation_id",
            "job",
            "parameters_hash",
            where=f"state IN ({_UNFINISHED})",
            unique=True,
        ),
        live_index(
            "ix_batch_runs_working",
            "organisation_id",
            "id",
            where="state IN ('started', 'stopping')",
        ),
        Index("ix_batch_runs_day", "organisation_id", "business_on"),
        live_index(
            "uq_batch_runs_repeat",
            "organisation_id",
            "repeats_id",
            where="repeats_id IS NOT NULL AND state <> 'abandoned'",
            unique=True,
        ),
        state_check("state", RunState),
        CheckConstraint("approved_by_id <> started_by_id", name="approved_by_another"),
        CheckConstraint(
            "(approved_by IS NULL) = (approved_at IS NULL)"
            " AND (approved_by_id IS NULL) = (approved_at IS NULL)",
            name="approval_whole",
        ),
        CheckConstraint(
            "NOT needs_approval OR approved_at IS NOT NULL"
            " OR state IN ('prepared', 'awaiting_approval', 'abandoned')",
            name="approved_before_start",
        ),
    )

    number: Mapped[int] = mapped_column(Integer)
    job: Mapped[str]
    business_on: Mapped[date]
    # The agreement in force when the run was prepared, which it keeps.
    rule_set_version: Mapped[int | None] = mapped_column(Integer)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    parameters_hash: Mapped[str]
    request_key: Mapped[str | None]
    repeats_id: Mapped[UUID | None]
    sequence_run_id: Mapped[UUID | None]
    step_number: Mapped[int | None] = mapped_column(SmallInteger)
    state: Mapped[str]
    exit_message: Mapped[str | None]
    items_count: Mapped[int] = mapped_column(Integer)
    chunks_count: Mapped[int] = mapped_column(Integer)
    sum_minor: Mapped[Minor]
    population_hash: Mapped[bytes] = mapped_column(LargeBinary)
    skip_limit: Mapped[int] = mapped_column(Integer)
    started_by: Mapped[str]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # What the run was about when it was prepared: totals, warnings, the run before.
    sheet: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    # How much may differ from the sheet, in hundredths of a percent; none: nothing is compared.
    tolerance_bps: Mapped[int | None] = mapped_column(SmallInteger)
    needs_approval: Mapped[bool] = mapped_column(server_default=text("false"))
    # Who is meant by a name; empty where it was no person and no key.
    started_by_id: Mapped[UUID | None]
    approved_by: Mapped[str | None]
    approved_by_id: Mapped[UUID | None]
    approved_at: Mapped[datetime | None]


class BatchChunk(OrganisationMixin, Base):
    """A part of a run's population, worked in one transaction under a lease."""

    __tablename__ = "batch_chunks"
    __table_args__ = (
        key_to("batch_runs", "run_id"),
        live_index(
            "ix_batch_chunks_open",
            "organisation_id",
            "run_id",
            "number",
            where="state IN ('ready', 'leased')",
        ),
        state_check("state", ChunkState),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    state: Mapped[str] = mapped_column(server_default=text("'ready'"))
    lease_token: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    # Of a chunk that was given back: before this instant nobody takes it.
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None]
    tries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    last_error: Mapped[str | None]
    item_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    # The version of each item when it was frozen, in the order of the ids.
    item_versions: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'"))
    items_count: Mapped[int] = mapped_column(Integer)
    sum_minor: Mapped[Minor]
    population_hash: Mapped[bytes] = mapped_column(LargeBinary)
    done_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    filtered_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    skipped_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    failed_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    # Items that were worked although they had changed since they were frozen.
    changed_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class BatchItem(OrganisationMixin, Base):
    """The outcome of one item of a run; written with its chunk, exactly once."""

    __tablename__ = "batch_items"
    __table_args__ = (
        key_to("batch_runs", "run_id"),
        live_index(
            "ix_batch_items_trouble",
            "organisation_id",
            "run_id",
            "outcome",
            where="outcome <> 'done'",
        ),
        state_check("outcome", ItemOutcome),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[UUID] = mapped_column(primary_key=True)
    chunk_number: Mapped[int] = mapped_column(Integer)
    outcome: Mapped[str]
    code: Mapped[str | None]
    message: Mapped[str | None]
    amount_minor: Mapped[MinorZero]
