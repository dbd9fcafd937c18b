"""`portal dispute`: list and show disputes, answer one, or accept its loss for a person."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from portal.cli.context import with_app
from portal.cli.listing import list_table, organisation_option
from portal.cli.people import find_actor, person_option

if TYPE_CHECKING:
    from uuid import UUID


@click.group()
def dispute() -> None:
    """See the payments whose money was taken back, and answer for them."""


@dispute.command("list")
@click.argument("conditions", nargs=-1)
@organisation_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def list_(*, conditions: tuple[str, ...], organisation: str, as_json: bool) -> None:
    """List the latest disputes under CONDITIONS, such as state:needs_response."""
    from portal.queries.tables import DISPUTE_TABLE

    list_table(DISPUTE_TABLE, conditions, organisation, as_json=as_json)


@dispute.command()
@click.argument("dispute_id")
@organisation_option
@with_app
def show(*, dispute_id: str, organisation: str) -> None:
    """Show one dispute with its history, as JSON."""
    from portal.db import acting_for
    from portal.queries.disputes import get_dispute, list_dispute_history
    from portal.queries.organisations import get_organisation_by_code

    found = _dispute_id(dispute_id)
    with acting_for(get_organisation_by_code(organisation).id):
        shown = get_dispute(found)
        history = [one._asdict() for one in list_dispute_history(found)]
    told = {**shown._asdict(), "reason": shown.reason, "history": history}
    click.echo(json.dumps(told, indent=1, default=str))


@dispute.command()
@click.argument("dispute_id")
@click.option("--text", required=True, help="What the payer's bank is told.")
@person_option
@organisation_option
@with_app
def answer(*, dispute_id: str, text: str, email: str, organisation: str) -> None:
    """Answer the dispute DISPUTE_ID; the payer's bank decides."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.domain.users import Permission
    from portal.queries.disputes import get_dispute
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.disputes import answer_dispute

    found = _dispute_id(dispute_id)
    home = get_organisation_by_code(organisation)
    actor = find_actor(email, home.id, Permission.ANSWER_DISPUTES)
    with acting_for(home.id):
        answer_dispute(
            dispute_id=found,
            version=get_dispute(found).version,
            text=text,
            actor=actor,
            now=now_utc(),
        )
    click.echo(f"{dispute_id} is answered.")


@dispute.command()
@click.argument("dispute_id")
@person_option
@organisation_option
@with_app
def accept(*, dispute_id: str, email: str, organisation: str) -> None:
    """Accept the loss of the dispute DISPUTE_ID."""
    from portal.clock import now_utc, today
    from portal.db import acting_for
    from portal.domain.users import Permission
    from portal.queries.disputes import get_dispute
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.disputes import accept_dispute

    found = _dispute_id(dispute_id)
    home = get_organisation_by_code(organisation)
    actor = find_actor(email, home.id, Permission.ANSWER_DISPUTES)
    with acting_for(home.id):
        accept_dispute(
            dispute_id=found,
            version=get_dispute(found).version,
            on=today(home.zone),
            actor=actor,
            now=now_utc(),
        )
    click.echo(f"{dispute_id} is lost.")


def _dispute_id(text: str) -> UUID:
    from portal.ids import parse_public_id
    from portal.queries.disputes import DisputeMissing

    found = parse_public_id("dispute", text)
    if found is None:
        raise DisputeMissing
    return found
