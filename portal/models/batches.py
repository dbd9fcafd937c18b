"""Batch runs, their chunks, and the durable outcome of every item."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
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
        state_check("state", RunState),
    )

    number: Mapped[int] = mapped_column(Integer)
    job: Mapped[str]
    business_on: Mapped[date]
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    parameters_hash: Mapped[str]
    request_key: Mapped[str | None]
    repeats_id: Mapped[UUID | None]
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
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None]
    tries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    last_error: Mapped[str | None]
    item_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    items_count: Mapped[int] = mapped_column(Integer)
    sum_minor: Mapped[Minor]
    population_hash: Mapped[bytes] = mapped_column(LargeBinary)
    done_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    filtered_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    skipped_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    failed_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
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
