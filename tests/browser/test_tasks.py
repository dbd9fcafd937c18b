"""The clerk's day in a real browser, four times: by keyboard or pointer, with scripts or without.

One story from the overdue invoice to the second try of a payment; after each deed the page and the
database must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from playwright.sync_api import Page, Response, expect

from jobs.engine import work_one_chunk
from portal.clock import now_utc, today
from portal.domain.users import Role
from portal.ids import public_id
from portal.services.payments import ResultKind
from portal.services.users import add_user
from tests.browser.conftest import EMAIL, PASSWORD, Visit
from tests.factories import (
    ORGANISATIONS,
    Line,
    answer_attempt,
    attempt_of,
    make_issued_invoice,
    make_mandate,
    make_payment,
    make_succeeded_payment,
    read_row,
)
from tests.services.books import assert_books_hold, events_of, rows

pytestmark = [pytest.mark.browser]

STOPS_MAX = 60
CHOICES_MAX = 10
REFUSED_FROM = 400
# A live page asks every two seconds; a busy machine takes its time.
LIVE_MS = 20_000
# What has the focus: whether it is the wanted one, and what a person who looks for it would miss.
# The page itself has it between its last stop and its first; the calendar inside a field of a date
# is marked by the browser, which tells nobody.
FOCUS = """wanted => {
  const one = document.activeElement;
  if (!one || one === document.body) return [false, ""];
  const said = one.outerHTML.slice(0, 120);
  const style = getComputedStyle(one);
  const isMarked = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  const isInside = one.type === "date" && !one.matches(":focus");
  if (!isMarked && !isInside) return [false, `no mark on ${said}`];
  let { left, top, right, bottom } = one.getClientRects()[0];
  const windows = [{ left: 0, top: 0, right: innerWidth, bottom: innerHeight }];
  for (let on = one.parentElement; on; on = on.parentElement) {
    if (getComputedStyle(on).overflow !== "visible") windows.push(on.getBoundingClientRect());
  }
  for (const box of windows) {
    [left, right] = [Math.max(left, box.left), Math.min(right, box.right)];
    [top, bottom] = [Math.max(top, box.top), Math.min(bottom, box.bottom)];
  }
  if (right <= left || bottom <= top) return [false, `out of sight: ${said}`];
  for (const y of [top + 2, (top + bottom) / 2, bottom - 2]) {
    const hit = document.elementFromPoint((left + right) / 2, y);
    if (!hit || !one.contains(hit)) return [false, `${hit?.outerHTML.slice(0, 80)} covers ${said}`];
  }
  return [one.matches(wanted), ""];
}"""


@dataclass
class Window:
    """The page in front of a person, and whether it runs scripts."""

    page: Page
    scripts: bool


class Keyboard(Window):
    """A person who has nothing but keys, and looks for the focus at every stop."""

    def look(self, wanted: str = "*") -> bool:
        """Say whether the focus is on what is wanted; wherever it is, it must be seen."""
        # Before a page is loaded its scripts hear no key.
        self.page.wait_for_load_state()
        is_wanted, wrong = self.page.evaluate(FOCUS, wanted)
        assert not wrong, f"{self.page.url}: {wrong}"
        return bool(is_wanted)

    def reach(self, selector: str, *, key: str = "Tab") -> None:
        """Press Tab until something has the focus."""
        for _ in range(STOPS_MAX):
            if self.look(selector):
                return
            self.page.keyboard.press(key)
        raise AssertionError(f"{selector} cannot be reached on {self.page.url}")

    def press(self, selector: str, *, shortcut: str | None = None) -> None:
        """Follow a link or press a button, by its shortcut where it has one."""
        keys = shortcut.split() if shortcut and self.scripts else ["Enter"]
        self.look()
        if keys == ["Enter"]:
            self.reach(selector)
        for key in keys:
            self.page.keyboard.press(key)

    def write(self, selector: str, text: str) -> None:
        """Type over what stands in a field."""
        self.reach(selector)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def choose(self, name: str, value: str) -> None:
        """Go through the radio buttons by arrows."""
        self.reach(f"input[name={name}]")
        wanted = self.page.locator(f"input[name={name}][value={value}]")
        for _ in range(CHOICES_MAX):
            if wanted.is_checked():
                return
            self.page.keyboard.press("ArrowDown")
            self.look()
        raise AssertionError(f"{value} cannot be chosen on {self.page.url}")

    def narrow(self, name: str, value: str) -> None:
        """Type a condition into the line above the list, or go to it beside the list."""
        if not self.scripts:
            self.press(f"#facets a[href*='{name}={value}']")
            return
        self.press("#find", shortcut="/")
        assert self.look("input[type=search]")
        self.write("#find", f"{name}:{value}")
        self.page.keyboard.press("Enter")

    def open_first(self) -> None:
        """Open the first line of a list; shortcuts work outside of fields."""
        if self.scripts:
            if self.look("input"):
                self.page.keyboard.press("Tab")
            self.press("tbody th a", shortcut="j")
            assert self.look("tbody tr:first-child th a")
        self.press("tbody th a")

    def answer(self, selector: str) -> None:
        """Press the button of a question, after a look at the way out."""
        self.reach(f"{selector} ~ a")
        self.reach(selector, key="Shift+Tab")
        self.page.keyboard.press("Space")


class Pointer(Window):
    """A person who points at things, and takes the keyboard only to write."""

    def press(self, selector: str, *, shortcut: str | None = None) -> None:
        """Click at something on a loaded page; shortcuts are not for this person."""
        del shortcut
        self.page.wait_for_load_state()
        self.page.locator(selector).click()

    def write(self, selector: str, text: str) -> None:
        """Write over what stands in a field."""
        self.page.locator(selector).fill(text)

    def choose(self, name: str, value: str) -> None:
        """Click at the words beside a radio button."""
        chosen = self.page.locator(f"input[name={name}][value={value}]")
        self.press(f"label[for={chosen.get_attribute('id')}]")

    def narrow(self, name: str, value: str) -> None:
        """Click at a condition beside the list."""
        self.press(f"#facets a[href*='{name}={value}']")

    def open_first(self) -> None:
        """Open the first line of a list."""
        self.page.locator("tbody th a").first.click()

    def answer(self, selector: str) -> None:
        """Click twice, as on a desktop."""
        self.page.locator(selector).dblclick()


Hand = Keyboard | Pointer


class Desk(NamedTuple):
    """What lies on the clerk's desk."""

    organisation_id: UUID
    # The largest overdue invoice, and a declined payment that waits for its next try.
    largest: Any
    planned: Any


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


@pytest.fixture
def desk(organisation: UUID) -> Desk:
    """Five overdue invoices, three of them to be collected, and others that are not the matter."""
    on = today(ORGANISATIONS["harbour"]["zone"])
    make_succeeded_payment()
    planned = make_payment()
    answer_attempt(attempt_of(planned), ResultKind.DECLINE, reason_code="AM04")
    largest = make_issued_invoice(lines=(Line(50_000),))
    collected = [largest, make_issued_invoice(), make_issued_invoice(lines=(Line(20_000),))]
    make_issued_invoice(lines=(Line(5_000),))
    collected.append(make_issued_invoice(business_on=on))
    for invoice in collected:
        make_mandate(payer_id=invoice.payer_id, signed_on=on)
    return Desk(organisation, largest, planned)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
@pytest.mark.parametrize("person_with", [Keyboard, Pointer])
def test_the_day_of_a_clerk(
    visit: Callable[..., Visit], desk: Desk, *, person_with: type[Hand], scripts: bool
) -> None:
    looker = visit(java_script_enabled=scripts)

    def note(answer: Response) -> None:
        if answer.status >= REFUSED_FROM:
            looker.troubles.append(f"{answer.status} {answer.url}")

    looker.page.on("response", note)
    hand = person_with(looker.page, scripts)
    looker.open("/sign-in")
    expect(looker.page.locator("#email")).to_be_focused()
    hand.write("#email", EMAIL)
    hand.write("#password", PASSWORD)
    hand.press("main form button")
    looker.page.wait_for_url(looker.address + "/")
    open_the_largest_overdue_invoice(hand, desk)
    record_what_was_paid_at_the_desk(hand, desk)
    run_id = start_collecting(hand)
    watch_the_run(hand, desk, run_id)
    open_the_planned_payment(hand, desk)
    try_it_now(hand, desk)
    assert_books_hold()


def open_the_largest_overdue_invoice(hand: Hand, desk: Desk) -> None:
    page = hand.page
    hand.press(".menu a[href='/invoices']", shortcut="g i")
    expect_title(page, "Invoices")
    hand.narrow("status", "overdue")
    page.wait_for_url("**/invoices?status=overdue")
    expect(page.locator("tbody tr")).to_have_count(5)
    hand.press("#sort-open")
    page.wait_for_url("**/invoices?status=overdue&sort=-open")
    expect(page.locator("tbody td[data-label=Open]")).to_have_text(
        ["595,00 €", "238,00 €", "119,00 €", "119,00 €", "59,50 €"]
    )
    if hand.scripts and isinstance(hand, Keyboard):
        assert hand.look("#sort-open"), "the focus survives the new order"
    hand.open_first()
    page.wait_for_url(f"**/invoices/{public_id('invoice', desk.largest.id)}")
    expect(standing(page, "Open")).to_have_text("595,00 €")


def record_what_was_paid_at_the_desk(hand: Hand, desk: Desk) -> None:
    page, address = hand.page, hand.page.url
    hand.press("a[href$='/payment']", shortcut="p")
    expect_question(hand, "Record a payment")
    hand.write("#amount", "200,00")
    hand.choose("method", "by_hand")
    hand.write("#reference", "Receipt 2207")
    hand.answer("form[action$='/payment'] .buttons button")
    expect(page.locator("#toasts")).to_contain_text("Payment of 200,00 € recorded.")
    assert page.url == address
    expect(standing(page, "Paid")).to_have_text("200,00 €")
    expect(standing(page, "Open")).to_have_text("395,00 €")

    invoice = read_row("invoices", desk.largest.id)
    assert (invoice.paid_minor, invoice.open_minor) == (20_000, 39_500)
    (payment,) = rows("SELECT * FROM payments WHERE invoice_id = %s", desk.largest.id)
    assert (payment.amount_minor, payment.method, payment.state) == (20_000, "by_hand", "succeeded")
    assert "payment.recorded" in events_of(payment.id)
    (allocation,) = rows("SELECT * FROM allocations WHERE invoice_id = %s", desk.largest.id)
    assert (allocation.payment_id, allocation.amount_minor) == (payment.id, 20_000)


def start_collecting(hand: Hand) -> UUID:
    page = hand.page
    hand.press(".menu a[href='/runs']", shortcut="g r")
    expect_title(page, "Runs")
    hand.press("a[href='/runs/new']", shortcut="n")
    expect_title(page, "New run")
    hand.choose("job", "payment_collection")
    if not hand.scripts:
        hand.press("form[method=get] .buttons button")
    expect(page.locator("#preview")).to_contain_text("Collect payments on")

    (due,) = rows(
        "SELECT count(*) AS number, sum(open_minor)::bigint AS minor FROM invoices i"
        " WHERE state = 'issued' AND open_minor > 0 AND in_payment_minor = 0"
        " AND due_on <= current_date AND EXISTS"
        " (SELECT FROM mandates WHERE payer_id = i.payer_id AND state = 'active')"
        " AND NOT EXISTS (SELECT FROM payments WHERE invoice_id = i.id AND state = 'scheduled')"
    )
    assert (due.number, due.minor) == (3, 39_500 + 23_800 + 11_900)
    expect(page.locator("#preview .money-strip dd")).to_have_text(["3", "752,00 €"])
    assert rows("SELECT id FROM batch_runs") == [], "looking starts nothing"

    hand.press("#preview form button")
    page.wait_for_url("**/runs/run_*")
    expect(page.locator("#toasts")).to_contain_text("The run was started.")
    (run,) = rows("SELECT * FROM batch_runs")
    assert (run.job, run.state, run.items_count, run.sum_minor) == (
        "payment_collection", "started", due.number, due.minor
    )  # fmt: skip
    assert page.url.endswith(public_id("run", run.id))
    run_id: UUID = run.id
    return run_id


def watch_the_run(hand: Hand, desk: Desk, run_id: UUID) -> None:
    page, state = hand.page, hand.page.locator("#run-progress .badge").first
    expect(state).to_have_text("Running")
    page.evaluate("window.stayed = true")
    while work_one_chunk(desk.organisation_id):
        pass
    if not hand.scripts:
        hand.press("#run-progress noscript a")
    expect(state).to_have_text("Completed", timeout=LIVE_MS)
    assert bool(page.evaluate("window.stayed")) is hand.scripts, "it brings itself up to date"
    expect(page.locator("#count-done")).to_have_text("3")
    hand.press("#all-items")
    expect(page.locator("#list tbody tr")).to_have_count(3)
    page.go_back()

    assert read_row("batch_runs", run_id).state == "completed"
    collected = rows("SELECT state, amount_minor FROM payments WHERE run_id = %s", run_id)
    assert sorted(collected) == [("processing", each) for each in (11_900, 23_800, 39_500)]


def open_the_planned_payment(hand: Hand, desk: Desk) -> None:
    page = hand.page
    hand.press(".menu a[href='/payments']", shortcut="g p")
    expect_title(page, "Payments")
    hand.narrow("state", "unresolved")
    page.wait_for_url("**/payments?state=unresolved")
    expect(page.locator("tbody tr")).to_have_count(1)
    hand.open_first()
    page.wait_for_url(f"**/payments/{public_id('payment', desk.planned.id)}")
    expect_title(page, "Payment of 119,00 €")


def try_it_now(hand: Hand, desk: Desk) -> None:
    page, address = hand.page, hand.page.url
    before = {row.id for row in rows("SELECT id FROM payment_attempts")}
    hand.press("a[href$='/retry']", shortcut="t")
    expect_question(hand, "Try to collect 119,00 € now?")
    hand.answer("form[action$='/retry'] .buttons button")
    expect(page.locator("#toasts")).to_contain_text("A new attempt is on its way to the gateway.")
    assert page.url == address
    expect(page.locator("#attempts tbody tr")).to_have_count(2)

    (attempt,) = (row for row in rows("SELECT * FROM payment_attempts") if row.id not in before)
    assert (attempt.payment_id, attempt.number, attempt.state, attempt.amount_minor) == (
        desk.planned.id, 2, "created", 11_900
    )  # fmt: skip
    (message,) = rows("SELECT * FROM messages WHERE aggregate_id = %s", attempt.id)
    assert (message.sequence, message.kind, message.state) == (1, "gateway.charge", "ready")
    assert read_row("payments", desk.planned.id).state == "processing"
    assert events_of(desk.planned.id).count("payment.retry_requested") == 1


def expect_title(page: Page, title: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def expect_question(hand: Hand, title: str) -> None:
    """Wait for a question: a dialog over the page with scripts, a page of its own without."""
    if hand.scripts:
        expect(hand.page.get_by_role("dialog", name=title)).to_be_visible()
        # When all is in its place the focus is set once more; keys that came before would be lost.
        expect(hand.page.locator(".htmx-swapping, .htmx-settling")).to_have_count(0)
    else:
        expect_title(hand.page, title)


def standing(page: Page, label: str) -> Any:
    """Find an amount of the strip at the top of an invoice."""
    strip = page.locator(".money-strip > div")
    return strip.filter(has=page.get_by_text(label, exact=True)).locator("dd")
