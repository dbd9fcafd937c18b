"""Reading a list: a page of it from any place in one statement, its totals, its facets, all of it.

A page is found by its place (keyset), never by counting rows, so the last page costs what the first
does. Where a table is kept in parts, each part is read in its own index order and they are merged.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from portal.domain.payers import name_sort_key
from portal.queries.tables._cursor import Cursor, write_cursor
from portal.queries.tables._request import TableRequest
from portal.queries.tables._shape import Choice, Filter, Range, Reference, Table, Text
from portal.sql import fetch_plain, stream_plain

# Up to here a list is counted to the row; beyond it says "more than", until somebody asks.
COUNT_MAX = 1_000
STREAM_ROWS = 2_000
NO_TEXT = "none"
# A prefix ends before the same text with the greatest character behind it.
LAST_CHARACTER = "\U0010ffff"


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


class _Search(NamedTuple):
    """The conditions of a request: of all rows, and of each part."""

    conditions: list[str]
    parts: dict[str, str]
    parameters: dict[str, Any]
    # Whether the conditions name few rows, so that it is quicker to sort those.
    is_narrow: bool

    def where(self, *more: str) -> str:
        return " AND ".join([*self.conditions, *(one for one in more if one)]) or "true"

    def any_part(self, table: Table) -> str:
        """Say the conditions of the parts in one, for what needs no order."""
        if table.parts is None:
            return ""
        plain = [part for part, condition in self.parts.items() if not condition]
        either = [
            f"({table.parts.sql} = '{part}' AND {condition})"
            for part, condition in self.parts.items()
            if condition
        ]
        if len(plain) == len(table.parts.values):
            return ""
        if plain:
            listed = ", ".join(f"'{part}'" for part in plain)
            either.append(f"{table.parts.sql} IN ({listed})")
        return f"({' OR '.join(either) or 'false'})"


def read_page(table: Table, request: TableRequest) -> Page:
    """Read one page of a list, in one statement."""
    column, _ = request.order(table)
    cursor = request.cursor
    is_backward = cursor is not None and cursor.is_backward
    statement, parameters = _select(table, request, rows_max=request.rows + 1)
    rows = fetch_plain(statement, parameters)
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


def read_totals(table: Table, request: TableRequest, *, is_exact: bool = False) -> Totals:
    """Count the rows of a list and add them up per currency, in one statement.

    Shape: stops a little above COUNT_MAX unless asked to be exact.
    """
    search = _search(table, request)
    amounts = [table.columns[table.places()[name]].sql for name in table.sums]
    currency = "currency" if amounts else "''"
    listed = ", ".join(f"{sql} AS a{place}" for place, sql in enumerate(amounts))
    added = "".join(f", sum(a{place})::bigint" for place in range(len(amounts)))
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


def read_facet(
    table: Table, request: TableRequest, choice: Choice, *, is_exact: bool = False
) -> Facet:
    """Count how many rows each value of a choice would leave with the other conditions kept."""
    others = [term for term in request.terms if term.filter.name != choice.name]
    search = _search(table, request._replace(terms=tuple(others)))
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
    statement, parameters = _select(table, request._replace(cursor=None), rows_max=None)
    keys_count = len(request.order(table)[0].keys)
    for row in stream_plain(statement, parameters, rows_at_once=STREAM_ROWS):
        yield row[keys_count:]


def _select(
    table: Table, request: TableRequest, *, rows_max: int | None
) -> tuple[str, dict[str, Any]]:
    """Write the statement: find the page in index order, then join what its columns need."""
    column, is_descending = request.order(table)
    cursor = request.cursor
    search = _search(table, request)
    parameters = dict(search.parameters)
    is_backward = cursor is not None and cursor.is_backward
    goes_down = is_descending != is_backward
    direction = "DESC" if goes_down else "ASC"
    keys = [key.sql for key in column.keys]
    beyond = ""
    if cursor is not None:
        for place, value in enumerate(cursor.values):
            parameters[f"k{place}"] = value
        parameters["k_id"] = cursor.id
        given = [f"%(k{place})s::{key.type}" for place, key in enumerate(column.keys)]
        beyond = (
            f"({', '.join([*keys, f'{table.alias}.id'])}) {'<' if goes_down else '>'}"
            f" ({', '.join([*given, '%(k_id)s'])})"
        )
    limit = f" LIMIT {rows_max}" if rows_max is not None else ""
    # Ordered by a column of its own, the rows of the parts are merged as they come; ordered by an
    # expression, all of them would be sorted once more.
    named = [f"sort_{place}" for place in range(len(keys))]
    order = ", ".join(f"{table.alias}.{name} {direction}" for name in [*named, "id"])
    ordered = ", ".join(f"{sql} {direction}" for sql in [*keys, f"{table.alias}.id"])
    every = (
        f"SELECT {table.alias}.*,"
        f" {', '.join(f'{sql} AS {name}' for sql, name in zip(keys, named, strict=True))}"
        f" FROM {table.source} {table.alias} WHERE "
    )
    branches = [
        f"({every}{each} ORDER BY {ordered}{limit})" for each in _branches(table, search, beyond)
    ]
    listed = ", ".join(
        [*(f"({table.alias}.{name})::text" for name in named), *(c.sql for c in table.columns)]
    )
    found = " UNION ALL ".join(branches)
    return (
        f"SELECT {listed} FROM (SELECT * FROM ({found}) AS {table.alias} ORDER BY {order}{limit})"
        f" AS {table.alias} {table.joins} ORDER BY {order}",
        parameters,
    )


def _branches(table: Table, search: _Search, beyond: str) -> list[str]:
    """Write the conditions of what a page is taken from: of each part, or of all rows at once."""
    if table.parts is None:
        return [search.where(beyond)]
    if search.is_narrow:
        return [search.where(search.any_part(table), beyond)]
    return [
        search.where(f"{table.parts.sql} = {_quoted(part)}", condition, beyond)
        for part, condition in search.parts.items()
    ] or ["false"]


def _search(table: Table, request: TableRequest) -> _Search:
    conditions: list[str] = []
    parameters: dict[str, Any] = {"today": request.today}
    is_narrow = False
    chosen: dict[str, list[Any]] = {}
    for term in request.terms:
        chosen.setdefault(term.filter.name, []).append(term.value)
    parts = dict.fromkeys(table.parts.values, "") if table.parts else {}
    for name, values in chosen.items():
        one = table.filter(name)
        assert one is not None
        possible = _possible_parts(one, values)
        if table.parts is not None and name == table.parts.choice:
            wanted = _chosen_parts(table.parts.values, values)
            parts = {part: wanted[part] for part in parts if part in wanted}
        elif isinstance(one, Choice):
            conditions.append(_any_of(one, values, parameters))
        elif isinstance(one, Range):
            conditions += _within(one, values, parameters, table.alias)
        elif isinstance(one, Reference):
            parameters[name] = values[0]
            conditions.append(f"({one.sql.replace('%(value)s', f'%({name})s')})")
        elif isinstance(one, Text):
            parameters[name] = values[0]
            is_none = values[0] == NO_TEXT
            conditions.append(f"{one.sql} {'IS NULL' if is_none else f'= %({name})s'}")
        else:
            text = str(values[0])
            least = name_sort_key(text)
            parameters |= {"text": text, "least": least, "end": least + LAST_CHARACTER}
            parameters |= one.read(text)
            conditions.append(f"({one.sql})")
            is_narrow = True
        if possible:
            parts = {part: extra for part, extra in parts.items() if part in possible}
    return _Search(conditions, parts, parameters, is_narrow)


def _possible_parts(one: Filter, values: Sequence[Any]) -> frozenset[str]:
    """Name the parts in which the wanted rows can lie; none is said where it is any."""
    if isinstance(one, Range):
        is_above_zero = any(
            each.least is not None and each.least > 0 for each in values if one.parts
        )
        return frozenset(one.parts if is_above_zero else ())
    if isinstance(one, Choice) and all(option.parts for option in values):
        return frozenset(part for option in values for part in option.parts)
    return frozenset()


def _chosen_parts(values: Sequence[str], options: Sequence[Any]) -> dict[str, str]:
    """Combine options: a part that one of them wants whole is taken whole."""
    wanted: dict[str, list[str]] = {}
    for option in options:
        for part in option.parts:
            wanted.setdefault(part, []).append(option.sql)
    return {
        part: "" if "" in wanted[part] else f"({' OR '.join(dict.fromkeys(wanted[part]))})"
        for part in values
        if part in wanted
    }


def _any_of(choice: Choice, options: Sequence[Any], parameters: dict[str, Any]) -> str:
    if choice.sql:
        parameters[choice.name] = [option.value for option in options]
        return f"{choice.sql} = ANY(%({choice.name})s)"
    return f"({' OR '.join(option.sql for option in options)})"


def _within(one: Range, bounds: Sequence[Any], parameters: dict[str, Any], alias: str) -> list[str]:
    found = [one.present] if one.present else []
    for place, (least, end, currency) in enumerate(bounds):
        if currency:
            parameters[f"{one.name}_currency"] = currency
            found.append(f"{alias}.currency = %({one.name}_currency)s")
        for side, value, sign in (("least", least, ">="), ("end", end, "<")):
            if value is not None:
                parameters[f"{one.name}_{side}_{place}"] = value
                found.append(f"{one.sql} {sign} %({one.name}_{side}_{place})s")
    return found


def _test(table: Table, choice: Choice, place: int) -> str:
    """Write what is true of a row that has a value of a choice."""
    option = choice.options[place]
    tests = [f"({option.sql})"] if option.sql else []
    if table.parts is not None and choice.name == table.parts.choice:
        listed = ", ".join(_quoted(part) for part in option.parts)
        tests.append(f"{table.parts.sql} IN ({listed})")
    elif choice.sql:
        tests.append(f"{choice.sql} = {_quoted(option.value)}")
    return f"COALESCE({' AND '.join(tests)}, false)"


def _quoted(value: str) -> str:
    """Quote a value that stands in the code, not one that somebody typed."""
    assert "'" not in value
    return f"'{value}'"


def _place(row: Sequence[Any], sort: str, keys_count: int) -> Cursor:
    return Cursor(sort, is_backward=False, values=tuple(row[:keys_count]), id=row[keys_count])
