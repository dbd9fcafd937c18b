"""Gateway calls against a bare loop of the same HTTP client, on the same server, in the same run.

Started as a program with a port, this file is that server: it answers each charge after 50 ms.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from uuid import uuid4

import aiohttp
from aiohttp import web

from portal import processes
from portal.cli.start import answers, child_environment
from portal.config import Config
from portal.gateways.base import (
    AnswerKind,
    ChargeOrder,
    GatewayAccess,
    GatewayAnswer,
    call_all,
    open_gateway,
)
from portal.gateways.sandbox.keys import derive_key
from tests.bench.batches import say, timed

LATENCY_SECONDS = 0.05
IN_FLIGHT = 100
CALLS = 2_000
TURNS = 4
CODE = "bench"
SECRET = "a secret of the bench alone, which opens nothing"
ON = date(2026, 3, 2)


def bench_gateway_calls(calls: int = CALLS) -> None:
    """Charges ≥ 0.7 × a bare loop, 100 in flight at 50 ms; and against the durable sandbox."""
    port = processes.free_port()
    command = [sys.executable, "-m", "tests.bench.gateway", str(port)]
    ours = _compare("gateway calls, 100 in flight, 50 ms", "≥ 0.7", port, command, calls)
    say("  of what 100 in flight allow", ours, IN_FLIGHT / LATENCY_SECONDS, "-")
    with tempfile.TemporaryDirectory() as folder:
        port = processes.free_port()
        config = Config.from_environment({}).changed(
            state_folder=Path(folder), sandbox_port=port, sandbox_secret=SECRET, log_level="error"
        )
        command = [sys.executable, "-m", "portal", "gateway"]
        _compare("  against the durable sandbox", "-", port, command, calls, config)


def _compare(
    name: str,
    target: str,
    port: int,
    command: Sequence[str],
    calls: int,
    config: Config | None = None,
) -> float:
    """Print how many calls a second a server takes from us and from the bare loop."""
    base_url = f"http://127.0.0.1:{port}"
    env = child_environment(config.changed(sandbox_url=base_url)) if config else dict(os.environ)
    server = processes.spawn(command, env=env, death_signal=signal.SIGKILL)
    try:
        while not answers(base_url):
            pass
        access = _access(base_url)
        ours = bare = 0.0
        # In turn, so that whatever else the machine does meets both.
        for _ in range(TURNS):
            ours += timed(partial(_charge, access, _draw_orders(calls)))
            bare += timed(partial(_charge_bare, access, _draw_orders(calls)))
    finally:
        server.kill()
        server.wait()
    say(name, calls * TURNS / ours, calls * TURNS / bare, target)
    return calls * TURNS / ours


def _access(base_url: str) -> GatewayAccess:
    return GatewayAccess(
        kind="sandbox",
        base_url=base_url,
        account_code=CODE,
        api_key=derive_key(SECRET, CODE, "api"),
        webhook_secrets=(),
        in_flight_max=IN_FLIGHT,
    )


def _draw_orders(count: int) -> list[ChargeOrder]:
    return [
        ChargeOrder(
            merchant_ref=f"att_{uuid4().hex}",
            idempotency_key=uuid4().hex,
            amount_minor=77_700,
            currency="EUR",
            mandate_token="tok_1",
            payment_ref=f"pay_{uuid4().hex}",
            invoice_ref=f"inv_{uuid4().hex}",
            business_date=ON,
            invoice_total_minor=77_700,
        )
        for _ in range(count)
    ]


def _charge(access: GatewayAccess, orders: Sequence[ChargeOrder]) -> None:
    async def charge() -> list[GatewayAnswer]:
        async with open_gateway(access) as gateway:
            return await call_all(gateway.charge, orders, access.in_flight_max)

    answered = asyncio.run(charge())
    assert all(each.kind in (AnswerKind.SUCCEEDED, AnswerKind.PENDING) for each in answered)


def _charge_bare(access: GatewayAccess, orders: Sequence[ChargeOrder]) -> None:
    asyncio.run(_post_all(access, orders))


async def _post_all(access: GatewayAccess, orders: Sequence[ChargeOrder]) -> None:
    """Send the same orders with nothing around the client: no checks, no deadline, no types."""
    waiting = iter(orders)
    url = f"{access.base_url}/v1/accounts/{CODE}/charges"

    async def work(session: aiohttp.ClientSession) -> None:
        for order in waiting:
            headers = {"Idempotency-Key": order.idempotency_key}
            async with session.post(url, json=_body_of(order), headers=headers) as answer:
                await answer.json()

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=IN_FLIGHT),
        headers={"Authorization": f"Bearer {access.api_key}"},
    ) as session:
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))


def _body_of(order: ChargeOrder) -> dict[str, object]:
    return {
        "merchant_ref": order.merchant_ref,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "mandate_token": order.mandate_token,
        "payment_ref": order.payment_ref,
        "invoice_ref": order.invoice_ref,
        "invoice_total_minor": order.invoice_total_minor,
        "business_date": order.business_date.isoformat(),
    }


async def _answer(request: web.Request) -> web.Response:
    body = json.loads(await request.read())
    await asyncio.sleep(LATENCY_SECONDS)
    return web.json_response(
        {
            "id": "ch_1",
            "status": "succeeded",
            "merchant_ref": body["merchant_ref"],
            "amount_minor": body["amount_minor"],
            "currency": body["currency"],
            "fee_minor": 0,
        }
    )


async def _say_well(_request: web.Request) -> web.Response:
    return web.Response()


def _serve(port: int) -> None:
    app = web.Application()
    app.router.add_post(f"/v1/accounts/{CODE}/charges", _answer)
    app.router.add_get("/health", _say_well)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
