"""Who may do what: permissions, the roles that hold them, and the one mark of every endpoint.

An endpoint without a mark is refused.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from flask import Flask

from portal.domain.users import Role

View = TypeVar("View", bound=Callable[..., Any])

_MARK = "portal_permission"


class Permission(StrEnum):
    """What an endpoint asks for; the value completes "your role does not allow you to"."""

    # Open to everyone: the way in, static files and the sign of life.
    PUBLIC = "look at this page"
    # Open to everyone who is signed in, whatever their role.
    SIGNED_IN = "do this"
    VIEW_OVERVIEW = "see the overview"
    VIEW_RUNS = "see the runs"
    CONTROL_RUNS = "stop or restart a run"


_READING = frozenset({Permission.SIGNED_IN, Permission.VIEW_OVERVIEW, Permission.VIEW_RUNS})

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.AUDITOR: _READING,
    Role.CLERK: _READING | {Permission.CONTROL_RUNS},
    Role.OPERATOR: _READING | {Permission.CONTROL_RUNS},
    Role.MANAGER: _READING | {Permission.CONTROL_RUNS},
}


def require(permission: Permission) -> Callable[[View], View]:
    """Mark a view with the one permission it asks for; stands below the route."""

    def mark(view: View) -> View:
        setattr(view, _MARK, permission)
        return view

    return mark


def permission_of(app: Flask, endpoint: str) -> Permission | None:
    """Return what an endpoint asks for; None when it carries no mark."""
    # Flask makes the view of its static files itself.
    if endpoint == "static":
        return Permission.PUBLIC
    return getattr(app.view_functions[endpoint], _MARK, None)


def roles_with(permission: Permission) -> list[Role]:
    """List the roles that hold a permission, for the sentence that says whom to ask."""
    return [role for role in Role if permission in ROLE_PERMISSIONS[role]]
