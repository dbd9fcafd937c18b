"""Recording the SQL that a block sends to the database, by the ORM or by the driver itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

# Sent once per transaction to name its organisation; what a use case asks comes on top of it.
SCOPE = "set_config('app.organisation_id'"


@dataclass
class Recording:
    """The statements of a block, in order."""

    texts: list[str] = field(default_factory=list)
    # How often a transaction named its organisation.
    scopes: int = 0

    @property
    def count(self) -> int:
        """How many statements there were."""
        return len(self.texts)

    def add(self, statement: Any) -> None:
        """Keep one statement unless it is a ping or only names the organisation."""
        text = statement.decode() if isinstance(statement, bytes) else str(statement)
        if SCOPE in text:
            self.scopes += 1
        elif text.strip(" ;"):
            self.texts.append(text)


@contextlib.contextmanager
def record_statements() -> Iterator[Recording]:
    """Record every statement of this process that passes through the driver in a block.

    Shape: `executemany` counts once, COPY counts once.
    """
    recording = Recording()
    kept = {name: getattr(psycopg.Cursor, name) for name in ("execute", "executemany", "copy")}

    def listening(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, statement: Any, *arguments: Any, **named: Any) -> Any:
            recording.add(statement)
            return original(self, statement, *arguments, **named)

        return call

    for name, original in kept.items():
        setattr(psycopg.Cursor, name, listening(original))
    try:
        yield recording
    finally:
        for name, original in kept.items():
            setattr(psycopg.Cursor, name, original)
