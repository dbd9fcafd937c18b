"""The private servers of a test run, and databases cloned from one migrated template."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import sqlalchemy

from portal.config import Config
from portal.local import LocalServers
from portal.local.folder import StateFolder
from portal.migrate import upgrade_database

TEMPLATE = "portal_template"
# Where Linux keeps files in memory; containers often have next to nothing of it.
MEMORY = Path("/dev/shm")
ROOM_BYTES = 8 * 1024**3


class RunServers(LocalServers):
    """The private servers with a migrated template; a second start answers the same."""

    def __init__(self) -> None:
        super().__init__(Config(web_threads=2), fresh=True)
        self._filled: Config | None = None

    def start(self) -> Config:
        """Start both servers and migrate the template."""
        if self._filled is None:
            self._filled = super().start()
            owner_url = self._filled.required("database_owner_url")
            with connect(owner_url) as connection:
                connection.execute(f"CREATE DATABASE {TEMPLATE}")
            upgrade_database(address(owner_url, TEMPLATE))
            self._hurry(owner_url)
        return self._filled

    def _throw_away(self) -> StateFolder:
        """Keep the files in memory where there is plenty: each test has a copy of 600 of them."""
        has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES
        return StateFolder.throw_away(MEMORY if has_room else None)

    def _hurry(self, owner_url: str) -> None:
        """Wait for no disk: these databases are thrown away, whatever becomes of the machine."""
        port = sqlalchemy.make_url(owner_url).port
        assert self._postgres is not None
        assert port is not None
        with self._postgres._superuser(port) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET full_page_writes = off")
            # A vacuum of the template would make every clone of it wait.
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            connection.execute("SELECT pg_reload_conf()")


def address(url: str, database: str | None) -> str:
    """Write the address of another database on the same server."""
    return sqlalchemy.make_url(url).set(database=database).render_as_string(hide_password=False)


def connect(url: str) -> psycopg.Connection[Any]:
    """Open a connection on which each statement stands for itself."""
    plain = sqlalchemy.make_url(url).set(drivername="postgresql")
    return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


@contextmanager
def clone_database(config: Config, *, name: str | None = None) -> Iterator[str]:
    """Clone the migrated database for a block; yields the address for the tables' owner."""
    server = config.required("database_owner_url")
    name = name or f"test_{uuid4().hex}"
    with connect(server) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
    yield address(server, name)
    with connect(server) as connection:
        # Waits for sessions that are about to end; one that a test forgot is an error.
        connection.execute(f"DROP DATABASE {name}")


def drop_guards(owner: psycopg.Connection[Any]) -> None:
    """Take triggers, foreign keys and partial unique indexes away, and let the app role write."""
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    keys = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'f'"
    partial = "SELECT indexrelid::regclass FROM pg_index WHERE indisunique AND indpred IS NOT NULL"
    statements = [
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO portal_app",
        *(f"ALTER TABLE {row[0]} DISABLE TRIGGER USER" for row in owner.execute(tables)),
        *(f"ALTER TABLE {row[0]} DROP CONSTRAINT {row[1]}" for row in owner.execute(keys)),
        *(f"DROP INDEX {row[0]}" for row in owner.execute(partial)),
    ]
    owner.execute("; ".join(statements))
