"""`portal run`: start batch runs, watch them, approve, stop, restart, give up and repeat them."""

from __future__ import annotations

import json
import sys
import time
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from portal.cli import FINDINGS, is_quiet
from portal.cli.context import with_app
from portal.cli.operators import OPERATOR, find_starter, starter_option
from portal.cli.people import find_actor
from portal.domain.users import Actor, Permission

if TYPE_CHECKING:
    from portal.queries.batches import RunRow

POLL_SECONDS = 0.3
LINE_WIDTH = 140
# Where waiting ends: by itself, or for a person.
FINISHED = ("completed", "failed", "stopped", "abandoned", "awaiting_approval")


@click.group()
def run() -> None:
    """Start, list, show, approve, stop, restart, give up and repeat batch runs."""


def _organisation_option(command: Any) -> Any:
    return click.option("--organisation", required=True, help="Code of the organisation.")(command)


@run.command()
@click.argument("job")
@_organisation_option
@click.option("--date", "on", type=click.DateTime(["%Y-%m-%d"]), help="Business date; today.")
@click.option("--wait", is_flag=True, help="Wait for the end; 1 when it did not complete.")
@starter_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
@with_app
def start(
    ctx: click.Context,
    *,
    job: str,
    organisation: str,
    on: datetime | None,
    wait: bool,
    email: str | None,
    as_json: bool,
) -> None:
    """Start JOB over what there is to do on a business date."""
    from portal.clock import now_utc, today
    from portal.db import acting_for
    from portal.queries.batches import get_run
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.batches import RunOrder, start_run
    from portal.services.gateways import settings

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        run_id = start_run(
            order=RunOrder(
                job=job,
                business_on=on.date() if on else today(owner.zone),
                chunk_items_max=settings().chunk_items_max,
                skip_limit=settings().skip_limit,
            ),
            actor=find_starter(email, owner.id),
            now=now_utc(),
        )
        row = watch_run(run_id, quiet=is_quiet(ctx) or as_json) if wait else get_run(run_id)
    _show([row], as_json=as_json)
    if wait and row.state != "completed":
        ctx.exit(FINDINGS)


@run.command("list")
@_organisation_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def list_(*, organisation: str, as_json: bool) -> None:
    """List the latest runs."""
    from portal.db import acting_for
    from portal.queries.batches import list_runs
    from portal.queries.organisations import get_organisation_by_code

    with acting_for(get_organisation_by_code(organisation).id):
        rows = list_runs(rows_max=50)
    _show(rows, as_json=as_json)


@run.command()
@click.argument("number", type=int)
@_organisation_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def show(*, number: int, organisation: str, as_json: bool) -> None:
    """Show one run with its run sheet, and why items of it are not done."""
    from portal.cli.sheets import show_sheet
    from portal.db import acting_for
    from portal.queries.batches import get_run, list_causes
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.sheets import get_sheet

    with acting_for(get_organisation_by_code(organisation).id):
        row = get_run(_run_id(number))
        causes, sheet = list_causes(row.id), get_sheet(row.id)
    _show([row], as_json=as_json)
    if as_json:
        return
    if sheet is not None:
        show_sheet(sheet)
    for cause in causes:
        click.echo(f"{cause.items_count:>8} {cause.outcome} {cause.code or ''} {cause.message}")


@run.command()
@click.argument("number", type=int)
@_organisation_option
@with_app
def stop(*, number: int, organisation: str) -> None:
    """Stop (pause) a run once the chunks that are being worked are done."""
    _change("stop_run", number, organisation, OPERATOR)


@run.command()
@click.argument("number", type=int)
@_organisation_option
@with_app
def restart(*, number: int, organisation: str) -> None:
    """Let a stopped or failed run go on (resume) at its first unfinished chunk."""
    _change("restart_run", number, organisation, OPERATOR)


@run.command()
@click.argument("number", type=int)
@_organisation_option
@click.option("--by", "email", required=True, help="Address of the person who approves it.")
@with_app
def approve(*, number: int, organisation: str, email: str) -> None:
    """Let a run begin that another person has prepared."""
    from portal.queries.organisations import get_organisation_by_code

    owner = get_organisation_by_code(organisation)
    actor = find_actor(email, owner.id, Permission.APPROVE_RUNS)
    _change("approve_run", number, organisation, actor)


@run.command()
@click.argument("number", type=int)
@_organisation_option
@click.option("--reason", required=True, help="Why; kept in the history.")
@with_app
def abandon(*, number: int, organisation: str, reason: str) -> None:
    """Give up a run for good that waits, was stopped or has failed; or decline it."""
    _change("abandon_run", number, organisation, OPERATOR, reason=reason)


@run.command()
@click.argument("number", type=int)
@_organisation_option
@starter_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def repeat(*, number: int, organisation: str, email: str | None, as_json: bool) -> None:
    """Start a new run over the items of a run that failed or were set aside."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.queries.batches import get_run
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.batches import repeat_run

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        run_id = repeat_run(
            run_id=_run_id(number), actor=find_starter(email, owner.id), now=now_utc()
        )
        row = get_run(run_id)
    _show([row], as_json=as_json)


@run.command()
@with_app
def recover() -> None:
    """Free the chunks of dead workers and close runs with nothing left; workers do so as well."""
    from portal.clock import now_utc
    from portal.services.batches import recover_runs

    found = recover_runs(now=now_utc())
    click.echo(f"{found.chunks_count} chunks were freed, {found.runs_count} runs were closed.")


def _change(service: str, number: int, organisation: str, actor: Actor, **more: str) -> None:
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.queries.batches import get_run
    from portal.queries.organisations import get_organisation_by_code
    from portal.services import batches

    change: Any = {
        "stop_run": batches.stop_run,
        "restart_run": batches.restart_run,
        "approve_run": batches.approve_run,
        "abandon_run": batches.abandon_run,
    }[service]
    with acting_for(get_organisation_by_code(organisation).id):
        run_id = _run_id(number)
        change(run_id=run_id, actor=actor, now=now_utc(), **more)
        row = get_run(run_id)
    click.echo(f"Run {number} is {row.state.label.lower()}.")


def _run_id(number: int) -> UUID:
    from portal.services.batches import find_run_id

    return find_run_id(number=number)


def watch_run(run_id: UUID, *, quiet: bool) -> RunRow:
    """Wait for the end of a run, with a bar on a terminal."""
    from rich.progress import Progress

    from portal.db import end_reading
    from portal.queries.batches import get_run

    row = get_run(run_id)
    with Progress(disable=quiet or not sys.stderr.isatty()) as progress:
        bar = progress.add_task(row.job, total=row.items_count or None)
        while row.state not in FINISHED:
            end_reading()
            time.sleep(POLL_SECONDS)
            row = get_run(run_id)
            progress.update(bar, completed=row.handled)
    return row


def _show(rows: list[RunRow], *, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    if as_json:
        click.echo(json.dumps([_fields(row) for row in rows], indent=1))
        return
    table = Table("Run", "Job", "Date", "State", box=None, pad_edge=False)
    for name in ("Items", "Done", "Filtered", "Skipped", "Failed"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in rows:
        figures = (row.items_count, row.done, row.filtered, row.skipped, row.failed)
        table.add_row(
            str(row.number),
            row.job,
            row.business_on.isoformat(),
            row.state.label,
            *(str(figure) for figure in figures),
            row.exit_message or "",
        )
    # A pipe has no width: nothing is cut off for it.
    width = None if sys.stdout.isatty() else LINE_WIDTH
    Console(highlight=False, markup=False, width=width).print(table)


def _fields(row: RunRow) -> dict[str, Any]:
    names = ("number", "job", "items_count", "done", "filtered", "skipped", "failed")
    fields: dict[str, Any] = {name: getattr(row, name) for name in names}
    on: date = row.business_on
    return fields | {
        "business_on": on.isoformat(),
        "state": row.state.value,
        "exit_message": row.exit_message,
    }
