"""Reading what machines send: one strict JSON object, or parameters, checked by a schema."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError

from portal.api.problems import BodyInvalid, BodyNotJson, BodyUnreadable, Finding, QueryInvalid
from portal.gateways.strict_json import Unreadable, read_json

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
NAME_CHARACTERS_MAX = 100
FINDINGS_MAX = 50

_UNKNOWN = "Unknown field."
_MISSING = "Missing data for required field."
_CODES = {_UNKNOWN: "unknown", _MISSING: "missing", "Field may not be null.": "missing"}
_SENTENCES = {
    _UNKNOWN: "there is no such member here",
    _MISSING: "it is missing",
    "Field may not be null.": "it may not be null",
}


def read_object(wanted: str = JSON) -> dict[str, Any]:
    """Read the body of the request as one JSON object.

    Raises: BodyNotJson; BodyUnreadable; RequestEntityTooLarge.
    """
    raw = request.get_data()
    if request.mimetype != wanted or "Content-Encoding" in request.headers:
        raise BodyNotJson(wanted=wanted)
    try:
        return read_json(raw)
    except Unreadable as error:
        raise BodyUnreadable(reason=str(error)) from None


def read_no_body() -> None:
    """Refuse a body that says something where nothing is read.

    Raises: BodyNotJson; BodyUnreadable; BodyInvalid.
    """
    if not request.get_data():
        return
    found = read_object()
    if found:
        place = "/" + _escaped(next(iter(found)))
        raise BodyInvalid.of([Finding(place, "unknown", "nothing is read from the body here")])


def load_body(schema: Schema, found: Mapping[str, Any]) -> dict[str, Any]:
    """Check an object by a schema and return what it says.

    Raises: BodyInvalid with everything that is wrong.
    """
    try:
        loaded: dict[str, Any] = schema.load(found)
    except ValidationError as error:
        findings = _findings(error.messages, "")
        raise BodyInvalid.of(findings[:FINDINGS_MAX]) from None
    return loaded


def load_query(schema: Schema) -> dict[str, Any]:
    """Check the parameters of the request by a schema and return what they say.

    Raises: QueryInvalid, also for a parameter that is not known or stands twice.
    """
    found: dict[str, Any] = {}
    for name, values in request.args.lists():
        is_many = name in schema.fields and schema.fields[name].metadata.get("is_repeated")
        if len(values) > 1 and not is_many:
            raise QueryInvalid.of(
                [Finding(name[:NAME_CHARACTERS_MAX], "repeated", "it stands twice", True)]
            )
        found[name] = values if is_many else values[0]
    try:
        loaded: dict[str, Any] = schema.load(found)
    except ValidationError as error:
        findings = [
            one._replace(place=one.place[1:].partition("/")[0], is_parameter=True)
            for one in _findings(error.messages, "")
        ]
        raise QueryInvalid.of(findings[:FINDINGS_MAX]) from None
    return loaded


def request_hash(body: Mapping[str, Any] | None) -> bytes:
    """Name what a request asks for: method, address and the meaning of its body."""
    written = json.dumps(body, sort_keys=True, default=str)
    said = f"{request.method}\n{request.full_path}\n{written}"
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()


def _findings(messages: Any, place: str) -> list[Finding]:
    """Flatten the messages of a schema; `_schema` speaks of the object itself."""
    if isinstance(messages, Mapping):
        return [
            finding
            for name, inner in messages.items()
            for finding in _findings(
                inner, place if name == "_schema" else f"{place}/{_escaped(str(name))}"
            )
        ]
    said = messages if isinstance(messages, Sequence) and not isinstance(messages, str) else []
    return [
        Finding(place, _CODES.get(str(one), "invalid"), _SENTENCES.get(str(one), str(one)))
        for one in said or [messages]
    ]


def _escaped(name: str) -> str:
    return name[:NAME_CHARACTERS_MAX].replace("~", "~0").replace("/", "~1")
