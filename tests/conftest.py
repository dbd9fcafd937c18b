"""What every test may ask for: a database of its own, the application, a page, the SQL of a block.

Valid things to put into the database are made by `tests.factories`; `tests.pages` reads pages.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy
from flask import Flask
from flask.testing import FlaskClient

from portal.app import create_app
from portal.config import Config
from portal.extensions import db
from portal.paths import ROOT
from portal.queue import open_redis
from tests import factories
from tests.pages import Page, read_page
from tests.recording import Recording, record_statements
from tests.servers import RunServers, address, clone_database, connect, drop_guards

SHARED_DATA = ROOT.parent / "shared" / "data"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOOPBACK = ("127.", "::1", "localhost")
SLOW_FOLDERS = ("browser", "faults", "journeys")
SERVERS = pytest.StashKey[RunServers]()


def pytest_configure(config: pytest.Config) -> None:
    """Let no test speak to anything but this machine."""
    for name in ("connect", "connect_ex"):
        _guard(name, getattr(socket.socket, name))


def _guard(name: str, connect: Callable[..., Any]) -> None:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(LOOPBACK):
            raise RuntimeError(f"a test tried to reach {address}; tests stay on this machine")
        return connect(self, address)

    setattr(socket.socket, name, guarded)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left alone with one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow and item.path.parent.name not in SLOW_FOLDERS)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give every xdist worker the one pair of servers that the controller has started."""
    node.workerinput["portal_environment"] = _start_servers(node.config).environment()


def _start_servers(config: pytest.Config) -> Config:
    """Start the servers once per test run."""
    return config.stash.setdefault(SERVERS, RunServers()).start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers of this run, whatever happened in it."""
    if SERVERS in config.stash:
        config.stash[SERVERS].stop()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say aloud what was not tested, and why."""
    reasons = Counter(
        report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section("not tested here", sep="=", yellow=True)
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count} tests: {reason.removeprefix('Skipped: ')}")


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Config:
    """The settings with the addresses of the private servers, one pair for the whole run."""
    given = getattr(request.config, "workerinput", {}).get("portal_environment")
    config = Config.from_environment(given) if given else _start_servers(request.config)
    # Each xdist worker flushes a Redis database of its own.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    redis_url = config.required("redis_url").rpartition("/")[0] + f"/{worker % 16}"
    return config.changed(redis_url=redis_url)


@pytest.fixture(scope="session")
def database_name() -> str:
    """The name of each test's own database in its turn."""
    return f"test_{uuid4().hex}"


@pytest.fixture
def owner_url(servers: Config, database_name: str) -> Iterator[str]:
    """The address of a fresh clone of the migrated database, for the role that owns the tables."""
    with clone_database(servers, name=database_name) as url:
        yield url


@pytest.fixture
def database(servers: Config, owner_url: str) -> str:
    """The address of the same clone for the role that the portal works as."""
    return address(servers.required("database_url"), sqlalchemy.make_url(owner_url).database)


@pytest.fixture
def owner(owner_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the tables' owner, outside any transaction."""
    with connect(owner_url) as connection:
        yield connection


@pytest.fixture
def unguarded(owner: psycopg.Connection[Any]) -> None:
    """A clone that no longer defends itself, so that a test can spoil its book.

    Shape: the app role may do anything, to its organisation's rows; there are no triggers, foreign
    keys or partial unique indexes. Checks stay.
    """
    drop_guards(owner)


@pytest.fixture(scope="session")
def applications() -> dict[str, Flask]:
    """The applications that tests share, by database; making one takes longer than most tests."""
    return {}


@pytest.fixture
def app(
    applications: dict[str, Flask], servers: Config, owner_url: str, database: str
) -> Iterator[Flask]:
    """The application on a fresh database and an empty Redis, with its context pushed.

    Shape: what a test changes of its settings is put back.
    """
    if database not in applications:
        applications[database] = create_app(
            servers.changed(
                database_url=database, database_owner_url=owner_url, queue=f"test-{uuid4().hex}"
            )
        )
    application = applications[database]
    settings, extensions = dict(application.config), dict(application.extensions)
    application.config["TESTING"] = True
    with application.app_context():
        open_redis().flushdb()
        yield application
        db.session.remove()
        db.engine.dispose()
        open_redis().close()
    application.config.clear()
    application.config.update(settings)
    application.extensions.update(extensions)


@pytest.fixture
def own_app(app: Flask) -> Iterator[Flask]:
    """A second application on the same database, for a test that adds addresses to it."""
    own = create_app(app.config["PORTAL"])
    yield own
    with own.app_context():
        db.engine.dispose()


@pytest.fixture
def now() -> datetime:
    """The instant at which tests happen."""
    return datetime(2026, 3, 18, 9, 30, tzinfo=UTC)


@pytest.fixture
def business_on() -> date:
    """The business date of the tests: a Wednesday without a holiday near."""
    return date(2026, 3, 18)


@pytest.fixture
def organisation(app: Flask) -> UUID:
    """The harbour city with its agreement; what factories make belongs to it."""
    organisation_id = factories.make_organisation("harbour")
    factories.home.set(organisation_id)
    return organisation_id


@pytest.fixture
def other_organisation(app: Flask) -> UUID:
    """A second organisation, whose rows the first must never see."""
    return factories.make_organisation("rivertown")


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without scripts that is not signed in."""
    return app.test_client()


@pytest.fixture
def page(client: FlaskClient) -> Callable[..., Page]:
    """Fetch a page, check its status, lint it and hand it over parsed."""

    def fetch_page(url: str, *, status: int = 200, **sent: Any) -> Page:
        answer = client.get(url, **sent)
        assert answer.status_code == status, f"{url} answered {answer.status}"
        found = read_page(answer.text)
        assert not found.faults(), f"{url}: {found.faults()}"
        return found

    return fetch_page


@pytest.fixture
def statements() -> Callable[[], contextlib.AbstractContextManager[Recording]]:
    """Record the SQL of a block: `with statements() as recorded: …; assert recorded.count == 2`."""
    return record_statements


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the sample data of the surroundings."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared sample data is not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the system's Chromium."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    return found
