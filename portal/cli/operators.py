"""Who starts something on the command line: a person who is named, else the account here."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from portal.cli.people import find_actor
from portal.domain.users import Actor, Permission

if TYPE_CHECKING:
    from uuid import UUID


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # An account without a name, as in some containers.
        return "unknown"


OPERATOR = Actor("operator", None, "command line", {"account": _account()})


def starter_option(command: Any) -> Any:
    """Let a command take the e-mail of the person who starts something."""
    said = "E-mail of the person who starts it; needed where a second person must approve it."
    return click.option("--by", "email", help=said)(command)


def find_starter(email: str | None, organisation_id: UUID) -> Actor:
    """Name who starts something: the person with an address, else the operator.

    Raises: UserNotFound; PersonNotAllowed.
    """
    if email is None:
        return OPERATOR
    person = find_actor(email, organisation_id, Permission.START_RUNS)
    return person._replace(details=OPERATOR.details)
