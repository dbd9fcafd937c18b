"""Errors as machines meet them: problem details (RFC 9457), each with a stable code.

The code names a class of error; `/help/errors/<code>` says what it means and what to do.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self, cast

import orjson
import psycopg
import redis
from flask import Blueprint, Response, current_app, g, request
from sqlalchemy.exc import InterfaceError, OperationalError
from werkzeug.exceptions import HTTPException, InternalServerError

from portal.domain.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PortalError,
    Unavailable,
    family_of,
    snake_case,
)
from portal.log import get_log

log = get_log(__name__)

PROBLEM_TYPE = "application/problem+json"
ACCEPTED = ("application/json", PROBLEM_TYPE)
STATUS = {NotFound: 404, Invalid: 422, Conflict: 409, Forbidden: 403, Unavailable: 503}
RETRY_SECONDS = 30
BUSY_SECONDS = 2
ERRORS_FROM = 400
FAULTS_FROM = 500

# Errors that no class of ours stands for: code and sentence.
HTTP_ERRORS: Mapping[int, tuple[str, str]] = {
    400: (
        "request_unreadable",
        "The request cannot be read. Nothing was changed; correct it and send it again.",
    ),
    404: (
        "address_unknown",
        "There is nothing at this address, or it is another organisation's. Nothing was changed; "
        "look for the address in the description of the API.",
    ),
    405: (
        "method_not_allowed",
        "This address does not take this method. Nothing was changed; the header Allow names those "
        "it takes.",
    ),
    413: (
        "body_too_large",
        "More was sent than the portal takes at once. Nothing was changed; send it in parts.",
    ),
    429: (
        "too_many_requests",
        "Too many requests came at once. Nothing was changed; wait as long as Retry-After says.",
    ),
    500: (
        "fault",
        "This should not have happened. Nothing half-done was saved; try again, and tell the "
        "operator of the portal the request_id if it happens twice.",
    ),
    503: (
        "not_available",
        "The database or the queue cannot be reached. Nothing was saved and nothing is lost; try "
        "again in a minute.",
    ),
}
# Where the name inside is not the name of the member.
MEMBERS = {
    "external_ref": "reference",
    "purchase_order_ref": "order",
    "payment_ref": "payment_reference",
    "document_on": "date",
    "paid_on": "paid",
    "amount_minor": "amount",
}
BUSY = (
    "busy",
    "Somebody else is changing the same at this moment. Nothing was changed; send the request "
    "again, with the same key if it has one.",
)


class Finding(NamedTuple):
    """One thing that is wrong with a request, and where: a JSON pointer or a parameter."""

    place: str
    code: str
    detail: str
    is_parameter: bool = False

    def shown(self) -> dict[str, str]:
        """Write it as a member of `errors`."""
        where = "parameter" if self.is_parameter else "pointer"
        return {where: self.place, "code": self.code, "detail": self.detail}


class KeyMissing(Forbidden):
    """No key was sent. Nothing was changed; send one as `Authorization: Bearer bp_…`."""

    status_code: ClassVar[int] = 401


class KeyRefused(Forbidden):
    """The key is unknown, expired or revoked. Nothing was changed; ask a manager of the
    organisation for a new one."""

    status_code: ClassVar[int] = 401


class ScopeMissing(Forbidden):
    """The key does not allow to {action}. Nothing was changed; ask a manager of the organisation
    for a key with the scope {scopes}."""


class AnswerNotAcceptable(Invalid):
    """The request accepts no JSON, and nothing else is given here. Nothing was changed; send
    `Accept: application/json`."""

    status_code: ClassVar[int] = 406


class BodyUnreadable(Invalid):
    """The body of the request cannot be read: {reason}. Nothing was changed; send one JSON object
    in UTF-8."""

    status_code: ClassVar[int] = 400
    reason: str


class BodyNotJson(Invalid):
    """The body of the request is not sent as {wanted}, without an encoding. Nothing was changed;
    send it so and say so in Content-Type."""

    status_code: ClassVar[int] = 415
    wanted: str


class RequestInvalid(Invalid):
    """The request cannot be used: {reason}. Nothing was changed; correct it and send it again."""

    reason: str
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> Self:
        """Make the error of some findings; the first is its reason."""
        first = findings[0]
        return cls(reason=f"{first.place or 'body'}: {first.detail}", findings=tuple(findings))


class BodyInvalid(RequestInvalid):
    """The body of the request cannot be used ({reason}). Nothing was changed; correct it and send
    it again."""


class QueryInvalid(RequestInvalid):
    """The parameters of the request cannot be used ({reason}). Nothing was changed; correct them
    and send it again."""

    status_code: ClassVar[int] = 400

    @classmethod
    def unknown(cls, name: str) -> Self:
        """Refuse a parameter that nobody reads: it could be a misspelt one that matters."""
        said = "there is no such parameter here"
        return cls.of([Finding(name[:100], "unknown", said, is_parameter=True)])


class PreconditionMissing(Conflict):
    """The request does not say which version it is about. Nothing was changed; get the resource
    and send its ETag as If-Match."""

    status_code: ClassVar[int] = 428


class PreconditionOutdated(Conflict):
    """The resource has changed since the version that If-Match names. Nothing was changed; get it
    again, look, and send its new ETag."""

    status_code: ClassVar[int] = 412


class IdempotencyKeyMissing(Invalid):
    """The request moves money and has no Idempotency-Key. Nothing was changed; send it with a new
    random one, and with the same one when you repeat it."""

    status_code: ClassVar[int] = 400


def guard_errors(blueprint: Blueprint) -> None:
    """Answer every error of a blueprint with its problem details."""
    outages = (OperationalError, InterfaceError, psycopg.OperationalError, redis.RedisError)
    for kind in (PortalError, HTTPException, *outages, Exception):
        blueprint.register_error_handler(kind, answer_error)


def answer_error(error: Exception) -> Response:
    """Answer with the problem details of an error; what is unknown to us is a fault."""
    if isinstance(error, PortalError):
        return _answer_portal_error(error)
    if isinstance(error, HTTPException):
        return _answer_http_error(error)
    if _is_busy(error):
        return problem(409, *BUSY, headers={"Retry-After": str(BUSY_SECONDS)})
    if isinstance(error, (OperationalError, InterfaceError, psycopg.Error, redis.RedisError)) and (
        not isinstance(error, psycopg.Error) or isinstance(error, psycopg.OperationalError)
    ):
        log.error("request.outage", path=request.path, error=str(error).partition("\n")[0])
        return problem(503, *HTTP_ERRORS[503], headers={"Retry-After": str(RETRY_SECONDS)})
    if current_app.testing:
        raise error
    log.error("request.fault", path=request.path, exc_info=error)
    return problem(500, *HTTP_ERRORS[500])


def status_of(kind: type[PortalError] | PortalError) -> int:
    """Return the status by which an error is answered."""
    return int(getattr(kind, "status_code", None) or STATUS[family_of(kind)])


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Iterable[Finding] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Write problem details."""
    found: dict[str, Any] = {
        "type": f"/help/errors/{code}",
        "title": title_of(code),
        "status": status,
        "detail": detail,
        "instance": request.path,
        "request_id": g.get("request_id", ""),
        "code": code,
        "errors": [one.shown() for one in errors],
    }
    answer = Response(orjson.dumps(found), status, content_type=PROBLEM_TYPE)
    answer.headers.update(headers or {})
    return answer


def title_of(code: str) -> str:
    """Write a code as words."""
    return code.replace("_", " ").capitalize()


def _answer_portal_error(error: PortalError) -> Response:
    status = status_of(error)
    headers = {}
    wait = getattr(error, "retry_after_seconds", None)
    if status == STATUS[Unavailable] or wait is not None:
        headers["Retry-After"] = str(wait or RETRY_SECONDS)
    if isinstance(error, KeyMissing):
        headers["WWW-Authenticate"] = 'Bearer realm="billing portal"'
    elif isinstance(error, KeyRefused):
        headers["WWW-Authenticate"] = 'Bearer realm="billing portal", error="invalid_token"'
    return problem(status, error.code, error.message, errors=findings_of(error), headers=headers)


def findings_of(error: PortalError) -> list[Finding]:
    """List what an error says about single parts of the request."""
    parameter = getattr(error, "parameter", None)
    field = getattr(error, "field", None)
    several = getattr(error, "findings", ()) or getattr(error, "problems", ())
    if several:
        return [_finding(one, error) for one in several]
    if isinstance(parameter, str):
        return [Finding(parameter, error.code, error.message, is_parameter=True)]
    return [Finding(_pointer(field), error.code, error.message)] if isinstance(field, str) else []


def _finding(one: Any, error: PortalError) -> Finding:
    """Take over what a rule or a check of a draft has found."""
    if isinstance(one, Finding):
        return one
    detail = str(getattr(one, "message", None) or getattr(one, "reason", ""))
    return Finding(_pointer(one.field), getattr(one, "code", error.code), detail)


def _pointer(field: str | None) -> str:
    """Turn the name of a field inside into a pointer to the member outside."""
    if not field:
        return ""
    first, *rest = field.split(".")
    return "/" + "/".join([MEMBERS.get(first, first), *rest])


def _answer_http_error(error: HTTPException) -> Response:
    if error.code is not None and error.code < ERRORS_FROM:
        # A redirect to the right spelling of an address is no error.
        return cast("Response", Response.force_type(error.get_response(), request.environ))
    status = error.code or InternalServerError.code
    code, detail = HTTP_ERRORS.get(status, (snake_case(type(error).__name__), ""))
    known = HTTP_ERRORS[500 if status >= FAULTS_FROM else 400][1]
    kept = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}}
    return problem(status, code, detail or known, headers=kept)


def _is_busy(error: Exception) -> bool:
    """Say whether another transaction stood in the way, of which trying again may get rid."""
    cause = getattr(error, "orig", error)
    return isinstance(
        cause,
        psycopg.errors.LockNotAvailable
        | psycopg.errors.DeadlockDetected
        | psycopg.errors.SerializationFailure,
    )
