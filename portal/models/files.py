"""Imported files, what of them was refused, and the staging table that imports fill first."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Integer, Numeric, Text, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.models.base import (
    Base,
    CreatedMixin,
    IdMixin,
    OrganisationMixin,
    key_to,
    organisation_key,
)


class File(OrganisationMixin, IdMixin, CreatedMixin, Base):
    """A file that was handed in; the hash of its content makes a repeat refused."""

    __tablename__ = "files"
    __table_args__ = (
        organisation_key(),
        UniqueConstraint("organisation_id", "kind", "content_hash"),
        CheckConstraint("kind IN ('invoices', 'payers', 'mandates')", name="kind_known"),
        CheckConstraint(
            "state IN ('staging', 'staged', 'completed', 'failed')", name="state_known"
        ),
    )

    kind: Mapped[str]
    name: Mapped[str]
    content_hash: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    mapping: Mapped[dict[str, Any]] = mapped_column(JSONB)
    detected: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str]
    lines_count: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    documents_count: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    imported_count: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    refused_count: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    finished_at: Mapped[datetime | None]


class FileRefusal(OrganisationMixin, Base):
    """A document of a file that was not imported, with its lines and the reason."""

    __tablename__ = "file_refusals"
    __table_args__ = (key_to("files", "file_id"),)

    file_id: Mapped[UUID] = mapped_column(primary_key=True)
    document_ref: Mapped[str] = mapped_column(primary_key=True)
    lines: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    amount: Mapped[Any | None] = mapped_column(Numeric(24, 6))
    code: Mapped[str]
    message: Mapped[str]


class StagedLine(Base):
    """A parsed line of a file that waits to become part of a document.

    COPY refuses tables under row-level security, so this one has none; it is keyed by the file's
    random id, unlogged, and emptied when the import ends.
    """

    __tablename__ = "staged_lines"
    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012 - read once by SQLAlchemy

    file_id: Mapped[UUID] = mapped_column(primary_key=True)
    line_number: Mapped[int] = mapped_column(Integer, primary_key=True)
    document_ref: Mapped[str]
    fields: Mapped[list[str | None]] = mapped_column(ARRAY(Text))
    error: Mapped[str | None]
