"""One thread that owns the SQLite file: many small works, one durable commit for each batch."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

BATCH_WORKS_MAX = 256

Found = TypeVar("Found")
Work = Callable[[sqlite3.Connection], Any]
Settled = tuple["asyncio.Future[Any]", Any, BaseException | None]


class GroupWriter:
    """Runs works in the order they were given; none is answered before its commit is on disk."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._waiting: SimpleQueue[tuple[Work, asyncio.Future[Any]] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="sandbox-record", daemon=True)

    async def start(self) -> None:
        """Open the file and its tables.

        Raises: sqlite3.Error when the file cannot be used.
        """
        opened: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.put((lambda connection: connection.execute("SELECT 1").fetchone(), opened))
        self._thread.start()
        await opened

    async def stop(self) -> None:
        """Finish what was given and close the file."""
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    async def do(self, work: Callable[[sqlite3.Connection], Found]) -> Found:
        """Run a work and wait until it is durable.

        Raises: whatever the work raises; the works beside it are not touched by that.
        """
        future: asyncio.Future[Found] = self._loop.create_future()
        self._waiting.put((work, future))
        return await future

    def _run(self) -> None:
        try:
            connection = _connect(self._path, self._schema)
        except sqlite3.Error as error:
            self._refuse_all(error)
            return
        while batch := self._next_batch():
            try:
                settled = _run_together(connection, batch)
            except Exception:  # noqa: BLE001 - any fault of a work must not stop the thread
                # Somebody in the batch broke: each works alone, and only that one fails.
                settled = [_run_alone(connection, work, future) for work, future in batch]
            self._loop.call_soon_threadsafe(_answer, settled)
        connection.close()

    def _next_batch(self) -> list[tuple[Work, asyncio.Future[Any]]]:
        first = self._waiting.get()
        if first is None:
            return []
        batch = [first]
        while len(batch) < BATCH_WORKS_MAX:
            try:
                following = self._waiting.get_nowait()
            except Empty:
                break
            if following is None:
                self._waiting.put(None)
                break
            batch.append(following)
        return batch

    def _refuse_all(self, error: sqlite3.Error) -> None:
        while (given := self._waiting.get()) is not None:
            refused: list[Settled] = [(given[1], None, error)]
            self._loop.call_soon_threadsafe(_answer, refused)


def _connect(path: Path, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    # A judge that forgets after a power cut is none.
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(schema)
    return connection


def _run_together(
    connection: sqlite3.Connection, batch: list[tuple[Work, asyncio.Future[Any]]]
) -> list[Settled]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        settled: list[Settled] = [(future, work(connection), None) for work, future in batch]
        connection.execute("COMMIT")
    except Exception:
        _roll_back(connection)
        raise
    return settled


def _run_alone(connection: sqlite3.Connection, work: Work, future: asyncio.Future[Any]) -> Settled:
    try:
        return _run_together(connection, [(work, future)])[0]
    except Exception as error:  # noqa: BLE001 - it is handed to the one who waits
        return future, None, error


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _answer(settled: list[Settled]) -> None:
    for future, found, error in settled:
        if future.done():
            continue
        if error is None:
            future.set_result(found)
        else:
            future.set_exception(error)
