"""A clerk writes the next version of the rules with keys alone, with scripts and without."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from playwright.sync_api import expect

from jobs.engine import drain_chunks
from portal.clock import now_utc
from portal.db import acting_for
from portal.domain.users import Role
from portal.queries.rulesets import get_rule_set
from portal.services.users import add_user
from tests.browser.conftest import EMAIL, PASSWORD, Visit
from tests.browser.test_tasks import Keyboard, expect_question, expect_title
from tests.factories import EARLIER_ON, make_issued_invoice
from tests.services.books import events_of, rows

pytestmark = [pytest.mark.browser]

STARTS_ON = "2031-01-01"


@pytest.fixture
def person(organisation: UUID) -> UUID:
    """A clerk of the organisation."""
    return add_user(
        email=EMAIL,
        name="Mara Weber",
        password=PASSWORD,
        memberships=[(organisation, Role.CLERK)],
        now=now_utc(),
    )


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
def test_a_clerk_changes_a_late_fee_tries_it_and_asks_for_it(
    visit: Callable[..., Visit], organisation: UUID, *, scripts: bool
) -> None:
    invoice = make_issued_invoice(business_on=EARLIER_ON)
    looker = visit(java_script_enabled=scripts)
    looker.sign_in()
    hand = Keyboard(looker.page, scripts)
    page = looker.page

    hand.press(".menu a[href='/rules']")
    expect_title(page, "Rules")
    hand.press("tbody th a")
    expect_title(page, "Version 1")
    hand.press("form[action='/rules/1/copy'] button", shortcut="c")
    page.wait_for_url("**/rules/2")
    expect(page.locator("#toasts")).to_contain_text("Version 2 is a draft")

    change_the_fee(hand)
    expect(page.locator("main")).to_contain_text("Charge 1.25 % of what is still open")
    try_it(hand, f"{invoice.series}-{invoice.year}-{invoice.number}")
    rehearse_it(hand)
    before = rows("SELECT count(*) AS number FROM events")
    ask_for_it(hand)

    with acting_for(organisation):
        row = get_rule_set(2)
    assert (row.state.value, str(row.starts_on), row.requested_by) == (
        "requested", STARTS_ON, "Mara Weber"
    )  # fmt: skip
    assert rows("SELECT count(*) AS number FROM events")[0].number == before[0].number + 1
    assert events_of(row.id) == [
        "rule_set.copied", "rule_set.clause_changed", "rule_set.rehearsed", "rule_set.requested"
    ]  # fmt: skip


def change_the_fee(hand: Keyboard) -> None:
    page = hand.page
    hand.press(".moments li:last-child a")
    hand.press("a[aria-label^='Change C201']")
    expect_title(page, "Change C201")
    hand.write("#value_rate_bps", "1,25")
    # A row more saves nothing and keeps what was typed.
    hand.press("button[name=add]")
    expect(page.locator("#when-rows-2-field")).to_be_visible()
    expect(page.locator("#value_rate_bps")).to_have_value("1,25")
    hand.write("#value_rate_bps", "1,25")
    page.keyboard.press("Enter")
    page.wait_for_url("**/rules/2")
    expect(page.locator("#toasts")).to_contain_text("C201 was changed.")


def try_it(hand: Keyboard, number: str) -> None:
    page = hand.page
    hand.press("a[href='/rules/2/test']", shortcut="t")
    expect_title(page, "Test version 2")
    hand.reach("#stage")
    page.keyboard.type("When payers")
    hand.write("#document", number)
    page.keyboard.press("Enter")
    expect(page.locator("#trial")).to_contain_text("C201 Late fee")
    hand.press(".trail a")
    page.wait_for_url("**/rules/2")


def rehearse_it(hand: Keyboard) -> None:
    page = hand.page
    hand.press("a[href='/rules/2/rehearse']", shortcut="r")
    expect_title(page, "Rehearse version 2")
    hand.reach("#from_on")
    page.keyboard.type("03012026")
    page.keyboard.press("Enter")
    page.wait_for_url("**/rules/rehearsals/*")
    expect_title(page, "Rehearsal of version 2")
    expect(page.locator("#toasts")).to_contain_text("The rehearsal was started.")
    drain_chunks()
    if not hand.scripts:
        page.reload()
    expect(page.locator("#progress")).to_contain_text("1 of 1 documents")
    expect(page.locator("#clauses")).to_contain_text("C201")
    hand.press("#largest .buttons a")
    expect_title(page, "Documents that differ")
    expect(page.locator("#list")).to_contain_text("C201")
    hand.press(".trail a")
    expect_title(page, "Rehearsal of version 2")
    hand.press(".trail a")
    page.wait_for_url("**/rules/2")
    expect(page.locator("#rehearsals")).to_contain_text("1 of 1 differ from version 1")


def ask_for_it(hand: Keyboard) -> None:
    page = hand.page
    hand.press("a[href='/rules/2/request']", shortcut="q")
    expect_question(hand, "Ask to activate version 2?")
    hand.reach("#starts_on")
    page.keyboard.type("01012031")
    hand.write("#note", "The council has decided.")
    hand.answer("form[action='/rules/2/request'] .buttons button")
    page.wait_for_url("**/rules/2")
    expect(page.locator("#toasts")).to_contain_text("a second person decides")
