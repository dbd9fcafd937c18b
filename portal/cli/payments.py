"""`portal payment`: decide about a planned retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from portal.cli.context import with_app

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID


@click.group()
def payment() -> None:
    """Move the next try of a payment to another day, or stop it."""


def _organisation_option(command: Any) -> Any:
    return click.option("--organisation", required=True, help="Code of the organisation.")(command)


@payment.command()
@click.argument("payment_id")
@_organisation_option
@click.option(
    "--to", "moment", required=True, type=click.DateTime(["%Y-%m-%d"]), help="The day, 2026-12-01."
)
@click.option("--reason", required=True, help="Why; kept for the auditor.")
@with_app
def move(*, payment_id: str, organisation: str, moment: datetime, reason: str) -> None:
    """Plan the next try of PAYMENT_ID for another day on which banks work."""
    from portal.clock import today
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.payments import move_retry

    day = moment.date()
    on = today(get_organisation_by_code(organisation).zone)
    _decide(payment_id, organisation, move_retry, day=day, on=on, reason=reason)
    click.echo(f"{payment_id} is tried next on {day}.")


@payment.command()
@click.argument("payment_id")
@_organisation_option
@click.option("--reason", required=True, help="Why; kept for the auditor.")
@with_app
def stop(*, payment_id: str, organisation: str, reason: str) -> None:
    """Try PAYMENT_ID no more, and take it off its worklist."""
    from portal.services.payments import stop_payment

    _decide(payment_id, organisation, stop_payment, reason=reason)
    click.echo(f"{payment_id} is stopped.")


def _decide(
    payment_id: str, organisation: str, service: Callable[..., None], **further: Any
) -> None:
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.domain.users import Actor
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.payments import get_payment

    found = _read_id(payment_id)
    with acting_for(get_organisation_by_code(organisation).id):
        version = get_payment(found).version
        actor = Actor("operator", None, "command line")
        service(payment_id=found, version=version, **further, actor=actor, now=now_utc())


def _read_id(payment_id: str) -> UUID:
    """Read which payment is meant.

    Raises: PaymentMissing.
    """
    from portal.ids import parse_public_id
    from portal.queries.payments import PaymentMissing

    found = parse_public_id("payment", payment_id)
    if found is None:
        raise PaymentMissing
    return found
