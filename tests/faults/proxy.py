"""Stands between the portal and what it speaks to, and asks for a fault at drawn wire events.

A process of its own: told what to do by lines of JSON, it tells what it meets in the same way.
While a process is killed for what it sent, its bytes wait here, neither forwarded nor lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.faults.script import STOPPED_SECONDS, WANTED, Trigger, draw_triggers

HOST = "127.0.0.1"
READ_BYTES_MAX = 262_144
LINGER_OFF = struct.pack("ii", 1, 0)  # Closing then sends RST instead of FIN.
DELAY_SECONDS = 1.2
# Who takes over a question is still waiting for its answer when the stopped one goes on.
HELD_SECONDS = STOPPED_SECONDS + 0.8
CUTTING = frozenset({"kill", "kill_service", "cut"})

# The simple query and the tag of its completion, as they lie on the wire.
COMMIT_ASKED = b"Q\x00\x00\x00\x0bCOMMIT\x00"
COMMIT_DONE = b"C\x00\x00\x00\x0bCOMMIT\x00"
ROLLBACK_ASKED = b"Q\x00\x00\x00\x0dROLLBACK\x00"
WRITING = (b"INSERT INTO ", b"UPDATE ")
# Statements in the middle of a chunk: numbers are taken, payments are begun.
CHUNK_WORKED = (b"INSERT INTO number_series", b"pg_temp.staged_starts")
NOTHING_RUNG = (b"$-1", b"*-1", b"_")


@dataclass
class Line:
    """One connection through the proxy."""

    kind: str
    port: int  # The port of whoever has connected.
    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    has_written: bool = False
    commits: bool = False
    waits_for_bell: bool = False
    asks: bool = False

    def sent(self, chunk: bytes) -> Iterator[str]:
        """Name the events in what the client has sent."""
        if self.kind == "postgres":
            yield from self._sent_to_postgres(chunk)
        elif self.kind == "redis":
            self.waits_for_bell = b"BLMOVE" in chunk
            yield "redis_command"
        elif chunk.startswith((b"POST ", b"GET ")):
            self.asks = chunk.startswith(b"GET ") and b"merchant_ref=" in chunk[:400]
            yield f"{self.kind}_request"

    def _sent_to_postgres(self, chunk: bytes) -> Iterator[str]:
        if any(words in chunk for words in CHUNK_WORKED):
            yield "chunk_worked"
        self.has_written |= any(words in chunk for words in WRITING)
        if ROLLBACK_ASKED in chunk:
            self.has_written = False
        if COMMIT_ASKED in chunk:
            self.commits, self.has_written = self.has_written, False
            if self.commits:
                yield "moment"
                yield "commit_seen"

    def answered(self, chunk: bytes) -> Iterator[str]:
        """Name the events in what the server has answered."""
        if self.kind == "postgres":
            if self.commits and COMMIT_DONE in chunk:
                self.commits = False
                yield "commit_answered"
        elif self.kind == "redis":
            if self.waits_for_bell and not chunk.startswith(NOTHING_RUNG):
                self.waits_for_bell = False
                yield "bell_answered"
        elif chunk.startswith(b"HTTP/1."):
            if self.asks:
                yield "query_answer"
            yield f"{self.kind}_answer"

    def cut(self) -> None:
        """Break the connection on both sides."""
        for writer in self.writers:
            with contextlib.suppress(OSError):
                found: socket.socket | None = writer.get_extra_info("socket")
                if found is not None:
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
            writer.transport.abort()


@dataclass
class Counted:
    """How far a place is on the way to its next trigger."""

    triggers: Iterator[Trigger]
    left: int = 0
    action: str = ""
    seen: int = 0

    def next(self) -> None:
        """Take the next trigger; none is left when the action is empty."""
        trigger = next(self.triggers, None)
        self.left, self.action = trigger or Trigger(0, "")

    def take(self) -> str:
        """Count one event and return the action that is due with it, if any."""
        self.seen += 1
        if not self.action:
            return ""
        self.left -= 1
        if self.left > 0:
            return ""
        due = self.action
        self.next()
        return due


@dataclass
class Proxy:
    """All routes, the counters of all places, and the line to the supervisor."""

    places: dict[str, Counted]
    is_live: bool = False
    held_until: float = 0.0
    waiting: dict[int, asyncio.Future[None]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    async def serve(self, kind: str, listens: int, leads_to: int) -> None:
        """Carry every connection to a port over to another one."""

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                back, forth = await asyncio.open_connection(HOST, leads_to, limit=READ_BYTES_MAX)
            except OSError:
                writer.transport.abort()
                return
            port = writer.get_extra_info("peername")[1]
            line = Line(kind, port, (writer, forth))
            await asyncio.gather(
                self._pump(line, reader, forth, is_answer=False),
                self._pump(line, back, writer, is_answer=True),
            )

        await asyncio.start_server(carry, HOST, listens, limit=READ_BYTES_MAX, backlog=512)

    async def _pump(
        self,
        line: Line,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_answer: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(READ_BYTES_MAX):
                if is_answer and line.kind == "gateway":
                    await self._hold()
                for place in line.answered(chunk) if is_answer else line.sent(chunk):
                    action = self.places[place].take() if self.is_live else ""
                    if action and await self._happens(line, place, action):
                        line.cut()
                        return
                writer.write(chunk)
                await writer.drain()
        # Whoever ends first has said all: half-open lines would only stay for ever.
        with contextlib.suppress(OSError):
            writer.close()

    async def _hold(self) -> None:
        """Wait while the gateway's answers are held."""
        left = self.held_until - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)

    async def _happens(self, line: Line, place: str, action: str) -> bool:
        """Have an action done and say whether the line is broken by it."""
        number = next(self.numbers)
        self.waiting[number] = asyncio.get_running_loop().create_future()
        tell(number=number, place=place, action=action, kind=line.kind, port=line.port)
        await self.waiting[number]
        del self.waiting[number]
        if (place, action) == ("query_answer", "stop"):
            self.held_until = asyncio.get_running_loop().time() + HELD_SECONDS
        if action == "delay":
            await asyncio.sleep(DELAY_SECONDS)
        return action in CUTTING

    def obey(self, order: dict[str, Any]) -> None:
        """Do what the supervisor says."""
        if "done" in order:
            self.waiting[order["done"]].set_result(None)
        if "live" in order:
            self.is_live = order["live"]
        if "count" in order:
            tell(counts={place: counted.seen for place, counted in self.places.items()})


def tell(**said: object) -> None:
    """Write a line to the supervisor at once."""
    os.write(1, json.dumps(said).encode() + b"\n")


async def run_proxy() -> None:
    """Serve until the line to the supervisor ends."""
    orders = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(orders)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    setup = json.loads(await orders.readline())
    places = {
        place: Counted(draw_triggers(setup["seed"], place, setup["payments"])) for place in WANTED
    }
    for counted in places.values():
        counted.next()
    proxy = Proxy(places)
    for kind, (listens, leads_to) in setup["routes"].items():
        await proxy.serve(kind, listens, leads_to)
    tell(ready=True)
    while order := await orders.readline():
        proxy.obey(json.loads(order))


if __name__ == "__main__":
    asyncio.run(run_proxy())
