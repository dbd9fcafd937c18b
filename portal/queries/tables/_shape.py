"""What a list is made of: columns, filters, the order of rows, and the parts it is read in."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from portal.domain.states import State
from portal.domain.users import Permission


class Kind(StrEnum):
    """How a value is read from an address, written for people and written for machines."""

    TEXT = "text"
    COUNT = "count"
    MONEY = "money"
    DAY = "day"
    INSTANT = "instant"
    STATE = "state"
    FLAG = "flag"
    ID = "id"


class Key(NamedTuple):
    """A part of what rows are ordered by: an expression that is never NULL, and its type in SQL.

    Shape: a row-wise comparison with NULL is neither true nor false and would lose the row, so an
    absent value is given a stand-in that sorts after all others (or before, where that reads
    better).
    """

    sql: str
    type: str


class Column(NamedTuple):
    """A value of each row."""

    name: str
    words: str
    kind: Kind
    sql: str
    # What rows are ordered by when people sort by this column; empty when they cannot.
    keys: tuple[Key, ...] = ()
    # The labels of a STATE.
    states: type[State] | None = None
    # The noun of an ID; of another column, the noun whose page it opens, by the column `<noun>_id`.
    noun: str = ""
    # Hidden columns are for machines and for the others to refer to.
    is_shown: bool = True
    # The hidden column that is said behind the value, after its own name, where it has one.
    note: str = ""
    # Which direction a first click gives: the newest and the largest are looked for first.
    is_descending_first: bool = False
    # Whether rows of all times lie side by side in its order, as amounts do and numbers do not.
    is_scattered: bool = False
    # The column with the id of the page it opens, where that is not `<noun>_id`.
    id_column: str = ""


class Option(NamedTuple):
    """One value that a choice offers."""

    value: str
    words: str
    # The parts of the table in which its rows lie, where that is not all of them.
    parts: tuple[str, ...] = ()
    # What is true of its rows beyond that; may use %(today)s.
    sql: str = ""
    # Whether few rows have it, which an index of their own finds.
    is_rare: bool = False


class Choice(NamedTuple):
    """A filter by one or several of a few values."""

    name: str
    words: str
    options: Sequence[Option]
    # The column that holds the value; empty where the options say themselves what they mean.
    sql: str = ""
    # Whether its values are counted beside the list.
    is_facet: bool = False


class Range(NamedTuple):
    """A filter by a least and a most."""

    name: str
    words: str
    kind: Kind
    # As an index has it; where that stands in for an absent value, `present` leaves those out.
    sql: str
    present: str = ""
    # The parts of the table in which the value can be above zero.
    parts: tuple[str, ...] = ()
    # An expression of a year that the days lie in: an order by years then begins where they do.
    year_sql: str = ""


class Reference(NamedTuple):
    """A filter by another thing, named by its id; its words are looked up and shown."""

    name: str
    words: str
    noun: str
    # %(value)s is the id.
    sql: str
    label_sql: str


class Text(NamedTuple):
    """A filter by a short text that a column holds exactly, such as a code; `none` is no text."""

    name: str
    words: str
    hint: str
    sql: str
    # What a value reads like where it is shown as a condition.
    say: Callable[[str], str] = str


class Words(NamedTuple):
    """A filter by what people type; it mostly names few rows, by ways that each have an index."""

    name: str
    words: str
    hint: str
    # May use %(text)s, %(least)s and %(end)s, the range of names that begin so, and what `read`
    # finds in the text.
    sql: str
    read: Callable[[str], Mapping[str, Any]] = lambda _text: {}


Filter = Choice | Range | Reference | Text | Words


class Parts(NamedTuple):
    """A column that indexes of the table begin with; rows of several parts are merged.

    Shape: the filter used most then finds its rows in any order, however few they are.
    """

    choice: str
    sql: str
    values: tuple[str, ...]
    # The part that nearly all rows come to lie in, if there is one: those indexes leave it out, and
    # where it is wanted the whole table is walked, by indexes that do not begin with the column.
    bulk: str = ""

    def outside_bulk(self) -> str:
        """Say what those indexes say of their rows; the planner takes them only for that."""
        return f"{self.sql} <> '{self.bulk}'" if self.bulk else ""


class Table(NamedTuple):
    """A list, declared once for its page, its JSON and its CSV."""

    noun: str
    words: str
    permission: Permission
    # The table that is filtered and ordered, and its alias.
    source: str
    alias: str
    # What is joined for the columns once a page of rows has been found.
    joins: str
    columns: tuple[Column, ...]
    filters: tuple[Filter, ...]
    default_sort: str
    # The columns of money that are added up below the list.
    sums: tuple[str, ...] = ()
    parts: Parts | None = None
    # Said to machines about a row beyond the columns' names.
    hint: str = ""

    def column(self, name: str) -> Column | None:
        """Return a column by its name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def filter(self, name: str) -> Filter | None:
        """Return a filter by its name, or None."""
        return next((one for one in self.filters if one.name == name), None)

    def sortable(self) -> list[Column]:
        """List the columns that rows can be ordered by."""
        return [column for column in self.columns if column.keys]

    def places(self) -> Mapping[str, int]:
        """Say where in a row each column stands."""
        return {column.name: place for place, column in enumerate(self.columns)}


def options_of(states: type[State], *, of: Sequence[State] = ()) -> tuple[Option, ...]:
    """Offer the values of a state enum, each with its label."""
    return tuple(Option(state.value, state.label) for state in (of or states))
