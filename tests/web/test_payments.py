"""Payments in the browser: the list, one payment in words, and what a person decides about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.clock import today
from portal.db import transaction
from portal.domain.payments import AttemptState, PaymentState
from portal.domain.users import Role
from portal.ids import new_id, public_id
from portal.queries.tables import PAYMENT_TABLE, WORKLISTS
from portal.services.payments import ResultKind, list_attempts_max
from portal.sql import execute
from portal.web.formats import worklist_in_words
from portal.web.payments._words import say_ordinal
from portal.web.tones import TONES
from tests import factories
from tests.factories import read_row
from tests.pages import Element, Page, read_page
from tests.recording import Recording
from tests.services.books import events_of, rows
from tests.services.collecting import Case, case_of, give_back, make_case, messages_of, tell_one
from tests.services.test_payments_by_hand import put_on, record
from tests.web.conftest import post, sign_in, token_on

HTMX = {"HX-Request": "true"}
# The other organisation gives its payers thirty days.
EARLY_ON = date(2026, 2, 2)
REASON = "The payer pays by transfer."


def read(client: FlaskClient, address: str, *, status: int = 200, **sent: Any) -> Page:
    answer = client.get(address, **sent)
    assert answer.status_code == status, answer.text
    found = read_page(answer.text)
    assert found.faults() == []
    return found


def address_of(case: Case) -> str:
    return f"/payments/{public_id('payment', case.payment.id)}"


def planned(*, on: date | None = None) -> Case:
    """Make a payment that was declined and is planned again."""
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    if on is not None:
        change("UPDATE payments SET next_attempt_on = %s WHERE id = %s", on, case.payment.id)
    case = case_of(case.payment.id)
    assert case.payment.state == PaymentState.SCHEDULED
    return case


def waiting(worklist: str, reason_code: str | None = None) -> Case:
    """Make a failed payment that waits for a person."""
    case = make_case("errored")
    put_on(worklist, case.payment.id)
    change("UPDATE payments SET reason_code = %s WHERE id = %s", reason_code, case.payment.id)
    return case_of(case.payment.id)


def change(statement: str, *parameters: Any) -> None:
    with transaction(factories.home.get()):
        assert execute(statement, parameters)


def under(found: Page) -> str:
    # The parser sets a blank between the text of two elements.
    return re.sub(r" ([.:,])", r"\1", found.find("p", class_="under").text)


def actions(found: Page) -> dict[str, bool]:
    """Read which actions a page offers, and whether each is possible."""
    head = found.find("div", class_="actions")
    offered = {one.text: True for one in head.find_all("a")}
    return offered | {one.text: False for one in head.find_all("button")}


def hidden(found: Element) -> dict[str, str]:
    """Read what a form carries without showing it."""
    fields = found.find("form", class_="form").find_all("input", type="hidden")
    return {one.attributes["name"]: one.attributes["value"] for one in fields}


def decide(client: FlaskClient, case: Case, what: str, **fields: str) -> Any:
    """Open the page of a confirmation and send its form."""
    address = f"{address_of(case)}/{what}"
    return client.post(address, data={**hidden(read(client, address)), **fields})


def test_the_list_says_state_and_reason_in_words(signed_in: FlaskClient) -> None:
    case = planned()
    found = read(signed_in, "/payments")
    (row,) = found.rows
    assert "Scheduled" in row
    assert "There was not enough money in the account." in row
    assert found.find("tbody").find("a").attributes["href"] == address_of(case)


def test_a_payment_says_how_it_stands_and_what_follows(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    next_on = today("Europe/Berlin") + timedelta(days=5)
    case = planned(on=next_on)
    found = read(signed_in, address_of(case))
    assert found.find("h1").text == "Payment of 119,00 €"
    assert found.find("span", class_="badge").text == "Scheduled"
    assert under(found).startswith(
        "First attempt declined on 18 Mar 2026: there was not enough money in the account."
        f" Next try {next_on.day} "
    )
    with transaction(organisation):
        most = list_attempts_max(payment_ids=[case.payment.id], on=next_on)[case.payment.id]
    table = found.find("section", id="attempts")
    assert f"Attempt 1 of at most {most}" in table.text
    assert table.find("tbody").find("th").text == f"1 of {most}"
    link = table.find("tbody").find("a").attributes["href"]
    assert link == f"/attempts/{public_id('attempt', case.attempt.id)}"
    planned_line = found.find("ol", class_="timeline").find("li")
    assert "is-planned" in planned_line.attributes["class"]
    assert "Second attempt" in planned_line.text


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("created", "is about to be sent to the gateway"),
        ("sending", "is being sent to the gateway"),
        ("pending", "the bank says later what came of it"),
        ("unknown", "the outcome is unknown"),
        ("succeeded", "First attempt of 18 Mar 2026 succeeded."),
    ],
)
def test_each_state_of_an_attempt_has_a_sentence(
    signed_in: FlaskClient, state: str, said: str
) -> None:
    assert said in under(read(signed_in, address_of(make_case(state))))


def test_a_return_is_told_with_what_was_taken_back(signed_in: FlaskClient) -> None:
    case = make_case("succeeded")
    give_back(case.attempt)
    found = read(signed_in, address_of(case))
    assert "the bank took the money back: there was not enough money" in under(found)
    allocations = found.find("section", id="allocations").find("tbody").find_all("tr")
    assert [one.find_all("td")[1].text for one in allocations] == [
        "Applied, taken back later", "Taken back",
    ]  # fmt: skip
    link = allocations[0].find("a").attributes["href"]
    assert link == f"/invoices/{public_id('invoice', case.invoice.id)}"


@pytest.mark.parametrize("worklist", sorted(WORKLISTS))
def test_a_worklist_is_named_in_one_way_everywhere(signed_in: FlaskClient, worklist: str) -> None:
    case = waiting(worklist)
    words = worklist_in_words(worklist)
    assert words == WORKLISTS[worklist]
    assert f"{words}: it is not tried again by itself." in under(read(signed_in, address_of(case)))
    listed = read(signed_in, f"/payments?worklist={worklist}")
    assert f"Worklist: {words}" in listed.find("ul", class_="chips").text
    assert len(listed.rows) == 1


def test_money_recorded_by_hand_needs_no_gateway(signed_in: FlaskClient) -> None:
    payment_id = record(factories.make_issued_invoice().id, 12_000, reference="Statement 7")
    found = read(signed_in, f"/payments/{public_id('payment', payment_id)}")
    assert "1,00 € of it is kept as the payer's credit." in under(found)
    assert "Statement 7" in found.find("section", id="facts").text
    assert not found.find_all("section", id="attempts")
    assert set(actions(found).values()) == {False}
    assert "this money did not come through a gateway" in under(found)


def test_what_happened_stands_once_and_names_people(signed_in: FlaskClient) -> None:
    case = planned()
    decide(signed_in, case, "stop", reason=REASON)
    lines = [one.text for one in read(signed_in, address_of(case)).find("ol").find_all("li")]
    assert lines[0].startswith(f"Stopped “{REASON}”")
    assert "Mara Weber" in lines[0]
    assert sum("declined" in line.lower() for line in lines) == 1


def test_a_contradiction_stands_in_both_histories(signed_in: FlaskClient) -> None:
    case = planned()
    tell_one(case.attempt, ResultKind.SUCCEED)
    invoice = f"/invoices/{public_id('invoice', case.invoice.id)}"
    for address in (address_of(case), invoice):
        history = read(signed_in, address).find("ol", class_="timeline").text
        assert "The gateway has said two things" in history


@pytest.mark.parametrize(
    ("make", "offered", "said"),
    [
        (planned, (True, True, False), "the outcome of the last attempt is known"),
        (lambda: make_case("unknown"), (False, False, True), "take the money twice"),
        (lambda: make_case("sending"), (False, False, False), "the order is just being sent"),
        (
            lambda: waiting("hard_decline", "AC04"), (False, True, False),
            "the bank refuses for good",
        ),
        (
            lambda: waiting("conflicting_outcome", "AM04"), (False, True, False),
            "the gateway has said two things about it",
        ),
        (lambda: make_case("succeeded"), (False, False, False), "nothing waits for a decision"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_why(
    signed_in: FlaskClient, make: Callable[[], Case], offered: tuple[bool, ...], said: str
) -> None:
    found = read(signed_in, address_of(make()))
    assert tuple(actions(found)[name] for name in ("Try now", "Stop", "Ask the gateway now")) == (
        offered
    )
    assert said in under(found)
    for button in found.find("div", class_="actions").find_all("button"):
        assert "disabled" in button.attributes
        assert button.attributes["aria-describedby"] == "why-not"


def test_actions_are_at_hand_on_the_keyboard(signed_in: FlaskClient) -> None:
    head = read(signed_in, address_of(planned())).find("div", class_="actions")
    assert {one.attributes["data-key"] for one in head.find_all("a")} == {"m", "s", "t"}
    assert {one.attributes["hx-target"] for one in head.find_all("a")} == {"#dialog"}


def test_trying_now_makes_one_attempt_and_one_order(signed_in: FlaskClient) -> None:
    case = planned()
    page = read(signed_in, f"{address_of(case)}/retry")
    assert page.find("h1").text == "Try to collect 119,00 € now?"
    assert "the second" in page.text
    fields = hidden(page)

    first = signed_in.post(f"{address_of(case)}/retry", data=fields)
    again = signed_in.post(f"{address_of(case)}/retry", data=fields)

    assert (first.status_code, first.location) == (303, address_of(case))
    assert (again.status_code, again.location) == (303, address_of(case))
    after = case_of(case.payment.id)
    assert (after.payment.state, after.attempt.number) == (PaymentState.PROCESSING, 2)
    assert messages_of(after.attempt) == [(1, "gateway.charge", "ready")]
    assert events_of(case.payment.id).count("payment.retry_requested") == 1
    (event,) = rows("SELECT actor_name FROM events WHERE kind = 'payment.retry_requested'")
    assert event.actor_name == "Mara Weber"
    assert "A new attempt is on its way" in read(signed_in, address_of(case)).text


def test_a_version_that_was_overtaken_changes_nothing(signed_in: FlaskClient) -> None:
    case = planned()
    fields = hidden(read(signed_in, f"{address_of(case)}/retry"))
    change("UPDATE payments SET version = version + 1 WHERE id = %s", case.payment.id)

    for what in ("retry", "stop"):
        answer = signed_in.post(f"{address_of(case)}/{what}", data={**fields, "reason": REASON})
        assert answer.status_code == 409
        assert "has changed this payment meanwhile" in answer.text
    for nonsense in ("x", "", "1" * 30):
        data = {**fields, "version": nonsense}
        assert signed_in.post(f"{address_of(case)}/retry", data=data).status_code == 409

    after = case_of(case.payment.id)
    assert (after.payment.state, after.attempt.id) == (PaymentState.SCHEDULED, case.attempt.id)


def test_a_payer_on_hold_is_told_where_the_person_stands(signed_in: FlaskClient) -> None:
    case = planned()
    change("UPDATE payers SET is_on_hold = true WHERE id = %s", case.payment.payer_id)
    answer = decide(signed_in, case, "retry")
    assert answer.status_code == 409
    assert "The payer is on hold." in answer.text
    assert case_of(case.payment.id).attempt.id == case.attempt.id


@pytest.mark.parametrize(
    ("make", "state"),
    [(planned, "cancelled"), (lambda: waiting("needs_payer", "MS02"), "failed")],
)
def test_stopping_is_on_record_with_its_reason(
    signed_in: FlaskClient, make: Callable[[], Case], state: str
) -> None:
    case = make()

    answer = decide(signed_in, case, "stop", reason=REASON)

    assert (answer.status_code, answer.location) == (303, address_of(case))
    row = read_row("payments", case.payment.id)
    assert (row.state, row.worklist, row.next_attempt_on) == (state, None, None)
    assert row.explanation == REASON
    found = read(signed_in, address_of(case))
    assert f"A person has stopped it: “{REASON}”" in under(found)
    assert set(actions(found).values()) == {False}


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "a\0b"])
def test_a_stop_without_a_usable_reason_keeps_the_payment(
    signed_in: FlaskClient, reason: str
) -> None:
    case = planned()
    answer = decide(signed_in, case, "stop", reason=reason)
    assert answer.status_code == 422
    found = read_page(answer.text)
    assert found.faults() == []
    assert found.find("title").text.startswith("Error: ")
    assert found.find("textarea").attributes["aria-invalid"] == "true"
    assert case_of(case.payment.id) == case


def test_asking_makes_the_question_due_at_once(signed_in: FlaskClient) -> None:
    case = make_case("unknown")
    change(
        "UPDATE payment_attempts SET next_query_at = now() + interval '1 hour' WHERE id = %s",
        case.attempt.id,
    )
    answer = decide(signed_in, case, "query")
    assert answer.status_code == 303
    (due,) = rows("SELECT next_query_at <= clock_timestamp() AS is_due FROM payment_attempts")
    assert due.is_due
    assert events_of(case.payment.id)[-1] == "payment.query_requested"
    assert "The gateway is being asked" in read(signed_in, address_of(case)).text


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: make_case("sending"), "retry"),
        (lambda: make_case("unknown"), "stop"),
        (planned, "query"),
        (lambda: waiting("conflicting_outcome", "AM04"), "retry"),
        (lambda: make_case("succeeded"), "retry"),
    ],
)
def test_a_decision_that_is_no_longer_possible_says_so(
    signed_in: FlaskClient, make: Callable[[], Case], what: str
) -> None:
    case = make()
    found = read(signed_in, f"{address_of(case)}/{what}", status=409)
    assert "This is not possible now" in found.text
    assert not found.find_all("form", class_="form")
    answer = post(
        signed_in, f"{address_of(case)}/{what}", version=str(case.payment.version),
        request_key="k1", reason=REASON,
    )  # fmt: skip
    assert answer.status_code == 409
    assert case_of(case.payment.id) == case


def test_a_confirmation_comes_as_a_dialog_and_leads_on(signed_in: FlaskClient) -> None:
    case = planned()
    answer = signed_in.get(f"{address_of(case)}/retry", headers=HTMX)
    part = read_page(answer.text)
    assert "<html" not in answer.text
    assert part.find("h2", id="dialog-title").text.startswith("Try to collect")
    done = signed_in.post(f"{address_of(case)}/retry", data=hidden(part), headers=HTMX)
    assert (done.status_code, done.headers["HX-Redirect"]) == (204, address_of(case))


def test_an_auditor_looks_and_does_not_act(
    client: FlaskClient, add_person: Callable[..., str], organisation: UUID
) -> None:
    case = planned()
    sign_in(client, add_person(Role.AUDITOR))
    found = read(client, address_of(case))
    assert set(actions(found).values()) == {False}
    assert "your role may look at payments; a clerk or manager decides about them" in under(found)
    token = token_on(client.get("/"))
    for what in ("retry", "move", "stop", "query"):
        refused = read(client, f"{address_of(case)}/{what}", status=403)
        assert "does not allow you to try a payment again or stop it" in refused.text
        data = {"csrf_token": token, "version": str(case.payment.version), "request_key": "k"}
        assert client.post(f"{address_of(case)}/{what}", data=data).status_code == 403
    assert case_of(case.payment.id) == case


def test_what_is_not_ours_is_not_there(signed_in: FlaskClient, other_organisation: UUID) -> None:
    other = factories.make_payment(
        organisation_id=other_organisation, business_on=EARLY_ON, document_on=EARLY_ON
    )
    for payment_id in (other.id, new_id()):
        address = f"/payments/{public_id('payment', payment_id)}"
        for what in ("", "/retry", "/move", "/stop", "/query"):
            assert "no such payment" in read(signed_in, address + what, status=404).text
        for what in ("/retry", "/move", "/stop", "/query"):
            answer = post(
                signed_in, address + what, version="1", request_key="k", reason=REASON,
                day="2026-12-01",
            )  # fmt: skip
            assert answer.status_code == 404
    read(signed_in, "/payments/pay_x", status=404)
    assert read(signed_in, "/payments").rows == []
    unchanged = read_row("payments", other.id, organisation_id=other_organisation)
    assert unchanged.version == other.version


def test_words_from_outside_cannot_break_the_page(signed_in: FlaskClient) -> None:
    canary = "<script>alert(1)</script>"
    case = waiting("needs_payer", canary)
    change("UPDATE payments SET explanation = %s, worklist = %s", canary, canary)
    change("UPDATE payment_attempts SET reason = %s, reason_code = %s", canary, canary)
    for address in (address_of(case), f"{address_of(case)}/stop", "/payments", "/attempts"):
        found = read(signed_in, address)
        assert all("src" in one.attributes for one in found.find_all("script"))
    assert canary in read(signed_in, address_of(case)).text


def test_a_page_costs_few_statements_however_much_happened(
    signed_in: FlaskClient, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    counted = []
    few, many = planned(), make_case("succeeded")
    give_back(many.attempt)
    with transaction(factories.home.get()):
        for place in range(150):
            execute(
                "INSERT INTO events (organisation_id, kind, subject_type, subject_id, actor_kind,"
                " actor_name, happened_at) VALUES (%s, %s, 'payment', %s, 'portal', 'x', now())",
                (factories.home.get(), f"payment.note_{place}", many.payment.id),
            )
    signed_in.get(address_of(few))
    for case in (few, many):
        with statements() as recorded:
            found = read(signed_in, address_of(case))
        counted.append(recorded.count)
        assert recorded.count <= 10, recorded.texts
    assert counted[0] == counted[1]
    assert "Only the latest" in found.text
    with statements() as recorded:
        signed_in.get("/payments?state=unresolved&reason=AM04")
    assert recorded.count <= 6


def test_a_reason_is_filtered_exactly_and_says_what_it_means(signed_in: FlaskClient) -> None:
    planned()
    waiting("retries_exhausted", "AM04")
    waiting("hard_decline", "AC04")
    waiting("gateway_trouble")
    for asked, count in (
        ("reason=AM04", 2),
        ("reason=am04", 0),
        ("reason=AM0", 0),
        ("reason=none", 1),
        ("reason=AM04&worklist=none", 1),
        ("reason=AM04&worklist=any", 1),
        ("state=unresolved", 4),
        ("state=unresolved&reason=none&worklist=gateway_trouble", 1),
    ):
        assert len(read(signed_in, f"/payments?{asked}").rows) == count, asked
    found = read(signed_in, "/payments?reason=AM04")
    assert "Reason: There was not enough money in the account (AM04)" in found.text
    typed = signed_in.get("/payments?find=reason:AM04")
    assert typed.location == "/payments?reason=AM04"
    assert signed_in.get("/payments?reason[gte]=AM04").status_code == 422


def test_every_state_has_a_tone_and_every_attempt_a_sentence() -> None:
    assert set(PaymentState) | set(AttemptState) <= set(TONES)
    assert [say_ordinal(n) for n in (1, 10, 11, 12, 13, 21, 22, 23, 24, 111)] == [
        "First", "Tenth", "11th", "12th", "13th", "21st", "22nd", "23rd", "24th", "111th",
    ]  # fmt: skip
    choice = PAYMENT_TABLE.filter("worklist")
    assert choice is not None
    named = {option.value for option in choice.options}  # type: ignore[union-attr]
    assert named == {*WORKLISTS, "any", "none"}
    assert all(re.match(r"[A-Z]", words) for words in WORKLISTS.values())
