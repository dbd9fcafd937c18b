"""Servers of this folder's own, since its tests empty and restart them, and a portal on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from flask import Flask

from portal import processes
from portal.config import Config
from tests import factories
from tests.faults.world import COMPRESSED, World
from tests.servers import RunServers


@pytest.fixture(scope="session")
def own_servers() -> Iterator[RunServers]:
    """PostgreSQL and Valkey that nobody else uses."""
    started = RunServers()
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def servers(own_servers: RunServers) -> Config:
    """The settings with the addresses of these servers, instead of those of the whole run."""
    return own_servers.start()


@pytest.fixture
def organisation(app: Flask) -> UUID:
    """The harbour city under a code of its own."""
    organisation_id = factories.make_organisation("harbour", code=f"harbour-{uuid4().hex[:12]}")
    factories.home.set(organisation_id)
    return organisation_id


@pytest.fixture
def world(app: Flask, organisation: UUID, owner_url: str, tmp_path: Path) -> Iterator[World]:
    """A portal whose processes the test starts, and which are killed after it."""
    ports = {"port": processes.free_port(), "sandbox_port": processes.free_port()}
    config = app.config["PORTAL"].changed(state_folder=tmp_path, **ports, **COMPRESSED)
    app.config["PORTAL"] = config
    made = World(config, organisation, owner_url, tmp_path)
    try:
        yield made
    finally:
        made.end()
