"""`portal case`: look for what did not come, look at cases, and close them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from portal.cli.context import with_app
from portal.cli.listing import list_table, organisation_option

if TYPE_CHECKING:
    from portal.queries.organisations import GatewayAccountRow


@click.group()
def case() -> None:
    """Look for what was expected and did not come; list, show and close such cases."""


@case.command("list")
@click.argument("conditions", nargs=-1)
@organisation_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def list_(*, conditions: tuple[str, ...], organisation: str, as_json: bool) -> None:
    """List the latest cases under CONDITIONS, such as state:open."""
    from portal.queries.tables import CASE_TABLE

    list_table(CASE_TABLE, conditions, organisation, as_json=as_json)


@case.command()
@click.argument("case_id")
@organisation_option
@with_app
def show(*, case_id: str, organisation: str) -> None:
    """Show one case with its history and what to do, as JSON."""
    from portal.db import acting_for
    from portal.domain.cases import CASE_TEXTS
    from portal.queries.cases import get_case, list_case_history
    from portal.queries.organisations import get_organisation_by_code

    found = _read_id(case_id)
    with acting_for(get_organisation_by_code(organisation).id):
        shown = get_case(found)
        history = list_case_history(found)
    told = {
        **shown._asdict(),
        **CASE_TEXTS[shown.kind]._asdict(),
        "history": [one._asdict() for one in history],
    }
    click.echo(json.dumps(told, indent=1, default=str))


@case.command()
@click.argument("case_id")
@organisation_option
@click.option("--reason", required=True, help="Why; kept for the auditor.")
@with_app
def close(*, case_id: str, organisation: str, reason: str) -> None:
    """Close a case that is settled; it stays closed while its cause goes on."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.domain.users import Actor
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.cases import close_case

    with acting_for(get_organisation_by_code(organisation).id):
        close_case(
            case_id=_read_id(case_id),
            reason=reason,
            actor=Actor("operator", None, "command line"),
            now=now_utc(),
        )
    click.echo(f"{case_id} is closed.")


@case.command("watch")
@organisation_option
@click.option("--gateway", is_flag=True, help="Compare with the gateways' own records, too.")
@with_app
def watch_(*, organisation: str, gateway: bool) -> None:
    """Look now for what did not come, without waiting for the next look."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code, list_payment_accounts
    from portal.services.cases import limits_of, watch

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        kept = watch(limits=limits_of(), now=now_utc())
        accounts = list_payment_accounts() if gateway else []
    opened, resolved = kept.opened, kept.resolved
    for account in accounts:
        kept = _compare(owner.id, account)
        opened, resolved = opened + kept.opened, resolved + kept.resolved
    click.echo(f"{opened} opened, {resolved} resolved.")


def _compare(organisation_id: UUID, account: GatewayAccountRow) -> Any:
    """Read a gateway's own record with no transaction open, then compare it with ours."""
    import asyncio

    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.gateways.base import Effect, open_gateway
    from portal.services.cases import compare_record
    from portal.services.gateways import gateway_access

    access = gateway_access(kind=account.kind, account_code=account.code)

    async def read() -> tuple[Effect, ...]:
        async with open_gateway(access) as opened:
            return await opened.list_effects()

    read_at = now_utc()
    effects = asyncio.run(read())
    with acting_for(organisation_id):
        return compare_record(
            gateway_account_id=account.id, effects=effects, read_at=read_at, now=now_utc()
        )


def _read_id(case_id: str) -> UUID:
    """Read which case is meant.

    Raises: CaseMissing.
    """
    from portal.ids import parse_public_id
    from portal.queries.cases import CaseMissing

    found = parse_public_id("case", case_id)
    if found is None:
        raise CaseMissing
    return found
