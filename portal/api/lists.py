"""Lists for machines, each made from the declaration that its page is made from."""

from collections.abc import Callable
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields

from portal.api.access import current_day, current_holder, document, reads_query
from portal.api.answers import answer_page, shown_id
from portal.api.fields import (
    Strict,
    amount_of_money,
    calendar_day,
    flag,
    id_pattern,
    many,
    moment,
    noun_name,
    own_id,
    state_of,
    whole,
    words,
)
from portal.api.problems import Finding, QueryInvalid
from portal.domain.money import format_amount
from portal.queries.tables import (
    ROWS_DEFAULT,
    ROWS_MAX,
    SPANS,
    ArgumentRefused,
    Choice,
    Column,
    Kind,
    Range,
    Reference,
    Table,
    parse_request,
    read_page,
)

OPERATORS = ("gte", "gt", "lte", "lt")
CURRENCY = "currency"
# Nouns whose rows may be about no money.
MAY_LACK_MONEY = {"case"}
# All other columns may have nothing to say.
ALWAYS_THERE = {"id", "version", "status", "state", "kind", CURRENCY}


def answer_list(table: Table) -> Response:
    """Answer the page of a list that the parameters ask for.

    Raises: QueryInvalid; ThingMissing.
    """
    try:
        wanted = parse_request(
            table,
            request.args.items(multi=True),
            today=current_day(),
            currency=current_holder().currency,
        )
    except ArgumentRefused as error:
        raise QueryInvalid.of(
            [Finding(error.parameter, "invalid", error.reason, is_parameter=True)]
        ) from None
    page = read_page(table, wanted)
    write = WRITERS.setdefault(table.noun, row_writer(table))
    return answer_page([write(row) for row in page.rows], newer=page.newer, older=page.older)


def row_writer(table: Table) -> Callable[[tuple[Any, ...]], dict[str, Any]]:
    """Make the function that turns a row of a list into an object."""
    currency_place = table.places().get(CURRENCY)
    placed = [(column, place) for place, column in enumerate(table.columns)]
    amounts = [(one.name, place) for one, place in placed if one.kind is Kind.MONEY]
    ids = [(one.name, place, one.noun) for one, place in placed if one.kind is Kind.ID]
    plain = [(one.name, place) for one, place in placed if one.kind not in {Kind.MONEY, Kind.ID}]
    noun = table.noun

    def write_row(row: tuple[Any, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {"object": noun}
        for name, place, named in ids:
            found[name] = shown_id(named, row[place])
        for name, place in plain:
            found[name] = row[place]
        for name, place in amounts:
            assert currency_place is not None
            currency = row[currency_place]
            found[name] = (
                None
                if row[place] is None
                else {"amount": format_amount(row[place], currency), CURRENCY: currency}
            )
        return found

    return write_row


WRITERS: dict[str, Callable[[tuple[Any, ...]], dict[str, Any]]] = {}


def row_schema(table: Table) -> type[Schema]:
    """Describe a row of a list."""
    members: dict[str, Any] = {"object": noun_name(table.noun)}
    for column in table.columns:
        members[column.name] = _described(column, table.noun)
    name = f"{table.noun.capitalize()}RowSchema"
    return type(name, (Strict,), {"__doc__": f"One {table.noun} in a list.", **members})


def list_schema(table: Table) -> type[Schema]:
    """Describe a page of a list."""
    return page_schema(table.noun, row_schema(table))


def page_schema(noun: str, row: type[Schema]) -> type[Schema]:
    """Describe a page of any rows."""
    told = "Send it as `cursor` to get this page; null where there is none."
    members = {
        "__doc__": f"A page of a list of {noun}s.",
        "object": noun_name("list"),
        "items": many(row),
        "next_cursor": words(none=True, description=told),
        "previous_cursor": words(none=True, description=told),
    }
    return type(f"{noun.capitalize()}ListSchema", (Strict,), members)


def lists(table: Table) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Tell the parameters of a list; its view reads them by `answer_list`."""

    def mark(view: Callable[..., Any]) -> Callable[..., Any]:
        reads_query(view)
        document(view, parameters=parameters_of(table))
        if any(isinstance(one, Reference) for one in table.filters):
            document(view, responses={"404": "Problem404"})
        return view

    return mark


def parameters_of(table: Table) -> list[dict[str, Any]]:
    """Describe the filters, the orders and the places of a list."""
    sorts = [sign + column.name for column in table.sortable() for sign in ("", "-")]
    found = [
        _parameter("sort", {"type": "string", "enum": sorts, "default": table.default_sort}),
        *page_parameters(),
    ]
    for one in table.filters:
        if isinstance(one, Choice):
            values = [option.value for option in one.options]
            items = {"type": "array", "items": {"type": "string", "enum": values}}
            found.append(_parameter(one.name, items, f"{one.words}: one or several, repeated."))
        elif isinstance(one, Range):
            found += [
                _parameter(f"{one.name}[{operator}]", _value_schema(one.kind), one.words)
                for operator in OPERATORS
            ]
            exact = {"anyOf": [_value_schema(one.kind), *_spans(one.kind)]}
            found.append(_parameter(one.name, exact, one.words))
        elif isinstance(one, Reference):
            told = {"type": "string", "pattern": f"^{id_pattern(one.noun)}$"}
            found.append(_parameter(one.name, told, f"The id of the {one.noun}."))
        else:
            text = {"type": "string", "minLength": 1, "maxLength": 200}
            found.append(_parameter(one.name, text, f"{one.words}: {one.hint}."))
    return found


def page_parameters() -> list[dict[str, Any]]:
    """Describe how a page of any list is asked for."""
    limit = {"type": "integer", "minimum": 1, "maximum": ROWS_MAX, "default": ROWS_DEFAULT}
    cursor = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 2000}
    return [
        _parameter("limit", limit, "How many rows a page has."),
        _parameter("cursor", cursor, "The `next_cursor` or `previous_cursor` of an answer."),
    ]


def _parameter(name: str, schema: dict[str, Any], says: str = "") -> dict[str, Any]:
    return {"in": "query", "name": name, "schema": schema, "description": says}


def _value_schema(kind: Kind) -> dict[str, Any]:
    if kind is Kind.DAY:
        return {"type": "string", "format": "date"}
    if kind is Kind.INSTANT:
        return {"type": "string", "format": "date-time"}
    if kind is Kind.COUNT:
        return {"type": "integer", "minimum": 0, "maximum": 999_999_999}
    return {"type": "string", "pattern": r"^-?[0-9]{1,16}(\.[0-9]{1,3})?$", "example": "1250"}


def _spans(kind: Kind) -> list[dict[str, Any]]:
    return [{"type": "string", "enum": list(SPANS)}] if kind is Kind.DAY else []


def _described(column: Column, noun: str) -> fields.Field[Any]:
    """Describe the value of a column."""
    none = column.name not in ALWAYS_THERE
    told: dict[str, Any] = {"description": column.words}
    if column.kind is Kind.MONEY:
        return amount_of_money(none=noun in MAY_LACK_MONEY, **told)
    if column.kind is Kind.ID:
        return own_id(column.noun, none=none)
    if column.kind is Kind.FLAG:
        return flag(**told)
    if column.kind is Kind.STATE and column.states is not None:
        return state_of(column.states, none=none, **told)
    if column.kind is Kind.COUNT:
        return whole(none=none, **told)
    makers = {Kind.DAY: calendar_day, Kind.INSTANT: moment}
    return makers.get(column.kind, words)(none=none, **told)
