"""The description of the API (OpenAPI 3.1), made from the marks of its doors."""

import json
from typing import Any

import orjson
from flask import Flask, current_app
from flask_smorest import Api
from werkzeug.routing import BaseConverter, Map

from portal.api.doors import PROBLEMS, DoorBlueprint
from portal.api.fields import Day, Number, ProblemSchema, PublicId, id_pattern
from portal.api.problems import PROBLEM_TYPE
from portal.ids import parse_public_id, public_id

EXTENSION = "portal_api"
INTRODUCTION = (
    "Everything is JSON. Send the key as `Authorization: Bearer bp_…`; what it may do depends on"
    " its scopes. Amounts are texts with all decimals of their currency, instants are UTC, ids"
    " carry a prefix that says what they name. Parameters and members that are not known are"
    " refused. Every answer has an ETag: send it as If-None-Match when you read again, and as"
    " If-Match when you change something. A request that moves money needs an Idempotency-Key:"
    " repeated with the same key it has one effect and one reply. Errors are problem details"
    " (RFC 9457) with a stable `code`; their `type` is the address of a page that says what to do."
)


class PublicIdConverter(BaseConverter):
    """An id in an address: prefix and letters outside, a UUID inside."""

    def __init__(self, url_map: Map, noun: str) -> None:
        """Read the ids of one noun; an address with another form does not exist."""
        super().__init__(url_map)
        self.noun = noun
        self.regex = id_pattern(noun)

    def to_python(self, value: str) -> Any:
        """Read the id."""
        return parse_public_id(self.noun, value)

    def to_url(self, value: Any) -> str:
        """Write the id."""
        return public_id(self.noun, value)


class DescribedApi(Api):  # type: ignore[misc]  # it carries no types
    """The library's frame without its handlers of errors, which would be those of the pages."""

    def _register_error_handlers(self) -> None:
        """Leave errors to `portal.api.problems`."""

    def _register_responses(self) -> None:
        """Leave the answers to errors to `begin_description`."""

    def _register_pagination_header(self) -> None:
        """Leave lists to `portal.api.lists`."""

    def register_doors(self, doors: DoorBlueprint) -> None:
        """Register a blueprint and describe it under the name of its noun."""
        self._app.register_blueprint(doors, url_prefix="/api/v1")
        doors.register_views_in_doc(self, self._app, self.spec, name=doors.name, parameters=[])
        self.spec.tag({"name": doors.noun, "description": doors.description})


def begin_description(app: Flask) -> DescribedApi:
    """Begin the description with what all doors share."""
    app.url_map.converters["api_id"] = PublicIdConverter
    spec = {
        "title": "Billing portal",
        "version": "1",
        "openapi_version": "3.1.0",
        "info": {"description": INTRODUCTION},
        "servers": [{"url": "/"}],
    }
    api = DescribedApi(app, spec_kwargs=spec)
    api.register_converter(PublicIdConverter, _describe_id)
    api.register_field(PublicId, "string", None)
    api.register_field(Number, "string", None)
    api.register_field(Day, "string", "date")
    app.extensions[EXTENSION] = {"spec": api.spec, "bytes": None}
    components = api.spec.components
    components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    for status, says in PROBLEMS.items():
        components.response(
            f"Problem{status}",
            {"description": says, "content": {PROBLEM_TYPE: {"schema": ProblemSchema}}},
        )
    return api


def describe_api() -> dict[str, Any]:
    """Return the description as an object."""
    found: dict[str, Any] = json.loads(write_description())
    return found


def write_description() -> bytes:
    """Return the description as JSON, made once."""
    kept = current_app.extensions[EXTENSION]
    if kept["bytes"] is None:
        kept["bytes"] = orjson.dumps(kept["spec"].to_dict())
    written: bytes = kept["bytes"]
    return written


def _describe_id(converter: PublicIdConverter) -> dict[str, Any]:
    told = PublicId(converter.noun).metadata
    return {"type": "string", **told}
