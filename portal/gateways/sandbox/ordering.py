"""The door for orders: taking one, answering it well or badly as decided, telling its state."""

import asyncio
import contextlib
import hashlib
import json
import socket
import sqlite3
import struct
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from aiohttp import web

from portal.gateways.sandbox.desk import Desk, Refused, answered, refusal
from portal.gateways.sandbox.orders import Accepted, AskedOrder
from portal.gateways.sandbox.profile import REASONS, Fault, draw
from portal.gateways.strict_json import amount_of, currency_of, day_of, read_json, text_of

FAULT_STATUSES = {
    Fault.SERVER_ERROR_BEFORE: 503,
    Fault.SERVER_ERROR_AFTER: 500,
    Fault.TOO_MANY_REQUESTS: 429,
}
REFUSALS = {
    "merchant_ref_used": (409, "This merchant_ref names another order already."),
    "idempotency_key_reused": (422, "This idempotency key was used with another body."),
    "charge_not_found": (422, "No charge in this currency has this charge_ref."),
    "charge_returned": (422, "The charge was returned, so nothing is left to give back."),
    "charge_not_refundable": (422, "The charge has not succeeded."),
    "refund_exceeds_charge": (422, "The refunds would exceed the charge."),
}
LINGER_OFF = struct.pack("ii", 1, 0)  # closing then sends RST instead of FIN

Asked = TypeVar("Asked", bound=AskedOrder)


class Taking(ABC, Generic[Asked]):
    """POST of the orders of one noun."""

    noun: ClassVar[str]
    # What the delays of this noun are drawn by, so that each noun has its own.
    drawn_by: ClassVar[str]
    # How far an order is once it was taken.
    taken_as: ClassVar[str] = "pending"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @abstractmethod
    def read(self, body: dict[str, Any], common: dict[str, Any]) -> Asked:
        """Read what only this noun has, beside what every order has.

        Raises: ValueError.
        """

    @abstractmethod
    def accept(self, connection: sqlite3.Connection, asked: Asked, now: float) -> Accepted:
        """Record an order once."""

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Take an order: durable first, then 202, or whatever goes wrong with it."""
        desk = self._desk
        account_code = await desk.enter(request)
        asked = self._asked(account_code, request.headers, await request.read())
        now = desk.clock()
        taken = await desk.do(
            request,
            lambda record: self.accept(record, asked, now),
            status_of=_status_of,
            merchant_ref=asked.merchant_ref,
        )
        desk.deliveries.wake()
        if taken.refused is not None:
            status, message = REFUSALS[taken.refused]
            raise Refused(status, taken.refused, message, is_noted=True)
        if taken.fault is None:
            return _accepted(asked, taken, self.taken_as)
        if taken.fault == Fault.AMOUNT_MISMATCH:
            return _accepted(asked, taken, self.taken_as, amount_minor=asked.amount_minor + 1)
        return await _answer_badly(desk, request, taken.fault)

    def _asked(self, account_code: str, headers: Any, raw: bytes) -> Asked:
        desk = self._desk
        try:
            body = read_json(raw)
            merchant_ref = text_of(body, "merchant_ref", length_max=100)
            least, most = desk.delay_ms_range
            delay = draw(desk.seed, self.drawn_by, merchant_ref) % (most - least + 1) + least
            key = {"Idempotency-Key": headers.get("Idempotency-Key")}
            common = {
                "account_code": account_code,
                "merchant_ref": merchant_ref,
                "idempotency_key": text_of(key, "Idempotency-Key"),
                # Secrets go into the hash only: a record of a gateway keeps no means to pay.
                "request_hash": hashlib.sha256(canonical(body)).digest(),
                "amount_minor": amount_of(body, "amount_minor", least=1),
                "currency": currency_of(body),
                "business_date": day_of(body, "business_date").isoformat(),
                "delay_seconds": delay / 1_000,
            }
            return self.read(body, common)
        except ValueError as error:
            message = f"This is not a {self.noun}: {error}."
            raise Refused(400, "request_malformed", message) from None


class Ordering(Taking[Asked]):
    """POST of the orders of one noun, and GET of what became of each."""

    @abstractmethod
    def find(
        self,
        connection: sqlite3.Connection,
        account_code: str,
        merchant_ref: str,
        *,
        late_seconds: float,
        now: float,
    ) -> sqlite3.Row | None:
        """Find an order by the merchant's reference, unless it is still hidden by a fault."""

    @abstractmethod
    def payload(self, row: sqlite3.Row) -> dict[str, Any]:
        """Say what is known of an order, as events carry it."""

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Tell what became of an order."""
        desk = self._desk
        account_code = await desk.enter(request)
        merchant_ref = request.query.get("merchant_ref", "")
        now = desk.clock()
        late_seconds = desk.deliveries.late_seconds
        row = await desk.do(
            request,
            lambda record: self.find(
                record, account_code, merchant_ref, late_seconds=late_seconds, now=now
            ),
            status_of=lambda found: 200 if found else 404,
            merchant_ref=merchant_ref,
        )
        if row is None:
            message = f"No {self.noun} has this merchant_ref."
            raise Refused(404, f"{self.noun}_not_found", message, is_noted=True)
        payload = self.payload(row)
        code = payload["reason_code"]
        return answered(
            payload
            | {
                "id": row["gateway_ref"],
                "status": row["state"],
                "reason": REASONS.get(code) if code else None,
            }
        )


def canonical(body: dict[str, Any]) -> bytes:
    """Write a body so that the same content gives the same bytes."""
    return json.dumps(body, sort_keys=True, default=str, separators=(",", ":")).encode()


async def _answer_badly(desk: Desk, request: web.Request, fault: Fault) -> web.StreamResponse:
    """Answer an order in the way that was drawn for it."""
    if fault in FAULT_STATUSES:
        status = FAULT_STATUSES[fault]
        return refusal(Refused(status, fault.value, "A fault was asked for, and here it is."))
    if fault == Fault.MALFORMED_ANSWER:
        return web.Response(body=b'{"id": "ch_', status=202, content_type="application/json")
    if fault == Fault.TIMEOUT_AFTER:
        with contextlib.suppress(TimeoutError):
            stopping = desk.control.stopping.wait()
            await asyncio.wait_for(stopping, desk.held_seconds)
    _reset(request)
    return web.Response(status=500)  # for the log only: the connection is gone


def _status_of(taken: Accepted) -> int:
    """Return the status that is sent, or would be were the line not to break."""
    if taken.refused is not None:
        return REFUSALS[taken.refused][0]
    return FAULT_STATUSES.get(taken.fault, 202) if taken.fault else 202


def _accepted(
    asked: AskedOrder, taken: Accepted, status: str, *, amount_minor: int | None = None
) -> web.Response:
    """Answer a new and a replayed order alike: what was said first is said again."""
    return answered(
        {
            "id": taken.gateway_ref,
            "status": status,
            "merchant_ref": asked.merchant_ref,
            "amount_minor": amount_minor or asked.amount_minor,
            "currency": asked.currency,
            "reason_code": None,
            "reason": None,
            "fee_minor": 0,
        },
        202,
    )


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is None:
        return
    line = transport.get_extra_info("socket")
    if line is not None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
    transport.abort()
