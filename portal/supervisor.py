"""Running the processes of a portal: one log, restarts with a growing pause, an orderly end.

Which processes a portal has is said in `portal.cli.start`.
"""

from __future__ import annotations

import collections
import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self, TextIO

from rich.console import Console
from rich.text import Text

from portal import processes

PAUSE_SECONDS_MIN = 0.5
PAUSE_SECONDS_MAX = 30.0
SETTLED_SECONDS = 10.0  # A child that lived this long starts again without a longer pause.
READ_BYTES_MAX = 65_536
LINE_BYTES_MAX = 16_384
LINES_KEPT = 20
POLL_SECONDS = 0.05
LOOK_UP_SECONDS = 0.5
COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green")

WriteLine = Callable[[str, str], None]


class ChildFailed(Exception):
    """A process of the portal ended, or did not answer, before it was ready."""

    exit_code = 3


class MergedLog:
    """Writes the lines of all children to one stream, each with its child's name before it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Take a stream; colours are used on a terminal unless NO_COLOR is set."""
        self._console = Console(
            file=stream or sys.stderr, soft_wrap=True, highlight=False, markup=False, emoji=False
        )
        self._names: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        """Write one line."""
        with self._lock:
            if name not in self._names:
                self._names.append(name)
            width = max(map(len, self._names))
            colour = COLOURS[self._names.index(name) % len(COLOURS)]
            self._console.print(Text(f"{name:<{width}} │ ", style=colour) + Text(line))


@dataclass
class _Child:
    name: str
    stage: str
    command: Sequence[str | Path]
    env: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    due_at: float = 0.0  # When it is to be started; on the monotonic clock.
    pause_seconds: float = PAUSE_SECONDS_MIN
    ended: int | None = None  # The exit status of its last end.
    is_wanted: bool = True
    rest: bytes = b""
    lines: collections.deque[str] = field(
        default_factory=lambda: collections.deque(maxlen=LINES_KEPT)
    )


class Supervisor:
    """Keeps named child processes running until it is stopped.

    One thread of its own starts every child, reads their output and starts dead ones again: the
    kernel ties a child's life to the thread that started it, so it must not be a passing one.
    """

    def __init__(self, *, drain_seconds: float, write: WriteLine | None = None) -> None:
        """Take the seconds that children get to finish, and where their lines go."""
        self._drain_seconds = drain_seconds
        self._write: WriteLine = write or MergedLog()
        self._children: dict[str, _Child] = {}
        self._lock = threading.RLock()
        self._selector = selectors.DefaultSelector()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        stage: str | None = None,
    ) -> None:
        """Run a command under a name; children of one stage are stopped at the same time."""
        with self._lock:
            assert name not in self._children, f"there is a child named {name}"
            self._children[name] = _Child(name, stage or name, command, env)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
                self._thread.start()

    def wait_ready(
        self, name: str, predicate: Callable[[], bool], *, seconds: float = 60.0
    ) -> None:
        """Wait until a child answers.

        Raises: ChildFailed when it ends first or the time is over.
        """
        ends_at = time.monotonic() + seconds
        child = self._children[name]
        while not predicate():
            if child.ended is not None:
                raise ChildFailed(f"{name} ended before it was ready: {self._last_words(child)}")
            if time.monotonic() > ends_at:
                raise ChildFailed(
                    f"{name} did not answer within {seconds:g} seconds: {self._last_words(child)}"
                )
            time.sleep(POLL_SECONDS)

    def pids(self) -> dict[str, int]:
        """List the children that run now with their process numbers."""
        with self._lock:
            running = [c for c in self._children.values() if c.process and c.process.poll() is None]
            return {child.name: child.process.pid for child in running if child.process}

    def stop(self) -> None:
        """Stop all children, the last started first; what is left after the drain is killed."""
        ends_at = time.monotonic() + self._drain_seconds
        with self._lock:
            children = list(reversed(self._children.values()))
            for child in children:
                child.is_wanted = False
        for stage in dict.fromkeys(child.stage for child in children):
            self._stop_stage([child for child in children if child.stage == stage], ends_at)
        self._ends.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._children.clear()

    def _stop_stage(self, children: list[_Child], ends_at: float) -> None:
        running = [child.process for child in children if child.process is not None]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0.0, ends_at - time.monotonic()))
            processes.kill_group(process)

    def __enter__(self) -> Self:
        """Be stopped at the end of a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all children."""
        self.stop()

    def _watch(self) -> None:
        """Start, read and start again, until told to end and all output was read."""
        while not self._ends.is_set():
            with self._lock:
                for child in self._children.values():
                    self._tend(child)
            self._read(POLL_SECONDS)
        while self._selector.get_map() and self._read(0):
            pass
        for key in list(self._selector.get_map().values()):
            self._drop(key)
        self._selector.close()

    def _tend(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if child.is_wanted and now >= child.due_at:
                self._spawn(child, now)
            return
        status = child.process.poll()
        if status is None:
            return
        # Its own children must not go on beside the new one.
        processes.kill_group(child.process)
        child.process, child.ended = None, status
        if not child.is_wanted:
            return
        if now - child.started_at >= SETTLED_SECONDS:
            child.pause_seconds = PAUSE_SECONDS_MIN
        child.due_at = now + child.pause_seconds
        self._say(child, f"ended ({_ending(status)}); starts again in {child.pause_seconds:g} s")
        child.pause_seconds = min(2 * child.pause_seconds, PAUSE_SECONDS_MAX)

    def _spawn(self, child: _Child, now: float) -> None:
        child.started_at = now
        try:
            child.process = processes.spawn(
                child.command,
                env=child.env,
                death_signal=signal.SIGTERM,
                stdout=subprocess.PIPE,
            )
        except OSError as problem:
            child.ended = 127
            child.due_at = now + child.pause_seconds
            child.pause_seconds = min(2 * child.pause_seconds, PAUSE_SECONDS_MAX)
            self._say(child, f"cannot be started: {problem.strerror}")
            return
        assert child.process.stdout is not None
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _read(self, seconds: float) -> bool:
        """Read what the children wrote; tell whether there was anything."""
        if not self._selector.get_map():
            # An empty selector would return at once on some systems.
            self._ends.wait(seconds)
            return False
        ready = self._selector.select(timeout=seconds)
        for key, _ in ready:
            child: _Child = key.data
            read = os.read(key.fd, READ_BYTES_MAX)
            *lines, child.rest = (child.rest + read).split(b"\n")
            if not read or len(child.rest) > LINE_BYTES_MAX:
                lines, child.rest = [*lines, child.rest], b""
            for line in filter(None, lines):
                self._say(child, line.decode(errors="replace"))
            if not read:
                self._drop(key)
        return bool(ready)

    def _drop(self, key: selectors.SelectorKey) -> None:
        self._selector.unregister(key.fileobj)
        if not isinstance(key.fileobj, int):
            key.fileobj.close()  # type: ignore[attr-defined]  # it is the pipe we registered

    def _say(self, child: _Child, line: str) -> None:
        # Tabs stay; anything else that moves the cursor does not reach the terminal.
        clean = "".join(c for c in line.rstrip() if c.isprintable() or c == "\t")
        child.lines.append(clean)
        self._write(child.name, clean)

    def _last_words(self, child: _Child) -> str:
        # The last line of its output may still be in the pipe.
        time.sleep(2 * POLL_SECONDS)
        said = [line for line in list(child.lines) if "starts again in" not in line]
        return said[-1] if said else "it said nothing"


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"


def wait_for_signal() -> NoReturn:
    """Wait for the signal that ends this process, inside `signals_stop()`.

    Shape: looks up now and then; a signal that comes just before a wait without an end begins, or
    that the kernel hands to another thread, would never end it.
    """
    while True:
        time.sleep(LOOK_UP_SECONDS)


class Stopped(SystemExit):
    """This process was told to stop."""


@contextlib.contextmanager
def signals_stop() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into an exception inside a block, so that `finally` runs.

    What is to be stopped in order belongs into the block as well: from the first signal on,
    further ones are ignored until the block has ended.
    Raises: Stopped inside the block, an exit with 128 and the signal's number unless it is caught.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        # The end is under way: a second Ctrl-C must not break it off half way.
        for each in watched:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(128 + number)

    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, stop) for each in watched}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
