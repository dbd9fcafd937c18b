"""Writing the statement of a page: find its rows in index order, then join what columns need.

Where the conditions may name few rows (a search by text, a rare kind, the days of a month), those
are asked for first, up to a limit; only if there are more than that, the order is walked until the
page is full.
"""

from typing import Any, NamedTuple

from portal.queries.tables._request import TableRequest
from portal.queries.tables._shape import Table
from portal.queries.tables._where import Search, quoted, search_of

# Up to so many rows are quicker read and sorted than met one by one on the way through an order.
FEW_MAX = 10_000


class _Order(NamedTuple):
    """The order of a page as SQL: the keys of a row, and the names that they get."""

    table: Table
    keys: list[str]
    names: list[str]
    direction: str
    # Where the page begins, for the keys or the names; empty at the beginning.
    beyond: str
    limit: str

    def selected(self) -> str:
        """Write the keys with their names."""
        return ", ".join(
            f"{sql} AS {name}" for sql, name in zip(self.keys, self.names, strict=True)
        )

    def by(self, columns: list[str]) -> str:
        """Order by columns of a row, then by its id."""
        return ", ".join(f"{column} {self.direction}" for column in columns)

    def after(self, columns: list[str]) -> str:
        """Say that a row stands behind where the page begins."""
        return self.beyond.replace("{columns}", ", ".join(columns)) if self.beyond else ""


def write_few(
    table: Table, request: TableRequest, *, rows_max: int
) -> tuple[str, dict[str, Any]] | None:
    """Write the statement of a page whose conditions may name few rows; None where they do not.

    Shape: in front of each row stands whether they are few after all; if not, the page is empty.
    One row without an id comes where there is nothing to show.
    """
    search = search_of(table, request)
    if not search.is_narrow:
        return None
    order, parameters = _order_of(table, request, rows_max)
    alias = table.alias
    names = [*order.names, "few_id"]
    after = order.after(names)
    few = (
        f"SELECT {order.selected()}, {alias}.id AS few_id FROM {table.source} {alias}"
        f" WHERE {search.where(search.any_part(table))} LIMIT {FEW_MAX + 1}"
    )
    page = (
        f"SELECT {_listed(order, 'few')} FROM (SELECT few.* FROM few, found"
        f" WHERE found.are_few{' AND ' if after else ''}{after}"
        f" ORDER BY {order.by(names)}{order.limit}) AS few"
        f" JOIN {table.source} {alias} ON {alias}.id = few.few_id {table.joins}"
        f" ORDER BY {order.by([f'few.{name}' for name in names])}"
    )
    return (
        f"WITH few AS MATERIALIZED ({few}), found AS MATERIALIZED"
        f" (SELECT count(*) <= {FEW_MAX} AS are_few FROM few)"
        f" SELECT found.are_few, page.* FROM found LEFT JOIN ({page}) AS page ON true",
        {**search.parameters, **parameters},
    )


def write_page(table: Table, request: TableRequest, *, rows_max: int) -> tuple[str, dict[str, Any]]:
    """Write the statement of a page, with its parameters."""
    search = search_of(table, request)
    order, parameters = _order_of(table, request, rows_max)
    alias = table.alias
    by = order.by([f"{alias}.{name}" for name in [*order.names, "id"]])
    return (
        f"SELECT {_listed(order, alias)} FROM ({_found(order, search)}) AS {alias}"
        f" {table.joins} ORDER BY {by}",
        {**search.parameters, **parameters},
    )


def write_every(table: Table, request: TableRequest) -> tuple[str, dict[str, Any]]:
    """Write the statement of all rows, with its parameters; the first of them come at once."""
    search = search_of(table, request)
    order, parameters = _order_of(table, request, None)
    alias = table.alias
    # Ordered by a column of its own, the rows of the parts are merged as they come; ordered by an
    # expression, all of them would be sorted once more.
    by = order.by([f"{alias}.{name}" for name in [*order.names, "id"]])
    return (
        f"SELECT {_listed(order, alias)} FROM (SELECT * FROM"
        f" ({' UNION ALL '.join(_branches(order, search))})"
        f" AS {alias} ORDER BY {by}) AS {alias} {table.joins} ORDER BY {by}",
        {**search.parameters, **parameters},
    )


def _listed(order: _Order, source: str) -> str:
    """Write what a row of a page is: its keys as text, then the columns of the table."""
    columns = order.table.columns
    keys = [f"({source}.{name})::text AS {name}" for name in order.names]
    return ", ".join([*keys, *(f"{each.sql} AS c{place}" for place, each in enumerate(columns))])


def _order_of(
    table: Table, request: TableRequest, rows_max: int | None
) -> tuple[_Order, dict[str, Any]]:
    column, is_descending = request.order(table)
    cursor = request.cursor
    is_backward = cursor is not None and cursor.is_backward
    goes_down = is_descending != is_backward
    parameters: dict[str, Any] = {}
    beyond = ""
    if cursor is not None:
        parameters = {f"k{place}": value for place, value in enumerate(cursor.values)}
        parameters["k_id"] = cursor.id
        given = [f"%(k{place})s::{key.type}" for place, key in enumerate(column.keys)]
        beyond = f"({{columns}}) {'<' if goes_down else '>'} ({', '.join([*given, '%(k_id)s'])})"
    order = _Order(
        table,
        keys=[key.sql for key in column.keys],
        names=[f"sort_{place}" for place in range(len(column.keys))],
        direction="DESC" if goes_down else "ASC",
        beyond=beyond,
        limit=f" LIMIT {rows_max}" if rows_max is not None else "",
    )
    return order, parameters


def _found(order: _Order, search: Search) -> str:
    """Write where a page is: each part (or the whole table) in index order, up to its rows."""
    table = order.table
    after = order.after([*order.keys, f"{table.alias}.id"])
    parts = search.walked_parts(table)
    if parts is None:
        return _walk(order, search.where(after, search.any_part(table)))
    wanted = [f"{parts.sql} = part.value", parts.outside_bulk(), search.by_part("part.value")]
    rows = _walk(order, search.where(after, *wanted))
    # One statement for any part is planned once; one for each of ten parts, ten times.
    values = ", ".join(quoted(part) for part in search.parts)
    by = order.by([f"row.{name}" for name in [*order.names, "id"]])
    return (
        f"SELECT row.* FROM unnest(ARRAY[{values}]::text[]) AS part(value)"
        f" CROSS JOIN LATERAL ({rows}) AS row ORDER BY {by}{order.limit}"
    )


def _branches(order: _Order, search: Search) -> list[str]:
    """Write what all rows are taken from: each part (or the whole table) in index order."""
    parts = search.walked_parts(order.table)
    if parts is None:
        return [f"({_walk(order, search.where(search.any_part(order.table)))})"]
    return [
        f"({_walk(order, search.where(f'{parts.sql} = {quoted(part)}', condition))})"
        for part, condition in search.parts.items()
    ] or [f"({_walk(order, 'false')})"]


def _walk(order: _Order, condition: str) -> str:
    """Write the rows of a condition in the order of an index, up to the limit."""
    alias = order.table.alias
    return (
        f"SELECT {alias}.*, {order.selected()} FROM {order.table.source} {alias}"
        f" WHERE {condition} ORDER BY {order.by([*order.keys, f'{alias}.id'])}{order.limit}"
    )
