"""The retry monitor: figures that lead to as many rows, a part that refreshes, one attempt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.clock import today
from portal.db import transaction
from portal.domain.payments import AttemptState
from portal.domain.users import Role
from portal.ids import new_id, public_id
from portal.services.payments import ResultKind
from portal.sql import execute
from tests import factories
from tests.factories import make_payment
from tests.pages import Element, Page, read_page
from tests.recording import Recording
from tests.services.collecting import Case, claim, give_back, make_case, send, tell_one
from tests.services.test_payments_by_hand import put_on
from tests.web.conftest import sign_in

HTMX = {"HX-Request": "true"}
# The other organisation gives its payers thirty days.
EARLY_ON = date(2026, 2, 2)


def read(client: FlaskClient, address: str, *, status: int = 200, **sent: Any) -> Page:
    answer = client.get(address, **sent)
    assert answer.status_code == status, answer.text
    found = read_page(answer.text)
    assert found.faults() == []
    return found


def address_of(case: Case) -> str:
    return f"/attempts/{public_id('attempt', case.attempt.id)}"


def change(statement: str, *parameters: Any) -> None:
    with transaction(factories.home.get()):
        assert execute(statement, parameters)


def declined(reason_code: str, *, days_ahead: int | None = None, **over: Any) -> Case:
    """Make a payment that was declined; by its reason it is planned again or waits."""
    case = make_case("sending", **over)
    tell_one(case.attempt, ResultKind.DECLINE, reason_code=reason_code)
    if days_ahead is not None:
        on = today("Europe/Berlin") + timedelta(days=days_ahead)
        change("UPDATE payments SET next_attempt_on = %s WHERE id = %s", on, case.payment.id)
    return case


@pytest.fixture
def world(organisation: UUID) -> None:
    """Attempts of many states, and payments that wait for many reasons."""
    declined("AM04", days_ahead=-3)
    declined("AM04", days_ahead=0)
    declined("MS03", days_ahead=2)
    declined("AM04", days_ahead=40)
    declined("AC04")
    declined("MS02")
    for state in ("created", "pending", "unknown", "succeeded"):
        make_case(state)
    for worklist in ("gateway_trouble", "conflicting_outcome"):
        case = make_case("errored")
        put_on(worklist, case.payment.id)
        change("UPDATE payments SET reason_code = NULL WHERE id = %s", case.payment.id)
    contradicted = declined("AM04", days_ahead=1)
    change(
        "UPDATE payments SET worklist = 'conflicting_outcome' WHERE id = %s",
        contradicted.payment.id,
    )
    unexplained = declined("AM04", days_ahead=1)
    change("UPDATE payments SET reason_code = NULL WHERE id = %s", unexplained.payment.id)
    # What a person has decided counts nowhere.
    change("UPDATE payments SET worklist = NULL WHERE id = %s", declined("AC06").payment.id)


def monitor_of(found: Page) -> Element:
    return found.find("div", id="monitor")


def listed(client: FlaskClient, address: str) -> tuple[int, str]:
    """Follow a figure: how many rows there are, and what stands below them."""
    found = read(client, address)
    return len(found.find("table", class_="rows").find("tbody").find_all("tr")), found.find(
        "div", id="totals"
    ).text


def test_nothing_yet_is_said(signed_in: FlaskClient) -> None:
    found = read(signed_in, "/attempts")
    assert "Nothing has been sent to the gateway yet" in monitor_of(found).text
    assert "There are no attempts yet" in found.find("div", id="list").text


def test_all_quiet_is_said(signed_in: FlaskClient) -> None:
    make_case("succeeded")
    words = monitor_of(read(signed_in, "/attempts")).text
    assert "No payment waits for another try or for a person." in words
    assert "Nothing is planned for the next 14 days." in words


def test_each_counter_leads_to_as_many_attempts(world: None, signed_in: FlaskClient) -> None:
    counts = monitor_of(read(signed_in, "/attempts")).find("dl", class_="counts")
    shown = dict(
        zip(
            (one.text for one in counts.find_all("dt")),
            (int(one.text) for one in counts.find_all("dd")),
            strict=True,
        )
    )
    assert set(shown) == {state.label for state in AttemptState}
    assert shown["Declined"] == 9
    assert shown["Outcome unknown"] == 1
    links = counts.find_all("a")
    assert len(links) == sum(1 for number in shown.values() if number)
    for link in links:
        rows_count, totals = listed(signed_in, link.attributes["href"])
        assert rows_count == int(link.text)
        assert totals.startswith(f"Total of {link.text}:")


def test_each_cause_leads_to_the_payments_that_it_counts(
    world: None, signed_in: FlaskClient
) -> None:
    causes = monitor_of(read(signed_in, "/attempts")).find("section", id="why").find("tbody")
    counted = 0
    for row in causes.find_all("tr"):
        again, decide, amount, last = row.find_all("td")
        link = last.find("a")
        number = int(link.text.split()[1])
        counted += number
        assert number == sum(int(one.text) for one in (again, decide) if one.text != "–")
        rows_count, totals = listed(signed_in, link.attributes["href"])
        assert rows_count == number, row.text
        assert amount.text in totals
    assert counted == 10
    words = causes.text
    assert "There was not enough money in the account. AM04" in words
    assert "The gateway could not be reached; nothing was sent." in words
    assert "The reason is not known." in words


def test_the_coming_days_lead_to_what_is_tried_on_each(world: None, signed_in: FlaskClient) -> None:
    coming = monitor_of(read(signed_in, "/attempts")).find("section", id="coming")
    assert "5 payments in the next 14 days: 595,00 €" in coming.text.replace("\xa0", " ")
    table = coming.find("table")
    days = table.find("tbody").find_all("tr")
    assert len(days) == 14
    for row in days:
        number = int(row.find("td").text)
        if number:
            address = row.find("a").attributes["href"]
            assert listed(signed_in, address)[0] == number
    assert int(days[0].find("td").text) == 2, "what was due before is tried on the first day"
    everything = coming.find("a", id="coming-all")
    assert listed(signed_in, everything.attributes["href"])[0] == int(everything.text.split()[0])


def test_what_the_messages_do_is_said(signed_in: FlaskClient) -> None:
    make_payment()
    words = monitor_of(read(signed_in, "/attempts")).text
    assert "1 message is on the way to or from the gateway." in words
    change("UPDATE messages SET state = 'parked'")
    words = monitor_of(read(signed_in, "/attempts")).text
    assert "No message is on the way" in words
    assert "Messages of 1 attempt could not be delivered and are parked" in words
    parked = read(signed_in, "/attempts").find("a", id="parked")
    assert listed(signed_in, parked.attributes["href"])[0] == 1


def test_the_upper_part_asks_by_itself_and_gets_only_what_is_new(
    world: None, signed_in: FlaskClient
) -> None:
    upper = monitor_of(read(signed_in, "/attempts?state=declined"))
    assert upper.attributes["hx-trigger"] == "every 5s"
    assert "data-poll" in upper.attributes
    asked = upper.attributes["hx-get"]
    assert signed_in.get(asked, headers=HTMX).status_code == 204, "nothing is new"

    make_case("unknown")
    answer = signed_in.get(asked, headers=HTMX)
    newer = read_page(answer.text)
    assert newer.faults() == []
    assert newer.find("a", id="count-unknown").text == "2"
    assert not newer.find_all("div", id="list"), "the list stays still"
    assert signed_in.get(newer.find("div").attributes["hx-get"], headers=HTMX).status_code == 204
    opened = signed_in.get(asked)
    assert (opened.status_code, opened.location) == (303, "/attempts")


def test_refreshing_can_be_paused(world: None, signed_in: FlaskClient) -> None:
    pause = read(signed_in, "/attempts").find("a", id="pause-updates").attributes["href"]
    paused = read(signed_in, pause)
    assert "hx-get" not in monitor_of(paused).attributes
    assert paused.find("a", id="go-on").attributes["href"] == "/attempts"


def test_the_list_alone_is_swapped(world: None, signed_in: FlaskClient) -> None:
    answer = signed_in.get("/attempts?state=declined", headers=HTMX)
    part = read_page(answer.text)
    assert part.find_all("div", id="list")
    assert not part.find_all("div", id="monitor")


def test_the_next_try_stands_at_the_last_attempt_alone(signed_in: FlaskClient) -> None:
    case = declined("AM04", days_ahead=3)
    change("UPDATE payments SET attempts_count = 2 WHERE id = %s", case.payment.id)
    (row,) = read(signed_in, "/attempts").find("table", class_="rows").find("tbody").find_all("tr")
    assert "There was not enough money in the account." in row.text
    assert row.find("td", data_label="Next try").text == "–"
    change("UPDATE payments SET attempts_count = 1 WHERE id = %s", case.payment.id)
    (row,) = read(signed_in, "/attempts").find("table", class_="rows").find("tbody").find_all("tr")
    assert row.find("td", data_label="Next try").text != "–"


def test_an_attempt_shows_what_was_sent_and_what_came_back(signed_in: FlaskClient) -> None:
    case = make_case("created")
    send(claim())
    tell_one(case.attempt, ResultKind.SUCCEED, gateway_ref="gw-77")
    give_back(case.attempt)
    found = read(signed_in, address_of(case))
    assert found.find("h1").text.startswith("Attempt 1 of at most ")
    assert found.find("span", class_="badge").text == "Returned"
    assert "the bank took the money back" in found.find("p", class_="under").text
    gateway = found.find("section", id="gateway").text
    assert case.attempt.merchant_ref in gateway
    assert "gw-77" in gateway
    assert "returned" in gateway
    assert "harbour" in gateway
    (message,) = found.find("section", id="messages").find("tbody").find_all("tr")
    assert "Collect a payment" in message.text
    assert "3,50 €" in found.find("section", id="facts").text.replace("\xa0", " ")
    back = found.find("div", class_="actions").find("a")
    assert back.attributes["href"] == f"/payments/{public_id('payment', case.payment.id)}"
    assert back.attributes["data-key"] == "o"


def test_an_attempt_that_is_not_decided_says_when_it_is_asked(signed_in: FlaskClient) -> None:
    case = make_case("unknown")
    times = read(signed_in, address_of(case)).find("section", id="times").text
    assert "Asked next" in times
    assert "Decided Not yet" in times


def test_what_is_not_ours_is_not_there(
    world: None, signed_in: FlaskClient, other_organisation: UUID
) -> None:
    mine = monitor_of(read(signed_in, "/attempts")).text
    other = make_payment(
        organisation_id=other_organisation, business_on=EARLY_ON, document_on=EARLY_ON
    )
    theirs = factories.attempt_of(other, organisation_id=other_organisation)
    for attempt_id in (theirs.id, new_id()):
        address = f"/attempts/{public_id('attempt', attempt_id)}"
        assert "no such attempt" in read(signed_in, address, status=404).text
    read(signed_in, "/attempts/att_x", status=404)
    assert monitor_of(read(signed_in, "/attempts")).text == mine


def test_an_auditor_may_look(client: FlaskClient, add_person: Callable[..., str]) -> None:
    case = make_case("unknown")
    sign_in(client, add_person(Role.AUDITOR))
    read(client, "/attempts")
    read(client, address_of(case))


def test_the_monitor_costs_the_same_however_much_waits(
    signed_in: FlaskClient, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    counted: list[tuple[int, ...]] = []
    case = declined("AM04", days_ahead=1)
    for _ in range(2):
        asked = monitor_of(read(signed_in, "/attempts")).attributes["hx-get"]
        found = []
        for address, headers in (
            ("/attempts", {}), ("/attempts?state=declined", HTMX), (asked, HTMX),
            (address_of(case), {}),
        ):  # fmt: skip
            with statements() as recorded:
                signed_in.get(address, headers=headers)
            found.append(recorded.count)
        counted.append(tuple(found))
        for reason in ("AM04", "MS03", "AC04", "AC06", "MS02"):
            declined(reason)
    assert counted[0] == counted[1]
    # The page adds the four readings of its upper part, and the brakes, to those of a list.
    page, list_alone, poll, attempt = counted[0]
    assert list_alone <= 6
    assert page == list_alone + 5
    assert poll == 5
    assert attempt <= 9
