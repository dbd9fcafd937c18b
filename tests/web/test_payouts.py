"""The list of payouts, one with what it is made of, and its items."""

from __future__ import annotations

from uuid import UUID

from flask.testing import FlaskClient

from portal.db import acting_for
from portal.ids import public_id
from tests.factories import home, make_open_case, make_organisation
from tests.services.settling import make_payouts
from tests.web.forms import read


def address_of(payout_id: UUID) -> str:
    return f"/payouts/{public_id('payout', payout_id)}"


def test_each_payout_says_how_far_its_booking_is(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    payouts = make_payouts()

    said = {
        state: read(signed_in, address_of(payout_id)).find("p", class_="under").text
        for state, payout_id in payouts.items()
    }

    assert said["open"] == (
        "Reported by the gateway; the next run compares it with what is known here."
    )
    assert said["matching"].startswith(
        "One of its items was not found here as the gateway reports it; 118,65"
    )
    assert "so nothing of it is booked yet" in said["matching"]
    assert "the bank shows 118,54" in said["balanced"]
    assert "instead of 118,55" in said["balanced"]
    assert said["closed"].startswith(
        "All of it was found here, and the bank showed it on 19 Mar 2026"
    )


def test_what_a_payout_is_made_of_leads_to_its_items(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    payouts = make_payouts()

    found = read(signed_in, address_of(payouts["matching"]))
    (part,) = found.find("section", id="parts").find("tbody").find_all("tr")
    every, left = part.find_all("a")
    assert (every.text, left.text) == ("2", "1")
    assert len(read(signed_in, every.attributes["href"]).rows) == 2
    (row,) = read(signed_in, left.attributes["href"]).rows
    assert "Not known here" in row

    closed = read(signed_in, address_of(payouts["closed"]))
    items = read(signed_in, f"{address_of(payouts['closed'])}/items")
    assert len(items.rows) == 2
    # What was found here leads to the payment that it is of.
    links = [one.attributes["href"] for one in items.find("tbody").find_all("a")]
    assert len([one for one in links if one.startswith("/payments/pay_")]) == 2
    (line,) = closed.find("section", id="bank").find("tbody").find_all("tr")
    assert "BANK-PO-harbour-3" in line.text
    assert "Matched" in line.text


def test_only_what_is_not_closed_can_be_settled(signed_in: FlaskClient, organisation: UUID) -> None:
    payouts = make_payouts()
    way = "/runs/new?job=settlement_closing"
    for state, payout_id in payouts.items():
        actions = read(signed_in, address_of(payout_id)).find("div", class_="actions")
        addresses = [one.attributes["href"] for one in actions.find_all("a")]
        assert (way in addresses) == (state != "closed"), state


def test_payouts_are_found_by_their_booking(signed_in: FlaskClient, organisation: UUID) -> None:
    make_payouts()
    assert len(read(signed_in, "/payouts?state=unfinished").rows) == 3
    assert len(read(signed_in, "/payouts?state=matching&state=closed").rows) == 2
    assert len(read(signed_in, "/payouts?reference=PO-harbour-2").rows) == 1
    assert len(read(signed_in, "/payouts?net[lt]=70.00").rows) == 1


def test_the_search_box_knows_the_reference_of_a_payout(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    payouts = make_payouts()
    found = signed_in.get("/search?q=PO-harbour-3")
    assert (found.status_code, found.location) == (303, address_of(payouts["closed"]))


def test_a_case_leads_to_its_payout(signed_in: FlaskClient, organisation: UUID) -> None:
    payouts = make_payouts()
    case = make_open_case(
        kind="payout_not_on_bank", subject_type="payout", subject_id=payouts["balanced"]
    )
    found = read(signed_in, f"/cases/{public_id('case', case.id)}")
    addresses = [one.attributes["href"] for one in found.find("main").find_all("a")]
    assert address_of(payouts["balanced"]) in addresses


def test_payouts_of_others_do_not_exist(signed_in: FlaskClient, organisation: UUID) -> None:
    other = make_organisation(code="elsewhere")
    token = home.set(other)
    with acting_for(other):
        payouts = make_payouts()
    home.reset(token)

    assert read(signed_in, "/payouts").rows == []
    for part in ("", "/items", "/items.csv"):
        assert signed_in.get(f"{address_of(payouts['closed'])}{part}").status_code == 404
