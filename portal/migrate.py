"""Bringing a database to the newest schema, once, however many processes start together."""

from __future__ import annotations

import time

import sqlalchemy
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from portal.domain.errors import Unavailable
from portal.paths import MIGRATIONS

LOCK_NUMBER = 7_264_150_319  # Chosen once at random; any number no other program uses will do.
LOCK_POLL_SECONDS = 0.1


class MigrationUnderWay(Unavailable):
    """Another process has been migrating the database for {seconds:g} seconds; nothing was changed
    by this one. Wait for it to end, then start again."""

    retry_after_seconds = 30


def upgrade_database(owner_url: str, *, patience_seconds: float = 300.0) -> str | None:
    """Run all migrations that are missing and return the revision the database then has.

    Only one process migrates; the others wait and then find nothing to do. `migrations/env.py`
    gets the connection as `config.attributes["connection"]`, inside a transaction.
    Raises: MigrationUnderWay; OperationalError when the database cannot be reached.
    """
    engine = sqlalchemy.create_engine(owner_url, poolclass=sqlalchemy.NullPool)
    # A connection of its own holds the lock, without a transaction that would stay open.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as guard:
        _lock(guard, patience_seconds)
        with engine.begin() as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        with engine.connect() as connection:
            return _revision(connection)


def current_revision(url: str) -> str | None:
    """Return the revision a database has, None before the first migration."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        return _revision(connection)


def newest_revision() -> str | None:
    """Return the revision that this version of the portal needs."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def alembic_config() -> AlembicConfig:
    """Name the folder of the migrations, in the checkout or in the wheel."""
    config = AlembicConfig()
    # Alembic reads its options by ConfigParser, to which a percent sign means something.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _lock(guard: sqlalchemy.Connection, patience_seconds: float) -> None:
    """Take the lock; it falls with the connection, also when this process is killed."""
    ends_at = time.monotonic() + patience_seconds
    query = sqlalchemy.select(sqlalchemy.func.pg_try_advisory_lock(LOCK_NUMBER))
    while not guard.scalar(query):
        if time.monotonic() > ends_at:
            raise MigrationUnderWay(seconds=patience_seconds)
        time.sleep(LOCK_POLL_SECONDS)


def _revision(connection: sqlalchemy.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
