"""`portal payer`: how a payer is dealt with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from portal.cli.context import with_app
from portal.cli.people import find_actor, person_option
from portal.domain.payers import Arrangement
from portal.domain.users import Permission

if TYPE_CHECKING:
    from datetime import datetime

NONE = "none"


@click.group()
def payer() -> None:
    """Put payers on hold and agree on more time with them."""


@payer.command()
@click.argument("reference")
@click.option("--organisation", required=True, help="Code of the organisation.")
@click.option("--hold/--no-hold", default=None, help="Whether the payer is on hold.")
@click.option(
    "--arrangement",
    type=click.Choice([NONE, *(one.value for one in Arrangement)]),
    help="What was agreed; none ends it.",
)
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day of the arrangement.")
@click.option("--reason", required=True, help="Why; kept in the history of the payer.")
@person_option
@with_app
def terms(
    *,
    reference: str,
    organisation: str,
    hold: bool | None,
    arrangement: str | None,
    until: datetime | None,
    reason: str,
    email: str,
) -> None:
    """Change how the payer REFERENCE is dealt with; what is not named stays."""
    from portal.clock import now_utc, today
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.payers import PayerNotFound, find_payer_by_ref
    from portal.services.payer_terms import change_payer_terms

    where = get_organisation_by_code(organisation)
    actor = find_actor(email, where.id, Permission.CHANGE_PAYERS)
    with acting_for(where.id):
        found = find_payer_by_ref(reference)
        if found is None:
            raise PayerNotFound(payer=reference[:80])
        wanted = found.terms
        if hold is not None:
            wanted = wanted._replace(is_on_hold=hold)
        if arrangement is not None:
            agreed = None if arrangement == NONE else Arrangement(arrangement)
            wanted = wanted._replace(arrangement=agreed)
        if until is not None or arrangement == NONE:
            wanted = wanted._replace(arranged_until=until.date() if until else None)
        change_payer_terms(
            payer_id=found.id,
            terms=wanted,
            reason=reason,
            on=today(where.zone),
            actor=actor,
            now=now_utc(),
        )
    until_words = f" until {wanted.arranged_until}" if wanted.arranged_until else ""
    agreed_words = wanted.arrangement.label if wanted.arrangement else "no arrangement"
    held = "on hold" if wanted.is_on_hold else "not on hold"
    click.echo(f"{reference}: {held}, {agreed_words}{until_words}.")
