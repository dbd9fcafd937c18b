"""How a person wants the pages: light or dark, with or without keyboard shortcuts."""

from flask import Blueprint, Flask, current_app, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from portal.domain.errors import Invalid
from portal.domain.users import Permission
from portal.web.access import require
from portal.web.addresses import split_address
from portal.web.htmx import redirect_part

# The empty one follows the system of the person.
THEMES = ("", "light", "dark")
KEYS = ("on", "off")

bp = Blueprint("account", __name__, url_prefix="/account")


class ChoiceUnreadable(Invalid):
    """There is no such choice. Nothing was changed; choose from the menu with your name."""


@bp.post("/theme")
@require(Permission.SIGNED_IN)
def choose_theme() -> ResponseReturnValue:
    """Keep the theme for this session, and come back to the page."""
    return _keep("theme", THEMES)


@bp.post("/keys")
@require(Permission.SIGNED_IN)
def choose_keys() -> ResponseReturnValue:
    """Turn the shortcuts of single keys on or off for this session, and come back to the page."""
    return _keep("keys", KEYS)


def register(app: Flask) -> None:
    """Add the choices, and tell the frame what was chosen."""
    app.register_blueprint(bp)
    app.jinja_env.globals.update(chosen_theme=chosen_theme, are_keys_on=are_keys_on)


def chosen_theme() -> str | None:
    """Return `light` or `dark` if the person chose one; None follows their system."""
    return session.get("theme") or None


def are_keys_on() -> bool:
    """Say whether single keys do something (WCAG 2.1.4)."""
    return session.get("keys") != "off"


def _keep(name: str, choices: tuple[str, ...]) -> ResponseReturnValue:
    chosen = request.form.get(name)
    if chosen not in choices:
        raise ChoiceUnreadable
    session[name] = chosen
    return redirect_part(_page_before())


def _page_before() -> str:
    """Return the page the form stood on, or the overview."""
    came_from = split_address(request.referrer or "")
    routes = current_app.create_url_adapter(request)
    assert routes is not None, "a request is being answered"
    try:
        if came_from.netloc == request.host:
            # An error may stand at an address that only takes forms.
            routes.match(came_from.path, method="GET")
            return came_from.path + (f"?{came_from.query}" if came_from.query else "")
    except HTTPException:
        pass
    return url_for("overview.show")
