"""The sandbox gateway as a process of its own: wiring, start and clean stop.

Imported by the command line only; the magic amounts are listed in `profile.py`.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from portal.gateways.sandbox.books import Books
from portal.gateways.sandbox.charging import Charging
from portal.gateways.sandbox.control import Control
from portal.gateways.sandbox.deliveries import Deliveries
from portal.gateways.sandbox.desk import Desk, Refused, refusal
from portal.gateways.sandbox.disputing import Disputing
from portal.gateways.sandbox.noticing import Noticing
from portal.gateways.sandbox.profile import FaultLevel
from portal.gateways.sandbox.refunding import Refunding
from portal.gateways.sandbox.schema import SCHEMA
from portal.gateways.sandbox.writer import GroupWriter

BODY_BYTES_MAX = 65_536
BACKLOG = 1_024
STOP_SECONDS_MAX = 3.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

logger = logging.getLogger("portal.gateways.sandbox")


def run_server(
    *,
    host: str,
    port: int,
    record_path: Path | str,
    callback_url: str | None,
    secret: str,
    seed: str | int,
    faults: str = "none",
    result_delay_ms_range: tuple[int, int] = (50, 400),
    held_answer_seconds: float = 30.0,
    late_event_seconds: float = 5.0,
    clock: Callable[[], float] = time.time,
) -> None:
    """Serve until SIGTERM or SIGINT; what was answered is on disk, what is owed is sent later.

    Shape: events are posted to callback_url and the account's code; without it they are only
    listed. result_delay_ms_range has both ends included.
    Raises: ValueError for unknown faults; OSError when the port is taken; sqlite3.Error when the
    record cannot be used.
    """
    least, most = result_delay_ms_range
    if not 0 <= least <= most:
        raise ValueError("result_delay_ms_range goes from a smaller to a larger number")
    if not secret:
        raise ValueError("the secret is empty: every key could be guessed")
    level = FaultLevel(faults)

    async def serve() -> None:
        control = Control(level)
        writer = GroupWriter(Path(record_path), SCHEMA)
        await writer.start()
        deliveries = Deliveries(
            writer,
            callback_url=callback_url,
            secret=secret,
            late_seconds=late_event_seconds,
            clock=clock,
        )
        desk = Desk(
            writer=writer,
            deliveries=deliveries,
            control=control,
            secret=secret,
            seed=str(seed),
            delay_ms_range=(least, most),
            held_seconds=held_answer_seconds,
            clock=clock,
        )
        try:
            await _serve(make_app(desk), host, port, deliveries, control)
        finally:
            await writer.stop()

    asyncio.run(serve())


def make_app(desk: Desk) -> web.Application:
    """Wire the doors."""
    charging, refunding, books = Charging(desk), Refunding(desk), Books(desk)
    disputing, noticing = Disputing(desk), Noticing(desk)

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except Refused as refused:
            if not refused.is_noted:
                status = refused.status
                await desk.do(request, lambda _record: None, status_of=lambda _found: status)
            response = refusal(refused)
        if request.path.startswith("/v1/accounts/"):
            await desk.control.gate.wait()
        return response

    app = web.Application(middlewares=[answer], client_max_size=BODY_BYTES_MAX)
    account = "/v1/accounts/{account_code}"
    app.router.add_post(f"{account}/charges", charging.create)
    app.router.add_get(f"{account}/charges", charging.show)
    app.router.add_post(f"{account}/refunds", refunding.create)
    app.router.add_get(f"{account}/refunds", refunding.show)
    app.router.add_get(f"{account}/disputes/{{dispute_ref}}", disputing.show)
    app.router.add_post(f"{account}/disputes/{{dispute_ref}}/answer", disputing.answer)
    app.router.add_post(f"{account}/disputes/{{dispute_ref}}/accept", disputing.accept)
    app.router.add_post(f"{account}/notices", noticing.create)
    app.router.add_get(f"{account}/notices", noticing.list_)
    app.router.add_post(f"{account}/close-day", books.close_day)
    app.router.add_get(f"{account}/payouts", books.payouts)
    app.router.add_get(f"{account}/payouts/{{payout_ref}}/items", books.items)
    app.router.add_get(f"{account}/effects", books.effects)
    app.router.add_get(f"{account}/events", books.events)
    app.router.add_get("/v1/report", books.report)
    app.router.add_post("/v1/control", books.control)
    app.router.add_get("/health", books.health)
    return app


async def _serve(
    app: web.Application, host: str, port: int, deliveries: Deliveries, control: Control
) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, control.stop)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS_MAX)
    await runner.setup()
    pushing = asyncio.create_task(deliveries.run())
    stopping = asyncio.create_task(control.stopping.wait())
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        logger.info("sandbox.started", extra={"host": host, "port": port})
        await asyncio.wait({pushing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        was_broken = pushing.done()
        pushing.cancel()
        await runner.cleanup()
        await asyncio.gather(pushing, return_exceptions=True)
    if was_broken:
        # A gateway that accepts charges and never settles them is worse than none.
        pushing.result()
