"""Migrating: once, however many start together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy

from portal.config import Config
from portal.local import LocalServers
from portal.migrate import (
    LOCK_NUMBER,
    MigrationUnderWay,
    current_revision,
    newest_revision,
    upgrade_database,
)


def test_processes_that_start_together_migrate_once(config: Config) -> None:
    with LocalServers(config) as filled:
        url = filled.required("database_owner_url")
        assert current_revision(url) is None
        with ThreadPoolExecutor(4) as together:
            revisions = list(together.map(upgrade_database, [url] * 4))
        assert revisions == [newest_revision()] * 4
        assert current_revision(url) == newest_revision()


def test_a_migration_under_way_elsewhere_is_told_after_the_patience(config: Config) -> None:
    with LocalServers(config) as filled:
        url = filled.required("database_owner_url")
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        with engine.connect() as other:
            other.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(LOCK_NUMBER)))
            with pytest.raises(MigrationUnderWay, match=r"migrating the database for 0\.2 seconds"):
                upgrade_database(url, patience_seconds=0.2)
        assert current_revision(url) is None
