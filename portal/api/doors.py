"""What stands around each door: what it takes, what it answers, and what is told about it.

The marks stand above a view like this, each saying one thing once for reading, checking and the
description of the API: route · takes · asks · once · answers · require.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import Schema

from portal.api.access import document, reads_query
from portal.api.bodies import (
    JSON,
    MERGE_PATCH,
    load_body,
    load_query,
    read_no_body,
    read_object,
    request_hash,
)
from portal.api.problems import IdempotencyKeyMissing, guard_errors
from portal.clock import now_utc
from portal.services.idempotency import KEY_CHARACTERS_MAX, Reply, do_once

View = TypeVar("View", bound=Callable[..., Any])

KEPT_HEADERS = ("Content-Type", "ETag", "Location")
KEY_HEADER = "Idempotency-Key"
PROBLEMS = {
    400: "The request cannot be read, or has a parameter that is not known.",
    401: "The key is missing, unknown, expired or revoked.",
    403: "The key has not the scope.",
    404: "There is no such thing here, or it is another organisation's.",
    405: "The address does not take this method.",
    406: "Only JSON is answered.",
    409: "Not possible now: the state, a rival or a duplicate stands in the way.",
    412: "The resource has changed since the version that If-Match names.",
    413: "The body is too large.",
    415: "The body is of another type.",
    422: "The body is not as it should be; `errors` says where.",
    428: "If-Match is missing.",
    500: "A fault of the portal.",
    503: "The database or the queue cannot be reached.",
}


class DoorBlueprint(Blueprint):  # type: ignore[misc]  # it carries no types
    """The doors of one noun, under one heading of the description."""

    def __init__(self, noun: str, description: str) -> None:
        """Name it so that it does not take the name of the noun's pages."""
        super().__init__(f"api_{noun}", __name__, description=description)
        self.noun = noun
        # What the library would add of its own is said by the marks of a door.
        self._prepare_doc_cbks: list[Any] = []
        guard_errors(self)

    def route(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Open a door at an address."""
        return cast("Callable[[View], View]", super().route(rule, **options))

    def _store_endpoint_docs(
        self, endpoint: str, view: Any, parameters: Any, tags: Any, **options: Any
    ) -> None:
        super()._store_endpoint_docs(endpoint, view, parameters, tags or [self.noun], **options)


def answers(
    schema: type[Schema] | None,
    status: int = 200,
    *,
    refuses: Sequence[int] = (),
    says: str = "Done.",
) -> Callable[[View], View]:
    """Tell what a door answers; it writes the answer itself, from rows."""

    def mark(view: View) -> View:
        told: dict[str, Any] = {"description": says}
        if schema is not None:
            told["content"] = {JSON: {"schema": schema}}
            told["headers"] = {"ETag": {"schema": {"type": "string"}}}
        _refuse(view, 400, 401, 403, 406, 500, 503, *refuses)
        document(view, responses={str(status): told}, operationId=view.__name__)
        return view

    return mark


def asks(schema: type[Schema]) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Read the parameters of a request by a schema, as the argument `query`."""
    made = schema()

    def mark(view: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(view)
        def reading(**path: Any) -> Response:
            return view(**path, query=load_query(made))

        reads_query(reading)
        document(reading, parameters=[{"in": "query", "schema": schema}])
        return reading

    return mark


def takes(
    schema: type[Schema] | None, *, content_type: str = JSON
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Read the body of a request by a schema, as the argument `body`; None takes none."""
    made = schema() if schema else None

    def mark(view: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(view)
        def reading(**path: Any) -> Response:
            if made is None:
                read_no_body()
                return view(**path)
            return view(**path, body=load_body(made, read_object(content_type)))

        _refuse(reading, 413, 415, 422)
        if schema is not None:
            content = {content_type: {"schema": schema}}
            document(reading, requestBody={"required": True, "content": content})
        return reading

    return mark


def patches(
    schema: type[Schema],
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Read a merge patch of what a schema describes, as the argument `patch`.

    Shape: only what the patch names is there; null where null removes.
    """
    part = type(f"{schema.__name__.removesuffix('Schema')}PatchSchema", (schema,), {})
    # By name: what is inside of a member is whole or wrong, since it replaces what was there.
    made = part(partial=tuple(part().fields))

    def mark(view: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(view)
        def reading(**path: Any) -> Response:
            return view(**path, patch=load_body(made, read_object(MERGE_PATCH)))

        _refuse(reading, 413, 415, 422)
        content = {MERGE_PATCH: {"schema": made}}
        document(reading, requestBody={"required": True, "content": content})
        return reading

    return mark


def matches(*, is_required: bool) -> Callable[[View], View]:
    """Tell that a door compares If-Match with the ETag; it does so itself, with what it reads."""

    def mark(view: View) -> View:
        parameter = {
            "in": "header",
            "name": "If-Match",
            "required": is_required,
            "description": "The ETag of the version that you have seen.",
            "schema": {"type": "string", "pattern": '^(\\*|"[0-9a-f]{24}")$'},
        }
        _refuse(view, 412, *([428] if is_required else []))
        document(view, parameters=[parameter])
        return view

    return mark


def once(*, is_required: bool) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Do what a request with a key asks once, and answer its repeats with the same reply."""

    def mark(view: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(view)
        def doing(**arguments: Any) -> Response:
            key = request.headers.get(KEY_HEADER)
            if key is None:
                if is_required:
                    raise IdempotencyKeyMissing
                return view(**arguments)
            reply, is_replay = do_once(
                key=key,
                request_hash=request_hash({**arguments}),
                work=lambda: _reply_of(view(**arguments)),
                now=now_utc(),
            )
            written = Response(reply.body, reply.status)
            written.headers.update(reply.headers)
            if is_replay:
                written.headers["Idempotency-Replayed"] = "true"
            return written

        _refuse(doing, 409)
        parameter = {
            "in": "header",
            "name": KEY_HEADER,
            "required": is_required,
            "description": "A new random text for each thing that is to be done once; the same "
            "when the request is repeated. Kept for 30 days.",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": KEY_CHARACTERS_MAX,
                "pattern": "^[!-~]+$",
            },
        }
        document(doing, parameters=[parameter])
        return doing

    return mark


def _reply_of(written: Response) -> Reply:
    kept = {name: written.headers[name] for name in KEPT_HEADERS if name in written.headers}
    return Reply(written.status_code, kept, written.get_data())


def _refuse(view: Callable[..., Any], *statuses: int) -> None:
    document(view, responses={str(status): f"Problem{status}" for status in statuses})
