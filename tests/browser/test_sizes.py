"""What the pages weigh on the wire, and how much of the browser they fill."""

from __future__ import annotations

import gzip

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser

from portal.paths import STATIC
from portal.web.assets import LAYERS
from tests.browser.conftest import open_window
from tests.browser.world import FULL, PASSWORD, World
from tests.pages import read_page
from tests.web.conftest import sign_in

pytestmark = [pytest.mark.browser]

PAGE_BYTES_MAX = 14 * 1024
STYLE_BYTES_MAX = 22 * 1024
SCRIPT_BYTES_MAX = 22 * 1024
OWN_SCRIPT_BYTES_MAX = 4 * 1024
ICON_BYTES_MAX = 6 * 1024
COLD_REQUESTS_MAX = 7
NODES_MAX = 1800


def weight(content: bytes) -> int:
    """Weigh what a proxy would send."""
    return len(gzip.compress(content, 9))


def sent(reader: FlaskClient, address: str) -> bytes:
    """Fetch a file and close it."""
    with reader.get(address) as answer:
        content: bytes = answer.data
    return content


@pytest.fixture
def reader(world: World) -> FlaskClient:
    """A browser without scripts in which the manager of the full organisation is signed in."""
    client = world.app.test_client()
    assert sign_in(client, FULL, PASSWORD).status_code == 303
    return client


def test_no_page_is_heavy(world: World, reader: FlaskClient) -> None:
    weights = {}
    for address in world.addresses():
        answer = reader.get(address)
        if answer.mimetype == "text/html" and address != "/gallery":
            weights[address] = weight(answer.data)
    assert len(weights) > 10
    assert {address: it for address, it in weights.items() if it > PAGE_BYTES_MAX} == {}


def test_style_and_scripts_are_light(reader: FlaskClient) -> None:
    page = read_page(reader.get("/").text)
    (style,) = page.find_all("link", rel="stylesheet")
    scripts = [one.attributes["src"] for one in page.find_all("script")]
    assert weight(sent(reader, style.attributes["href"])) <= STYLE_BYTES_MAX
    assert sum(weight(sent(reader, address)) for address in scripts) <= SCRIPT_BYTES_MAX
    assert weight((STATIC / "portal.js").read_bytes()) <= OWN_SCRIPT_BYTES_MAX
    assert weight((STATIC / "icons.svg").read_bytes()) <= ICON_BYTES_MAX


def test_every_style_is_in_its_layer() -> None:
    for layer in LAYERS:
        text = (STATIC / "css" / f"{layer}.css").read_text("utf-8")
        assert text.startswith(f"@layer {layer} {{"), layer
        assert text.count("{") == text.count("}"), layer
        assert "!important" not in text, layer
        assert "url(" not in text, "nothing is loaded by the style sheet"


def test_a_list_of_sixty_rows_stays_small_in_the_browser(browser: Browser, world: World) -> None:
    window = open_window(browser, world.address)
    window.sign_in(FULL)
    answers = []
    window.page.on("response", lambda answer: answers.append(answer.url))
    window.open("/invoices?rows=50")
    nodes = window.page.evaluate("document.querySelectorAll('*').length")
    assert nodes <= NODES_MAX
    assert len(set(answers)) <= COLD_REQUESTS_MAX
    assert window.troubles == []
    window.page.context.close()
