"""Answers for machines: rows to JSON in one step, with an ETag; and what belongs to lists."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from flask import Response, request

from portal.api.problems import PreconditionMissing, PreconditionOutdated
from portal.domain.money import format_amount
from portal.ids import public_id

JSON_TYPE = "application/json"
# Days and instants are written by the library: `2026-03-18`, `2026-03-18T09:30:00.123456Z`.
OPTIONS = orjson.OPT_UTC_Z
ETAG_BYTES = 12


def answer(
    content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Write an answer; a GET whose ETag the sender has already is answered without a body."""
    body = orjson.dumps(content, option=OPTIONS)
    written = Response(body, status, content_type=JSON_TYPE)
    written.headers.update(headers or {})
    written.headers["ETag"] = f'"{etag_of(body)}"'
    if request.method in {"GET", "HEAD"}:
        # Kept nowhere without asking again; the ETag makes that cheap.
        written.headers["Cache-Control"] = "private, no-cache"
        written.vary.add("Authorization")
        written.make_conditional(request)
    return written


def etag_of(body: bytes) -> str:
    """Name what a representation says: equal names, equal bytes."""
    return hashlib.blake2b(body, digest_size=ETAG_BYTES).hexdigest()


def check_match(content: Mapping[str, Any], *, is_required: bool) -> None:
    """Refuse a change of a resource that is not as the sender has seen it.

    Raises: PreconditionMissing; PreconditionOutdated.
    """
    if "If-Match" not in request.headers:
        if is_required:
            raise PreconditionMissing
        return
    if not request.if_match.contains(etag_of(orjson.dumps(content, option=OPTIONS))):
        raise PreconditionOutdated


def money(amount_minor: int, currency: str) -> dict[str, str]:
    """Write an amount: a text with all decimals of its currency, never a number."""
    return {"amount": format_amount(amount_minor, currency), "currency": currency}


def number(value: Decimal) -> str:
    """Write an exact number without zeros at its end."""
    return format(value.normalize(), "f")


def shown_id(noun: str, value: UUID | None) -> str | None:
    """Write an id with its prefix; None stays None."""
    return None if value is None else public_id(noun, value)


def answer_page(rows: list[dict[str, Any]], *, newer: str | None, older: str | None) -> Response:
    """Write a page of a list; `Link` repeats the conditions of the request."""
    links = [
        f'<{request.path}?{_with_cursor(place)}>; rel="{name}"'
        for name, place in (("next", older), ("prev", newer))
        if place is not None
    ]
    content = {"object": "list", "items": rows, "next_cursor": older, "previous_cursor": newer}
    return answer(content, headers={"Link": ", ".join(links)} if links else {})


def _with_cursor(place: str) -> str:
    kept = [(name, text) for name, text in request.args.items(multi=True) if name != "cursor"]
    return urlencode([*kept, ("cursor", place)])
