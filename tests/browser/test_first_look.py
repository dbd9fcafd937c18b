"""A first look as a person takes it: by keyboard, in the dark, on a telephone, without scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import expect

from portal.db import transaction
from portal.domain.batches import ItemOutcome, RunState
from portal.ids import public_id
from portal.sql import execute
from tests.browser.conftest import Visit
from tests.factories import EARLIER_ON, Line, make_issued_invoice, make_succeeded_payment, read_row
from tests.web.conftest import count_outcomes, make_worked_run

pytestmark = [pytest.mark.browser]

DONE, FAILED = ItemOutcome.DONE, ItemOutcome.FAILED


@pytest.fixture
def run(organisation: UUID) -> Any:
    make_succeeded_payment()
    # Large amounts are where narrow screens break.
    make_issued_invoice(business_on=EARLIER_ON, lines=(Line(12_345_678_900),))
    return make_worked_run(DONE, DONE, FAILED, items_count=8, job="payment_collection")


def test_a_run_is_found_watched_and_stopped_by_keyboard(
    visit: Callable[..., Visit], run: Any
) -> None:
    looker = visit()
    looker.sign_in()
    page = looker.page
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"

    looker.tab_to("a[href^='/runs/run_']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Run {run.number}: Collect payments")
    looker.tab_to("#stop-run")
    page.evaluate("window.stayed = true")

    progress = page.get_by_role("progressbar")
    expect(progress).to_have_attribute("value", "3")
    count_outcomes(run, [DONE] * 3)
    expect(progress).to_have_attribute("value", "6", timeout=15_000)
    expect(page.locator("#sr")).to_have_text("75 percent of the items are handled.")
    assert page.evaluate("document.activeElement.id") == "stop-run", "the focus survives"
    assert page.evaluate("window.stayed"), "the page was not loaded again"

    page.keyboard.press("Enter")
    expect(page.get_by_text("Stopping").or_(page.get_by_text("Stopped")).first).to_be_visible()
    assert read_row("batch_runs", run.id).state in {RunState.STOPPING, RunState.STOPPED}


def test_the_asking_ends_with_the_run(visit: Callable[..., Visit], run: Any) -> None:
    looker = visit()
    looker.sign_in()
    looker.open(f"/runs/{public_id('run', run.id)}")
    page = looker.page
    with transaction(run.organisation_id):
        execute(
            "UPDATE batch_runs SET state = 'completed', finished_at = now(), items_count = 3"
            " WHERE id = %s",
            (run.id,),
        )
    expect(page.locator("#run-progress .badge").first).to_have_text("Completed", timeout=15_000)
    assert page.locator("[hx-get], [data-poll]").count() == 0
    expect(page.locator("#sr")).to_have_text(f"Run {run.number}: completed.")
    page.locator("#all-items").click()
    expect(page.locator("#list tbody tr")).to_have_count(3)


def test_a_portal_that_stops_answering_is_noticed(visit: Callable[..., Visit], run: Any) -> None:
    looker = visit()
    looker.sign_in()
    looker.open(f"/runs/{public_id('run', run.id)}")
    page = looker.page
    page.route("**/runs/**", lambda route: route.abort())
    expect(page.locator("#alerts")).to_contain_text("does not answer", timeout=15_000)
    page.unroute("**/runs/**")
    expect(page.locator("#alerts")).to_be_empty(timeout=15_000)
    # The browser itself notes each request that found nobody.
    looker.troubles.clear()


def test_everything_works_without_scripts(visit: Callable[..., Visit], run: Any) -> None:
    looker = visit(java_script_enabled=False)
    page = looker.page
    looker.open("/")
    page.get_by_label("E-mail address").fill("mara@harbour.example")
    page.get_by_label("Password").fill("four quiet harbour boats")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("link", name=str(run.number), exact=True).click()
    expect(page.get_by_role("link", name="Load the page again")).to_be_visible()
    page.locator("#count-failed").click()
    expect(page.locator("#list tbody tr")).to_have_count(1)
    page.go_back()
    page.get_by_role("button", name="Stop the run").click()
    assert read_row("batch_runs", run.id).state in {RunState.STOPPING, RunState.STOPPED}
    page.get_by_text("Signed in as Mara Weber").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()


@pytest.mark.parametrize(
    "settings",
    [
        {"color_scheme": "light"},
        {"color_scheme": "dark"},
        {"color_scheme": "light", "width": 320},
        {"color_scheme": "dark", "width": 320},
        {"forced_colors": "active"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_every_page_is_open_to_everyone(
    visit: Callable[..., Visit], run: Any, settings: dict[str, Any]
) -> None:
    looker = visit(**settings)
    looker.open("/sign-in")
    looker.page.get_by_role("button", name="Sign in").click()
    found = {"/sign-in": looker.axe_violations()}
    looker.sign_in()
    address = f"/runs/{public_id('run', run.id)}"
    for path in ("/", "/runs", address, f"{address}?outcome=failed", "/runs?before=1", "/nothing"):
        looker.open(path)
        # The lists at the top lie over the page when they are open.
        for summary in looker.page.locator("main summary").all():
            summary.click()
        found[path] = looker.axe_violations()
        width = looker.page.evaluate("document.documentElement.scrollWidth")
        assert width <= settings.get("width", 1280), f"{path} is {width} wide"
    assert {path: faults for path, faults in found.items() if faults} == {}
