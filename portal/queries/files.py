"""Reading imported files, what of them was refused, and which references are taken."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from portal.sql import fetch_one, fetch_plain

_SELECT = (
    "SELECT id, kind, name, content_hash, size_bytes, mapping, detected, state, "
    "lines_count, documents_count, imported_count, refused_count, finished_at, created_at "
    "FROM files"
)


class FileRow(NamedTuple):
    """A file that was handed in."""

    id: UUID
    kind: str
    name: str
    content_hash: str
    size_bytes: int
    mapping: dict[str, Any]
    detected: dict[str, Any]
    state: str
    lines_count: int
    documents_count: int
    imported_count: int
    refused_count: int
    finished_at: datetime | None
    created_at: datetime


class FileRefusalRow(NamedTuple):
    """A document of a file that was not imported."""

    document_ref: str
    lines: list[int]
    amount: Decimal | None
    code: str
    message: str


def find_file_by_hash(kind: str, content_hash: str) -> FileRow | None:
    """Return the file of a kind with this content, or None."""
    row = fetch_one(_SELECT + " WHERE kind = %s AND content_hash = %s", (kind, content_hash))
    return FileRow(*row) if row else None


def list_files(limit: int = 100) -> list[FileRow]:
    """List the files of the organisation in scope, the newest first."""
    rows = fetch_plain(_SELECT + " ORDER BY id DESC LIMIT %s", (limit,))
    return [FileRow(*row) for row in rows]


def list_file_refusals(file_id: UUID, limit: int = 1000) -> list[FileRefusalRow]:
    """List what was refused of a file, in the order of its lines."""
    rows = fetch_plain(
        "SELECT document_ref, lines, amount, code, message FROM file_refusals"
        " WHERE file_id = %s ORDER BY lines[1], document_ref LIMIT %s",
        (file_id, limit),
    )
    return [FileRefusalRow(*row) for row in rows]


def list_taken_refs(external_refs: Iterable[str]) -> dict[str, UUID | None]:
    """Return those of the references that a document has, and the file it came from."""
    rows = fetch_plain(
        "SELECT external_ref, file_id FROM invoices"
        " WHERE external_ref = ANY(%s) AND external_ref IS NOT NULL AND state <> 'discarded'",
        (list(external_refs),),
    )
    return {row[0]: row[1] for row in rows}
