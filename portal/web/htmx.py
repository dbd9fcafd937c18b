"""Answering a browser with a page, and HTMX with the part of that page it asked for."""

from typing import Any

from flask import Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from htmx_flask.requests import HtmxHeaders


def is_part_wanted() -> bool:
    """Say whether HTMX asks for a part; coming back through the history it wants the page."""
    headers: HtmxHeaders = request.htmx  # type: ignore[attr-defined]  # added by htmx-flask
    return bool(headers) and not headers.history_restore_request


def render_part(page: str, part: str, *, status: int = 200, **context: Any) -> Response:
    """Render the page, or its part when HTMX asks for one; both know the same values."""
    template = part if is_part_wanted() else page
    return make_response(render_template(template, is_part=is_part_wanted(), **context), status)


def redirect_part(address: str) -> ResponseReturnValue:
    """Send the browser to another page after something was done, with or without HTMX."""
    if is_part_wanted():
        return Response(status=204, headers={"HX-Redirect": address})
    return redirect(address, 303)


def nothing_new() -> Response:
    """Answer a poll when what it has seen is still so; HTMX then leaves the page alone."""
    return Response(status=204)
