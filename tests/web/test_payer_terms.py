"""Putting a payer on hold and giving more time, in the browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.clock import today
from portal.db import transaction
from portal.domain.users import Role
from portal.ids import public_id
from portal.sql import execute
from tests.factories import (
    make_credit_note,
    make_draft_invoice,
    make_issued_invoice,
    make_payer,
    read_row,
)
from tests.pages import Page, read_page
from tests.services.books import events_of
from tests.web.conftest import post, sign_in

DAY = timedelta(days=1)
UNTIL = today("Europe/Berlin") + 90 * DAY
AGREED = {
    "arrangement": "instalments",
    "arranged_until": UNTIL.isoformat(),
    "reason": "Six rates were agreed.",
}


def address_of(payer: Any) -> str:
    return f"/payers/{public_id('payer', payer.id)}"


def read(client: FlaskClient, address: str, *, status: int = 200) -> Page:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    found = read_page(answer.text)
    assert found.faults() == []
    return found


def send(client: FlaskClient, payer: Any, **fields: str) -> Any:
    given = {"version": str(payer.version), "arrangement": "", "request_key": "key", **fields}
    return post(client, f"{address_of(payer)}/terms", **given)


def test_an_arrangement_is_made_and_shown(signed_in: FlaskClient) -> None:
    payer = make_payer()
    assert read(signed_in, f"{address_of(payer)}/terms").find("h1").text.startswith("How is")
    answer = send(signed_in, payer, **AGREED, is_on_hold="y")
    assert (answer.status_code, answer.location) == (303, address_of(payer))
    row = read_row("payers", payer.id)
    assert (row.is_on_hold, row.arrangement, row.arranged_until) == (True, "instalments", UNTIL)

    found = read(signed_in, address_of(payer))
    assert f"{payer.name} is dealt with as you said." in found.text
    history = found.find("section", id="terms").text
    for words in ("Put on hold; Payment by instalments until", "Six rates were", "Mara Weber"):
        assert words in history
    assert "Until then no reminder is sent" in found.text
    assert "Nothing is collected from this payer by itself" in found.text

    again = send(signed_in, payer, **AGREED, request_key="another")
    assert again.status_code == 409
    assert "Somebody else has changed this payer" in again.text
    send(signed_in, row, reason="Paid all of it.", request_key="third")
    ended = read(signed_in, address_of(payer)).find("section", id="terms").text
    assert "Hold taken away; Payment by instalments ended" in ended
    assert "Until then no reminder" not in read(signed_in, address_of(payer)).text


def invoice_page(client: FlaskClient, invoice: Any) -> Page:
    return read(client, f"/invoices/{public_id('invoice', invoice.id)}")


def test_an_invoice_says_what_pauses_and_leads_to_its_payer(signed_in: FlaskClient) -> None:
    on_hold = make_payer(is_on_hold=True)
    arranged = make_payer(arrangement="hardship", arranged_until=UNTIL)
    both = make_payer(is_on_hold=True, arrangement="instalments", arranged_until=UNTIL - DAY * 90)
    hold = "reminders and collection pause until the hold is taken away."
    hardship = "Hardship agreement: reminders pause until"
    instalments = "Payment by instalments: reminders pause until"
    for payer, said in (
        (on_hold, [hold]),
        (arranged, [hardship]),
        # Its last day is part of it.
        (both, [hold, instalments]),
    ):
        for invoice in (
            make_issued_invoice(payer_id=payer.id),
            make_draft_invoice(payer_id=payer.id),
        ):
            page = invoice_page(signed_in, invoice)
            notice = page.find("div", class_="notice")
            assert [each in notice.text for each in (hold, hardship, instalments)] == [
                each in said for each in (hold, hardship, instalments)
            ]
            assert notice.find("a").attributes["href"] == address_of(payer)


def test_an_invoice_of_which_nothing_can_pause_says_so_of_nothing(signed_in: FlaskClient) -> None:
    over = make_payer(arrangement="hardship", arranged_until=UNTIL - DAY * 91)
    held = make_payer(is_on_hold=True, arrangement="hardship", arranged_until=UNTIL)
    paid = make_issued_invoice(payer_id=held.id)
    with transaction(paid.organisation_id):
        execute("UPDATE invoices SET paid_minor = total_minor WHERE id = %s", (paid.id,))
    for invoice in (
        make_issued_invoice(payer_id=over.id),
        make_credit_note(payer_id=held.id),
        paid,
    ):
        assert "pause" not in invoice_page(signed_in, invoice).text


def test_the_same_form_sent_twice_changes_once(signed_in: FlaskClient) -> None:
    payer = make_payer()
    for _ in range(2):
        assert send(signed_in, payer, **AGREED).status_code == 303
    assert events_of(payer.id) == ["payer.terms_changed"]


@pytest.mark.parametrize(
    ("entered", "said"),
    [
        ({"reason": ""}, "Say why."),
        ({"reason": "x" * 501}, "Use at most 500 characters."),
        ({"arrangement": "friendship"}, "Not a valid choice"),
        ({"arranged_until": ""}, "has a last day"),
        ({"arranged_until": "soon"}, "Not a valid date"),
        ({"arranged_until": "2020-01-01"}, "its last day is over"),
    ],
)
def test_wrong_input_is_named_and_kept(
    signed_in: FlaskClient, entered: dict[str, str], said: str
) -> None:
    payer = make_payer()
    answer = send(signed_in, payer, **{**AGREED, **entered})
    assert answer.status_code == 422
    found = read_page(answer.text)
    assert found.faults() == []
    assert said in found.text
    assert read_row("payers", payer.id) == payer


def test_who_only_looks_changes_nothing(
    client: FlaskClient, add_person: Callable[..., str]
) -> None:
    payer = make_payer()
    sign_in(client, add_person(Role.AUDITOR))
    assert "Hold or arrange" not in read(client, address_of(payer)).text
    assert send(client, payer, **AGREED).status_code == 403
    assert read_row("payers", payer.id) == payer


def test_another_organisations_payer_is_not_there(
    signed_in: FlaskClient, other_organisation: UUID
) -> None:
    theirs = make_payer(organisation_id=other_organisation)
    read(signed_in, f"{address_of(theirs)}/terms", status=404)
    assert send(signed_in, theirs, **AGREED).status_code == 404
