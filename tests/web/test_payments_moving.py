"""Moving a planned retry in the browser: a form, a reason, and the day everywhere afterwards."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.clock import today
from portal.domain.dates import next_business_day
from portal.ids import public_id
from portal.services.calendars import bank_holidays
from portal.web.formats import day
from tests.services.books import events_of
from tests.services.collecting import Case, case_of, make_case
from tests.services.test_payments_by_hand import planned
from tests.web.forms import form_to, read, read_answer, send

REASON = "The payer is paid on that day."
HTMX = {"HX-Request": "true", "HX-Target": "dialog"}


def address_of(case: Case) -> str:
    return f"/payments/{public_id('payment', case.payment.id)}"


def working_day(days_ahead: int) -> date:
    on = today("Europe/Berlin") + timedelta(days=days_ahead)
    return next_business_day(on, bank_holidays("ECB", on.year, on.year + 1))


def move(client: FlaskClient, case: Case, **entered: Any) -> Any:
    address = f"{address_of(case)}/move"
    return send(client, read(client, address), address, **{"reason": REASON, **entered})


def test_a_planned_try_is_moved_and_says_so_everywhere(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    case, chosen = planned(), working_day(20)

    answer = move(signed_in, case, day=str(chosen))

    assert (answer.status_code, answer.location) == (303, address_of(case))
    after = case_of(case.payment.id)
    assert (after.payment.next_attempt_on, after.payment.version) == (
        chosen, case.payment.version + 1
    )  # fmt: skip
    assert events_of(case.payment.id)[-1] == "payment.moved"
    found = read(signed_in, address_of(case))
    shown, before = day(chosen).striptags(), day(case.payment.next_attempt_on).striptags()
    assert f"The next try is planned for {shown} now." in found.text
    facts = found.find("section", id="facts").text
    assert f"{shown} , moved by Mara Weber from {before}" in facts
    history = [one.text for one in found.find("ol").find_all("li")]
    assert "Moved by Mara Weber" in history[0]
    assert f"From {before} to {shown} . “{REASON}”" in history[1]
    row = read(signed_in, "/attempts").find_all("tbody")[-1].find("tr")
    cells = {one.attributes.get("data-label"): one.text for one in row.find_all("td")}
    assert cells["Next try"] == f"{shown} , moved by Mara Weber"


def test_the_form_offers_the_planned_day_and_the_days_that_are_possible(
    signed_in: FlaskClient,
) -> None:
    case = planned()
    address = f"{address_of(case)}/move"
    form = form_to(read(signed_in, address), address)
    field = form.find("input", name="day").attributes
    on = today("Europe/Berlin")
    assert field["value"] == str(case.payment.next_attempt_on)
    assert (field["min"], field["max"]) == (str(on), str(on + timedelta(days=90)))


@pytest.mark.parametrize(
    ("entered", "said"),
    [
        ({"day": "2020-01-02"}, "in the past"),
        ({"day": ""}, "Enter the day"),
        ({"day": "soon"}, "Not a valid date"),
        ({"reason": "  "}, "1 to 500 characters"),
        ({"reason": "x" * 501}, "at most 500 characters"),
    ],
)
def test_what_was_entered_wrongly_is_kept_and_explained(
    signed_in: FlaskClient, entered: dict[str, str], said: str
) -> None:
    case = planned()

    answer = move(signed_in, case, **{"day": str(working_day(5)), **entered})

    found = read_answer(answer, status=422)
    assert found.find("title").text.startswith("Error: ")
    assert said in found.find(id="summary").text
    assert case_of(case.payment.id) == case


def test_a_form_that_is_sent_twice_moves_once(signed_in: FlaskClient) -> None:
    case = planned()
    address = f"{address_of(case)}/move"
    page = read(signed_in, address)
    sent: dict[str, Any] = {"day": str(working_day(9)), "reason": REASON}
    assert send(signed_in, page, address, **sent).status_code == 303
    assert send(signed_in, page, address, **sent).status_code == 303
    assert events_of(case.payment.id).count("payment.moved") == 1


def test_an_outdated_form_and_an_impossible_move_say_so(signed_in: FlaskClient) -> None:
    case = planned()
    address = f"{address_of(case)}/move"
    page = read(signed_in, address)
    assert move(signed_in, case, day=str(working_day(9))).status_code == 303
    answer = send(signed_in, page, address, day=str(working_day(5)), reason=REASON)
    assert "changed this payment meanwhile" in read_answer(answer, status=409).text
    sending = f"{address_of(make_case('sending'))}/move"
    assert "cannot be called back" in read(signed_in, sending, status=409).text


def test_a_dialog_is_only_the_form(signed_in: FlaskClient) -> None:
    case = planned()
    answer = signed_in.get(f"{address_of(case)}/move", headers=HTMX)
    assert "<html" not in answer.text
    assert 'id="dialog-title"' in answer.text
