"""The run sheet as `portal run show` writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from portal.domain.money import format_amount

if TYPE_CHECKING:
    from portal.queries.sheets import RunSheet


def show_sheet(sheet: RunSheet) -> None:
    """Write the control totals, the warnings, the comparison and the approval of a run."""
    click.echo(f"Run sheet {sheet.population_hash[:16]}, {sheet.items_count} items")
    for total in sheet.totals:
        if total.value is None:
            continue
        name = {"currency": "all", "month": f"due {total.value}"}.get(total.by, total.words)
        amount = format_amount(total.sum_minor, total.currency)
        click.echo(f"{total.items_count:>8} {name}: {amount} {total.currency}")
    for warning in sheet.warnings:
        click.echo(f"{warning.items_count:>8} {warning.sentence}")
    if sheet.previous is not None:
        shares = f"items {_percent(sheet.count_percent)}, sum {_percent(sheet.sum_percent)}"
        click.echo(f"Compared with run {sheet.previous.number}: {shares}")
    if sheet.changed_max is not None:
        click.echo(f"Changed since: {sheet.changed_count} items; {sheet.changed_max} may")
    if sheet.approved_at is not None:
        click.echo(f"Approved by {sheet.approved_by}")
    elif sheet.needs_approval:
        click.echo("Not approved by a second person")


def _percent(value: float | None) -> str:
    return "not comparable" if value is None else f"{value:+.1f} %"
