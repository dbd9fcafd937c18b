"""Disputes in the browser: the list, one dispute in words, answering it, accepting its loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from portal.clock import today
from portal.domain.users import Role
from portal.ids import new_id, public_id
from tests.factories import make_organisation, read_row
from tests.pages import Page, read_page
from tests.services.disputing import TEXT, answer, make_dispute
from tests.web.conftest import post, sign_in

pytestmark = pytest.mark.usefixtures("organisation")


def read(client: FlaskClient, address: str, *, status: int = 200) -> Page:
    answered = client.get(address)
    assert answered.status_code == status, answered.text
    found = read_page(answered.text)
    assert found.faults() == []
    return found


def of_dispute(found: Any) -> str:
    return f"/disputes/{public_id('dispute', found.id)}"


def sent(found: Any, **over: Any) -> dict[str, Any]:
    return {"version": str(found.version), "request_key": new_id().hex, **over}


def test_the_list_leads_to_the_dispute_and_its_payment_names_it(signed_in: FlaskClient) -> None:
    found = make_dispute(respond_by=today("Europe/Berlin"))
    payment = read_row("payments", found.payment_id)

    assert f'href="{of_dispute(found)}"' in signed_in.get("/disputes").text
    shown = read(signed_in, of_dispute(found))
    assert "(today), or it is lost" in shown.text
    assert "did not receive what they paid for" in shown.text
    assert "Accept the loss" in shown.text
    for address in (
        f"/payments/{public_id('payment', payment.id)}",
        f"/invoices/{public_id('invoice', payment.invoice_id)}",
    ):
        assert f'href="{of_dispute(found)}"' in signed_in.get(address).text
    assert "Disputed" in read(signed_in, address).text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("under_review", "the payer's bank decides"),
        ("won", "The money came back"),
        ("lost", "The money stays with the payer"),
    ],
)
def test_each_state_is_said_in_words(signed_in: FlaskClient, state: str, words: str) -> None:
    shown = read(signed_in, of_dispute(make_dispute(state)))

    assert words in shown.text
    assert "The water was delivered." in shown.text


def test_an_answer_is_given_once(signed_in: FlaskClient) -> None:
    found = make_dispute()
    read(signed_in, f"{of_dispute(found)}/answer")
    form = sent(found, text=TEXT)

    for _ in range(2):
        answered = post(signed_in, f"{of_dispute(found)}/answer", **form)
        assert (answered.status_code, answered.location) == (303, of_dispute(found))

    after = read_row("disputes", found.id)
    assert (after.state, after.response) == ("under_review", TEXT)
    late = post(signed_in, f"{of_dispute(found)}/answer", **sent(after, text="Again."))
    assert late.status_code == 409
    assert "It cannot be answered" in late.text
    read(signed_in, f"{of_dispute(found)}/answer", status=409)


def test_an_empty_or_stale_answer_is_not_sent(signed_in: FlaskClient) -> None:
    found = make_dispute()

    for text in ("", " ", "x" * 5_001):
        empty = post(signed_in, f"{of_dispute(found)}/answer", **sent(found, text=text))
        assert empty.status_code == 422
    stale = post(signed_in, f"{of_dispute(found)}/answer", **sent(found, text=TEXT, version="7"))

    assert stale.status_code == 409
    assert read_row("disputes", found.id).state == "needs_response"


def test_the_loss_is_accepted(signed_in: FlaskClient) -> None:
    found = make_dispute()
    read(signed_in, f"{of_dispute(found)}/accept")

    answered = post(signed_in, f"{of_dispute(found)}/accept", **sent(found))

    assert answered.status_code == 303
    assert read_row("disputes", found.id).state == "lost"
    assert read_row("payments", found.payment_id).worklist == "dispute_lost"
    read(signed_in, f"{of_dispute(found)}/accept", status=409)


def test_who_only_looks_is_told_who_answers(
    client: FlaskClient, add_person: Callable[..., str]
) -> None:
    found = make_dispute()
    sign_in(client, add_person(Role.AUDITOR))

    assert "a clerk or manager answers disputes" in read(client, of_dispute(found)).text
    assert post(client, f"{of_dispute(found)}/accept", **sent(found)).status_code == 403


def test_another_organisations_dispute_is_not_there(signed_in: FlaskClient) -> None:
    make_organisation("rivertown")
    unknown = f"/disputes/{public_id('dispute', new_id())}"

    for address in (unknown, f"{unknown}/answer", f"{unknown}/accept", "/disputes/dsp_x"):
        assert signed_in.get(address).status_code == 404


def test_a_message_names_its_dispute(signed_in: FlaskClient) -> None:
    found = make_dispute()
    answer(found)

    listed = signed_in.get(of_dispute(found)).text
    message = listed.partition('href="/messages/')[2].partition('"')[0]

    assert f'href="{of_dispute(found)}"' in signed_in.get(f"/messages/{message}").text
