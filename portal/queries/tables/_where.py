"""What a request asks of rows, as conditions: of all of them, and of each part of the table."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from portal.domain.payers import name_sort_key
from portal.queries.tables._request import TableRequest
from portal.queries.tables._shape import (
    Choice,
    Filter,
    Kind,
    Parts,
    Range,
    Reference,
    Table,
    Text,
)

NO_TEXT = "none"
# A prefix ends before the same text with the greatest character behind it.
LAST_CHARACTER = "\U0010ffff"
SHORT = timedelta(days=31)


class Search(NamedTuple):
    """The conditions of a request: of all rows, and of each part."""

    conditions: list[str]
    parts: dict[str, str]
    parameters: dict[str, Any]
    # Whether the conditions may name so few rows that it is quicker to sort those.
    is_narrow: bool

    def where(self, *more: str) -> str:
        return " AND ".join([*self.conditions, *(one for one in more if one)]) or "true"

    def by_part(self, part: str) -> str:
        """Say the conditions of the parts of a row whose part is an expression."""
        different = set(self.parts.values())
        if len(different) <= 1:
            return "".join(different)
        return " AND ".join(
            f"({part} <> {quoted(value)} OR {condition})"
            for value, condition in self.parts.items()
            if condition
        )

    def any_part(self, table: Table) -> str:
        """Say the conditions of the parts in one, for what needs no order."""
        if table.parts is None:
            return ""
        if not self.parts:
            return "false"
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
        return f"({' OR '.join(either)})"

    def walked_parts(self, table: Table) -> Parts | None:
        """Return the parts that an order is walked by; None where the whole table is walked."""
        is_whole = table.parts is None or table.parts.bulk in self.parts
        return None if is_whole else table.parts


def search_of(table: Table, request: TableRequest) -> Search:
    """Turn what is asked into conditions with their parameters."""
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
            wanted = _chosen_parts(table, request, values)
            parts = {part: wanted[part] for part in parts if part in wanted}
        elif isinstance(one, Choice):
            conditions.append(_any_of(one, values, parameters))
            is_narrow = is_narrow or all(option.is_rare for option in values)
        elif isinstance(one, Range):
            conditions += _within(one, values, parameters, table, request)
            is_narrow = is_narrow or _is_short_span(one, values, table, request)
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
    return Search(conditions, parts, parameters, is_narrow)


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


def _chosen_parts(table: Table, request: TableRequest, options: Sequence[Any]) -> dict[str, str]:
    """Combine options: a part that one of them wants whole is taken whole."""
    assert table.parts is not None
    passed = f"{request.order(table)[0].keys[0].sql} {_passed_sign(request, table) or '?'}"
    wanted: dict[str, list[str]] = {}
    for option in options:
        is_passed = option.sql.startswith(passed)
        for part in option.parts:
            condition = _past_index(option.sql) if is_passed else option.sql
            wanted.setdefault(part, []).append(condition)
    return {
        part: "" if "" in wanted[part] else f"({' OR '.join(dict.fromkeys(wanted[part]))})"
        for part in table.parts.values
        if part in wanted
    }


def _any_of(choice: Choice, options: Sequence[Any], parameters: dict[str, Any]) -> str:
    if choice.sql:
        parameters[choice.name] = [option.value for option in options]
        return f"{choice.sql} = ANY(%({choice.name})s)"
    return f"({' OR '.join(option.sql for option in options)})"


def _within(
    one: Range,
    bounds: Sequence[Any],
    parameters: dict[str, Any],
    table: Table,
    request: TableRequest,
) -> list[str]:
    key = request.order(table)[0].keys[0].sql
    passed = _passed_sign(request, table) if key == one.sql else ""
    found = [_past_index(one.present) if passed == "<" else one.present] if one.present else []
    for place, (least, end, currency) in enumerate(bounds):
        if currency:
            parameters[f"{one.name}_currency"] = currency
            found.append(f"{table.alias}.currency = %({one.name}_currency)s")
        for side, value, sign in (("least", least, ">="), ("end", end, "<")):
            if value is not None:
                name = f"%({one.name}_{side}_{place})s"
                parameters[f"{one.name}_{side}_{place}"] = value
                condition = f"{one.sql} {sign} {name}"
                found.append(_past_index(condition) if sign[0] == passed else condition)
                if one.year_sql:
                    found.append(f"{one.year_sql} {sign[0]}= extract(year FROM {name})::smallint")
    return found


def _passed_sign(request: TableRequest, table: Table) -> str:
    """Name the comparison that holds from where the page begins on; empty on the first page."""
    if request.cursor is None:
        return ""
    _, is_descending = request.order(table)
    return "<" if is_descending != request.cursor.is_backward else ">"


def _past_index(condition: str) -> str:
    """Hide a bound of a page's own order from its index.

    Shape: of two places to begin at the database takes the bound, and walks on to the other.
    """
    return f"({condition}) IS TRUE"


def _is_short_span(one: Range, bounds: Sequence[Any], table: Table, request: TableRequest) -> bool:
    """Say whether a range is a month of days at most, in a list that another column orders.

    Shape: that order may have those days at its far end, which the planner cannot know; a page that
    is not the first begins among them.
    """
    column, _ = request.order(table)
    is_far = request.cursor is None and not column.is_scattered and column.keys[0].sql != one.sql
    if one.kind is not Kind.DAY or not is_far:
        return False
    leasts = [each.least for each in bounds if each.least is not None]
    ends = [each.end for each in bounds if each.end is not None]
    return bool(leasts and ends) and min(ends) - max(leasts) <= SHORT


def quoted(value: str) -> str:
    """Quote a value that stands in the code, not one that somebody typed."""
    assert "'" not in value
    return f"'{value}'"
