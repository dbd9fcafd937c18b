"""Every page, found by its address: open to everyone, inside its guards, and on any screen.

One walk visits all pages; each test then asks for one kind of fault, by page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, ViewportSize, expect

from tests.browser.conftest import Visit, open_window
from tests.browser.world import AUDITOR, EMPTY, FULL, World

# One walk through all pages; a busy machine takes its time.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

NARROW = 320
WIDE = 1280
FAULTS_FROM = 500
TARGET_MIN = 24
# Of a control that stands in a line of words, the line decides (WCAG 2.5.8); so does a chart's
# table, which has the same links.
SMALL_TARGETS = """min => [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary")]
  .filter(one => one.checkVisibility({visibilityProperty: true}) && !one.closest("svg, .unseen"))
  .filter(one => getComputedStyle(one).display !== "inline" && !one.matches(".skip, .unseen"))
  .map(one => [one, [one, ...(one.labels ?? [])].map(each => each.getBoundingClientRect())])
  .filter(([one, boxes]) => boxes.every(box => box.width < min || box.height < min))
  .map(([one, [box]]) => `${one.outerHTML.slice(0, 80)} ${box.width} × ${box.height}`)"""
OPEN_ALL = "document.querySelectorAll('main details:not(.drop)').forEach(one => one.open = true)"
WIDER_THAN_SCREEN = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SMALL_LOOK = ViewportSize(width=NARROW, height=640)
LARGE_LOOK = ViewportSize(width=WIDE, height=900)

Faults = dict[str, list[str]]


@dataclass
class Findings:
    """What was found wrong, by kind and page."""

    faults: dict[str, Faults] = field(default_factory=lambda: defaultdict(dict))
    pages: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[str]:
        """List what is wrong of one kind, with the page in front."""
        return [f"{page}: {one}" for page, all_ in self.faults[kind].items() for one in all_]

    def note(self, kind: str, page: str, found: Any) -> None:
        """Keep what is wrong with a page; nothing is kept when nothing is."""
        if found:
            self.faults[kind][page] = [*self.faults[kind].get(page, []), *found]


@pytest.fixture(scope="module")
def findings(browser: Browser, world: World) -> Findings:
    """Walk through all pages as three people, in the light, in the dark and on a narrow screen."""
    found = Findings()
    addresses = world.addresses()
    # What does not depend on the organisation is seen once.
    same = ("/broken/", "/api/", "/help/")
    without_ids = [one for one in addresses if "_" not in one and not one.startswith(same)]
    for email, wanted in (
        ("", ["/sign-in", "/sign-in?ended=yes"]),
        (FULL, [one for one in addresses if one != "/sign-in"]),
        (EMPTY, [one for one in without_ids if one not in {"/sign-in", "/gallery"}]),
    ):
        # Colours that are on their way to the next look would be measured half-way.
        walker = open_window(browser, world.address, reduced_motion="reduce")
        if email:
            walker.sign_in(email)
        for address in wanted:
            page = f"{address} of {email or 'nobody'}"
            answer = walker.page.request.get(walker.address + address)
            if answer.status >= FAULTS_FROM and "/broken/" not in address:
                found.note("status", page, [f"answers {answer.status}"])
            # Parts of pages, files and addresses that lead elsewhere are no pages.
            if "<html" in answer.text() and answer.url.endswith(address):
                found.pages.append(page)
                _look(walker, address, page, found)
        walker.page.context.close()
    return found


def _look(walker: Visit, address: str, page: str, found: Findings) -> None:
    window = walker.page
    walker.troubles.clear()
    window.emulate_media(color_scheme="light")
    window.set_viewport_size(LARGE_LOOK)
    walker.open(address)
    window.evaluate(OPEN_ALL)
    found.note("axe", page, walker.axe_violations())
    found.note("overflow", page, _overflow(walker))
    found.note("targets", page, window.evaluate(SMALL_TARGETS, TARGET_MIN))
    window.emulate_media(color_scheme="dark")
    found.note("axe", page, walker.axe_violations())
    window.set_viewport_size(SMALL_LOOK)
    found.note("axe", page, walker.axe_violations())
    found.note("overflow", page, _overflow(walker))
    found.note("targets", page, window.evaluate(SMALL_TARGETS, TARGET_MIN))
    written = window.evaluate("document.querySelectorAll('[style]').length")
    found.note("style", page, [f"{written} elements"] if written else [])
    found.note("troubles", page, walker.troubles)


def _overflow(walker: Visit) -> list[str]:
    wider = walker.page.evaluate(WIDER_THAN_SCREEN)
    return [f"{wider} px wider than the screen"] if wider > 0 else []


def test_the_walk_has_seen_every_page(findings: Findings) -> None:
    seen = {page.partition(" ")[0].partition("?")[0] for page in findings.pages}
    assert {"/", "/sign-in", "/runs", "/gallery", "/broken/503", "/nothing"} <= seen
    assert len(findings.pages) > 20


def test_no_page_is_a_fault(findings: Findings) -> None:
    assert findings.of("status") == []


def test_a_checker_finds_nothing_to_complain_about(findings: Findings) -> None:
    assert findings.of("axe") == []


def test_no_page_is_wider_than_its_screen(findings: Findings) -> None:
    assert findings.of("overflow") == []


def test_every_target_can_be_hit(findings: Findings) -> None:
    assert findings.of("targets") == []


def test_no_page_breaks_its_policy_or_asks_anybody_else(findings: Findings) -> None:
    assert findings.of("troubles") == []


def test_no_page_carries_a_look_of_its_own(findings: Findings) -> None:
    assert findings.of("style") == []


@pytest.fixture
def walker(browser: Browser, world: World) -> Iterator[Visit]:
    """A manager who is signed in and looks at the components."""
    one = open_window(browser, world.address)
    one.sign_in(FULL)
    one.open("/gallery")
    yield one
    assert one.troubles == []
    one.page.context.close()


def test_a_focus_is_never_hidden_behind_what_stays(walker: Visit) -> None:
    page = walker.page
    page.set_viewport_size({"width": WIDE, "height": 500})
    hidden = []
    for _ in range(120):
        page.keyboard.press("Tab")
        covered = page.evaluate(
            """() => {
              const one = document.activeElement;
              const passed = "svg *, .table-region, .chart-region";
              if (one === document.body || one.matches(passed)) return null;
              const box = one.getBoundingClientRect();
              const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
              const over = document.elementFromPoint(x, y);
              if (over && (one.contains(over) || over.contains(one))) return null;
              return one.outerHTML.slice(0, 90);
            }"""
        )
        hidden += [covered] if covered else []
    assert hidden == []


def test_a_confirmation_opens_over_the_page_and_gives_the_focus_back(walker: Visit) -> None:
    page = walker.page
    page.get_by_role("link", name="Void", exact=True).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Void this invoice?")
    expect(dialog).to_be_visible()
    assert walker.axe_violations() == []
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("link", name="Void", exact=True)).to_be_focused()
    assert page.url.endswith("/gallery")


def test_keys_do_what_stands_beside_them_until_they_are_turned_off(walker: Visit) -> None:
    page = walker.page
    page.keyboard.press("?")
    help_list = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(help_list).to_contain_text("Runs")
    expect(help_list).to_contain_text("Record payment")
    assert walker.axe_violations() == []
    page.keyboard.press("Escape")

    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("table.rows tbody th a").nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator("table.rows tbody th a").nth(0)).to_be_focused()

    page.locator("#query").focus()
    page.keyboard.type("gr")
    expect(page.locator("#query")).to_have_value("grstatus:overdue sort:-due")
    page.locator("main").focus()
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/runs")

    page.get_by_text("Signed in as Mara Weber").click()
    page.get_by_role("button", name="Turn keyboard shortcuts off").click()
    page.wait_for_url("**/runs")
    page.locator("main").focus()
    page.keyboard.press("g")
    page.keyboard.press("o")
    page.keyboard.press("?")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert page.url.endswith("/runs")


def test_a_theme_is_chosen_and_kept(walker: Visit) -> None:
    page = walker.page
    page.emulate_media(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.get_by_text("Signed in as Mara Weber").click()
    assert walker.axe_violations() == []
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(ground) == "rgb(15, 20, 27)"
    walker.open("/runs")
    assert page.evaluate(ground) == "rgb(15, 20, 27)"


def test_leaving_a_half_filled_form_about_money_asks_first(walker: Visit) -> None:
    page = walker.page
    asked: list[str] = []

    def go_on(question: Dialog) -> None:
        asked.append(question.type)
        question.accept()

    page.on("dialog", go_on)
    walker.open("/gallery")
    assert asked == []
    page.get_by_role("textbox", name="Payer").fill("Elm Road Clinic")
    walker.open("/runs")
    assert asked == ["beforeunload"]


def test_an_auditor_sees_no_button_that_is_not_theirs(browser: Browser, world: World) -> None:
    looker = open_window(browser, world.address)
    looker.sign_in(AUDITOR)
    for address in world.addresses():
        if address.startswith(("/runs", "/invoices", "/payments", "/payers", "/attempts")):
            answer = looker.page.request.get(world.address + address)
            assert answer.status in {200, 403, 404, 405, 422}, f"{address} answers {answer.status}"
            content = answer.text().partition("<main")[2]
            assert 'method="post"' not in content, f"{address} offers what is not theirs"
    looker.page.context.close()
