"""Writes down what happens in the database: every move of a state, and books that only grow.

The moves are noted by triggers in the transaction that makes them, so none is missed.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from flask import Flask

from portal.db import acting_for
from portal.domain.batches import CHUNK_MOVES, RUN_MOVES
from portal.domain.invoices import INVOICE_MOVES
from portal.domain.messages import INBOX_MOVES, MESSAGE_MOVES
from portal.domain.payments import ATTEMPT_MOVES, PAYMENT_MOVES
from portal.domain.states import Moves
from portal.queries.checks import run_checks
from tests.faults.load import patiently
from tests.faults.world import World
from tests.servers import connect

LIVES: dict[str, Moves[Any]] = {
    "payments": PAYMENT_MOVES,
    "payment_attempts": ATTEMPT_MOVES,
    "messages": MESSAGE_MOVES,
    "inbox_messages": INBOX_MOVES,
    "batch_chunks": CHUNK_MOVES,
    "batch_runs": RUN_MOVES,
    "invoices": INVOICE_MOVES,
}
TWO_MOVES: dict[str, set[tuple[str, str | None]]] = {"batch_runs": {("prepared", "started")}}
VERSIONED = ("payments", "payment_attempts", "invoices")
PAUSE_SECONDS = 1.5

NOTE_MOVES = """
CREATE SCHEMA bench;
CREATE TABLE bench.moves (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, noun text, row_key text,
  was_state text, state text, was_version int, version int, was_token bigint, token bigint,
  tries int, xid text, began timestamptz, at timestamptz);
CREATE FUNCTION bench.note_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = bench, pg_temp AS $$
DECLARE
  was jsonb := to_jsonb(OLD);
  becomes jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(NEW) ELSE '{}' END;
BEGIN
  IF was->'state' IS DISTINCT FROM becomes->'state'
    OR was->'version' IS DISTINCT FROM becomes->'version'
    OR was->'lease_token' IS DISTINCT FROM becomes->'lease_token'
    OR TG_TABLE_NAME = 'messages' THEN
    INSERT INTO bench.moves (noun, row_key, was_state, state, was_version, version, was_token,
      token, tries, xid, began, at)
    VALUES (TG_TABLE_NAME,
      COALESCE(was->>'id', (was->>'run_id') || ' ' || (was->>'number'), was->>'event_ref'),
      was->>'state', becomes->>'state', (was->>'version')::int, (becomes->>'version')::int,
      (was->>'lease_token')::bigint, (becomes->>'lease_token')::bigint, (becomes->>'tries')::int,
      pg_current_xact_id()::text, transaction_timestamp(), clock_timestamp());
  END IF;
  RETURN NULL;
END $$;
"""
NOTE_MOVES_OF = (
    "CREATE TRIGGER note_move AFTER UPDATE OR DELETE ON {table}"
    " FOR EACH ROW EXECUTE FUNCTION bench.note_move();"
)
GROWING = (
    "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
    " WHERE t.tgname = 'append_only' ORDER BY 1"
)
# Who has lost its chunk may not write it: a transaction that began before the last claim did.
STALE_CHUNKS = (
    "SELECT f.row_key FROM bench.moves f WHERE f.noun = 'batch_chunks'"
    " AND f.was_state = 'leased' AND f.state <> 'leased' AND EXISTS (SELECT FROM bench.moves c"
    " WHERE c.noun = f.noun AND c.row_key = f.row_key AND c.id < f.id AND c.xid <> f.xid"
    " AND c.token > c.was_token AND c.at > f.began)"
)
# … nor a message: the try that is written must be the one that was leased last.
STALE_MESSAGES = (
    "SELECT m.row_key FROM bench.moves m JOIN public.message_deliveries d"
    " ON d.message_id = m.row_key::uuid AND d.xmin::text = m.xid"
    " WHERE m.noun = 'messages' AND m.token = m.was_token AND d.try_number <> m.tries"
)


@dataclass
class Witness:
    """Looks at the books while everything fails; what it has seen must still be there later."""

    world: World
    app: Flask
    snapshots: int = 0
    broken: set[str] = field(default_factory=set)
    seen: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)
        with connect(self.world.owner_url) as owner:
            owner.execute(NOTE_MOVES)
            for table in LIVES:
                owner.execute(NOTE_MOVES_OF.format(table=table))
            self._tables = [str(row[0]) for row in owner.execute(GROWING)]

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        with self.app.app_context():
            pause = PAUSE_SECONDS
            while not self._is_over.wait(pause):
                begun_at = time.monotonic()
                patiently(self._look)
                # A large world takes long to count: it is left most of its time.
                pause = max(PAUSE_SECONDS, 4 * (time.monotonic() - begun_at))

    def _look(self) -> None:
        with acting_for(self.world.organisation_id):
            self.broken |= {result.check for result in run_checks() if result.rows}
        for table in self._tables:
            self.seen.setdefault(table, set()).update(self._hashes(table))
        self.snapshots += 1

    def _hashes(self, table: str) -> set[str]:
        return {row[0] for row in self.world.rows(f"SELECT md5(t::text) FROM {table} t")}

    # What it has to say

    def list_changed(self) -> list[str]:
        """Name the tables that must only grow and from which something is gone."""
        return [
            table
            for table, seen in self.seen.items()
            if seen - patiently(lambda table=table: self._hashes(table))  # type: ignore[misc]
        ]

    def list_illegal_moves(self) -> list[str]:
        """List the moves that no table of moves knows, and those that kept their version."""
        with connect(self.world.owner_url) as owner:
            rows = owner.execute(
                "SELECT noun, was_state, state, version - was_version AS step, count(*)"
                " FROM bench.moves WHERE was_state IS DISTINCT FROM state"
                " OR version <= was_version GROUP BY 1, 2, 3, 4"
            ).fetchall()
        return [
            f"{count} {noun} {was} → {state} ({step})"
            for noun, was, state, step, count in rows
            if not _is_legal(noun, was, state)
            or (noun in VERSIONED and step is not None and step < 1)
        ]

    def list_stale_writes(self) -> list[str]:
        """List what was written by workers that had lost their lease."""
        with connect(self.world.owner_url) as owner:
            scope = (str(self.world.organisation_id),)
            owner.execute("SELECT set_config('app.organisation_id', %s, false)", scope)
            return [
                f"{noun} {row[0]}"
                for noun, statement in (("chunk", STALE_CHUNKS), ("message", STALE_MESSAGES))
                for row in owner.execute(statement)
            ]

    def count_moves(self) -> int:
        """Count the moves that were noted."""
        with connect(self.world.owner_url) as owner:
            row = owner.execute("SELECT count(*) FROM bench.moves").fetchone()
        return int(row[0]) if row else 0


def _is_legal(noun: str, was: str, state: str | None) -> bool:
    moves = {(source.value, target.value) for (source, _), target in LIVES[noun].table.items()}
    # Two moves of one transaction are one change of the row.
    passed = {(was, state)} & TWO_MOVES[noun] if noun in TWO_MOVES else set()
    return was == state or (was, state) in moves or bool(passed)
