"""In whose name a command decides: a person who works there and is allowed to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from portal.domain.errors import Forbidden

if TYPE_CHECKING:
    from uuid import UUID

    from portal.domain.users import Actor, Permission


class PersonNotAllowed(Forbidden):
    """The role of {email} does not allow them to {verb}; nothing was saved. Name another person."""

    email: str
    verb: str


def person_option(command: Any) -> Any:
    """Let a command take the e-mail of the person who decides."""
    return click.option("--by", "email", required=True, help="E-mail of the person who says so.")(
        command
    )


def find_actor(email: str, organisation_id: UUID, permission: Permission) -> Actor:
    """Name the person who decides, who must work here and be allowed to.

    Raises: UserNotFound; PersonNotAllowed.
    """
    from portal.db import acting_for
    from portal.domain.users import ROLE_PERMISSIONS, Actor
    from portal.queries.users import find_user_by_email, list_members
    from portal.services.users import UserNotFound

    email = email.strip().lower()
    with acting_for(organisation_id):
        members = {one.email: one for one in list_members() if one.is_active}
    user = find_user_by_email(email)
    if user is None or email not in members:
        raise UserNotFound(email=email[:80])
    if permission not in ROLE_PERMISSIONS[members[email].role]:
        raise PersonNotAllowed(email=email, verb=permission.value)
    return Actor("person", user.id, user.name)
