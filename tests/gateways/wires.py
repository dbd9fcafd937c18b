"""A tiny real server that answers in raw bytes, however wrong, and keeps what it was sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from portal.gateways.base import GatewayAccess

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Wire:
    """A listening server and the requests it has read."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)

    def access(self, **over: Any) -> GatewayAccess:
        """Say how it is reached."""
        fields: dict[str, Any] = {
            "kind": "sandbox",
            "base_url": f"http://127.0.0.1:{self.port}",
            "account_code": "wire",
            "api_key": "the-api-key-nobody-may-see",
            "webhook_secrets": (),
            "timeout_seconds": 5.0,
        }
        return GatewayAccess(**fields | over)


@asynccontextmanager
async def listening(*answers: Answer) -> AsyncIterator[Wire]:
    """Serve the answers one after the other, the last one for ever, each on its own connection."""
    wire = Wire()

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whatever breaks here is what the test is about, seen from the other side.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = _length_of(head)
            wire.requests.append(head + await reader.readexactly(length))
            await answers[min(len(wire.requests), len(answers)) - 1](reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(start, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        await asyncio.gather(*serving)


def says(body: bytes, *, status: int = 200, headers: Sequence[str] = ()) -> Answer:
    """Answer properly, whatever the body is."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    raw = "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body
    return sends(raw)


def says_json(body: dict[str, Any], *, status: int = 200, headers: Sequence[str] = ()) -> Answer:
    """Answer with an object."""
    return says(json.dumps(body).encode(), status=status, headers=headers)


def sends(raw: bytes) -> Answer:
    """Send bytes and close."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return answer


async def resets(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Break the line instead of answering."""
    writer.transport.abort()


async def keeps_silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Answer nothing until the other side goes away."""
    await reader.read()


async def drips(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send one byte now and then, never ending."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def never_ends(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body without an end as fast as it is taken."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    while not writer.is_closing():
        writer.write(piece)
        await writer.drain()


def _length_of(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
