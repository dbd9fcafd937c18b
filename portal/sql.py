"""SQL on the driver's connection of the open session: rows in, rows out, many at a time.

Nothing here begins or ends a transaction; that is `portal.db`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import psycopg
from psycopg.rows import dict_row, namedtuple_row

from portal.extensions import db

STREAM_IDLE_MS_MAX = 600_000


def _driver() -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", db.session.connection().connection.driver_connection)


@contextmanager
def cursor() -> Iterator[psycopg.Cursor[Any]]:
    """Open a driver cursor inside the session's transaction; its rows are named tuples."""
    with _driver().cursor(row_factory=namedtuple_row) as opened:
        yield opened


def execute(statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> int:
    """Run one statement and return how many rows it touched."""
    with _driver().cursor() as opened:
        opened.execute(cast("Any", statement), parameters)
        return opened.rowcount


def fetch(statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> list[Any]:
    """Run one statement and return its rows as named tuples."""
    with cursor() as opened:
        opened.execute(cast("Any", statement), parameters)
        return opened.fetchall()


def fetch_plain(
    statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None
) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows as plain tuples: the quick way for many rows."""
    with _driver().cursor() as opened:
        opened.execute(cast("Any", statement), parameters)
        return opened.fetchall()


def stream_plain(
    statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None, *, rows_at_once: int
) -> Iterator[tuple[Any, ...]]:
    """Run one statement and hand out its rows while the database still has most of them."""
    # Who takes the rows may be slow; the transaction is idle as long.
    execute(f"SET LOCAL idle_in_transaction_session_timeout = {STREAM_IDLE_MS_MAX}")
    with _driver().cursor(name="stream") as opened:
        opened.itersize = rows_at_once
        opened.execute(cast("Any", statement), parameters)
        yield from opened


def fetch_one(
    statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None
) -> Any | None:
    """Run one statement and return its first row, or None."""
    with cursor() as opened:
        opened.execute(cast("Any", statement), parameters)
        return opened.fetchone()


def fetch_dicts(
    statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None
) -> list[dict[str, Any]]:
    """Run one statement and return its rows as dictionaries."""
    with _driver().cursor(row_factory=dict_row) as opened:
        opened.execute(cast("Any", statement), parameters)
        return opened.fetchall()


def stage_rows(name: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> None:
    """Fill a session's temporary table by COPY, for an INSERT or UPDATE from it.

    Shape: columns in the order of each row, with their SQL types; emptied at the commit, and
    emptied here first, so that a repeat inside one transaction starts clean.
    """
    with _driver().cursor() as opened:
        shape = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        opened.execute(
            cast("Any", f"CREATE TEMP TABLE IF NOT EXISTS {name} ({shape}) ON COMMIT DELETE ROWS")
        )
        opened.execute(cast("Any", f"TRUNCATE pg_temp.{name}"))
        with opened.copy(
            cast("Any", f"COPY pg_temp.{name} ({', '.join(columns)}) FROM STDIN")
        ) as copy:
            for row in rows:
                copy.write_row(row)


def copy_into(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Append rows to a table without row-level security by COPY."""
    with (
        _driver().cursor() as opened,
        opened.copy(cast("Any", f"COPY {table} ({', '.join(columns)}) FROM STDIN")) as copy,
    ):
        for row in rows:
            copy.write_row(row)


class Population(NamedTuple):
    """A SELECT of what a run is about, in no order.

    Shape: columns id, version, amount_minor, currency, kind, due_on.
    """

    statement: str
    parameters: Mapping[str, Any]
