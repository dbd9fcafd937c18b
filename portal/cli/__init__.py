"""The command line `portal`: the table of its commands, and how errors become exit codes.

Each command lives in `portal/cli/<noun>.py` and is imported only when it is called.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

import click

# name: (module and attribute, sentence for `portal --help`)
COMMANDS: Final = {
    "up": ("portal.cli.ground:up", "Start the portal and everything it needs."),
    "demo": ("portal.cli.demo:demo", "Show a month of billing from end to end, then stop."),
    "seed": ("portal.cli.demo:seed", "Fill the database with a small invented world."),
    "organisation": ("portal.cli.organisations:organisation", "Add and list organisations."),
    "user": ("portal.cli.users:user", "Add, list and lock people."),
    "key": ("portal.cli.users:key", "Make, list and revoke API keys."),
    "import": ("portal.cli.files:import_", "Read invoices and payers from a file."),
    "run": ("portal.cli.batches:run", "Start and watch batch runs."),
    "payment": ("portal.cli.payments:payment", "Move or stop the next try of a payment."),
    "forecast": ("portal.cli.forecast:forecast", "Show what is planned to be tried again."),
    "payer": ("portal.cli.payers:payer", "Put payers on hold and give them more time."),
    "refund": ("portal.cli.refunds:refund", "Give money of a payment back, approve or decline it."),
    "dispute": ("portal.cli.disputes:dispute", "See disputes, answer them or accept the loss."),
    "reminder": ("portal.cli.reminders:reminder", "See what payers were told of what is overdue."),
    "schedule": ("portal.cli.schedules:schedule", "Say when jobs start by themselves."),
    "sequence": ("portal.cli.sequences:sequence", "Let jobs run one after the other."),
    "message": ("portal.cli.messages:message", "See and handle messages of the gateways."),
    "gateway-account": (
        "portal.cli.gateway_accounts:gateway_account",
        "List the gateway accounts and set their rates.",
    ),
    "case": ("portal.cli.cases:case", "See and close cases: what did not come in time."),
    "rules": ("portal.cli.rules:rules", "Look at agreements, compare, check and try them."),
    "brake": ("portal.cli.brakes:brake", "Pull and release emergency brakes."),
    "check": ("portal.cli.checks:check", "Prove that the books are right."),
    "states": ("portal.cli.states:states", "Show the states of a thing and the ways between."),
    "openapi": ("portal.cli.openapi:openapi", "Print the description of the API."),
    "screenshots": ("portal.cli.screenshots:screenshots", "Take pictures of the pages."),
    "config": ("portal.cli.ground:config", "Show every setting, its value and its meaning."),
    "doctor": ("portal.cli.doctor:doctor", "Check that the portal can run here."),
    "db": ("portal.cli.ground:db", "Bring the database to the newest schema."),
    "worker": ("portal.cli.ground:worker", "Run one worker (`portal up` does it for you)."),
    "scheduler": ("portal.cli.ground:scheduler", "Run the clock that rings the workers."),
    "gateway": ("portal.cli.ground:gateway", "Run the sandbox gateway."),
}

FINDINGS = 1
INVALID = 2
UNAVAILABLE = 3
NOT_FOUND = 4
CONFLICT = 5
INTERRUPTED = 130
UNEXPECTED = 70  # EX_SOFTWARE of <sysexits.h>.

EXIT_CODES_HELP = f"""\
Exit codes: 0 done, {FINDINGS} findings, {INVALID} the input is wrong, {UNAVAILABLE} something is
not available (database, Redis, a port), {NOT_FOUND} not found, {CONFLICT} not possible now or not
allowed, {UNEXPECTED} a fault of the portal, {INTERRUPTED} stopped by hand."""
FAMILY_CODES = {
    "NotFound": NOT_FOUND,
    "Invalid": INVALID,
    "Conflict": CONFLICT,
    "Forbidden": CONFLICT,
    "Unavailable": UNAVAILABLE,
}


class PortalGroup(click.Group):
    """A group that imports a command when it is called, and says errors in one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List all commands in the order of the table."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; an error that was to be expected is one sentence and an exit code."""
        if not kwargs.get("standalone_mode", True):
            return super().main(*args, **kwargs)
        try:
            status = super().main(*args, **{**kwargs, "standalone_mode": False})
        except Exception as error:  # noqa: BLE001 – the last place that can say what happened
            sys.exit(report(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        # Click hands back the status of `ctx.exit()`, else whatever the command returned.
        sys.exit(status if isinstance(status, int) else 0)


def report(error: Exception) -> int:
    """Say on standard error what happened and return the exit code for it."""
    if isinstance(error, click.exceptions.Abort):
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return INVALID
    if isinstance(error, BrokenPipeError):
        # The reader of our output went away, as `head` does; that is no fault.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        return 0
    said, code = sentence_for(error)
    if code == UNEXPECTED:
        traceback.print_exception(error)
    click.echo(f"portal: {said}", err=True)
    return code


def sentence_for(error: Exception) -> tuple[str, int]:
    """Return the sentence and the exit code of an error."""
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return str(error), code
    for kind in type(error).__mro__:
        # By name: an unrelated command need not import the domain to say that a port is taken.
        if kind.__module__ == "portal.domain.errors" and kind.__name__ in FAMILY_CODES:
            return str(error), FAMILY_CODES[kind.__name__]
    outside = _outside(error)
    if outside:
        return outside, UNAVAILABLE
    said = (
        f"{type(error).__name__}: {error}. This is a fault of the portal; nothing half-done was "
        "stored. Please report it with the lines above."
    )
    return said, UNEXPECTED


def _outside(error: Exception) -> str | None:
    """Say what is wrong with the database or with Redis, where that is what the error means."""
    names = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    if names & {"sqlalchemy.exc.OperationalError", "psycopg.OperationalError"}:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        return (
            f"The database{_place('DATABASE_URL')} cannot be reached or refused to work "
            f"({reason[0] if reason else 'no reason given'}); nothing was changed. Start it, or "
            "correct DATABASE_URL."
        )
    if names & {"redis.exceptions.ConnectionError", "redis.exceptions.TimeoutError"}:
        return (
            f"Redis{_place('REDIS_URL')} cannot be reached; nothing was lost, since it only rings "
            "the workers. Start it, or correct REDIS_URL."
        )
    if names & {"sqlalchemy.exc.ProgrammingError"} and "UndefinedTable" in repr(
        getattr(error, "orig", "")
    ):
        return "The database has no tables yet, or old ones; run `portal db upgrade` first."
    return None


def _place(variable: str) -> str:
    try:
        parts = urlsplit(os.environ.get(variable, ""))
        return f" at {parts.hostname}:{parts.port}" if parts.hostname and parts.port else (
            f" at {parts.hostname}" if parts.hostname else ""
        )  # fmt: skip
    except ValueError:
        return ""


@click.group(
    cls=PortalGroup,
    epilog=EXIT_CODES_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@click.version_option(package_name="billing-portal", message="%(prog)s %(version)s")
@click.pass_context
def portal(ctx: click.Context, *, quiet: bool) -> None:
    """The billing portal: issue, collect, settle and reconcile, nothing lost, nothing twice.

    Settings come from the environment; `portal config` shows them. NO_COLOR turns colours off.
    """
    options: MutableMapping[str, Any] = ctx.ensure_object(dict)
    options["quiet"] = quiet
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def is_quiet(ctx: click.Context | None = None) -> bool:
    """Tell whether `--quiet` was given."""
    context = ctx or click.get_current_context(silent=True)
    options = context.find_object(dict) if context else None
    return bool(options and options.get("quiet"))


def main() -> None:
    """Run the command line."""
    portal(prog_name="portal")
