"""The rows of a list, drawn column by column: the macro of a cell once for each kind of cell.

A list of 50 rows has hundreds of cells; a template that is asked for each of them takes longer than
the database does for the rows.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from flask import get_template_attribute
from markupsafe import Markup, escape

from portal.ids import public_id
from portal.queries.tables import Column, Kind, Table
from portal.web.formats import day, instant, job_in_words, money_writer, whole
from portal.web.menu import target
from portal.web.tones import tone_of

NEVER = UUID(int=0)
BLANK = "is-blank"
# Signs of the private use area: no text of ours has them, and escaping leaves them alone.
_ADDRESS: Final = "\ue000"
_TEXT: Final = "\ue001"
_FRAMES_MAX: Final = 1_000

Row = tuple[Any, ...]


class _Kind(NamedTuple):
    """What the markup of a cell depends on, beside its text and its address."""

    label: str
    css: str = ""
    tone: tuple[str, str] | None = None
    is_head: bool = False


class _Frame(NamedTuple):
    """The markup of one kind of cell around the address, if it has one, and the text."""

    before: str
    between: str
    after: str

    def around(self, address: str, text: str) -> str:
        """Put in an address (or nothing) and a text, both of them markup."""
        return f"{self.before}{address}{self.between}{text}{self.after}"


def rows_of(table: Table, rows: Sequence[Row]) -> list[Markup]:
    """Draw the cells of each row."""
    shown = [(place, column) for place, column in enumerate(table.columns) if column.is_shown]
    # What has no page of its own is called by its first column.
    named = [column.name for _, column in shown if column.noun == table.noun]
    head = next(iter(named), shown[0][1].name)
    columns = [
        _draw_states(column, [row[place] for row in rows])
        if column.states is not None
        else _draw_values(table, column, rows, is_head=column.name == head)
        for place, column in shown
    ]
    return [Markup("".join(cells)) for cells in zip(*columns, strict=True)]  # noqa: S704 - the parts are escaped


@lru_cache(maxsize=_FRAMES_MAX)
def _frame(kind: _Kind, *, has_address: bool) -> _Frame:
    """Draw a kind of cell with signs in place of its values."""
    label, css, tone, is_head = kind
    draw = get_template_attribute("components/rows.html", "cell")
    drawn = str(draw(label, _TEXT, _ADDRESS if has_address else None, css, tone, is_head))
    before, _, after = drawn.partition(_TEXT)
    if not has_address:
        return _Frame(before, "", after)
    before, _, between = before.partition(_ADDRESS)
    return _Frame(before, between, after)


def _draw_states(column: Column, values: Sequence[str | None]) -> list[str]:
    """Draw a column of states, each state once."""
    assert column.states is not None
    blank = _frame(_Kind(column.words, BLANK), has_address=False)
    drawn: dict[str | None, str] = {None: blank.around("", "–")}
    for state in column.states:
        frame = _frame(_Kind(column.words, tone=tone_of(state)), has_address=False)
        drawn[state.value] = frame.around("", escape(state.label))
    return [drawn[value] for value in values]


def _draw_values(table: Table, column: Column, rows: Sequence[Row], *, is_head: bool) -> list[str]:
    """Draw a column of values, some of them links; of what is absent only the head is one."""
    css = _css_of(column)
    kind = _Kind(column.words, css, is_head=is_head)
    linked, plain = (_frame(kind, has_address=has_address) for has_address in (True, False))
    unlinked = (
        plain
        if is_head
        else _frame(_Kind(column.words, f"{css} {BLANK}".strip()), has_address=False)
    )
    texts = _write_texts(table, column, rows, is_head=is_head)
    addresses = _list_addresses(table, column, rows)
    if is_head:
        texts = ["Draft" if text is None else text for text in texts]
    cells = [
        unlinked.around("", "–")
        if text is None
        else (linked if address else plain).around(address, text)
        for text, address in zip(texts, addresses, strict=True)
    ]
    if column.note:
        # What is longer than a date may be broken.
        frame = _frame(_Kind(column.words), has_address=False)
        notes = _write_notes(table, column, rows, texts)
        cells = [
            cell if note is None else frame.around("", note)
            for cell, note in zip(cells, notes, strict=True)
        ]
    return cells


def _write_texts(
    table: Table, column: Column, rows: Sequence[Row], *, is_head: bool
) -> list[str | None]:
    """Write the values of a column as markup, equal ones once; None where there is none."""
    places = table.places()
    place = places[column.name]
    if column.kind is Kind.MONEY:
        at = places["currency"]
        writers = {each: money_writer(each) if each else str for each in {row[at] for row in rows}}
        sums = {(row[at], row[place]) for row in rows}
        money = {each: escape(writers[each[0]](each[1])) for each in sums if each[1] is not None}
        return [money.get((row[at], row[place])) for row in rows]
    write = _writer(column, is_head=is_head)
    values = {row[place] for row in rows}
    written = {
        each: escape(write(each)) for each in values if each is not None and each is not False
    }
    return [written.get(row[place]) for row in rows]


def _write_notes(
    table: Table, column: Column, rows: Sequence[Row], texts: Sequence[str | None]
) -> list[str | None]:
    """Say behind a value what another column has to say about it; None where that is nothing."""
    told = table.column(column.note)
    assert told is not None
    place, words = table.places()[column.note], told.words.lower()
    return [
        f"{text or '–'}, {escape(words)} {escape(row[place])}" if row[place] else None
        for text, row in zip(texts, rows, strict=True)
    ]


def _list_addresses(table: Table, column: Column, rows: Sequence[Row]) -> list[str]:
    """List where the values of a column lead to; empty where that is nowhere."""
    noun = column.noun
    # Building an address for each row would cost more than reading the rows.
    way = target(f"{noun}s.show", **{f"{noun}_id": NEVER}) if noun else None
    if way is None:
        return [""] * len(rows)
    before, _, after = escape(way).partition(public_id(noun, NEVER))
    place = 0 if noun == table.noun else table.places()[column.id_column or f"{noun}_id"]
    return [f"{before}{public_id(noun, row[place])}{after}" if row[place] else "" for row in rows]


def _css_of(column: Column) -> str:
    if column.kind is Kind.DAY or column.noun == "invoice":
        # Dates and document numbers are read as one word.
        return "is-day"
    return "number" if column.kind in {Kind.MONEY, Kind.COUNT} else ""


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
