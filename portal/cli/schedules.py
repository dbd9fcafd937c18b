"""`portal schedule`: say when jobs start by themselves."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from portal.cli.context import with_app
from portal.cli.operators import OPERATOR
from portal.domain.schedules import Misfire, OnHoliday

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from portal.queries.schedules import DueRow, ScheduleRow
    from portal.services.schedules import ScheduleWish

LINE_WIDTH = 140
DUES_SHOWN = 10
MOMENT = "%a %-d %b %Y, %H:%M %Z"

_organisation = click.option("--organisation", required=True, help="Code of the organisation.")
_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@click.group()
def schedule() -> None:
    """Say when jobs start by themselves.

    A rule has five fields: minute, hour, day of the month, month, day of the week (0 or 7 is
    Sunday), such as "30 6 * * 1-5"; the day of the month may be L, the last, or LW, the last
    working day. Times are those of the organisation's zone, holidays those of its calendar.
    """


def _wish_options(*, is_new: bool) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in (
            click.option("--job", help="The job, as `portal run start` knows it."),
            click.option("--sequence", help="Instead of a job: the name of a sequence."),
            click.option("--rule", required=is_new, help='When, such as "30 6 * * 1-5".'),
            click.option(
                "--on-holiday",
                type=click.Choice([one.value for one in OnHoliday]),
                help="What becomes of a day on which banks do not work; skip.",
            ),
            click.option(
                "--misfire",
                type=click.Choice([one.value for one in Misfire]),
                help="What is made up for after a time in which nothing ran; once.",
            ),
        ):
            command = option(command)
        return command

    return add


@schedule.command("list")
@_organisation
@_json
@with_app
def list_(*, organisation: str, as_json: bool) -> None:
    """List the schedules with their next times."""
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.schedules import list_schedules

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        rows = list_schedules()
    _show(rows, owner.zone, as_json=as_json)


@schedule.command()
@click.argument("name")
@_organisation
@_wish_options(is_new=True)
@click.option("--paused", is_flag=True, help="Write it down, but start nothing yet.")
@_json
@with_app
def add(
    *,
    name: str,
    organisation: str,
    job: str | None,
    sequence: str | None,
    rule: str,
    on_holiday: str | None,
    misfire: str | None,
    paused: bool,
    as_json: bool,
) -> None:
    """Add the schedule NAME."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.schedules import get_schedule
    from portal.services.schedules import ScheduleWish, add_schedule

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        wish = _changed(
            ScheduleWish(name, None, rule),
            job=job, sequence=sequence, on_holiday=on_holiday, misfire=misfire,
        )  # fmt: skip
        schedule_id = add_schedule(wish=wish, is_active=not paused, actor=OPERATOR, now=now_utc())
        row = get_schedule(schedule_id)
    _show([row], owner.zone, as_json=as_json)


@schedule.command()
@click.argument("name")
@_organisation
@click.option("--name", "new_name", help="Another name.")
@_wish_options(is_new=False)
@_json
@with_app
def change(
    *,
    name: str,
    organisation: str,
    new_name: str | None,
    job: str | None,
    sequence: str | None,
    rule: str | None,
    on_holiday: str | None,
    misfire: str | None,
    as_json: bool,
) -> None:
    """Change the schedule NAME; what is not given stays as it is."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.schedules import get_schedule, get_schedule_by_name
    from portal.services.schedules import ScheduleWish, change_schedule

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        row = get_schedule_by_name(name)
        kept = ScheduleWish(
            row.name, row.job, row.rule, row.on_holiday, row.misfire, row.sequence_id
        )
        change_schedule(
            schedule_id=row.id,
            wish=_changed(
                kept,
                name=new_name,
                job=job,
                sequence=sequence,
                rule=rule,
                on_holiday=on_holiday,
                misfire=misfire,
            ),
            version=row.version,
            actor=OPERATOR,
            now=now_utc(),
        )
        row = get_schedule(row.id)
    _show([row], owner.zone, as_json=as_json)


@schedule.command()
@click.argument("name")
@_organisation
@with_app
def pause(*, name: str, organisation: str) -> None:
    """Let the schedule NAME start nothing until it is resumed."""
    _set_activity(name, organisation, is_active=False)


@schedule.command()
@click.argument("name")
@_organisation
@with_app
def resume(*, name: str, organisation: str) -> None:
    """Let the schedule NAME start runs again; what was due meanwhile is not made up for."""
    _set_activity(name, organisation, is_active=True)


@schedule.command()
@click.argument("name")
@_organisation
@_json
@with_app
def show(*, name: str, organisation: str, as_json: bool) -> None:
    """Show the schedule NAME, its next five times and what became of the last ones."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.schedules import get_schedule_by_name, list_dues
    from portal.services.schedules import preview_schedule

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        row = get_schedule_by_name(name)
        found = preview_schedule(rule=row.rule, on_holiday=row.on_holiday, now=now_utc())
        dues = list_dues(row.id, rows_max=DUES_SHOWN)
    if as_json:
        click.echo(
            json.dumps(
                _fields(row)
                | {
                    "words": found.words,
                    "next": [due.due_at.isoformat() for due in found.dues],
                    "dues": [_due_fields(due) for due in dues],
                },
                indent=1,
            )
        )
        return
    click.echo(
        f"{row.name}: {_about(row)}, {found.words} ({found.zone}, holidays of {found.calendar})"
    )
    click.echo(f"After a time in which nothing ran: {row.misfire.label.lower()}.")
    click.echo("Next:" if row.is_active else "Paused; if it were resumed now, next:")
    for due in found.dues:
        click.echo(f"  {_local(due.due_at, found.zone)}")
    if dues:
        click.echo("Last:")
    for past in dues:
        run = f", run {past.run_number}" if past.run_number else ""
        reason = f": {past.reason}" if past.reason else ""
        when = _local(past.due_at, found.zone)
        click.echo(f"  {when}  {past.state.label.lower()}{run}{reason}")


def _set_activity(name: str, organisation: str, *, is_active: bool) -> None:
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.schedules import get_schedule, get_schedule_by_name
    from portal.services.schedules import set_schedule_activity

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        row = get_schedule_by_name(name)
        set_schedule_activity(
            schedule_id=row.id, is_active=is_active, actor=OPERATOR, now=now_utc()
        )
        row = get_schedule(row.id)
    if row.next_at is None:
        click.echo(f"“{row.name}” is paused; it starts nothing.")
    else:
        click.echo(f"“{row.name}” starts next on {_local(row.next_at, owner.zone)}.")


def _changed(wish: ScheduleWish, **given: str | None) -> ScheduleWish:
    """Return a wish with what was given on the command line; a job replaces a sequence."""
    from portal.queries.sequences import get_sequence_by_name

    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "on_holiday" in changes:
        changes["on_holiday"] = OnHoliday(changes["on_holiday"])
    if "misfire" in changes:
        changes["misfire"] = Misfire(changes["misfire"])
    sequence = changes.pop("sequence", None)
    if sequence is not None:
        changes = {"job": None, **changes, "sequence_id": get_sequence_by_name(sequence).id}
    elif "job" in changes:
        changes["sequence_id"] = None
    return wish._replace(**changes)


def _about(row: ScheduleRow) -> str:
    return row.job or f"sequence “{row.sequence_name}”"


def _local(value: datetime, zone: str) -> str:
    return f"{value.astimezone(ZoneInfo(zone)):{MOMENT}}"


def _show(rows: list[ScheduleRow], zone: str, *, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from portal.domain.schedules import parse_rule, rule_in_words

    if as_json:
        click.echo(json.dumps([_fields(row) for row in rows], indent=1))
        return
    table = Table("Name", "Job", "When", "Next", "Last", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            row.name,
            _about(row),
            rule_in_words(parse_rule(row.rule, row.on_holiday)),
            _local(row.next_at, zone) if row.next_at else "paused",
            f"{row.last.state.label}, {row.last.business_on}" if row.last else "",
        )
    # A pipe has no width: nothing is cut off for it.
    width = None if sys.stdout.isatty() else LINE_WIDTH
    Console(highlight=False, markup=False, width=width).print(table)


def _fields(row: ScheduleRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "job": row.job,
        "sequence": row.sequence_name,
        "rule": row.rule,
        "on_holiday": row.on_holiday.value,
        "misfire": row.misfire.value,
        "is_active": row.is_active,
        "next_at": row.next_at.isoformat() if row.next_at else None,
        "last": _due_fields(row.last) if row.last else None,
    }


def _due_fields(due: DueRow) -> dict[str, Any]:
    return {
        "due_at": due.due_at.isoformat(),
        "business_on": due.business_on.isoformat(),
        "state": due.state.value,
        "reason": due.reason,
        "run": due.run_number,
    }
