"""`portal check`: prove that the books are right, and that gateways agree with them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from portal.cli import FINDINGS, is_quiet
from portal.cli.context import with_app

if TYPE_CHECKING:
    from rich.console import Console

    from portal.queries.checks import CheckResult, Difference
    from portal.queries.organisations import GatewayAccountRow, OrganisationRow

SAMPLE_LINES_MAX = 5


@dataclass
class Report:
    """What was found in the books of one organisation."""

    organisation: str
    results: tuple[CheckResult, ...]
    gateways: dict[str, tuple[Difference, ...]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows break a proof or differ from a gateway's record."""
        return sum(result.rows for result in self.results) + sum(map(len, self.gateways.values()))


@click.command()
@click.option(
    "--organisation", default="all", show_default=True, help="Code of one organisation, or all."
)
@click.option("--gateway", is_flag=True, help="Compare with the gateways' own records, too.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
@with_app
def check(ctx: click.Context, *, organisation: str, gateway: bool, as_json: bool) -> None:
    """Prove that the books are right: ends with 1 when something breaks a proof, else with 0.

    Nothing is changed. Proofs may run beside running work.
    """
    reports = [prove(row, with_gateway=gateway) for row in _organisations(organisation)]
    if as_json:
        click.echo(json.dumps([_shown(report) for report in reports], indent=1))
    else:
        _print(reports, quiet=is_quiet(ctx))
    ctx.exit(FINDINGS if any(report.rows for report in reports) else 0)


def _organisations(wanted: str) -> list[OrganisationRow]:
    from portal.queries.organisations import get_organisation_by_code, list_organisations

    return list_organisations() if wanted == "all" else [get_organisation_by_code(wanted)]


def prove(organisation: OrganisationRow, *, with_gateway: bool) -> Report:
    """Run the proofs of one organisation, and compare with its gateways when asked to."""
    from portal.db import acting_for
    from portal.queries.checks import run_checks
    from portal.queries.organisations import list_payment_accounts

    with acting_for(organisation.id):
        report = Report(organisation.code, run_checks())
        accounts = list_payment_accounts() if with_gateway else []
    for account in accounts:
        report.gateways[account.code] = _differences(organisation, account)
    return report


def _differences(
    organisation: OrganisationRow, account: GatewayAccountRow
) -> tuple[Difference, ...]:
    """Read a gateway's own record, then ours, so that what happens between is known to us."""
    import asyncio

    from portal.db import acting_for
    from portal.gateways.base import Effect, open_gateway
    from portal.queries.checks import compare_with_gateway, list_our_attempts
    from portal.services.gateways import gateway_access

    access = gateway_access(kind=account.kind, account_code=account.code)

    async def read() -> tuple[Effect, ...]:
        async with open_gateway(access) as opened:
            return await opened.list_effects()

    effects = asyncio.run(read())
    with acting_for(organisation.id):
        return compare_with_gateway(effects, list_our_attempts(account.id))


def _shown(report: Report) -> dict[str, Any]:
    return {
        "organisation": report.organisation,
        "checks": [
            {**result._asdict(), "sample": [row._asdict() for row in result.sample]}
            for result in report.results
        ],
        "gateways": {
            code: [difference._asdict() for difference in differences]
            for code, differences in report.gateways.items()
        },
    }


def _print(reports: list[Report], *, quiet: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not reports:
        console.print("There is no organisation yet, so there are no books to check.")
    for report in reports:
        if not (quiet and report.rows == 0):
            _print_report(console, report)
    if not quiet:
        broken = sum(report.rows for report in reports)
        said = f"{broken} rows break a proof." if broken else "Every proof holds."
        console.print(said, style="bold red" if broken else "green")


def _print_report(console: Console, report: Report) -> None:
    from rich.table import Table

    table = Table(title=report.organisation, title_justify="left", box=None, pad_edge=False)
    table.add_column("Check", no_wrap=True)
    table.add_column("What it proves")
    table.add_column("Rows", justify="right")
    for result in report.results:
        style = "bold red" if result.rows else None
        table.add_row(result.check, result.sentence, str(result.rows or "–"), style=style)
        for row in result.sample[:SAMPLE_LINES_MAX]:
            says = f"{row.id or 'nothing'} {row.label}: {_side(row.expected)} should be there, "
            table.add_row("", says + f"{_side(row.found)} is", "")
    for code, differences in report.gateways.items():
        style = "bold red" if differences else None
        sentence = "The gateway's own record and our attempts agree."
        table.add_row(f"gateway {code}", sentence, str(len(differences) or "–"), style=style)
        for difference in differences[:SAMPLE_LINES_MAX]:
            ours, theirs = difference.ours or "nothing", difference.theirs or "nothing"
            says = f"{difference.kind} {difference.reference}: here {ours}, there {theirs}"
            table.add_row("", says, "")
    console.print(table)


def _side(amount: int | None) -> str:
    return "nothing" if amount is None else str(amount)
