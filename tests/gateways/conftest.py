"""One sandbox process and one receiver per test worker; a fresh account for each test."""

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.gateways.running import (
    Keeper,
    Receiver,
    Sandbox,
    SandboxBench,
    numbers,
    start_sandbox,
    stop_process,
)


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """A server that takes events."""
    kept = Receiver(port=0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Keeper, kept))
    server.daemon_threads = True
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def sandbox(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox that all tests of this worker share, each with an account of its own."""
    running = start_sandbox(receiver, tmp_path_factory.mktemp("sandbox"))
    yield running
    stop_process(running.process)


@pytest.fixture
def own_sandbox(receiver: Receiver, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox for one test, with a record that nobody else writes."""
    running = start_sandbox(receiver, tmp_path)
    yield running
    stop_process(running.process)


@pytest.fixture
def bench(sandbox: Sandbox) -> SandboxBench:
    """A fresh account."""
    return SandboxBench(sandbox, f"account-{os.getpid()}-{next(numbers)}")
