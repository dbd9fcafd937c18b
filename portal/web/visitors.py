"""The person behind a request: found by the session, checked, and put in scope of one organisation.

What a person may do is in `portal.web.access`.
"""

import secrets
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from flask import Flask, Request, Response, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user
from flask_wtf.csrf import CSRFError, CSRFProtect

from portal.clock import now_utc
from portal.domain.errors import Forbidden
from portal.domain.users import ROLE_PERMISSIONS, Actor, Permission
from portal.log import log_context
from portal.queries.users import MembershipRow, SessionRow, find_session
from portal.services.users import scope, token_hash, touch_session, user_of_token
from portal.web.access import permission_of
from portal.web.addresses import split_address
from portal.web.htmx import is_part_wanted

# The doors for machines know keys, not sessions, and guard themselves.
MACHINE_PATHS = "/api/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Noting each click would make every reading request write.
TOUCH_ROUNDING = timedelta(minutes=1)
# A page that refreshes itself asks with this argument; nobody is at work then.
POLL_ARGUMENT = "seen"

# An application context can outlive a request; what it kept of the last person must not.
KEPT_PER_REQUEST = ("visitor", "_login_user", "csrf_token", "csrf_valid", "holding_brakes")

csrf = CSRFProtect()


class NoOrganisation(Forbidden):
    """You are not a member of any organisation yet, so there is nothing to show. Ask a manager of
    your organisation to let you in, then load this page again."""


class NotAllowed(Forbidden):
    """Your role does not allow you to {action}; nothing was changed. Ask a manager of your
    organisation."""

    action: str


class Visitor(UserMixin):  # type: ignore[misc]  # it carries no types
    """A signed-in person, and the organisation they work for in this request."""

    def __init__(self, row: SessionRow) -> None:
        """Take a session; the chosen organisation counts only while they are its member."""
        self.id = row.user_id
        self.email = row.email
        self.name = row.name
        self.last_seen_at = row.last_seen_at
        self.memberships = row.memberships
        chosen = [one for one in row.memberships if one.organisation_id == row.organisation_id]
        self.organisation: MembershipRow | None = next(iter([*chosen, *row.memberships]), None)

    def may(self, permission: Permission) -> bool:
        """Say whether the person's role in this organisation holds a permission."""
        if self.organisation is None:
            return permission is Permission.SIGNED_IN
        return permission in ROLE_PERMISSIONS[self.organisation.role]


def register(app: Flask) -> None:
    """Check every request before its view, and leave its scope afterwards."""
    csrf.init_app(app)
    login = LoginManager()
    login.init_app(app, add_context_processor=False)
    login.session_protection = None
    login.request_loader(_load_visitor)
    login.unauthorized_handler(send_to_sign_in)
    app.before_request(_guard)
    app.teardown_request(_leave)


def find_visitor() -> Visitor | None:
    """Return who is signed in, or None; asks the database once per request."""
    return cast("Visitor", current_user) if current_user.is_authenticated else None


def known_visitor() -> Visitor | None:
    """Return who is signed in if that was found out already: for pages that must not ask."""
    return cast("Visitor | None", g.get("visitor"))


def current_visitor() -> Visitor:
    """Return who is signed in, in a view that asks for it."""
    visitor = find_visitor()
    assert visitor is not None, "this view is not guarded"
    return visitor


def current_organisation() -> MembershipRow:
    """Return the organisation of this request, in a view that asks for a role."""
    organisation = current_visitor().organisation
    assert organisation is not None, "this view is not guarded"
    return organisation


def current_actor() -> Actor:
    """Return the signed-in person as the one who does things."""
    visitor = current_visitor()
    return Actor("person", visitor.id, visitor.name)


def send_to_sign_in() -> ResponseReturnValue:
    """Ask for a sign-in, and come back to the page afterwards."""
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    if is_part_wanted():
        current = request.headers.get("HX-Current-URL", "")
        wanted = split_address(current).path or None
    address = url_for("auth.sign_in", next=wanted if wanted not in {None, "/"} else None)
    if is_part_wanted():
        return Response(status=401, headers={"HX-Redirect": address})
    return redirect(address, 303)


def _load_visitor(_request: Request) -> Visitor | None:
    token = str(session.get("token", ""))
    user_id = user_of_token(token)
    if user_id is None:
        return None
    idle = timedelta(minutes=current_app.config["PORTAL"].session_idle_minutes)
    with scope(organisation_id=None, user_id=user_id):
        row = find_session(token_hash(token), user_id=user_id, now=now_utc(), idle=idle)
    if row is None:
        session.clear()
        return None
    g.visitor = Visitor(row)
    return cast("Visitor", g.visitor)


def _guard() -> ResponseReturnValue | None:
    """Let a request through only with the permission that its endpoint asks for."""
    for name in KEPT_PER_REQUEST:
        g.pop(name, None)
    g.request_id = secrets.token_hex(4)
    g.left_by = stack = ExitStack()
    stack.enter_context(log_context(request_id=g.request_id))
    if request.path.startswith(MACHINE_PATHS):
        return None
    if request.endpoint is None:
        # No such address: the answer still shows the frame of whoever is signed in.
        find_visitor()
        return None
    permission = permission_of(current_app, request.endpoint)
    if permission is Permission.PUBLIC:
        _check_origin()
        return None
    visitor = find_visitor()
    if visitor is None:
        return send_to_sign_in()
    _check_origin()
    _note_presence(visitor)
    if permission is None:
        raise NotAllowed(action=Permission.SIGNED_IN.value)
    if visitor.organisation is None and permission is not Permission.SIGNED_IN:
        raise NoOrganisation
    if not visitor.may(permission):
        raise NotAllowed(action=permission.value)
    _enter(stack, visitor)
    return None


def _enter(stack: ExitStack, visitor: Visitor) -> None:
    organisation_id: UUID | None = None
    if visitor.organisation is not None:
        organisation_id = visitor.organisation.organisation_id
        stack.enter_context(log_context(organisation_id=organisation_id, user_id=visitor.id))
    stack.enter_context(scope(organisation_id=organisation_id, user_id=visitor.id))


def _leave(_error: BaseException | None) -> None:
    stack: Any = g.pop("left_by", None)
    if stack is not None:
        stack.close()


def _check_origin() -> None:
    """Refuse what another site's page sends in the name of the person."""
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("Origin")
    ours = {request.host, split_address(current_app.config["PORTAL"].url).netloc}
    if origin is not None and split_address(origin).netloc not in ours:
        raise CSRFError("The request came from another site.")
    csrf.protect()


def _note_presence(visitor: Visitor) -> None:
    now = now_utc()
    if POLL_ARGUMENT not in request.args and now - visitor.last_seen_at >= TOUCH_ROUNDING:
        touch_session(token=session["token"], now=now)
