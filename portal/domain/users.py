"""Roles of people and the actor of a change."""

from typing import NamedTuple
from uuid import UUID

from portal.domain.states import State


class Role(State):
    """What a person may do in an organisation."""

    CLERK = "clerk", "Clerk"
    MANAGER = "manager", "Manager"
    OPERATOR = "operator", "Operator"
    AUDITOR = "auditor", "Auditor"


class Actor(NamedTuple):
    """Who did something: a person, a run, an external system or the portal itself."""

    kind: str
    id: UUID | None = None
    name: str = ""


PORTAL = Actor("portal", None, "portal")


def run_actor(run_id: UUID) -> Actor:
    """Name a batch run as the actor."""
    return Actor("run", run_id, "run")
