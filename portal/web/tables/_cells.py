"""The values of a row as people read them, with the pages they lead to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from markupsafe import Markup

from portal.ids import public_id
from portal.queries.tables import Column, Kind, Table
from portal.web.formats import day, instant, job_in_words, money_writer, whole
from portal.web.menu import target
from portal.web.tones import tone_of

NEVER = UUID(int=0)
BLANK = "is-blank"


class Cell(NamedTuple):
    """A value of a row as it is shown."""

    label: str
    text: str | Markup
    address: str | None = None
    css: str = ""
    tone: tuple[str, str] | None = None
    is_head: bool = False


Draw = Callable[[tuple[Any, ...], Callable[[int], str]], Cell]


def cells_of(table: Table, rows: Sequence[tuple[Any, ...]]) -> list[list[Cell]]:
    """Draw the shown columns of rows; how each is drawn is decided once."""
    places = table.places()
    shown = [(place, column) for place, column in enumerate(table.columns) if column.is_shown]
    # What has no page of its own is called by its first column.
    named = [column.name for _, column in shown if column.noun == table.noun]
    head = next(iter(named), shown[0][1].name)
    drawn = [_drawn(table, place, column, is_head=column.name == head) for place, column in shown]
    currency_at = places.get("currency")
    if currency_at is None:
        return [[draw(row, str) for draw in drawn] for row in rows]
    currencies = {row[currency_at] for row in rows}
    writers = {each: money_writer(each) if each else str for each in currencies}
    return [[draw(row, writers[row[currency_at]]) for draw in drawn] for row in rows]


def _way(noun: str) -> str | None:
    """Return the address of a noun's page with 0 where its id stands.

    Shape: building an address for each row would cost more than reading the rows.
    """
    address = target(f"{noun}s.show", **{f"{noun}_id": NEVER})
    return address.replace(public_id(noun, NEVER), "0") if address else None


def _drawn(table: Table, place: int, column: Column, *, is_head: bool) -> Draw:
    """Decide how the values of a column are drawn."""
    label, css = column.words, _css_of(column)
    address_of = _address_of(table, column)
    if column.states is not None:
        states = {state.value: (state.label, tone_of(state)) for state in column.states}

        def draw_state(row: tuple[Any, ...], _money: Callable[[int], str]) -> Cell:
            value = row[place]
            if value is None:
                return Cell(label, "–", css=BLANK)
            words, tone = states[value]
            return Cell(label, words, None, css, tone)

        return draw_state
    write = _writer(column, is_head=is_head)
    is_money = column.kind is Kind.MONEY
    blank = "Draft" if is_head else "–"
    blank_css = css if is_head else f"{css} {BLANK}".strip()

    def draw(row: tuple[Any, ...], money: Callable[[int], str]) -> Cell:
        value = row[place]
        if value is None or value is False:
            address = address_of(row) if is_head else None
            return Cell(label, blank, address, blank_css, None, is_head)
        text = money(value) if is_money else write(value)
        return Cell(label, text, address_of(row), css, None, is_head)

    return _with_note(draw, table, column) if column.note else draw


def _css_of(column: Column) -> str:
    if column.kind is Kind.DAY or column.noun == "invoice":
        # Dates and document numbers are read as one word.
        return "is-day"
    return "number" if column.kind in {Kind.MONEY, Kind.COUNT} else ""


def _address_of(table: Table, column: Column) -> Callable[[tuple[Any, ...]], str | None]:
    """Decide where the values of a column lead to."""
    noun = column.noun
    way = _way(noun) if noun else None
    if way is None:
        return lambda _row: None
    before, _, after = way.partition("0")
    place = 0 if noun == table.noun else table.places()[f"{noun}_id"]
    return lambda row: f"{before}{public_id(noun, row[place])}{after}" if row[place] else None


def _with_note(draw: Draw, table: Table, column: Column) -> Draw:
    """Say behind a value what another column has to say about it."""
    told = table.column(column.note)
    assert told is not None
    place, words = table.places()[column.note], told.words.lower()

    def draw_with_note(row: tuple[Any, ...], money: Callable[[int], str]) -> Cell:
        cell = draw(row, money)
        if not row[place]:
            return cell
        text = Markup("{}, {} {}").format(cell.text, words, row[place])
        # What is longer than a date may be broken.
        return cell._replace(text=text, css="")

    return draw_with_note


def _writer(column: Column, *, is_head: bool) -> Callable[[Any], str | Markup]:
    if column.kind is Kind.FLAG:
        return lambda _value: column.words
    if column.name == "job":
        return job_in_words
    # The number of a run is its name, and names have no groups of digits.
    if is_head and column.kind is Kind.COUNT:
        return str
    return _WRITERS.get(column.kind, str)


_WRITERS: Mapping[Kind, Callable[[Any], str | Markup]] = {
    Kind.DAY: day,
    Kind.INSTANT: instant,
    Kind.COUNT: whole,
}
