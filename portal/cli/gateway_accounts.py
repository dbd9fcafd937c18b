"""`portal gateway-account`: add accounts, see how they stand, set how fast each is called."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from portal.cli.context import with_app
from portal.domain.gateway_accounts import AccountPurpose

if TYPE_CHECKING:
    from portal.queries.gateway_accounts import AccountStateRow


@click.group("gateway-account")
def gateway_account() -> None:
    """Add and list the gateway accounts, and set how fast they are called."""


def _organisation_option(command: Any) -> Any:
    return click.option("--organisation", required=True, help="Code of the organisation.")(command)


@gateway_account.command("list")
@_organisation_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def list_(*, organisation: str, as_json: bool) -> None:
    """List the gateway accounts with rate, breaker and brake."""
    from portal.db import acting_for
    from portal.queries.gateway_accounts import list_account_states
    from portal.queries.organisations import get_organisation_by_code

    with acting_for(get_organisation_by_code(organisation).id):
        rows = [_fields(one) for one in list_account_states()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        brake = f"  brake: {row['brake_reason']}" if row["brake_reason"] else ""
        click.echo(
            f"{row['code']}  {row['kind']}  {row['purpose']}  {row['currency']}"
            f"  {row['per_second']} a second,"
            f" {row['burst']} at once  breaker {row['breaker']}{brake}"
        )


@gateway_account.command()
@click.argument("code")
@_organisation_option
@click.option(
    "--purpose",
    required=True,
    type=click.Choice([one.value for one in AccountPurpose]),
    help="What goes through it: payments, or notices to payers.",
)
@click.option("--currency", help="Currency of the account; that of the organisation if not given.")
@with_app
def add(*, code: str, organisation: str, purpose: str, currency: str | None) -> None:
    """Add the account CODE, by which the gateway knows it."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.domain.users import Actor
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.gateway_accounts import add_gateway_account

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        add_gateway_account(
            code=code,
            purpose=AccountPurpose(purpose),
            currency=currency or owner.currency,
            actor=Actor("operator", None, "command line"),
            now=now_utc(),
        )
    click.echo(f"{code} was added; it is used for {AccountPurpose(purpose).label.lower()}.")


@gateway_account.command()
@click.argument("code")
@_organisation_option
@click.option("--per-second", required=True, help="Calls a second, 0.001 to 100000.")
@click.option("--burst", required=True, type=int, help="Calls at once after a rest.")
@with_app
def rate(*, code: str, organisation: str, per_second: str, burst: int) -> None:
    """Set how fast the account CODE is called."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.domain.gateway_accounts import AccountRate
    from portal.domain.users import Actor
    from portal.queries.gateway_accounts import GatewayAccountMissing
    from portal.queries.organisations import find_gateway_account_by_code, get_organisation_by_code
    from portal.services.gateway_accounts import set_account_rate

    wanted = AccountRate(_number(per_second), burst)
    with acting_for(get_organisation_by_code(organisation).id):
        account = find_gateway_account_by_code(code)
        if account is None:
            raise GatewayAccountMissing
        set_account_rate(
            gateway_account_id=account.id,
            rate=wanted,
            actor=Actor("operator", None, "command line"),
            now=now_utc(),
        )
    click.echo(f"{code} is called {per_second} times a second, {burst} at once.")


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise click.BadParameter("It is not a number.", param_hint="--per-second") from None


def _fields(one: AccountStateRow) -> dict[str, Any]:
    from portal.ids import public_id

    return {
        "id": public_id("gateway_account", one.id),
        "code": one.code,
        "kind": one.kind,
        "purpose": one.purpose.value,
        "currency": one.currency,
        "is_active": one.is_active,
        "per_second": f"{one.rate.per_second.normalize():f}",
        "burst": one.rate.burst,
        "calls_left": one.calls_left,
        "breaker": one.breaker.value,
        "troubles_in_a_row": one.troubles_in_a_row,
        "open_until": one.open_until.isoformat(timespec="seconds") if one.open_until else None,
        "brake_reason": one.brake_reason,
    }
