"""The doors for what the sandbox has written down: days, payouts, effects, events, the report."""

import json
import sqlite3
from functools import partial
from typing import Any

from aiohttp import web

from portal.gateways.sandbox.closing import close_day, list_items, list_payouts
from portal.gateways.sandbox.desk import Desk, Refused, answered, cursor_of, page_of
from portal.gateways.sandbox.profile import FaultLevel
from portal.gateways.sandbox.record import (
    RETURN_FEE_MINOR,
    charge_payload,
    list_effects,
    list_events,
    settle_due,
)
from portal.gateways.sandbox.refunds import settle_refunds
from portal.gateways.sandbox.report import build_report
from portal.gateways.strict_json import amount_of, day_of, read_json


class Books:
    """Everything but charges and refunds."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def close_day(self, request: web.Request) -> web.StreamResponse:
        """Close a business date and tell its payouts; the same when closed again."""
        account_code = await self._desk.enter(request)
        try:
            day = day_of(read_json(await request.read()), "business_date").isoformat()
        except ValueError as error:
            raise Refused(400, "request_malformed", f"This is not a day: {error}.") from None
        payouts = await self._desk.do(request, partial(self._close, account_code, day))
        self._desk.deliveries.wake()
        return answered({"business_date": day, "payouts": [_payout_body(row) for row in payouts]})

    async def payouts(self, request: web.Request) -> web.StreamResponse:
        """Tell the payouts of an account, of one business date or of all."""
        account_code = await self._desk.enter(request)
        day = request.query.get("business_date")
        rows = await self._desk.do(request, lambda record: list_payouts(record, account_code, day))
        return answered({"payouts": [_payout_body(row) for row in rows]})

    async def items(self, request: web.Request) -> web.StreamResponse:
        """Tell one page of the items of a payout."""
        account_code = await self._desk.enter(request)
        after, limit = page_of(request)
        ref = request.match_info["payout_ref"]
        rows = await self._desk.do(
            request,
            lambda record: list_items(record, account_code, ref, after, limit),
            status_of=lambda found: 404 if found is None else 200,
        )
        if rows is None:
            raise Refused(
                404, "payout_not_found", "This account has no such payout.", is_noted=True
            )
        return answered({"items": rows, "cursor": cursor_of([row["place"] for row in rows], limit)})

    async def effects(self, request: web.Request) -> web.StreamResponse:
        """Tell one page of the charges that moved money."""
        account_code = await self._desk.enter(request)
        after, limit = page_of(request)
        rows = await self._desk.do(
            request, lambda record: list_effects(record, account_code, after, limit)
        )
        cursor = cursor_of([row["id"] for row in rows], limit)
        return answered({"effects": [_effect_body(row) for row in rows], "cursor": cursor})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Tell one page of events; the cursor is behind the last of them, or where it was."""
        account_code = await self._desk.enter(request)
        after, limit = page_of(request)
        rows = await self._desk.do(
            request, lambda record: list_events(record, account_code, after, limit)
        )
        bodies = [json.loads(row["body"]) for row in rows]
        cursor = str(rows[-1]["seq"]) if rows else str(after)
        return answered({"events": bodies, "cursor": cursor})

    async def report(self, request: web.Request) -> web.StreamResponse:
        """Tell what the record proves over all accounts."""
        self._desk.enter_as_master(request)
        return answered(await self._desk.do(request, build_report))

    async def control(self, request: web.Request) -> web.StreamResponse:
        """Turn the switches that are named, and tell how all of them stand."""
        self._desk.enter_as_master(request)
        control = self._desk.control
        try:
            body = read_json(await request.read())
            if "faults" in body:
                control.faults = FaultLevel(body["faults"])
            if "fail_status" in body:
                control.fail_status = amount_of(body, "fail_status", least=400)
            if "fail_next" in body:
                control.fail_next = amount_of(body, "fail_next")
            if "hold" in body:
                control.hold(is_held=body["hold"] is True)
        except ValueError as error:
            raise Refused(400, "request_malformed", f"No such switch: {error}.") from None
        return answered(
            {
                "faults": control.faults.value,
                "fail_next": control.fail_next,
                "fail_status": control.fail_status,
                "hold": control.is_holding,
            }
        )

    async def health(self, _request: web.Request) -> web.StreamResponse:
        """Tell that the record can be read."""
        await self._desk.writer.do(lambda record: record.execute("SELECT 1").fetchone()[0])
        return answered({"status": "ok"})

    def _close(self, account_code: str, day: str, record: sqlite3.Connection) -> list[sqlite3.Row]:
        deliveries, now = self._desk.deliveries, self._desk.clock()
        late, pushed = deliveries.late_seconds, deliveries.is_pushed
        # What is due must be in the books before the day is closed.
        while settle_due(record, late_seconds=late, is_pushed=pushed, now=now):
            pass
        while settle_refunds(record, late_seconds=late, is_pushed=pushed, now=now):
            pass
        return close_day(record, account_code, day, late_seconds=late, is_pushed=pushed, now=now)


def _payout_body(row: sqlite3.Row) -> dict[str, Any]:
    names = ("gateway_ref", "business_date", "currency", "gross_minor", "fee_minor", "net_minor")
    return {name: row[name] for name in names}


def _effect_body(row: sqlite3.Row) -> dict[str, Any]:
    is_returned = row["state"] == "returned"
    return charge_payload(row, row["state"]) | {
        "state": row["state"],
        "fee_minor": row["fee_minor"],
        "return_fee_minor": RETURN_FEE_MINOR if is_returned else 0,
        "refunded_minor": row["refunded_minor"],
        "disputed_minor": row["disputed_minor"],
    }
