"""The description of the API for machines and for people, and a page for each error code."""

import json
from typing import Any, NamedTuple

from flask import Blueprint, Response, abort, current_app, render_template

from portal.api.access import require
from portal.api.catalogue import find_error, list_errors
from portal.api.description import describe_api, write_description
from portal.domain.users import Permission

METHODS = ("get", "post", "put", "patch", "delete")
DEPTH_MAX = 6

bp = Blueprint("api_reference", __name__)


class Member(NamedTuple):
    """A parameter, or a member of an object, as a line of a table."""

    name: str
    place: str
    kind: str
    is_required: bool
    words: str


class Operation(NamedTuple):
    """One thing that can be asked."""

    name: str
    method: str
    path: str
    summary: str
    words: str
    parameters: list[Member]
    body: list[Member]
    answers: list[tuple[str, str, str]]
    sample: str


@bp.get("/api/v1/openapi.json")
@require(Permission.PUBLIC)
def openapi() -> Response:
    """Describe the API in OpenAPI 3.1."""
    return Response(write_description(), content_type="application/json")


@bp.get("/api/docs")
@require(Permission.PUBLIC)
def show() -> str:
    """Show what the API is about, what can be asked, and which errors there are."""
    described = describe_api()
    return render_template(
        "api/reference.html",
        introduction=described["info"]["description"],
        nouns=[
            (tag["name"], tag["description"], _operations(described, tag["name"]))
            for tag in described["tags"]
        ],
        errors=list_errors(),
    )


@bp.get("/api/docs/<noun>")
@require(Permission.PUBLIC)
def show_noun(noun: str) -> str:
    """Show all that can be asked about one noun, and what its objects hold."""
    described = describe_api()
    tag = next((one for one in described["tags"] if one["name"] == noun), None)
    if tag is None:
        abort(404)
    operations = _operations(described, noun)
    return render_template(
        "api/noun.html",
        noun=noun,
        words=tag["description"],
        operations=operations,
        objects=[
            (name, _members(described, described["components"]["schemas"][name]))
            for name in _objects(described, noun)
        ],
    )


@bp.get("/help/errors/<code>")
@require(Permission.PUBLIC)
def show_error(code: str) -> str:
    """Say what an error code means and what to do."""
    error = find_error(code)
    if error is None:
        abort(404)
    return render_template("api/error.html", error=error)


def _operations(described: dict[str, Any], noun: str) -> list[Operation]:
    return [
        _operation(described, method, path, described["paths"][path][method])
        for path in described["paths"]
        for method in METHODS
        if noun in described["paths"][path].get(method, {}).get("tags", ())
    ]


def _operation(
    described: dict[str, Any], method: str, path: str, told: dict[str, Any]
) -> Operation:
    given = [*described["paths"][path].get("parameters", []), *told.get("parameters", [])]
    parameters = [
        Member(
            one["name"],
            one["in"],
            _kind(one["schema"]),
            one.get("required", False),
            one.get("description", ""),
        )
        for one in given
    ]
    body = _body(told)
    return Operation(
        name=told["operationId"],
        method=method.upper(),
        path=path,
        summary=told["summary"],
        words=told.get("description", ""),
        parameters=parameters,
        body=_members(described, body[1]) if body else [],
        answers=_answers(described, told),
        sample=_sample(described, method, path, parameters, body),
    )


def _body(told: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    content = told.get("requestBody", {}).get("content", {})
    return next(((kind, one["schema"]) for kind, one in content.items()), None)


def _answers(described: dict[str, Any], told: dict[str, Any]) -> list[tuple[str, str, str]]:
    """List what may be answered: status, words, name of the object."""
    found = []
    for status, answer in sorted(told["responses"].items()):
        full = _resolved(described, answer)
        content: dict[str, Any] = full.get("content", {})
        schema: dict[str, Any] = next((one["schema"] for one in content.values()), {})
        found.append((status, full["description"], schema.get("$ref", "").rpartition("/")[2]))
    return found


def _objects(described: dict[str, Any], noun: str) -> list[str]:
    """Name the objects that the answers about a noun hold, those inside others too."""
    found: list[str] = []
    for path in described["paths"].values():
        for method in METHODS:
            told = path.get(method, {})
            if noun in told.get("tags", ()):
                for status, answer in told["responses"].items():
                    if status.startswith("2"):
                        _collect(described, answer, found)
    return found


def _collect(described: dict[str, Any], part: Any, found: list[str]) -> None:
    if isinstance(part, list):
        for one in part:
            _collect(described, one, found)
    elif isinstance(part, dict):
        name = str(part.get("$ref", "")).rpartition("/")[2]
        if name and name not in found:
            found.append(name)
            _collect(described, described["components"]["schemas"][name], found)
        for one in part.values():
            _collect(described, one, found)


def _members(described: dict[str, Any], schema: dict[str, Any]) -> list[Member]:
    full = _resolved(described, schema)
    needed = full.get("required", ())
    return [
        Member(name, "body", _kind(one), name in needed, one.get("description", ""))
        for name, one in full.get("properties", {}).items()
    ]


def _kind(schema: dict[str, Any]) -> str:
    """Say in a few words what a value is."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " · ".join("null" if one is None else str(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    kinds = schema.get("type", "any")
    named = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    return f"{named} ({schema['format']})" if "format" in schema else named


def _sample(
    described: dict[str, Any],
    method: str,
    path: str,
    parameters: list[Member],
    body: tuple[str, dict[str, Any]] | None,
) -> str:
    """Write the request as a line for a terminal."""
    base = current_app.config["PORTAL"].url
    parts = ["curl", f"-X {method.upper()}", '-H "Authorization: Bearer $KEY"']
    needed = {one.name for one in parameters if one.place == "header" and one.is_required}
    if "Idempotency-Key" in needed:
        parts.append('-H "Idempotency-Key: $(uuidgen)"')
    if "If-Match" in needed:
        parts.append("-H 'If-Match: \"…\"'")
    if body is not None:
        kind, schema = body
        parts.append(f'-H "Content-Type: {kind}"')
        parts.append(f"-d '{json.dumps(example_of(described, schema))}'")
    return " ".join([*parts, f"'{base}{path}'"])


def example_of(described: dict[str, Any], schema: dict[str, Any], depth: int = 0) -> Any:
    """Make a value that a schema takes, of its examples."""
    full = _resolved(described, schema)
    if "example" in full:
        return full["example"]
    if "enum" in full:
        return full["enum"][0]
    kind = full.get("type")
    if kind == "object" and depth < DEPTH_MAX:
        needed = full.get("required") or full.get("properties", {})
        return {
            name: example_of(described, one, depth + 1)
            for name, one in full.get("properties", {}).items()
            if name in needed
        }
    if kind == "array":
        return [example_of(described, full["items"], depth + 1)]
    if full.get("format") == "date":
        return "2026-03-18"
    return "text"


def _resolved(described: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference into the components."""
    if "$ref" not in schema:
        return schema
    found: Any = described
    for name in str(schema["$ref"]).removeprefix("#/").split("/"):
        found = found[name]
    return _resolved(described, found)
