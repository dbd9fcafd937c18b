"""The rows of a list, drawn: the macro of a cell once for each kind of cell, then only the values.

A list of 50 rows has hundreds of cells; a template that is asked for each of them takes longer than
the database does for the rows.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from flask import get_template_attribute
from markupsafe import Markup, escape

from portal.queries.tables import Table
from portal.web.tables._cells import Cell, cells_of

# Signs of the private use area: no text of ours has them, and escaping leaves them alone.
_ADDRESS: Final = "\ue000"
_TEXT: Final = "\ue001"
_FRAMES_MAX: Final = 1_000


class _Frame(NamedTuple):
    """The markup of one kind of cell around the address, if it has one, and the text."""

    before: str
    between: str
    after: str


def rows_of(table: Table, rows: Sequence[tuple[Any, ...]]) -> list[Markup]:
    """Draw the cells of each row."""
    return [Markup("".join(map(_draw, cells))) for cells in cells_of(table, rows)]  # noqa: S704 - the parts are escaped


def _draw(cell: Cell) -> str:
    label, text, address, css, tone, is_head = cell
    kind = Cell(label, _TEXT, None if address is None else _ADDRESS, css, tone, is_head)
    before, between, after = _frame(kind)
    return f"{before}{escape(address or '')}{between}{escape(text)}{after}"


@lru_cache(maxsize=_FRAMES_MAX)
def _frame(kind: Cell) -> _Frame:
    """Draw a kind of cell with signs in place of its values."""
    draw = get_template_attribute("components/rows.html", "cell")
    before, _, after = str(draw(*kind)).partition(_TEXT)
    if kind.address is None:
        return _Frame(before, "", after)
    before, _, between = before.partition(_ADDRESS)
    return _Frame(before, between, after)
