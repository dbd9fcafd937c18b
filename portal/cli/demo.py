"""`portal demo` and `portal seed`: an invented world, its whole billing cycle played through."""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from portal.cli import FINDINGS, is_quiet
from portal.cli.context import with_app
from portal.config import Config

# Time is compressed, so that what takes hours in production takes seconds here.
DEMO_SETTINGS: dict[str, Any] = {
    "gateway_timeout_seconds": 2.0,
    "message_lease_seconds": 6.0,
    "query_delays_seconds": (0.5, 1.0, 2.0, 3.0, 5.0),
    "resend_delays_seconds": (0.3, 0.6, 1.0, 2.0),
    "pending_query_seconds": 4.0,
    "not_found_quiet_seconds": 1.0,
    "events_seconds": 5.0,
    "tick_seconds": 1.0,
    "log_level": "warning",
}
DAYS_PLAYED = 63
LINE_WIDTH = 140
DEMO_EMAIL = "manager@example.org"


@click.command()
@click.option("--once", is_flag=True, help="Stop everything after the summary.")
@click.option("--invoices", default=2000, show_default=True, type=click.IntRange(2, 1_000_000))
@click.option("--faults", default="none", show_default=True, type=click.Choice(["none", "rough"]))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0, 2**31))
@click.option("--port", default=None, type=click.IntRange(0, 65535), help="Port of the pages.")
@click.option("--json", "as_json", is_flag=True, help="Make the last line one JSON object.")
@click.pass_context
def demo(
    ctx: click.Context,
    *,
    once: bool,
    invoices: int,
    faults: str,
    seed: int,
    port: int | None,
    as_json: bool,
) -> None:
    """Bill two invented organisations for two months, then serve the portal until Ctrl-C.

    Everything is real and thrown away afterwards: PostgreSQL, Redis, workers, the sandbox gateway.
    """
    from portal.cli.start import started_portal
    from portal.supervisor import MergedLog, signals_stop, wait_for_signal

    config = Config.from_environment(os.environ).changed(
        database_url=None, database_owner_url=None, redis_url=None, sandbox_url=None
    )
    changes = {**DEMO_SETTINGS, "sandbox_faults": faults, "sandbox_seed": seed, "sandbox_port": 0}
    if port is not None:
        changes["port"] = port
    elif once:
        changes["port"] = 0
    tell = _teller(quiet=is_quiet(ctx) or as_json)
    with (
        signals_stop(),
        tempfile.TemporaryDirectory(prefix="portal-demo-") as folder,
        started_portal(
            config.changed(**changes, state_folder=Path(folder)), fresh=True, write=MergedLog()
        ) as running,
    ):
        summary, password = _play(running.config, invoices=invoices, seed=seed, tell=tell)
        tell("")
        if not as_json:
            _print(summary)
        if as_json:
            click.echo(json.dumps(summary))
        if not once:
            click.echo(f"Sign in at {running.config.url} as {DEMO_EMAIL} with {password}")
            click.echo("Ctrl-C stops everything and throws the demo's data away.")
            wait_for_signal()
    ctx.exit(FINDINGS if summary["findings"] else 0)


@click.command()
@click.option("--invoices", default=200, show_default=True, type=click.IntRange(2, 1_000_000))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0, 2**31))
@with_app
def seed(*, invoices: int, seed: int) -> None:
    """Write two invented organisations with payers, mandates, deposits and drafts."""
    from portal.clock import now_utc
    from portal.services.seed import seed_world

    now = now_utc()
    for organisation in seed_world(invoices_count=invoices, seed=seed, on=now.date(), now=now):
        click.echo(f"{organisation.code}: {organisation.name}, {organisation.drafts_count} drafts")


def _play(
    config: Config, *, invoices: int, seed: int, tell: Callable[[str], None]
) -> tuple[dict[str, Any], str]:
    """Seed, play and sum up; also returns the password of the demo's user."""
    from portal.cli.scenario import Scenario, play, summarise
    from portal.clock import now_utc
    from portal.core import create_core
    from portal.domain.users import Actor, Role
    from portal.services.seed import seed_world
    from portal.services.users import add_user

    with create_core(config).app_context():
        now = now_utc()
        first_on = now.date() - timedelta(days=DAYS_PLAYED)
        tell(f"inventing {invoices} invoices")
        organisations = seed_world(invoices_count=invoices, seed=seed, on=first_on, now=now)
        password = secrets.token_urlsafe(18)
        user_id = add_user(
            email=DEMO_EMAIL,
            name="Demo Manager",
            password=password,
            memberships=[(organisation.id, Role.MANAGER) for organisation in organisations],
            now=now,
        )
        manager = Actor("person", user_id, "Demo Manager")
        scenario = Scenario(config, organisations, first_on, tell, manager)
        play(scenario)
        return summarise(scenario, seed=seed), password


def _teller(*, quiet: bool) -> Callable[[str], None]:
    """Show what is being done on one line of a terminal, and nowhere else."""
    if quiet or not sys.stderr.isatty():
        return lambda _line: None

    def tell(line: str) -> None:
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()

    return tell


def _print(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    # A pipe has no width: nothing is cut off for it.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LINE_WIDTH)
    steps = Table("Organisation", "Job", "Date", title="Steps", title_justify="left", box=None)
    for name in ("Read", "Done", "Filtered", "Skipped", "Failed", "Seconds"):
        steps.add_column(name, justify="right")
    for step in summary["steps"]:
        figures = [str(step[n]) for n in ("read", "done", "filtered", "skipped", "failed")]
        steps.add_row(
            step["organisation"],
            step["job"],
            step["business_date"],
            *figures,
            f"{step['seconds']:.2f}",
        )
    console.print(steps)
    amounts = Table("Currency", title="Amounts", title_justify="left", box=None)
    names = ("issued", "credited", "collected", "returned", "open")
    for name in names:
        amounts.add_column(name.capitalize(), justify="right")
    for currency, sums in summary["amounts"].items():
        amounts.add_row(currency, *(sums[name] for name in names))
    console.print(amounts)
    for name in ("invoices", "payments", "refunds", "disputes", "gateway"):
        console.print(f"[bold]{name.capitalize()}[/]: {json.dumps(summary[name])}")
    if summary["findings"]:
        console.print(f"[bold red]Findings[/]: {json.dumps(summary['findings'])}")
    else:
        console.print("[green]Every proof holds, and the gateway's own record agrees.[/]")
