"""`portal reminder`: see what payers were told of overdue invoices."""

from __future__ import annotations

import json

import click

from portal.cli.context import with_app
from portal.cli.listing import list_table, organisation_option


@click.group()
def reminder() -> None:
    """See what payers were told of overdue invoices, level by level."""


@reminder.command("list")
@click.argument("conditions", nargs=-1)
@organisation_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def list_(*, conditions: tuple[str, ...], organisation: str, as_json: bool) -> None:
    """List the latest reminders under CONDITIONS, such as level:>1 day:this-month."""
    from portal.queries.tables import REMINDER_TABLE

    list_table(REMINDER_TABLE, conditions, organisation, as_json=as_json)


@reminder.command()
@click.argument("reminder_id")
@organisation_option
@with_app
def show(*, reminder_id: str, organisation: str) -> None:
    """Show the reminder REMINDER_ID as JSON."""
    from portal.db import acting_for
    from portal.domain.money import format_amount
    from portal.ids import parse_public_id, public_id
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.reminders import ReminderMissing, get_reminder

    found = parse_public_id("reminder", reminder_id)
    if found is None:
        raise ReminderMissing
    with acting_for(get_organisation_by_code(organisation).id):
        row = get_reminder(found)
    amounts = {
        name: format_amount(getattr(row, f"{name}_minor"), row.currency)
        for name in ("open", "fee", "interest", "owed")
    }
    shown = {
        "id": public_id("reminder", row.id),
        "level": row.level,
        "day": row.reminded_on.isoformat(),
        "payer": row.payer,
        "invoice": row.invoice_number,
        "days_late": row.days_late,
        **amounts,
        "currency": row.currency,
        "charged_by": row.charge_number,
        "clauses": row.clause_codes,
        "rule_set_version": row.rule_set_version,
        "notice": row.notice.value if row.notice else None,
        "message": public_id("message", row.message_id) if row.message_id else None,
    }
    click.echo(json.dumps(shown, indent=1))
