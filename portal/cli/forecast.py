"""`portal forecast`: what is planned to be tried again in the days to come."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from portal.cli.context import with_app

if TYPE_CHECKING:
    from portal.queries.forecast import ForecastSum

LINE_WIDTH = 120


@click.command()
@click.option("--organisation", required=True, help="Code of the organisation.")
@click.option(
    "--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How far ahead."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def forecast(*, organisation: str, days: int, as_json: bool) -> None:
    """Show what is planned to be tried again, by day, method, kind of reason and currency.

    What should have been tried before today stands on today.
    """
    from portal.clock import today
    from portal.db import acting_for
    from portal.queries.forecast import forecast_retries
    from portal.queries.organisations import get_organisation_by_code

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        found = forecast_retries(today(owner.zone), days)
    if as_json:
        click.echo(json.dumps([_fields(one) for one in found], indent=1))
        return
    _show(found, days)


def _fields(one: ForecastSum) -> dict[str, str | int]:
    from portal.domain.money import format_amount

    return {
        "day": one.day.isoformat(),
        "method": one.method.value,
        "why": one.why,
        "currency": one.currency,
        "payments": one.payments_count,
        "amount": format_amount(one.amount_minor, one.currency),
    }


def _show(found: list[ForecastSum], days: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from portal.queries.tables import REASON_CLASSES

    if not found:
        click.echo(f"Nothing is planned to be tried again in the next {days} days.")
        return
    table = Table("Day", "Method", "Why", box=None, pad_edge=False)
    table.add_column("Payments", justify="right")
    table.add_column("Amount", justify="right")
    for one in found:
        fields = _fields(one)
        table.add_row(
            f"{one.day:%a} {one.day}",
            one.method.label,
            REASON_CLASSES[one.why],
            str(one.payments_count),
            f"{fields['amount']} {one.currency}",
        )
    # A pipe has no width: nothing is cut off for it.
    width = None if sys.stdout.isatty() else LINE_WIDTH
    Console(highlight=False, markup=False, width=width).print(table)
