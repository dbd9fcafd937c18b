"""`portal refund`: list refunds, ask for one, approve or decline it in the name of a person."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from portal.cli.context import with_app
from portal.cli.listing import organisation_option
from portal.cli.people import find_actor, person_option

if TYPE_CHECKING:
    from uuid import UUID


@click.group()
def refund() -> None:
    """Give money of a payment back; from a limit on, a second person must approve it."""


@refund.command()
@click.argument("payment_id")
@click.argument("amount")
@click.option("--reason", required=True, help="Why; kept in the history.")
@person_option
@organisation_option
@with_app
def request(*, payment_id: str, amount: str, reason: str, email: str, organisation: str) -> None:
    """Ask that AMOUNT, such as 12.50, of the payment PAYMENT_ID is given back."""
    from portal.clock import now_utc, today
    from portal.db import acting_for
    from portal.domain.money import parse_amount
    from portal.domain.users import Permission
    from portal.ids import parse_public_id, public_id
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.payments import PaymentMissing, get_payment
    from portal.queries.refunds import get_refund
    from portal.services.refunds import RefundWish, request_refund

    found = parse_public_id("payment", payment_id)
    if found is None:
        raise PaymentMissing
    home = get_organisation_by_code(organisation)
    actor = find_actor(email, home.id, Permission.REQUEST_REFUNDS)
    with acting_for(home.id):
        minor = parse_amount(amount, get_payment(found).currency)
        refund_id = request_refund(
            wish=RefundWish(found, minor, reason),
            on=today(home.zone),
            actor=actor,
            now=now_utc(),
        )
        state = get_refund(refund_id).state
    click.echo(f"{public_id('refund', refund_id)}: {state.label.lower()}.")


@refund.command()
@click.argument("refund_id")
@person_option
@organisation_option
@with_app
def approve(*, refund_id: str, email: str, organisation: str) -> None:
    """Let the refund REFUND_ID go, which another person has asked for."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.domain.users import Permission
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.refunds import approve_refund

    found = _refund_id(refund_id)
    home = get_organisation_by_code(organisation)
    actor = find_actor(email, home.id, Permission.APPROVE_REFUNDS)
    with acting_for(home.id):
        approve_refund(refund_id=found, actor=actor, now=now_utc())
    click.echo(f"{refund_id} is approved.")


@refund.command()
@click.argument("refund_id")
@click.option("--reason", required=True, help="Why; kept in the history.")
@person_option
@organisation_option
@with_app
def decline(*, refund_id: str, reason: str, email: str, organisation: str) -> None:
    """Say no to the refund REFUND_ID."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.domain.users import Permission
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.refunds import decline_refund

    found = _refund_id(refund_id)
    home = get_organisation_by_code(organisation)
    actor = find_actor(email, home.id, Permission.APPROVE_REFUNDS)
    with acting_for(home.id):
        decline_refund(refund_id=found, reason=reason, actor=actor, now=now_utc())
    click.echo(f"{refund_id} is declined.")


@refund.command("list")
@organisation_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def list_(*, organisation: str, as_json: bool) -> None:
    """List the refunds, the last one first."""
    from portal.db import acting_for
    from portal.domain.money import format_amount
    from portal.ids import public_id
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.refunds import list_refunds

    with acting_for(get_organisation_by_code(organisation).id):
        rows = [
            {
                "id": public_id("refund", one.id),
                "payment": public_id("payment", one.payment_id),
                "state": one.state.value,
                "amount": format_amount(one.amount_minor, one.currency),
                "currency": one.currency,
                "payer": one.payer,
                "reason": one.reason,
                "requested_by": one.requested_by,
                "approved_by": one.approved_by,
                "failure": one.failure,
            }
            for one in list_refunds()
        ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(
            f"{row['id']}  {row['state']:<9}  {row['amount']} {row['currency']}  {row['payer']}:"
            f" {row['failure'] or row['reason']}"
        )


def _refund_id(text: str) -> UUID:
    from portal.ids import parse_public_id
    from portal.queries.refunds import RefundMissing

    found = parse_public_id("refund", text)
    if found is None:
        raise RefundMissing
    return found
