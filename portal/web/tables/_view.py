"""What the template of a list shows: chips, facets, headers, rows, pager, all as links."""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

from flask import request
from markupsafe import Markup

from portal.queries.tables import (
    SPANS,
    Choice,
    Column,
    Facet,
    Kind,
    Option,
    Page,
    Range,
    Reading,
    Table,
    TableRequest,
    Term,
    Totals,
    read_facet,
    read_page,
    read_totals,
    totals_of,
    write_text,
)
from portal.web.formats import whole
from portal.web.menu import target
from portal.web.tables._rows import rows_of

ROWS_OFFERED = (25, 50, 100, 200)
TOTALS_ARGUMENT = "totals"
QUOTED_MAX = 1_000


class Link(NamedTuple):
    """A way to another address, with how many rows are there when that is known."""

    words: str
    address: str
    is_current: bool = False
    rows_count: int | None = None


class Header(NamedTuple):
    """The head of a column; without an address it cannot be sorted by."""

    name: str
    words: str
    is_number: bool
    address: str | None
    order: str | None


class FacetView(NamedTuple):
    """The values of a choice beside the list."""

    words: str
    links: list[Link]


class ListView(NamedTuple):
    """All that the template of a list needs."""

    table: Table
    request: TableRequest
    problems: Sequence[str]
    address: str
    # The first page of the same list.
    beginning: str
    text: str
    chips: list[Link]
    facets: list[FacetView]
    headers: list[Header]
    rows: list[Markup]
    newer: str | None
    older: str | None
    # None where the list goes on beyond this page and was not counted.
    totals: Totals | None
    count_address: str
    rows_links: list[Link]
    csv_address: str | None
    said: str

    @property
    def spans(self) -> list[tuple[str, str]]:
        """The spans of days that the form offers."""
        return [(value, words) for value, (words, _) in SPANS.items()]

    @property
    def fields(self) -> list[Any]:
        """The filters that stand in the form."""
        return [
            one
            for one in self.table.filters
            if isinstance(one, Range) or (isinstance(one, Choice) and not one.is_facet)
        ]

    @property
    def kept(self) -> list[tuple[str, str]]:
        """The arguments that the form hands on unchanged, as it has no field for them."""
        shown = {one.name for one in self.fields}
        kept = [
            term.argument
            for term in self.request.terms
            if term.filter.name not in shown or not _has_field(term)
        ]
        return [*kept, *self.arranged]

    @property
    def arranged(self) -> list[tuple[str, str]]:
        """The arguments that say how rows are shown, where that is not as usual."""
        return self.request._replace(terms=()).arguments(self.table)

    def given(self, name: str, operator: str = "") -> list[str]:
        """List the values that the address gives a filter."""
        wanted = f"{name}[{operator}]" if operator else name
        return [term.text for term in self.request.terms if term.argument[0] == wanted]

    @property
    def example(self) -> str:
        """Conditions that people could type into the line of this list."""
        choices = [one for one in self.table.filters if isinstance(one, Choice)]
        amounts = [one.name for one in self.table.filters if getattr(one, "kind", "") == Kind.MONEY]
        examples = [f"{one.name}:{one.options[1].value}" for one in choices[:1]]
        return " ".join([*examples, *(f"{name}:>500" for name in amounts[:1])])

    @property
    def is_first(self) -> bool:
        """Whether this is the beginning of the list."""
        return self.request.cursor is None


def view_of(table: Table, reading: Reading) -> ListView:
    asked = reading.request
    page = read_page(table, asked)
    totals, facets = _count(table, asked, page)
    arguments = asked.arguments(table)
    turned = partial(_turned, arguments)
    return ListView(
        table=table,
        request=asked,
        problems=[error.message for error in reading.refused],
        address=request.path,
        beginning=write_address(arguments),
        text=write_text(asked.terms),
        chips=[_chip(table, asked, term) for term in asked.terms],
        facets=[_facet(table, asked, facet) for facet in facets],
        headers=[_header(table, asked, column) for column in table.columns if column.is_shown],
        rows=rows_of(table, page.rows),
        newer=turned(page.newer),
        older=turned(page.older),
        totals=totals,
        count_address=write_address([*arguments, (TOTALS_ARGUMENT, "exact")]),
        rows_links=[_rows_link(table, asked, rows) for rows in ROWS_OFFERED],
        csv_address=_csv_address(arguments),
        said=_said(table, asked, len(page.rows), totals),
    )


def _count(table: Table, asked: TableRequest, page: Page) -> tuple[Totals | None, list[Facet]]:
    """Count the list and its facets where that is asked for or costs nothing.

    Shape: no totals where the list goes on beyond the page; those are counted after the page has
    been shown, as counting costs more than reading it.
    """
    choices = [one for one in table.filters if isinstance(one, Choice) and one.is_facet]
    if request.args.get(TOTALS_ARGUMENT) == "exact":
        totals = read_totals(table, asked, is_exact=True)
        return totals, [read_facet(table, asked, one, is_exact=True) for one in choices]
    if asked.cursor is not None or page.older is not None:
        return None, [Facet(one, (None,) * len(one.options)) for one in choices]
    return totals_of(table, page.rows), [read_facet(table, asked, one) for one in choices]


def _has_field(term: Term) -> bool:
    """Say whether the form has a field for a condition of one of its filters."""
    if isinstance(term.filter, Range) and not term.operator:
        return term.filter.kind is Kind.DAY and term.text in SPANS
    return term.operator in {"", "gte", "lte"}


def write_address(arguments: Sequence[tuple[str, str]]) -> str:
    return _with_arguments(request.path, arguments)


def _with_arguments(address: str, arguments: Sequence[tuple[str, str]]) -> str:
    return f"{address}?{'&'.join([_quoted(*each) for each in arguments])}" if arguments else address


@lru_cache(maxsize=QUOTED_MAX)
def _quoted(name: str, text: str) -> str:
    """Quote an argument, once for the thirty addresses of a list that have it."""
    return urlencode([(name, text)])


def _turned(arguments: Sequence[tuple[str, str]], place: str | None) -> str | None:
    return write_address([*arguments, ("cursor", place)]) if place is not None else None


def _csv_address(arguments: Sequence[tuple[str, str]]) -> str | None:
    endpoint = f"{request.blueprint}.download"
    address = target(endpoint)
    return None if address is None else _with_arguments(address, arguments)


def _rows_link(table: Table, asked: TableRequest, rows: int) -> Link:
    address = write_address(asked._replace(rows=rows).arguments(table))
    return Link(str(rows), address, rows == asked.rows)


def _chip(table: Table, asked: TableRequest, term: Term) -> Link:
    """Show a condition; its link leads to the list without it."""
    others = tuple(other for other in asked.terms if other is not term)
    return Link(term.words, write_address(asked._replace(terms=others).arguments(table)))


def _facet(table: Table, asked: TableRequest, facet: Facet) -> FacetView:
    links = []
    for option, count in zip(facet.choice.options, facet.counts, strict=True):
        chosen = next(
            (term for term in asked.terms if term.filter is facet.choice and term.value is option),
            None,
        )
        if chosen is None and count == 0:
            continue
        links.append(
            Link(
                option.words, _facet_address(table, asked, facet, option), chosen is not None, count
            )
        )
    return FacetView(facet.choice.words, links)


def _facet_address(table: Table, asked: TableRequest, facet: Facet, option: Option) -> str:
    """A click on a value shows it alone; a click on the chosen one shows all again."""
    others = [term for term in asked.terms if term.filter is not facet.choice]
    chosen = [term.value for term in asked.terms if term.filter is facet.choice]
    arguments = asked._replace(terms=tuple(others)).arguments(table)
    if chosen != [option]:
        arguments.insert(0, (facet.choice.name, option.value))
    return write_address(arguments)


def _header(table: Table, asked: TableRequest, column: Column) -> Header:
    is_number = column.kind in {Kind.MONEY, Kind.COUNT}
    if not column.keys:
        return Header(column.name, column.words, is_number, None, None)
    name, downwards = asked.sort.removeprefix("-"), asked.sort.startswith("-")
    order = ("descending" if downwards else "ascending") if name == column.name else None
    goes_down = not downwards if order else column.is_descending_first
    sort = f"-{column.name}" if goes_down else column.name
    address = write_address(asked._replace(sort=sort).arguments(table))
    return Header(column.name, column.words, is_number, address, order)


def _said(table: Table, asked: TableRequest, shown: int, totals: Totals | None) -> str:
    if not shown:
        return f"No {table.words.lower()}."
    column, is_descending = asked.order(table)
    order = "descending" if is_descending else "ascending"
    count = f" of {whole(totals.rows_count)}" if totals else ""
    return f"{whole(shown)}{count} {table.words.lower()}, by {column.words.lower()}, {order}."
