"""The one mark of every door for machines, and the key that opens it.

A door without a mark is refused. What each scope of a key permits is in `portal.domain.users`.
"""

from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from datetime import date
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, g, request

from portal.api.problems import (
    ACCEPTED,
    AnswerNotAcceptable,
    KeyMissing,
    KeyRefused,
    QueryInvalid,
    ScopeMissing,
    answer_error,
)
from portal.clock import now_utc, today
from portal.domain.errors import PortalError
from portal.domain.users import SCOPE_PERMISSIONS, Actor, Permission, Scope
from portal.log import log_context
from portal.services.api_keys import KeyHolder, use_key
from portal.services.users import scope

View = TypeVar("View", bound=Callable[..., Any])

PREFIX = "/api/v1"
BODY_BYTES_MAX = 1_000_000

# The same mark as that of pages: the guard of the pages reads it at addresses outside of /api.
_MARK = "portal_permission"
_QUERY = "portal_reads_query"
# Where the library that writes the description looks.
_DOCUMENTED = "_apidoc"


def require(permission: Permission) -> Callable[[View], View]:
    """Mark a door with the one permission it asks for; stands below everything else."""

    def mark(view: View) -> View:
        setattr(view, _MARK, permission)
        if permission is not Permission.PUBLIC:
            names = " or ".join(f"`{one.value}`" for one in scopes_with(permission))
            document(view, security=[{"key": []}])
            document(view, description=f"Needs a key with the scope {names}." if names else "")
        return view

    return mark


def document(view: Callable[..., Any], **parts: Any) -> None:
    """Add to what the description of the API says of a door."""
    # Shared with what the view was wrapped around, so never changed in place.
    described = deepcopy(getattr(view, _DOCUMENTED, {}))
    told = described.setdefault("manual_doc", {})
    for name, part in parts.items():
        if isinstance(part, dict):
            told[name] = {**told.get(name, {}), **part}
        elif name == "parameters":
            told[name] = [*told.get(name, []), *part]
        else:
            told[name] = part
    setattr(view, _DOCUMENTED, described)


def reads_query(view: Callable[..., Any]) -> None:
    """Mark a door that reads its query itself; all others take none."""
    setattr(view, _QUERY, True)


def scopes_with(permission: Permission) -> list[Scope]:
    """List the scopes that hold a permission; none for what every key may do."""
    return [one for one in Scope if permission in SCOPE_PERMISSIONS[one]]


def permission_of(app: Flask, endpoint: str) -> Permission | None:
    """Return what a door asks for; None when it carries no mark."""
    return getattr(app.view_functions[endpoint], _MARK, None)


def current_holder() -> KeyHolder:
    """Return who holds the key of this request."""
    holder = g.get("key_holder")
    assert holder is not None, "this door is not guarded"
    return cast("KeyHolder", holder)


def current_actor() -> Actor:
    """Return the external system as the one who does things."""
    holder = current_holder()
    return Actor("system", holder.key_id, holder.name)


def current_day() -> date:
    """Return the day it now is where the organisation is."""
    return today(current_holder().zone)


def register(app: Flask) -> None:
    """Check every request of a machine before its view, and leave its scope afterwards."""
    app.before_request(_guard)
    app.teardown_request(_leave)


def _guard() -> Response | None:
    if request.path != PREFIX and not request.path.startswith(f"{PREFIX}/"):
        return None
    g.pop("key_holder", None)
    request.max_content_length = BODY_BYTES_MAX
    if request.routing_exception is not None:
        return answer_error(request.routing_exception)
    try:
        _check()
    except PortalError as error:
        return answer_error(error)
    return None


def _check() -> None:
    assert request.endpoint is not None
    permission = permission_of(current_app, request.endpoint)
    if permission is Permission.PUBLIC:
        return
    holder = _find_holder()
    if permission is None or not _may(holder, permission):
        named = permission or Permission.SIGNED_IN
        wanted = ", ".join(one.value for one in scopes_with(named)) or "that permits it"
        raise ScopeMissing(action=named.value, scopes=wanted)
    _enter(holder)
    if request.accept_mimetypes and not request.accept_mimetypes.best_match(ACCEPTED):
        raise AnswerNotAcceptable
    if request.args and not hasattr(current_app.view_functions[request.endpoint], _QUERY):
        raise QueryInvalid.unknown(next(iter(request.args)))


def _find_holder() -> KeyHolder:
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key:
        raise KeyMissing
    holder = use_key(key=key.strip(), now=now_utc())
    if holder is None:
        raise KeyRefused
    return holder


def _may(holder: KeyHolder, permission: Permission) -> bool:
    if permission is Permission.SIGNED_IN:
        return True
    held = {one.value for one in scopes_with(permission)}
    return not held.isdisjoint(holder.scopes)


def _enter(holder: KeyHolder) -> None:
    g.key_holder = holder
    g.machine_left_by = stack = ExitStack()
    stack.enter_context(log_context(organisation_id=holder.organisation_id, key_id=holder.key_id))
    stack.enter_context(scope(organisation_id=holder.organisation_id))


def _leave(_error: BaseException | None) -> None:
    stack: Any = g.pop("machine_left_by", None)
    if stack is not None:
        stack.close()
