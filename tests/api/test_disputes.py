"""Refunds, disputes and cases for machines: listed, read, asked for and answered once."""

from __future__ import annotations

import pytest
from flask import Flask

from portal.ids import new_id, public_id
from tests.api.conftest import PREFIX, Machine, problem_of
from tests.factories import make_open_case, make_succeeded_payment, read_row
from tests.services.books import rows
from tests.services.disputing import make_dispute
from tests.services.refunding import make_refund


def test_a_dispute_is_read_and_answered(machine: Machine) -> None:
    found = make_dispute()
    address = f"/disputes/{public_id('dispute', found.id)}"

    (listed,) = machine.read("/disputes?state=needs_response")["items"]
    shown = machine.read(address)
    assert (shown["amount"], shown["fee"]["amount"]) == (listed["amount"], "15.00")
    answered = machine.post(f"{address}/answer", {"text": "The water was delivered."})

    assert answered.status_code == 200, answered.text
    assert answered.get_json()["state"] == "under_review"
    assert read_row("disputes", found.id).response == "The water was delivered."
    again = machine.post(f"{address}/answer", {"text": "Once more."})
    assert again.status_code == 409
    assert len(rows("SELECT id FROM messages WHERE kind = 'dispute.respond'")) == 1


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "x" * 5_001}, {"said": "x"}])
def test_an_answer_that_cannot_be_read_is_refused(machine: Machine, body: dict[str, str]) -> None:
    found = make_dispute()

    answer = machine.post(f"/disputes/{public_id('dispute', found.id)}/answer", body)

    assert answer.status_code == 422
    assert read_row("disputes", found.id).state == "needs_response"


def test_a_refund_is_asked_for_once(machine: Machine) -> None:
    payment = make_succeeded_payment()
    wish = {
        "payment_id": public_id("payment", payment.id),
        "amount": {"amount": "19.00", "currency": "EUR"},
        "reason": "Paid twice.",
    }

    first = machine.post("/refunds", wish, once="refund-once")
    second = machine.post("/refunds", wish, once="refund-once")

    assert (first.status_code, second.status_code) == (201, 201), first.text
    found = first.get_json()
    assert second.get_json() == found
    assert first.location == f"{PREFIX}/refunds/{found['id']}"
    assert machine.read(f"/refunds/{found['id']}") == found
    assert [row.amount_minor for row in rows("SELECT * FROM refunds")] == [1_900]
    for over, status in (
        ({"amount": {"amount": "900.00", "currency": "EUR"}}, 422),
        ({"amount": {"amount": "1.00", "currency": "USD"}}, 422),
        ({"payment_id": public_id("payment", new_id())}, 404),
    ):
        assert machine.post("/refunds", {**wish, **over}).status_code == status
    assert len(machine.read("/refunds")["items"]) == 1


def test_a_case_is_listed_and_read(machine: Machine) -> None:
    refund = make_refund("submitted")
    make_open_case()
    make_open_case(
        kind="refund_late", subject_type="refund", subject_id=refund.id, amount_minor=None
    )

    listed = {one["code"]: one for one in machine.read("/cases")["items"]}
    shown = machine.read(f"/cases/{listed['refund_late']['id']}")

    assert listed["refund_late"]["amount"] is None
    assert (shown["about"], shown["about_id"]) == ("refund", public_id("refund", refund.id))
    assert shown["advice"].startswith("Ask the gateway's support")


@pytest.mark.parametrize("noun", ["refund", "dispute", "case"])
def test_what_is_not_there_is_not_found(app: Flask, machine: Machine, noun: str) -> None:
    answer = machine.get(f"/{noun}s/{public_id(noun, new_id())}")

    problem_of(answer, 404, f"{noun}_missing")
