"""Errors as people meet them: a page or a fragment that says what happened and what to do."""

from typing import NamedTuple

import psycopg
import redis
from flask import Flask, Response, current_app, g, jsonify, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import InterfaceError, OperationalError
from werkzeug.exceptions import HTTPException

from portal.domain.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PortalError,
    Unavailable,
    family_of,
)
from portal.log import get_log
from portal.web.addresses import split_address
from portal.web.htmx import is_part_wanted
from portal.web.visitors import MACHINE_PATHS

log = get_log(__name__)

STATUS = {NotFound: 404, Invalid: 422, Conflict: 409, Forbidden: 403, Unavailable: 503}
RETRY_SECONDS = 30
ERRORS_FROM = 400
FAULTS_FROM = 500


class Words(NamedTuple):
    """What an error page says: its heading, and a sentence for errors that bring none."""

    heading: str
    sentence: str


WORDS = {
    400: Words(
        "This could not be read",
        "The request was not complete, or the form came from an old page. Nothing was saved; "
        "go back, load the page again and send it once more.",
    ),
    403: Words(
        "This is not open to you",
        "Your role does not allow this. Nothing was changed; ask a manager of your organisation.",
    ),
    404: Words(
        "There is nothing here",
        "The address may be mistyped, or the thing belongs to another organisation. Nothing was "
        "changed; check the address, or begin at the overview.",
    ),
    405: Words(
        "This address is not meant to be opened",
        "It only takes what a form sends. Nothing was changed; use the buttons on the pages.",
    ),
    409: Words(
        "This is not possible now",
        "Something has changed in the meantime. Nothing was saved; load the page again and look.",
    ),
    413: Words(
        "This is too large",
        "More was sent than the portal accepts at once. Nothing was saved; send it in parts.",
    ),
    422: Words(
        "Something is not right yet",
        "A value cannot be used as it is. Nothing was saved; correct it and send it again.",
    ),
    429: Words(
        "Too many tries",
        "Nothing was changed; wait a few minutes and try again.",
    ),
    500: Words(
        "A fault of the portal",
        "This should not have happened. Nothing half-done was saved; try again, and tell your "
        "administrator the reference below if it happens twice.",
    ),
    503: Words(
        "Not available at the moment",
        "The database cannot be reached. Nothing was saved and nothing is lost; try again in a "
        "minute.",
    ),
}


def register(app: Flask) -> None:
    """Answer every error with its page or fragment."""
    app.register_error_handler(PortalError, _answer_portal_error)
    app.register_error_handler(CSRFError, _answer_csrf_error)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(OperationalError, _answer_outage)
    app.register_error_handler(psycopg.OperationalError, _answer_outage)
    app.register_error_handler(InterfaceError, _answer_outage)
    app.register_error_handler(redis.RedisError, _answer_outage)
    app.register_error_handler(Exception, _answer_fault)


def render_error(status: int, sentence: str | None = None, *, code: str | None = None) -> Response:
    """Answer with the page of a status, or the fragment that HTMX puts among the alerts.

    Shape: machines get problem details; nothing here asks the database.
    """
    words = WORDS.get(status, WORDS[500] if status >= FAULTS_FROM else WORDS[400])
    said = sentence or words.sentence
    reference = g.get("request_id", "")
    if request.path.startswith(MACHINE_PATHS):
        answer = jsonify(status=status, title=words.heading, detail=said, code=code)
        answer.content_type = "application/problem+json"
    else:
        template = "errors/_alert.html" if is_part_wanted() else "errors/page.html"
        answer = make_response(
            render_template(
                template,
                status=status,
                heading=words.heading,
                sentence=said,
                reference=reference,
                way_back=_way_back(),
            )
        )
        if is_part_wanted():
            answer.headers["HX-Retarget"] = "#alerts"
            answer.headers["HX-Reswap"] = "innerHTML"
    answer.status_code = status
    if status == STATUS[Unavailable]:
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _way_back() -> str | None:
    """Return the page someone came from, if it is one of ours and not this one."""
    came_from = split_address(request.referrer or "")
    if came_from.netloc != request.host or came_from.path == request.path:
        return None
    return came_from.path + (f"?{came_from.query}" if came_from.query else "")


def _answer_portal_error(error: PortalError) -> Response:
    return render_error(STATUS[family_of(error)], error.message, code=error.code)


def _answer_csrf_error(error: CSRFError) -> Response:
    log.info("request.refused", reason=error.description, path=request.path)
    return render_error(
        400,
        "The form has expired or did not come from this portal. Nothing was saved; go back, load "
        "the page again and send it once more.",
    )


def _answer_http_error(error: HTTPException) -> Response:
    if error.code is None or error.code < ERRORS_FROM:
        # A redirect to the right spelling of an address is no error.
        return make_response(error.get_response())
    answer = render_error(error.code)
    for name, value in error.get_headers():
        # RFC 9110 asks for Allow with 405.
        if name in {"Allow", "Retry-After"}:
            answer.headers[name] = value
    return answer


def _answer_outage(error: Exception) -> Response:
    log.error("request.outage", path=request.path, error=str(error).partition("\n")[0])
    return render_error(503)


def _answer_fault(error: Exception) -> Response:
    if current_app.testing:
        raise error
    log.error("request.fault", path=request.path, exc_info=error)
    return render_error(500)
