"""The door for disputes: taking our answer, or that we accept the loss, and telling their state."""

import hashlib
import sqlite3
from typing import Any

from aiohttp import web

from portal.gateways.sandbox.desk import Desk, Refused, answered
from portal.gateways.sandbox.disputes import dispute_payload, find_dispute, take_order
from portal.gateways.sandbox.ordering import canonical
from portal.gateways.strict_json import read_json, text_of

REFUSALS = {
    "dispute_not_found": "No open or decided dispute has this reference.",
    "dispute_not_answerable": "The dispute was answered or decided before.",
    "idempotency_key_reused": "This idempotency key was used with another body.",
}
TEXT_CHARACTERS_MAX = 20_000


class Disputing:
    """GET of disputes, and POST of what we say to them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Tell what became of a dispute."""
        account_code = await self._desk.enter(request)
        ref = request.match_info["dispute_ref"]
        row = await self._desk.do(
            request,
            lambda record: find_dispute(record, account_code, ref),
            status_of=lambda found: 200 if found else 404,
        )
        if row is None:
            code = "dispute_not_found"
            raise Refused(404, code, REFUSALS[code], is_noted=True)
        return answered(_body(row))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Take an answer."""
        return await self._take(request, accepts=False)

    async def accept(self, request: web.Request) -> web.StreamResponse:
        """Take that the loss is accepted."""
        return await self._take(request, accepts=True)

    async def _take(self, request: web.Request, *, accepts: bool) -> web.StreamResponse:
        desk = self._desk
        account_code = await desk.enter(request)
        ref = request.match_info["dispute_ref"]
        try:
            body = read_json(await request.read())
            if not accepts:
                text_of(body, "text", length_max=TEXT_CHARACTERS_MAX)
            key = text_of(
                {"Idempotency-Key": request.headers.get("Idempotency-Key")}, "Idempotency-Key"
            )
        except ValueError as error:
            raise Refused(400, "request_malformed", f"This is no answer: {error}.") from None
        digest = hashlib.sha256(canonical(body | {"accepts": accepts})).digest()

        def work(record: sqlite3.Connection) -> tuple[str | None, sqlite3.Row | None]:
            row = find_dispute(record, account_code, ref)
            if row is None:
                return "dispute_not_found", None
            code = take_order(
                record,
                row,
                key,
                digest,
                accepts=accepts,
                late_seconds=desk.deliveries.late_seconds,
                is_pushed=desk.deliveries.is_pushed,
                now=desk.clock(),
            )
            return code, find_dispute(record, account_code, ref)

        code, row = await desk.do(request, work, status_of=lambda found: 422 if found[0] else 200)
        desk.deliveries.wake()
        if code is not None or row is None:
            code = code or "dispute_not_found"
            raise Refused(422, code, REFUSALS[code], is_noted=True)
        return answered(_body(row))


def _body(row: sqlite3.Row) -> dict[str, Any]:
    return dispute_payload(row) | {"id": row["gateway_ref"], "status": row["state"], "reason": None}
