"""A list as its page, its part for HTMX and its CSV, from the one declaration of its table.

The address is the whole state: each chip, facet, header and pager is a link to another address, and
the form and the line of text only write addresses.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, make_response, redirect, render_template, request, stream_with_context
from flask.typing import ResponseReturnValue

from portal.clock import today
from portal.queries.tables import Reading, Table, read_request, read_text
from portal.services.users import scope
from portal.web.htmx import is_part_wanted
from portal.web.menu import target
from portal.web.tables._csv import csv_lines
from portal.web.tables._rows import rows_of
from portal.web.tables._view import TOTALS_ARGUMENT, view_of, write_address
from portal.web.visitors import current_organisation, current_visitor

__all__ = ["list_address", "rows_of", "send_csv", "show_list"]

FIND_ARGUMENT = "find"
# What says how rows are shown, and not which.
ARRANGING = ("sort", "limit")


def show_list(
    table: Table,
    *,
    page: str,
    **context: Any,
) -> ResponseReturnValue:
    """Answer with the page of a list, with its part, or with only what it comes to.

    Shape: `page` is a template that includes `components/_list.html` where the list stands.
    """
    found = request.args.get(FIND_ARGUMENT)
    if found is not None:
        arranged = [one for one in request.args.items() if one[0] in ARRANGING and one[1]]
        return redirect(write_address([*read_text(found, table), *arranged]), 303)
    reading = _read(table)
    view = view_of(table, reading)
    part = "components/_list.html"
    if request.headers.get("HX-Target") == "totals":
        part = "components/_counted.html"
    template = part if is_part_wanted() else page
    answer = make_response(
        render_template(template, view=view, is_part=is_part_wanted(), **context),
        422 if reading.refused else 200,
    )
    if is_part_wanted() and request.args.get("cursor"):
        answer.headers["HX-Trigger"] = '{"focus": "#list-caption"}'
    return answer


def send_csv(table: Table) -> ResponseReturnValue:
    """Answer with all rows of a list as CSV, as they are read.

    Raises: ArgumentRefused; ThingMissing.
    """
    reading = _read(table)
    if reading.refused:
        raise reading.refused[0]
    organisation = current_organisation()
    day_now = today(organisation.zone)
    lines = csv_lines(table, reading.request)
    name = f"{table.words.lower()}-{day_now.isoformat()}.csv"
    return Response(
        stream_with_context(_in_scope(lines, organisation.organisation_id, current_visitor().id)),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _in_scope(lines: Iterator[str], organisation_id: UUID, user_id: UUID) -> Iterator[str]:
    """Hand lines on for the person who asked: the request has been left when they are read."""
    with scope(organisation_id=organisation_id, user_id=user_id):
        yield from lines


def list_address(endpoint: str, *arguments: tuple[str, str]) -> str | None:
    """Return the address of a list under conditions, if the person may see it."""
    address = target(endpoint)
    return f"{address}?{urlencode(arguments)}" if address and arguments else address


def _read(table: Table) -> Reading:
    organisation = current_organisation()
    arguments = [
        pair for pair in request.args.items(multi=True) if pair[0] not in {TOTALS_ARGUMENT, "live"}
    ]
    return read_request(
        table,
        arguments,
        today=today(organisation.zone),
        currency=organisation.currency,
        is_lenient=True,
    )
