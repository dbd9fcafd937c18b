"""What is asked of a list: read from the arguments of an address and written back to them."""

import re
from collections.abc import Iterable
from datetime import date
from difflib import get_close_matches
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.errors import Invalid, NotFound
from portal.domain.payers import name_sort_key
from portal.ids import parse_public_id
from portal.queries.tables._cursor import Cursor, read_cursor
from portal.queries.tables._shape import Choice, Column, Filter, Range, Reference, Table, Text
from portal.queries.tables._values import ValueUnreadable, read_bounds
from portal.sql import fetch_one

ROWS_DEFAULT = 50
ROWS_MAX = 200
TERMS_MAX = 30
TEXT_CHARACTERS_MAX = 200
OPERATORS = {"": "=", "gte": "≥", "gt": ">", "lte": "≤", "lt": "<"}

_NAME = re.compile(r"([a-z_]+)(?:\[([a-z]*)\])?")


class ArgumentRefused(Invalid):
    """{reason} Nothing was changed; correct the address or choose from the links of the page."""

    parameter: str
    reason: str


class ThingMissing(NotFound):
    """There is no such {noun} here, or it is another organisation's; nothing was changed. Choose
    one from the list."""

    parameter: str
    noun: str


class Term(NamedTuple):
    """One condition on the rows, as it stands in the address and as people read it."""

    filter: Filter
    operator: str
    text: str
    value: Any
    words: str

    @property
    def argument(self) -> tuple[str, str]:
        """The argument of the address that says this."""
        name = f"{self.filter.name}[{self.operator}]" if self.operator else self.filter.name
        return name, self.text


class TableRequest(NamedTuple):
    """What is asked of a list: the conditions, the order, and where the page begins.

    Shape: `today` is the day in the organisation's zone, by which something is overdue.
    """

    terms: tuple[Term, ...]
    sort: str
    cursor: Cursor | None
    rows: int
    today: date

    def order(self, table: Table) -> tuple[Column, bool]:
        """Return the column that rows are ordered by, and whether downwards."""
        column = table.column(self.sort.removeprefix("-"))
        assert column is not None
        return column, self.sort.startswith("-")

    def arguments(self, table: Table) -> list[tuple[str, str]]:
        """List the arguments of the address that ask for the same, without the place in it."""
        found = [term.argument for term in self.terms]
        if self.sort != table.default_sort:
            found.append(("sort", self.sort))
        if self.rows != ROWS_DEFAULT:
            found.append(("limit", str(self.rows)))
        return found


class Reading(NamedTuple):
    """A request, and what of its arguments could not be understood and is left out of it."""

    request: TableRequest
    refused: tuple[ArgumentRefused | ThingMissing, ...]


def read_request(
    table: Table,
    arguments: Iterable[tuple[str, str]],
    *,
    today: date,
    currency: str,
    is_lenient: bool = False,
) -> Reading:
    """Read what is asked of a list.

    Shape: amounts are read in `currency` unless the arguments filter by one; leniently, an
    argument without a value counts as not there, as an empty field of a form. Asks the database
    only for the words of a Reference.
    """
    given = [(name, text) for name, text in arguments if text or not is_lenient]
    refused: list[ArgumentRefused | ThingMissing] = []
    chosen = next((text for name, text in given if name == "currency"), currency)
    terms: list[Term] = []
    single: dict[str, str] = {}
    for name, text in given[:TERMS_MAX]:
        try:
            if name in {"sort", "cursor", "limit"}:
                if name in single:
                    raise _refusal(name, f"“{name}” stands twice in the address.")
                single[name] = text
            else:
                _add_term(terms, _read_term(table, name, text, today=today, currency=chosen))
        except (ArgumentRefused, ThingMissing) as error:
            refused.append(error)
    if len(given) > TERMS_MAX:
        reason = f"More than {TERMS_MAX} conditions cannot be combined."
        refused.append(_refusal(given[TERMS_MAX][0], reason))
    sort = table.default_sort
    cursor = None
    rows = ROWS_DEFAULT
    try:
        sort = _read_sort(table, single.get("sort", sort))
        rows = _read_rows(single.get("limit", str(rows)))
        if "cursor" in single:
            cursor = _read_place(table, sort, single["cursor"])
    except ArgumentRefused as error:
        refused.append(error)
    return Reading(TableRequest(tuple(terms), sort, cursor, rows, today), tuple(refused))


def parse_request(
    table: Table, arguments: Iterable[tuple[str, str]], *, today: date, currency: str
) -> TableRequest:
    """Read what is asked of a list, and take nothing that is not understood.

    Raises: ArgumentRefused; ThingMissing.
    """
    reading = read_request(table, arguments, today=today, currency=currency)
    if reading.refused:
        raise reading.refused[0]
    return reading.request


def _add_term(terms: list[Term], term: Term) -> None:
    for other in terms:
        if other.filter.name != term.filter.name:
            continue
        if (other.operator, other.text) == (term.operator, term.text):
            return
        if not isinstance(term.filter, Choice) and other.operator == term.operator:
            name = term.argument[0]
            raise _refusal(name, f"“{name}” stands twice in the address with two values.")
    terms.append(term)


def _read_term(table: Table, name: str, text: str, *, today: date, currency: str) -> Term:
    found = _NAME.fullmatch(name)
    one = table.filter(found[1]) if found else None
    if found is None or one is None:
        raise _refusal(name, f"There is no filter “{name[:40]}”{_nearest(table, name)}.")
    operator = found[2] or ""
    if operator not in OPERATORS or (operator and not isinstance(one, Range)):
        raise _refusal(name, f"“{one.words}” cannot be compared by “{operator[:10]}”.")
    if "\0" in text or len(text) > TEXT_CHARACTERS_MAX:
        raise _refusal(name, f"The value of “{one.words}” cannot be read.")
    if isinstance(one, Choice):
        return _choose(one, name, text)
    if isinstance(one, Range):
        try:
            bounds, words = read_bounds(one.kind, text, operator, today=today, currency=currency)
        except ValueUnreadable as error:
            raise _refusal(name, f"“{text[:40]}” is not {error.wanted}.") from None
        return Term(one, operator, text, bounds, f"{one.words}: {words}")
    if isinstance(one, Reference):
        thing_id = parse_public_id(one.noun, text)
        return Term(one, "", text, thing_id, f"{one.words}: {_label(one, name, thing_id)}")
    stripped = " ".join(text.split())
    if not name_sort_key(stripped):
        raise _refusal(name, f"The value of “{one.words}” is empty.")
    said = one.say(stripped) if isinstance(one, Text) else f"“{stripped}”"
    return Term(one, "", stripped, stripped, f"{one.words}: {said}")


def _choose(choice: Choice, name: str, text: str) -> Term:
    for option in choice.options:
        if option.value == text:
            return Term(choice, "", text, option, f"{choice.words}: {option.words}")
    offered = [option.value for option in choice.options]
    near = get_close_matches(text.lower(), offered, n=1)
    advice = f"did you mean “{near[0]}”?" if near else f"it may be {', '.join(offered)}."
    raise _refusal(name, f"“{text[:40]}” is no value of “{choice.words}”; {advice}")


def _label(reference: Reference, name: str, value: UUID | None) -> str:
    row = fetch_one(reference.label_sql, {"value": value}) if value is not None else None
    if row is None:
        raise ThingMissing(parameter=name, noun=reference.noun)
    return str(row[0])


def _read_sort(table: Table, text: str) -> str:
    column = table.column(text.removeprefix("-"))
    if column is None or not column.keys:
        names = ", ".join(column.name for column in table.sortable())
        raise _refusal("sort", f"The list cannot be sorted by “{text[:40]}”; it can by {names}.")
    return text


def _read_rows(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(ROWS_MAX))):
        raise _refusal("limit", f"“{text[:10]}” is not a number of rows from 1 to {ROWS_MAX}.")
    if not 1 <= int(text) <= ROWS_MAX:
        raise _refusal("limit", f"A page has 1 to {ROWS_MAX} rows.")
    return int(text)


def _read_place(table: Table, sort: str, text: str) -> Cursor:
    column = table.column(sort.removeprefix("-"))
    assert column is not None
    cursor = read_cursor(text, sort=sort, keys=column.keys)
    if cursor is None:
        raise _refusal("cursor", "The place in the list cannot be read; begin at its first page.")
    return cursor


def _nearest(table: Table, name: str) -> str:
    known = [one.name for one in table.filters]
    near = get_close_matches(name.partition("[")[0].lower(), known, n=1)
    return f"; did you mean “{near[0]}”?" if near else ""


def _refusal(parameter: str, reason: str) -> ArgumentRefused:
    return ArgumentRefused(parameter=parameter[:100], reason=reason)
