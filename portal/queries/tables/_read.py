"""Reading a list: a page of it from any place in one statement, its totals, its facets, all of it.

A page is found by its place (keyset), never by counting rows, so the last page costs what the first
does. Where a table is kept in parts, each part is read in its own index order and they are merged.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from portal.queries.tables._cursor import Cursor, write_cursor
from portal.queries.tables._request import TableRequest
from portal.queries.tables._select import write_every, write_few, write_page
from portal.queries.tables._shape import Choice, Table
from portal.queries.tables._where import quoted, search_of
from portal.sql import fetch_plain, stream_plain

# Up to here a list is counted to the row; beyond it says "more than", until somebody asks.
COUNT_MAX = 1_000
STREAM_ROWS = 2_000


class Page(NamedTuple):
    """Rows of a list with the places before and after them, where there are any.

    Shape: each row is a tuple in the order of the table's columns.
    """

    rows: list[tuple[Any, ...]]
    newer: str | None
    older: str | None


class Sums(NamedTuple):
    """How many rows of one currency there are and what they come to, in the order of the sums."""

    currency: str
    rows_count: int
    amounts_minor: tuple[int, ...]


class Totals(NamedTuple):
    """What a list comes to; when it is not exact, there are more rows than were counted."""

    rows_count: int
    is_exact: bool
    sums: tuple[Sums, ...]


class Facet(NamedTuple):
    """How many rows each value of a choice would leave; counts are None where there are too many
    to count at once."""

    choice: Choice
    counts: tuple[int | None, ...]


def read_page(table: Table, request: TableRequest) -> Page:
    """Read one page of a list, in one statement; in two where few rows were looked for in vain."""
    column, _ = request.order(table)
    cursor = request.cursor
    is_backward = cursor is not None and cursor.is_backward
    rows = _read_few(table, request)
    if rows is None:
        rows = fetch_plain(*write_page(table, request, rows_max=request.rows + 1))
    has_more = len(rows) > request.rows
    rows = rows[: request.rows]
    if is_backward:
        rows.reverse()
    keys_count = len(column.keys)
    places = [_place(row, request.sort, keys_count) for row in (rows[0], rows[-1])] if rows else []
    has_newer = has_more if is_backward else cursor is not None
    has_older = True if is_backward else has_more
    return Page(
        rows=[row[keys_count:] for row in rows],
        newer=write_cursor(places[0]._replace(is_backward=True)) if rows and has_newer else None,
        older=write_cursor(places[1]) if rows and has_older else None,
    )


def _read_few(table: Table, request: TableRequest) -> list[tuple[Any, ...]] | None:
    """Read the rows of a page whose conditions name few rows; None where they name many."""
    written = write_few(table, request, rows_max=request.rows + 1)
    if written is None:
        return None
    rows = fetch_plain(*written)
    are_few = rows[0][0]
    if not are_few:
        return None
    id_at = 1 + len(request.order(table)[0].keys)
    return [row[1:] for row in rows if row[id_at] is not None]


def read_totals(table: Table, request: TableRequest, *, is_exact: bool = False) -> Totals:
    """Count the rows of a list and add them up per currency, in one statement.

    Shape: stops a little above COUNT_MAX unless asked to be exact.
    """
    search = search_of(table, request)
    amounts = [table.columns[table.places()[name]].sql for name in table.sums]
    currency = "currency" if amounts else "''"
    listed = ", ".join(f"{sql} AS a{place}" for place, sql in enumerate(amounts))
    added = "".join(f", COALESCE(sum(a{place}), 0)::bigint" for place in range(len(amounts)))
    chosen = f"{table.alias}.currency{', ' if listed else ''}{listed}" if amounts else "1"
    limit = "" if is_exact else f" LIMIT {COUNT_MAX + 1}"
    rows = fetch_plain(
        f"SELECT {currency}, count(*){added} FROM (SELECT {chosen} FROM {table.source}"
        f" {table.alias} WHERE {search.where(search.any_part(table))}{limit}) AS found"
        " GROUP BY 1 ORDER BY 1",
        search.parameters,
    )
    sums = tuple(Sums(row[0], row[1], row[2:]) for row in rows)
    counted = sum(one.rows_count for one in sums)
    if counted > COUNT_MAX and not is_exact:
        return Totals(COUNT_MAX, is_exact=False, sums=())
    return Totals(counted, is_exact=True, sums=sums)


def totals_of(table: Table, rows: Sequence[tuple[Any, ...]]) -> Totals:
    """Add up rows that have been read, where they are the whole list."""
    places = table.places()
    amounts = [places[name] for name in table.sums]
    by_currency: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows if amounts else ():
        by_currency.setdefault(row[places["currency"]], []).append(row)
    sums = tuple(
        Sums(currency, len(those), tuple(sum(row[at] or 0 for row in those) for at in amounts))
        for currency, those in sorted(by_currency.items())
    )
    return Totals(len(rows), is_exact=True, sums=sums)


def read_facet(
    table: Table, request: TableRequest, choice: Choice, *, is_exact: bool = False
) -> Facet:
    """Count how many rows each value of a choice would leave with the other conditions kept."""
    others = [term for term in request.terms if term.filter.name != choice.name]
    search = search_of(table, request._replace(terms=tuple(others)))
    limit = "" if is_exact else f" LIMIT {COUNT_MAX + 1}"
    tests = [_test(table, choice, place) for place in range(len(choice.options))]
    counted = ", ".join(f"count(*) FILTER (WHERE t{place})" for place in range(len(tests)))
    listed = ", ".join(f"{test} AS t{place}" for place, test in enumerate(tests))
    (row,) = fetch_plain(
        f"SELECT count(*), {counted} FROM (SELECT {listed} FROM {table.source} {table.alias}"
        f" WHERE {search.where(search.any_part(table))}{limit}) AS found",
        {**search.parameters, "today": request.today},
    )
    if row[0] > COUNT_MAX and not is_exact:
        return Facet(choice, (None,) * len(tests))
    return Facet(choice, tuple(row[1:]))


def stream_rows(table: Table, request: TableRequest) -> Iterator[tuple[Any, ...]]:
    """Read all rows of a list in its order, a few at a time, with flat memory."""
    statement, parameters = write_every(table, request._replace(cursor=None))
    keys_count = len(request.order(table)[0].keys)
    for row in stream_plain(statement, parameters, rows_at_once=STREAM_ROWS):
        yield row[keys_count:]


def _test(table: Table, choice: Choice, place: int) -> str:
    """Write what is true of a row that has a value of a choice."""
    option = choice.options[place]
    tests = [f"({option.sql})"] if option.sql else []
    if table.parts is not None and choice.name == table.parts.choice:
        listed = ", ".join(quoted(part) for part in option.parts)
        tests.append(f"{table.parts.sql} IN ({listed})")
    elif choice.sql:
        tests.append(f"{choice.sql} = {quoted(option.value)}")
    return f"COALESCE({' AND '.join(tests)}, false)"


def _place(row: Sequence[Any], sort: str, keys_count: int) -> Cursor:
    return Cursor(sort, is_backward=False, values=tuple(row[:keys_count]), id=row[keys_count])
