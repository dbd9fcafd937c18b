"""The one mark of every endpoint: the permission it asks for.

An endpoint without a mark is refused. Which role holds which permission is in
`portal.domain.users`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask

from portal.domain.users import ROLE_PERMISSIONS, Permission, Role

View = TypeVar("View", bound=Callable[..., Any])

_MARK = "portal_permission"


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
