"""Commands that run the portal itself: up, config, db, worker, scheduler, gateway."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Callable
from typing import cast

import click
from rich.console import Console
from rich.table import Table

from portal.cli import is_quiet
from portal.config import Config
from portal.supervisor import MergedLog, Stopped, signals_stop, wait_for_signal

WEBHOOK_PATH = "/api/v1/webhooks"


@click.command()
@click.option("--fresh", is_flag=True, help="Use a database that is thrown away at the end.")
def up(*, fresh: bool) -> None:
    """Start the portal and everything it needs, until Ctrl-C.

    Without DATABASE_URL and REDIS_URL a private PostgreSQL and Valkey are started, whose data stay
    in the state folder.
    """
    from portal.cli.start import started_portal

    config = Config.from_environment(os.environ)
    quiet = is_quiet()

    def silent(_name: str, _line: str) -> None: ...

    write = silent if quiet else MergedLog()
    with (
        contextlib.suppress(Stopped),
        signals_stop(),
        started_portal(config, fresh=fresh, write=write) as running,
    ):
        if not quiet:
            click.echo(f"The portal answers at {running.config.url}; Ctrl-C stops it.")
        wait_for_signal()
    if not quiet:
        click.echo("The portal has stopped; nothing of it is left running.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def config(*, as_json: bool) -> None:
    """Show every setting: its value, its default and what it means. Secrets are hidden."""
    rows = Config.from_environment(os.environ).shown()
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows], indent=1))
        return
    table = Table("Setting", "Value", "Default", "Meaning", box=None, pad_edge=False)
    for row in rows:
        style = "bold" if row.value not in {row.default, "(not set)"} else ""
        table.add_row(*row, style=style)
    Console(highlight=False, markup=False).print(table)


@click.group()
def db() -> None:
    """Bring the database to the newest schema, and show which it has."""


@db.command()
def upgrade() -> None:
    """Run the migrations that are missing; harmless when there is none."""
    from portal.cli.context import open_config
    from portal.migrate import upgrade_database

    with open_config() as filled:
        revision = upgrade_database(filled.required("database_owner_url"))
    if not is_quiet():
        click.echo(f"The database is at revision {revision or '(none)'}.")


@db.command()
@click.pass_context
def current(ctx: click.Context) -> None:
    """Show the revision of the database; exit code 1 when it is not the newest."""
    from portal.cli.context import open_config
    from portal.migrate import current_revision, newest_revision

    with open_config() as filled:
        has, needs = current_revision(filled.required("database_owner_url")), newest_revision()
    click.echo(f"The database is at revision {has or '(none)'}; the newest is {needs or '(none)'}.")
    ctx.exit(0 if has == needs else 1)


@click.command()
def worker() -> None:
    """Run one worker: it does what the database says there is to do, when it is rung."""
    _run_job_process("jobs.worker", "run_worker")


@click.command()
def scheduler() -> None:
    """Run the clock that rings the workers."""
    _run_job_process("jobs.schedule", "run_scheduler")


def _run_job_process(module: str, function: str) -> None:
    from portal.cli.context import open_config

    # Named by text: the portal does not import the jobs that import it.
    run = cast("Callable[[Config], None]", getattr(importlib.import_module(module), function))
    with open_config() as filled:
        run(filled)


@click.command()
def gateway() -> None:
    """Run the sandbox gateway, which keeps a record of its own to be compared with."""
    from portal.gateways.sandbox.server import run_server

    settings = Config.from_environment(os.environ)
    record = settings.state_folder / "gateway.sqlite3"
    record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    run_server(
        host="127.0.0.1",
        port=settings.sandbox_port,
        record_path=record,
        callback_url=settings.url + WEBHOOK_PATH,
        secret=settings.required("sandbox_secret"),
        seed=settings.sandbox_seed,
        faults=settings.sandbox_faults,
    )
