"""A real server on a free port and a real Chromium that reports what a person would not see."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import sqlalchemy
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import make_server

from portal.app import create_app
from portal.clock import now_utc
from portal.config import Config
from portal.domain.users import Role
from portal.services.users import add_user
from tests.browser.world import World, build_world
from tests.servers import address as address_of
from tests.servers import clone_database

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
EMAIL = "mara@harbour.example"
PASSWORD = "four quiet harbour boats"
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = Axe()
# A machine that does other work draws a page late; what is expected is waited for, not slept for.
expect.set_options(timeout=30_000)
# An answer that is no success is noted by the browser; tests ask for some of them.
EXPECTED_NOISE = "Failed to load resource"


@dataclass
class Visit:
    """A window with what happened behind it."""

    page: Page
    address: str
    troubles: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a page of the portal."""
        self.page.goto(self.address + path)

    def sign_in(self, email: str = EMAIL) -> None:
        """Sign in with the keyboard alone; the first field has the focus already."""
        self.open("/sign-in")
        expect(self.page.get_by_label("E-mail address")).to_be_focused()
        self.page.keyboard.type(email)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(self.address + "/")

    def tab_to(self, selector: str, *, presses_max: int = 60) -> None:
        """Press Tab until something has the focus, as a person without a mouse does."""
        for _ in range(presses_max):
            if self.page.evaluate("wanted => document.activeElement?.matches(wanted)", selector):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{selector} cannot be reached with the keyboard")

    def axe_violations(self) -> list[str]:
        """Name what a checker of accessibility finds wrong."""
        only = {"type": "tag", "values": AXE_TAGS}
        options = {"runOnly": only, "resultTypes": ["violations"]}
        # The checker is put into the page by the browser's own tools, which the CSP does not bind.
        if self.page.evaluate("typeof axe === 'undefined'"):
            self.page.evaluate(AXE.axe_script)
        response = self.page.evaluate("options => axe.run(options)", options)
        return [
            f"{one['id']}: {one['help']} – {[node['target'] for node in one['nodes']][:3]}"
            for one in response["violations"]
        ]


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve an application on a free port for a block; yields its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """The address of a server with the application."""
    with served(app) as found:
        yield found


@pytest.fixture(scope="module")
def world(servers: Config) -> Iterator[World]:
    """A world with something behind every address, for tests that only look."""
    with clone_database(servers) as owner_url:
        name = sqlalchemy.make_url(owner_url).database
        database_url = address_of(servers.required("database_url"), name)
        app = create_app(
            servers.changed(database_url=database_url, database_owner_url=owner_url, queue="looks")
        )
        with build_world(app) as built, served(app) as built.address:
            yield built


@pytest.fixture
def person(organisation: UUID) -> UUID:
    """A manager of the organisation."""
    return add_user(
        email=EMAIL,
        name="Mara Weber",
        password=PASSWORD,
        memberships=[(organisation, Role.MANAGER)],
        now=now_utc(),
    )


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium for the tests of a file; each window is a person of its own."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield opened
        opened.close()


def open_window(browser: Browser, address: str, *, width: int = 1280, **settings: Any) -> Visit:
    """Open a window in which nobody is signed in, and listen to what goes wrong in it."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
    one = Visit(context.new_page(), address)
    one.page.on("pageerror", lambda error: one.troubles.append(str(error)))
    one.page.on(
        "console",
        lambda message: (
            one.troubles.append(message.text)
            if message.type in {"error", "warning"} and EXPECTED_NOISE not in message.text
            else None
        ),
    )
    one.page.on(
        "request",
        lambda request: (
            None
            if urlsplit(request.url).netloc == urlsplit(address).netloc
            else one.troubles.append(f"asked {request.url}")
        ),
    )
    return one


@pytest.fixture
def visit(browser: Browser, address: str, person: UUID) -> Iterator[Callable[..., Visit]]:
    """Open a window: `visit(width=320, color_scheme="dark")`; troubles fail the test."""
    visits: list[Visit] = []

    def begin(**settings: Any) -> Visit:
        visits.append(open_window(browser, address, **settings))
        return visits[-1]

    yield begin
    for one in visits:
        one.page.context.close()
    assert [trouble for one in visits for trouble in one.troubles] == []
