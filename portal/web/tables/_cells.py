"""The values of a row as people read them, with the pages they lead to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from markupsafe import Markup

from portal.ids import public_id
from portal.queries.tables import Column, Kind, Table
from portal.web.formats import day, instant, job_in_words, money_writer, tone_of, whole
from portal.web.menu import target

NEVER = UUID(int=0)


class Cell(NamedTuple):
    """A value of a row as it is shown."""

    label: str
    text: str | Markup
    address: str | None = None
    css: str = ""
    tone: tuple[str, str] | None = None
    is_head: bool = False


def cells_of(table: Table, rows: Sequence[tuple[Any, ...]]) -> list[list[Cell]]:
    places = table.places()
    currency_at = places.get("currency")
    shown = [(place, column) for place, column in enumerate(table.columns) if column.is_shown]
    ways = {column.noun: _way(column.noun) for _, column in shown if column.noun}
    id_places = {noun: 0 if noun == table.noun else places[f"{noun}_id"] for noun in ways}
    # What has no page of its own is called by its first column.
    named = [column.name for _, column in shown if column.noun == table.noun]
    head = next(iter(named), shown[0][1].name)
    writers: dict[str, Callable[[int], str]] = {}
    cells = []
    for row in rows:
        currency = row[currency_at] if currency_at is not None else None
        if currency is not None and currency not in writers:
            writers[currency] = money_writer(currency)
        money = writers.get(currency or "", str)
        line = []
        for place, column in shown:
            address = None
            way = ways.get(column.noun)
            if way is not None:
                thing_id = row[id_places[column.noun]]
                address = way.replace("0", public_id(column.noun, thing_id)) if thing_id else None
            cell = _cell(column, row[place], money, address, is_head=column.name == head)
            note = column.note and row[places[column.note]]
            line.append(_with_note(cell, table, column.note, note) if note else cell)
        cells.append(line)
    return cells


def _way(noun: str) -> str | None:
    """Return the address of a noun's page with 0 where its id stands.

    Shape: building an address for each row would cost more than reading the rows.
    """
    address = target(f"{noun}s.show", **{f"{noun}_id": NEVER})
    return address.replace(public_id(noun, NEVER), "0") if address else None


def _cell(
    column: Column,
    value: Any,
    money: Callable[[int], str],
    address: str | None,
    *,
    is_head: bool,
) -> Cell:
    css = "number" if column.kind in {Kind.MONEY, Kind.COUNT} else ""
    if column.kind is Kind.DAY or column.noun == "invoice":
        # Dates and document numbers are read as one word.
        css = "is-day"
    if column.kind is Kind.STATE and value is not None:
        assert column.states is not None
        state = column.states(value)
        return Cell(column.words, state.label, address, css, tone_of(state))
    if value is None or value is False:
        words = "Draft" if is_head else "–"
        css = css if is_head else f"{css} is-blank".strip()
        return Cell(column.words, words, address if is_head else None, css, is_head=is_head)
    # The number of a run is its name, and names have no groups of digits.
    is_name = is_head and column.kind is Kind.COUNT
    shown = str(value) if is_name else _shown(column, value, money)
    return Cell(column.words, shown, address, css, is_head=is_head)


def _with_note(cell: Cell, table: Table, name: str, note: Any) -> Cell:
    """Say behind a value what another column has to say about it."""
    told = table.column(name)
    assert told is not None
    words = Markup("{}, {} {}").format(cell.text, told.words.lower(), note)
    # What is longer than a date may be broken.
    return cell._replace(text=words, css="")


def _shown(column: Column, value: Any, money: Callable[[int], str]) -> str | Markup:
    if column.kind is Kind.MONEY:
        return money(value)
    if column.kind is Kind.FLAG:
        return column.words
    write = job_in_words if column.name == "job" else _WRITERS.get(column.kind, str)
    return write(value)


_WRITERS: Mapping[Kind, Callable[[Any], str | Markup]] = {
    Kind.DAY: day,
    Kind.INSTANT: instant,
    Kind.COUNT: whole,
}
