"""The door for refunds: taking one, answering it well or badly as decided, telling its state."""

import hashlib
from typing import Any

from aiohttp import web

from portal.gateways.sandbox.charging import REFUSALS, answer_badly, canonical, status_of
from portal.gateways.sandbox.desk import Desk, Refused, answered
from portal.gateways.sandbox.profile import REASONS, Fault, decide_refund, draw
from portal.gateways.sandbox.record import Accepted
from portal.gateways.sandbox.refunds import (
    AskedRefund,
    accept_refund,
    find_refund,
    refund_payload,
)
from portal.gateways.strict_json import amount_of, currency_of, day_of, read_json, text_of


class Refunding:
    """POST and GET of refunds."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Take a refund: durable first, then 202, or whatever goes wrong with it."""
        desk = self._desk
        account_code = await desk.enter(request)
        asked = self._asked(account_code, request.headers, await request.read())
        now = desk.clock()
        taken = await desk.do(
            request,
            lambda record: accept_refund(record, asked, now),
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
        """Tell what became of a refund."""
        desk = self._desk
        account_code = await desk.enter(request)
        merchant_ref = request.query.get("merchant_ref", "")
        now = desk.clock()
        row = await desk.do(
            request,
            lambda record: find_refund(
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
                404, "refund_not_found", "No refund has this merchant_ref.", is_noted=True
            )
        payload = refund_payload(row)
        code = payload["reason_code"]
        return answered(
            payload
            | {
                "id": row["gateway_ref"],
                "status": row["state"],
                "reason": REASONS.get(code) if code else None,
            }
        )

    def _asked(self, account_code: str, headers: Any, raw: bytes) -> AskedRefund:
        desk = self._desk
        try:
            body = read_json(raw)
            merchant_ref = text_of(body, "merchant_ref", length_max=100)
            amount_minor = amount_of(body, "amount_minor", least=1)
            least, most = desk.delay_ms_range
            delay = draw(desk.seed, "refund delay", merchant_ref) % (most - least + 1) + least
            return AskedRefund(
                account_code=account_code,
                merchant_ref=merchant_ref,
                idempotency_key=text_of(
                    {"Idempotency-Key": headers.get("Idempotency-Key")}, "Idempotency-Key"
                ),
                request_hash=hashlib.sha256(canonical(body)).digest(),
                charge_ref=text_of(body, "charge_ref", length_max=100),
                amount_minor=amount_minor,
                currency=currency_of(body),
                business_date=day_of(body, "business_date").isoformat(),
                delay_seconds=delay / 1_000,
                outcome=decide_refund(
                    seed=desk.seed,
                    merchant_ref=merchant_ref,
                    amount_minor=amount_minor,
                    faults=desk.control.faults,
                ),
            )
        except ValueError as error:
            raise Refused(400, "request_malformed", f"This is not a refund: {error}.") from None


def _accepted(
    asked: AskedRefund, taken: Accepted, *, amount_minor: int | None = None
) -> web.Response:
    """Answer a new and a replayed refund alike: what was said first is said again."""
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
