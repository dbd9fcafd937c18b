"""The door for charges: taking one, answering it well or badly as decided, telling its state."""

import asyncio
import contextlib
import hashlib
import json
import socket
import sqlite3
import struct
from typing import Any

from aiohttp import web

from portal.gateways.sandbox.desk import Desk, Refused, answered, refusal
from portal.gateways.sandbox.disputes import plan_dispute
from portal.gateways.sandbox.profile import BEFORE_FAULTS, REASONS, Fault, decide, draw
from portal.gateways.sandbox.record import (
    Accepted,
    AskedCharge,
    accept_charge,
    charge_payload,
    find_charge,
    get_charge,
)
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


class Charging:
    """POST and GET of charges."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Take a charge: durable first, then 202, or whatever goes wrong with it."""
        desk = self._desk
        account_code = await desk.enter(request)
        asked = self._asked(account_code, request.headers, await request.read())
        now = desk.clock()
        taken = await desk.do(
            request,
            lambda record: _accept(record, asked, now),
            status_of=status_of,
            merchant_ref=asked.merchant_ref,
        )
        desk.deliveries.wake()
        if taken.refused is not None:
            status, message = REFUSALS[taken.refused]
            raise Refused(status, taken.refused, message, is_noted=True)
        if taken.fault is None:
            return _accepted(asked, taken)
        if taken.fault == Fault.AMOUNT_MISMATCH:
            return _accepted(asked, taken, amount_minor=asked.amount_minor + 1)
        return await answer_badly(desk, request, taken.fault)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Tell what became of a charge."""
        desk = self._desk
        account_code = await desk.enter(request)
        merchant_ref = request.query.get("merchant_ref", "")
        now = desk.clock()
        row = await desk.do(
            request,
            lambda record: find_charge(
                record,
                account_code,
                merchant_ref,
                late_seconds=desk.deliveries.late_seconds,
                now=now,
            ),
            status_of=lambda found: 200 if found else 404,
            merchant_ref=merchant_ref,
        )
        if row is None:
            raise Refused(
                404, "charge_not_found", "No charge has this merchant_ref.", is_noted=True
            )
        return answered(_state_body(row))

    def _asked(self, account_code: str, headers: Any, raw: bytes) -> AskedCharge:
        desk = self._desk
        try:
            body = read_json(raw)
            merchant_ref = text_of(body, "merchant_ref", length_max=100)
            amount_minor = amount_of(body, "amount_minor", least=1)
            text_of(body, "mandate_token")
            total = body.get("invoice_total_minor")
            least, most = desk.delay_ms_range
            delay = draw(desk.seed, "delay", merchant_ref) % (most - least + 1) + least
            return AskedCharge(
                account_code=account_code,
                merchant_ref=merchant_ref,
                idempotency_key=text_of(
                    {"Idempotency-Key": headers.get("Idempotency-Key")}, "Idempotency-Key"
                ),
                # The token goes into the hash only: a record of a gateway keeps no means to pay.
                request_hash=hashlib.sha256(canonical(body)).digest(),
                payment_ref=text_of(body, "payment_ref"),
                invoice_ref=text_of(body, "invoice_ref"),
                invoice_total_minor=(
                    None if total is None else amount_of(body, "invoice_total_minor")
                ),
                amount_minor=amount_minor,
                currency=currency_of(body),
                business_date=day_of(body, "business_date").isoformat(),
                delay_seconds=delay / 1_000,
                outcome=decide(
                    seed=desk.seed,
                    merchant_ref=merchant_ref,
                    amount_minor=amount_minor,
                    faults=desk.control.faults,
                ),
            )
        except ValueError as error:
            raise Refused(400, "request_malformed", f"This is not a charge: {error}.") from None


def _accept(record: sqlite3.Connection, asked: AskedCharge, now: float) -> Accepted:
    taken = accept_charge(record, asked, now)
    contest = asked.outcome.dispute
    is_new = taken.refused is None and not taken.replayed and taken.fault not in BEFORE_FAULTS
    if contest is not None and is_new:
        charge = get_charge(record, asked.account_code, asked.merchant_ref)
        assert charge is not None
        plan_dispute(record, charge, contest)
    return taken


async def answer_badly(desk: Desk, request: web.Request, fault: Fault) -> web.StreamResponse:
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


def status_of(taken: Accepted) -> int:
    """Return the status that is sent, or would be were the line not to break."""
    if taken.refused is not None:
        return REFUSALS[taken.refused][0]
    return FAULT_STATUSES.get(taken.fault, 202) if taken.fault else 202


def _accepted(
    asked: AskedCharge, taken: Accepted, *, amount_minor: int | None = None
) -> web.Response:
    """Answer a new and a replayed charge alike: what was said first is said again."""
    return answered(
        {
            "id": taken.gateway_ref,
            "status": "pending",
            "merchant_ref": asked.merchant_ref,
            "amount_minor": amount_minor or asked.amount_minor,
            "currency": asked.currency,
            "reason_code": None,
            "reason": None,
            "fee_minor": 0,
        },
        202,
    )


def _state_body(row: sqlite3.Row) -> dict[str, Any]:
    payload = charge_payload(row, row["state"])
    code = payload["reason_code"]
    return payload | {
        "id": row["gateway_ref"],
        "status": row["state"],
        "reason": REASONS.get(code) if code else None,
    }


def canonical(body: dict[str, Any]) -> bytes:
    """Write a body so that the same content gives the same bytes."""
    return json.dumps(body, sort_keys=True, default=str, separators=(",", ":")).encode()


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is None:
        return
    line = transport.get_extra_info("socket")
    if line is not None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
    transport.abort()
