"""A real sandbox process, a real receiver of its events, and the bench for the contract."""

import asyncio
import itertools
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from portal.gateways.base import (
    ChargeOrder,
    EventKind,
    GatewayAccess,
    GatewayEvent,
    NoticeOrder,
    open_gateway,
    read_event,
)
from portal.gateways.sandbox.keys import derive_key
from portal.gateways.sandbox.server import run_server

SECRET = "a secret of the tests"
START_SECONDS_MAX = 30.0
AMOUNTS = {"approved": 1_77700, "declined": 1_77701, "returned": 1_77706}
numbers = itertools.count(1)


@dataclass
class Receiver:
    """Keeps every pushed request as it came; refuses while it is told to be down."""

    port: int
    taken: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    is_down: bool = False

    def wait(self, account_code: str, *needles: str, times: int = 1) -> list[tuple[Any, bytes]]:
        """Wait until so many requests for an account contain all these texts."""

        def found() -> list[tuple[Any, bytes]]:
            return [
                (head, raw)
                for path, head, raw in self.taken
                if path.endswith(f"/{account_code}")
                and all(needle.encode() in raw for needle in needles)
            ]

        with self.changed:
            assert self.changed.wait_for(lambda: len(found()) >= times, START_SECONDS_MAX)
            return found()


@dataclass
class Sandbox:
    """A running sandbox process."""

    port: int
    record_path: Path
    receiver: Receiver
    process: BaseProcess
    options: dict[str, Any]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def access(self, account_code: str, **over: Any) -> GatewayAccess:
        """Say how an account is reached."""
        fields: dict[str, Any] = {
            "kind": "sandbox",
            "base_url": self.url,
            "account_code": account_code,
            "api_key": derive_key(SECRET, account_code, "api"),
            "webhook_secrets": (derive_key(SECRET, account_code, "webhook"),),
            "timeout_seconds": 10.0,
        }
        return GatewayAccess(**fields | over)

    def restart(self) -> None:
        """Kill it without a warning and start it again over the same record."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.process = start_process(self.options)


@dataclass
class SandboxBench:
    """A fresh account at the sandbox, as the contract wants it."""

    sandbox: Sandbox
    account_code: str

    @property
    def access(self) -> GatewayAccess:
        """How the account is reached."""
        return self.sandbox.access(self.account_code)

    def open(self, **over: Any) -> Any:
        """Open the account."""
        return open_gateway(self.sandbox.access(self.account_code, **over))

    def order(self, wish: str) -> ChargeOrder:
        """Make an order with the magic amount of a wish."""
        return make_order(amount_minor=AMOUNTS[wish])

    def notice(self) -> NoticeOrder:
        """Make a notice that nobody made before."""
        return make_notice()

    async def told(self) -> list[tuple[str, str, int]]:
        """List what the record says went out."""
        found = await asyncio.to_thread(read_notices, self.sandbox, self.account_code)
        return [(one["merchant_ref"], one["payer_name"], one["amount_minor"]) for one in found]

    async def wait_event(self, kind: EventKind, merchant_ref: str) -> GatewayEvent:
        """Wait for a pushed event and verify it."""
        needles = (f'"type":"{kind}"', f'"{merchant_ref}"')
        waited = asyncio.to_thread(self.sandbox.receiver.wait, self.account_code, *needles)
        (head, raw), *_ = await waited
        return read_event(self.access, head, raw)


def make_order(**over: Any) -> ChargeOrder:
    """Make a valid order that nobody made before."""
    number = next(numbers)
    fields: dict[str, Any] = {
        "merchant_ref": f"attempt-{os.getpid()}-{number}",
        "idempotency_key": f"key-of-attempt-{os.getpid()}-{number}",
        "amount_minor": 1_77700,
        "currency": "EUR",
        "mandate_token": "mandate-of-the-tests",
        "payment_ref": f"payment-{number}",
        "invoice_ref": f"invoice-{number}",
        "business_date": date(2026, 11, 20),
        "invoice_total_minor": None,
    }
    return ChargeOrder(**fields | over)


def make_notice(open_minor: int = 1_77700, **over: Any) -> NoticeOrder:
    """Make a valid notice that nobody made before."""
    number = next(numbers)
    fields: dict[str, Any] = {
        "merchant_ref": f"reminder-{os.getpid()}-{number}",
        "idempotency_key": f"key-of-reminder-{os.getpid()}-{number}",
        "amount_minor": open_minor,
        "currency": "EUR",
        "business_date": date(2026, 11, 20),
        "level": 1,
        "sender": "Harbour City",
        "locale": "de_DE",
        "payer_name": "Ada Abendroth",
        "payer_email": "ada@example.org",
        "payer_country": "DE",
        "invoice_ref": f"INV-2026-{number:06d}",
        "due_date": date(2026, 11, 2),
        "open_minor": open_minor,
        "fee_minor": 0,
        "interest_minor": 0,
        "fees_ref": None,
        "fees_due_date": None,
        "pay_to": None,
        "reference": f"INV-2026-{number:06d}",
    }
    return NoticeOrder(**fields | over)


def read_notices(
    sandbox: Sandbox, account_code: str, *, after: str = "0", secret: str = SECRET
) -> list[dict[str, Any]]:
    """Read the gateway's own record of the notices it took for an account, all pages of it."""
    path = f"/v1/accounts/{account_code}/notices?limit=50&after={after}"
    found = ask(sandbox, path, secret=derive_key(secret, account_code, "api"))
    notices: list[dict[str, Any]] = found["notices"]
    if found["cursor"] is None:
        return notices
    return notices + read_notices(sandbox, account_code, after=found["cursor"], secret=secret)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_process(options: dict[str, Any]) -> BaseProcess:
    """Start a sandbox and wait until it accepts connections."""
    process = multiprocessing.get_context("spawn").Process(
        target=run_server, kwargs=options, daemon=True
    )
    process.start()
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until and process.is_alive():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", options["port"])) == 0:
                return process
        time.sleep(0.02)
    raise AssertionError("the sandbox did not start")


def stop_process(process: BaseProcess) -> None:
    """Stop a sandbox and see that it ends cleanly."""
    process.terminate()
    process.join(START_SECONDS_MAX)
    assert process.exitcode == 0


class Keeper(BaseHTTPRequestHandler):
    """Hands each pushed request to the receiver."""

    protocol_version = "HTTP/1.1"

    def __init__(self, receiver: Receiver, *arguments: Any) -> None:
        self._receiver = receiver
        super().__init__(*arguments)

    def do_POST(self) -> None:
        """Keep a request, or refuse it while the receiver is down."""
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        with self._receiver.changed:
            is_down = self._receiver.is_down
            if not is_down:
                self._receiver.taken.append((self.path, dict(self.headers.items()), raw))
                self._receiver.changed.notify_all()
        self.send_response(503 if is_down else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Keep quiet."""


def start_sandbox(receiver: Receiver, folder: Path, **over: Any) -> Sandbox:
    """Start a sandbox whose times are short."""
    options: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": free_port(),
        "record_path": folder / "record.sqlite",
        "callback_url": f"http://127.0.0.1:{receiver.port}/webhooks",
        "secret": SECRET,
        "seed": 7,
        "result_delay_ms_range": (0, 20),
        "held_answer_seconds": 3.0,
        "late_event_seconds": 0.5,
    }
    options |= over
    process = start_process(options)
    return Sandbox(options["port"], options["record_path"], receiver, process, options)


def ask(
    sandbox: Sandbox, path: str, body: dict[str, Any] | None = None, *, secret: str = SECRET
) -> dict[str, Any]:
    """Ask as the holder of the master secret, or with another one."""
    raw = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {secret}"}
    request = urllib.request.Request(sandbox.url + path, data=raw, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        found: dict[str, Any] = json.load(response)
        return found
