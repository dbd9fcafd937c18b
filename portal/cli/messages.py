"""`portal message`: look at the messages to and from the gateways, and decide about them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import click

from portal.cli.context import with_app
from portal.cli.listing import list_table, organisation_option


@click.group()
def message() -> None:
    """List, show, send again and withdraw messages to and from the gateways."""


@message.command("list")
@click.argument("conditions", nargs=-1)
@organisation_option
@click.option("--inbox", "is_inbox", is_flag=True, help="Those that came from the gateways.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def list_(*, conditions: tuple[str, ...], organisation: str, is_inbox: bool, as_json: bool) -> None:
    """List the latest messages under CONDITIONS, such as state:parked."""
    from portal.queries.tables import INBOX_TABLE, MESSAGE_TABLE

    table = INBOX_TABLE if is_inbox else MESSAGE_TABLE
    list_table(table, conditions, organisation, as_json=as_json)


@message.command()
@click.argument("message_id")
@organisation_option
@with_app
def show(*, message_id: str, organisation: str) -> None:
    """Show one message with every try, as JSON; MESSAGE_ID begins with msg_ or inb_."""
    from portal.db import acting_for
    from portal.queries.messages import get_inbox_message, get_message, list_deliveries
    from portal.queries.organisations import get_organisation_by_code

    noun, found = _read_id(message_id)
    with acting_for(get_organisation_by_code(organisation).id):
        if noun == "inbox_message":
            shown = get_inbox_message(found)._asdict()
        else:
            shown = get_message(found)._asdict()
            shown["deliveries"] = [one._asdict() for one in list_deliveries(found)]
    if shown["about"] is not None:
        shown["about"] = shown["about"]._asdict()
    click.echo(json.dumps(shown, indent=1, default=str))


@message.command("send-again")
@click.argument("message_id")
@organisation_option
@with_app
def send_again(*, message_id: str, organisation: str) -> None:
    """Put a parked message back into the queue, or bring a waiting one forward."""
    from portal.services.messages import send_message_again

    _decide(message_id, organisation, "message", "message_id", send_message_again)
    click.echo(f"{message_id} is in the queue.")


@message.command()
@click.argument("message_id")
@organisation_option
@click.option("--reason", required=True, help="Why; kept for the auditor.")
@with_app
def withdraw(*, message_id: str, organisation: str, reason: str) -> None:
    """Give up a message that waits or is parked."""
    from portal.services.messages import withdraw_message

    _decide(message_id, organisation, "message", "message_id", withdraw_message, reason=reason)
    click.echo(f"{message_id} is withdrawn.")


@message.command("handle-again")
@click.argument("message_id")
@organisation_option
@with_app
def handle_again(*, message_id: str, organisation: str) -> None:
    """Let a parked message of a gateway be handled once more."""
    from portal.services.messages import handle_message_again

    _decide(message_id, organisation, "inbox_message", "inbox_message_id", handle_message_again)
    click.echo(f"{message_id} is in the queue.")


def _decide(
    message_id: str, organisation: str, noun: str, argument: str, service: Any, **further: str
) -> None:
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.domain.users import Actor
    from portal.queries.messages import MessageMissing
    from portal.queries.organisations import get_organisation_by_code

    found_noun, found = _read_id(message_id)
    if found_noun != noun:
        raise MessageMissing
    actor = Actor("operator", None, "command line")
    with acting_for(get_organisation_by_code(organisation).id):
        service(**{argument: found}, **further, actor=actor, now=now_utc())


def _read_id(message_id: str) -> tuple[str, UUID]:
    """Read which message is meant.

    Raises: MessageMissing.
    """
    from portal.ids import parse_public_id
    from portal.queries.messages import MessageMissing

    for noun in ("message", "inbox_message"):
        found = parse_public_id(noun, message_id)
        if found is not None:
            return noun, found
    raise MessageMissing
