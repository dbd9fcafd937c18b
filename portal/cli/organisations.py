"""Commands that add and list organisations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portal.cli import is_quiet
from portal.cli.context import with_app
from portal.domain.errors import Invalid
from portal.paths import RULE_SAMPLES

if TYPE_CHECKING:
    from portal.queries.organisations import OrganisationRow


class RulesUnreadable(Invalid):
    """The rules “{rules}” cannot be read: {reason}. Nothing was saved; name a TOML file or one of
    the samples {samples}."""

    rules: str
    reason: str
    samples: str


@click.group()
def organisation() -> None:
    """Add and list the organisations whose invoices these are."""


@organisation.command()
@click.option("--code", required=True, help="Short name for commands, such as harbour.")
@click.option("--name", required=True, help="Name as it stands on documents.")
@click.option("--currency", required=True, help="Currency of the books, such as GBP.")
@click.option("--zone", default="Europe/London", show_default=True, help="Time zone.")
@click.option("--locale", default="en_GB", show_default=True, help="Language and country.")
@click.option(
    "--calendar",
    default="ECB",
    show_default=True,
    help="Bank holidays: ECB, or the two letters of a country.",
)
@click.option("--rules", required=True, help="The agreement: a TOML file, or a sample's name.")
@with_app
def add(
    *, code: str, name: str, currency: str, zone: str, locale: str, calendar: str, rules: str
) -> None:
    """Add an organisation with its accounts, and put its rule set in force."""
    from portal.clock import now_utc
    from portal.domain.users import Actor
    from portal.services.organisations import add_organisation

    add_organisation(
        code=code,
        name=name,
        currency=currency,
        zone=zone,
        locale=locale,
        holiday_calendar=calendar,
        rule_definition=read_rules(rules),
        actor=Actor("person", None, "command line"),
        now=now_utc(),
    )
    if not is_quiet():
        click.echo(f"The organisation {code} was added; its rule set is in force.")


@organisation.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def list_(*, as_json: bool) -> None:
    """List every organisation."""
    from portal.queries.organisations import list_organisations

    rows = list_organisations()
    if as_json:
        click.echo(json.dumps([_shown(row) for row in rows], indent=1, ensure_ascii=False))
    elif rows:
        _print(rows)
    else:
        click.echo("There is no organisation yet; add one with `portal organisation add`.")


def read_rules(rules: str) -> dict[str, Any]:
    """Read a rule set from a TOML file, or from a sample when there is no such file.

    Raises: RulesUnreadable; DefinitionUnreadable.
    """
    from rules.ruleset import load_definition

    samples = sorted(path.stem for path in RULE_SAMPLES.glob("*.toml"))
    path = RULE_SAMPLES / f"{rules}.toml" if rules in samples else Path(rules)
    try:
        return load_definition(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        reason = getattr(cause, "strerror", None) or "it is not UTF-8 text"
        raise RulesUnreadable(
            rules=rules[:80], reason=reason.lower(), samples=", ".join(samples)
        ) from cause


def _shown(row: OrganisationRow) -> dict[str, str]:
    return {name: str(value) for name, value in row._asdict().items()}


def _print(rows: list[OrganisationRow]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("Code", "Name", "Currency", "Zone", "Locale", "Holidays", box=None)
    for row in rows:
        table.add_row(*row[1:])
    Console(highlight=False, markup=False).print(table)
