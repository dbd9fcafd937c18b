"""Lists at the command line, each made from the declaration that its page is made from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from portal.queries.tables import Table

ROWS_MAX = 200


def organisation_option(command: Any) -> Any:
    """Let a command take the code of the organisation it is about."""
    return click.option("--organisation", required=True, help="Code of the organisation.")(command)


def list_table(
    table: Table, conditions: Sequence[str], organisation: str, *, as_json: bool
) -> None:
    """Write the latest rows of a list under conditions, as JSON or one line each.

    Raises: OrganisationNotFound; ArgumentRefused.
    """
    from portal.clock import today
    from portal.db import acting_for
    from portal.ids import public_id
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.tables import Kind, parse_request, read_page, read_text

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        asked = parse_request(
            table,
            [*read_text(" ".join(conditions), table), ("limit", str(ROWS_MAX))],
            today=today(owner.zone),
            currency=owner.currency,
        )
        page = read_page(table, asked)
    columns = [one for one in table.columns if one.kind is not Kind.ID]
    places = table.places()
    rows = [
        {"id": public_id(table.noun, row[0])}
        | {one.name: _plain(row[places[one.name]]) for one in columns}
        for row in page.rows
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo("  ".join(str(value) for value in row.values() if value is not None))


def _plain(value: Any) -> Any:
    """Write a day or an instant as text, which JSON can carry."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return value.isoformat() if isinstance(value, date) else value
