"""`portal brake`: pull emergency brakes, release them, and list them."""

from __future__ import annotations

import json
from typing import Any

import click

from portal.cli.context import with_app

HOUR_SECONDS = 3600


@click.group()
def brake() -> None:
    """Pull, release and list emergency brakes."""


def _organisation_option(command: Any) -> Any:
    return click.option("--organisation", required=True, help="Code of the organisation.")(command)


@brake.command()
@_organisation_option
@click.option("--reason", required=True, help="Why; shown on every page while it holds.")
@click.option("--hours", type=float, default=4.0, show_default=True, help="How long it holds.")
@click.option("--account", help="Code of a gateway account: only its orders are held.")
@click.option("--job", help="Name of a job: only its runs are held.")
@with_app
def pull(
    *, organisation: str, reason: str, hours: float, account: str | None, job: str | None
) -> None:
    """Let nothing more be begun of an organisation, or of an account or a job of it."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.domain.users import Actor
    from portal.ids import public_id
    from portal.queries.organisations import find_gateway_account_by_code, get_organisation_by_code
    from portal.services.brakes import BrakeScopeInvalid, pull_brake

    with acting_for(get_organisation_by_code(organisation).id):
        found = find_gateway_account_by_code(account) if account else None
        if account and found is None:
            raise BrakeScopeInvalid(reason=f"there is no gateway account {account[:40]} here")
        brake_id = pull_brake(
            reason=reason,
            hold_seconds=round(hours * HOUR_SECONDS),
            gateway_account_id=found.id if found else None,
            job=job,
            actor=Actor("operator", None, "command line"),
            now=now_utc(),
        )
    click.echo(f"{public_id('brake', brake_id)} holds.")


@brake.command()
@click.argument("brake_id")
@_organisation_option
@with_app
def release(*, brake_id: str, organisation: str) -> None:
    """Let go on what the brake BRAKE_ID holds back; `portal brake list` shows the ids."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.domain.users import Actor
    from portal.ids import parse_public_id
    from portal.queries.brakes import BrakeMissing
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.brakes import release_brake

    found = parse_public_id("brake", brake_id)
    if found is None:
        raise BrakeMissing
    with acting_for(get_organisation_by_code(organisation).id):
        release_brake(brake_id=found, actor=Actor("operator", None, "command line"), now=now_utc())
    click.echo(f"{brake_id} is released.")


@brake.command("list")
@_organisation_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def list_(*, organisation: str, as_json: bool) -> None:
    """List the brakes, those that hold first."""
    from portal.db import acting_for
    from portal.ids import public_id
    from portal.queries.brakes import list_brakes
    from portal.queries.organisations import get_organisation_by_code

    with acting_for(get_organisation_by_code(organisation).id):
        rows = [
            {
                "id": public_id("brake", one.id),
                "state": one.state.value,
                "account": one.account_code,
                "job": one.job,
                "reason": one.reason,
                "pulled_by": one.pulled_by,
                "pulled_at": one.pulled_at.isoformat(timespec="seconds"),
                "expires_at": one.expires_at.isoformat(timespec="seconds"),
                "released_by": one.released_by,
            }
            for one in list_brakes()
        ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        scope = row["account"] or row["job"] or "everything"
        click.echo(
            f"{row['id']}  {row['state']:<8}  {scope}  until {row['expires_at']}  by"
            f" {row['pulled_by']}: {row['reason']}"
        )
