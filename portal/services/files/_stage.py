"""Staging: lines by COPY into a table without row-level security, grouped there into documents.

A rehearsal stages into a temporary table instead. Everything is keyed by the file's id, and the
order of documents is that of their first lines.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from portal.services.files._lines import LineReader
from portal.sql import cursor, execute, fetch, fetch_one

STAGED: Final = "staged_lines"
REHEARSED: Final = "pg_temp.rehearsed_lines"
BLOCK_LINES: Final = 500
DOCUMENT_LINES_SHOWN_MAX: Final = 10_000

_NULL: Final = "\\N"
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class StagedDocument(NamedTuple):
    """Lines of a file that belong together; the fields are those of the first line."""

    position: int
    document_ref: str
    first_line: int
    last_line: int
    lines_count: int
    errors_count: int
    error_line: int | None
    error: str | None
    has_many_payers: bool
    has_many_currencies: bool
    net_minor: int
    amount: Decimal | None
    fields: list[str | None]
    place: int


def stage_lines(
    table: str,
    file_id: UUID,
    records: Iterable[tuple[int, list[str]]],
    read: LineReader,
    width: int,
) -> int:
    """Copy the lines of a file to a staging table and return how many there are.

    Raises: ValueError when a record has not as many values as the header.
    """
    if table == REHEARSED:
        execute(
            "CREATE TEMP TABLE rehearsed_lines (LIKE staged_lines INCLUDING ALL) ON COMMIT DROP"
        )
    count = 0
    with (
        cursor() as opened,
        opened.copy(
            cast(
                "Any",
                f"COPY {table} (file_id, line_number, document_ref, fields, error) FROM STDIN",
            )
        ) as copy,
    ):
        for block, lines in _blocks(str(file_id), records, read, width):
            copy.write(block)
            count += lines
    return count


def _blocks(
    file_id: str, records: Iterable[tuple[int, list[str]]], read: LineReader, width: int
) -> Iterator[tuple[str, int]]:
    """Write records as blocks of what COPY reads."""
    rows: list[str] = []
    for number, record in records:
        if len(record) != width:
            raise ValueError(
                f"line {number} has {len(record)} values and the header has {width} columns"
            )
        document_ref, fields, error = read(record)
        if not document_ref:
            # Lines without a document stay apart, so that each is refused by its own number.
            document_ref = f"(line {number})"
        rows.append(
            f"{file_id}\t{number}\t{document_ref.translate(_ESCAPED)}\t{{{fields}}}\t"
            f"{error.translate(_ESCAPED) if error else _NULL}\n"
        )
        if len(rows) == BLOCK_LINES:
            yield "".join(rows), len(rows)
            rows.clear()
    if rows:
        yield "".join(rows), len(rows)


def ensure_grouped(table: str, file_id: UUID) -> int:
    """Group the staged lines into documents, unless this connection has done so; count these.

    Shape: the documents are numbered from one, in the order of their first lines.
    """
    there = fetch_one("SELECT to_regclass('pg_temp.grouped_documents') IS NOT NULL AS found")
    if there is not None and there.found:
        row = fetch_one(
            "SELECT count(*) AS count FROM pg_temp.grouped_documents WHERE file_id = %s", (file_id,)
        )
        if row is not None and row.count:
            return int(row.count)
        execute("DROP TABLE pg_temp.grouped_documents")
    execute("SET LOCAL work_mem = '64MB'")
    execute(_GROUP.format(table=table), {"file_id": file_id})
    execute("ALTER TABLE pg_temp.grouped_documents ADD PRIMARY KEY (position)")
    execute("ANALYZE pg_temp.grouped_documents")
    row = fetch_one("SELECT count(*) AS count FROM pg_temp.grouped_documents")
    assert row is not None
    return int(row.count)


def forget_groups() -> None:
    """Drop what `ensure_grouped` made on this connection."""
    execute("DROP TABLE IF EXISTS pg_temp.grouped_documents")


# The first line of a document, and its first error, are found by a minimum over values that begin
# with the line number. A join would do as well, but its plan follows statistics that know nothing
# of a file that was staged a moment ago, and a wrong one takes hours.
_GROUP = """
CREATE TEMP TABLE grouped_documents AS
SELECT %(file_id)s::uuid AS file_id,
       row_number() OVER (ORDER BY first_line)::integer AS position,
       document_ref, first_line, last_line, lines_count, errors_count,
       substr(numbered_error, 1, 10)::integer AS error_line,
       substr(numbered_error, 11) AS error,
       has_many_payers, has_many_currencies, coalesce(net_minor, 0) AS net_minor, amount,
       numbered_fields[2:] AS fields,
       row_number() OVER (
         PARTITION BY coalesce(numbered_fields[8], document_ref) ORDER BY first_line
       )::integer AS place
FROM (
  SELECT document_ref,
         min(line_number) AS first_line,
         max(line_number) AS last_line,
         count(*)::integer AS lines_count,
         count(error)::integer AS errors_count,
         min(lpad(line_number::text, 10, '0') || error) AS numbered_error,
         min(coalesce(fields[1], '')) <> max(coalesce(fields[1], '')) AS has_many_payers,
         min(coalesce(fields[3], '')) <> max(coalesce(fields[3], '')) AS has_many_currencies,
         sum(fields[6]::bigint) AS net_minor,
         sum(fields[4]::numeric * fields[5]::numeric) AS amount,
         min(ARRAY[lpad(line_number::text, 10, '0')] || fields) AS numbered_fields
  FROM {table} WHERE file_id = %(file_id)s GROUP BY document_ref
) d
"""


_LIST = """
SELECT {columns} FROM pg_temp.grouped_documents WHERE position BETWEEN %s AND %s ORDER BY position
"""

_LIST_LINE_NUMBERS = """
SELECT document_ref, (array_agg(line_number ORDER BY line_number))[1:%(most)s] AS lines
FROM {table}
WHERE file_id = %(file_id)s AND line_number BETWEEN %(low)s AND %(high)s
  AND document_ref = ANY(%(refs)s)
GROUP BY document_ref
"""


def list_documents(first: int, last: int) -> list[StagedDocument]:
    """List grouped documents by position, both ends included."""
    columns = ", ".join(StagedDocument._fields)
    rows = fetch(_LIST.format(columns=columns), (first, last))
    return [StagedDocument(*row)._replace(net_minor=int(row.net_minor)) for row in rows]


def list_line_numbers(
    table: str, file_id: UUID, documents: list[StagedDocument]
) -> dict[str, list[int]]:
    """List the line numbers of documents, by their reference."""
    if not documents:
        return {}
    rows = fetch(
        _LIST_LINE_NUMBERS.format(table=table),
        {
            "most": DOCUMENT_LINES_SHOWN_MAX,
            "file_id": file_id,
            "low": min(each.first_line for each in documents),
            "high": max(each.last_line for each in documents),
            "refs": [each.document_ref for each in documents],
        },
    )
    return {row.document_ref: row.lines for row in rows}


def count_staged(file_id: UUID) -> int:
    """Count the staged lines of a file: they are gone after a crash of the database."""
    row = fetch_one("SELECT count(*) AS count FROM staged_lines WHERE file_id = %s", (file_id,))
    assert row is not None
    return int(row.count)


def empty_stage(file_id: UUID) -> None:
    """Remove the staged lines of a file."""
    execute("DELETE FROM staged_lines WHERE file_id = %s", (file_id,))
