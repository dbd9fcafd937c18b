"""Payments and attempts for machines: recorded, retried, stopped once; nobody else's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.clock import today
from portal.domain.dates import next_business_day
from portal.ids import public_id
from portal.services.payments import ResultKind
from tests.api.conftest import PREFIX, Machine, problem_of
from tests.factories import (
    answer_attempt,
    attempt_of,
    make_issued_invoice,
    make_organisation,
    make_payment,
    make_succeeded_payment,
    read_row,
)
from tests.services.books import rows
from tests.services.collecting import run_together


def paid(invoice: Any, **over: Any) -> dict[str, Any]:
    return {
        "invoice_id": public_id("invoice", invoice.id),
        "amount": {"amount": "19.00", "currency": "EUR"},
        "paid": str(today("Europe/Berlin")),
        "method": "transfer",
        "reference": "statement 7",
        **over,
    }


def test_money_is_recorded_and_settles_its_invoice(machine: Machine) -> None:
    invoice = make_issued_invoice()
    answer = machine.post("/payments", paid(invoice))

    assert answer.status_code == 201, answer.text
    found = answer.get_json()
    assert answer.location == f"{PREFIX}/payments/{found['id']}"
    assert (found["object"], found["state"], found["method"]) == (
        "payment", "succeeded", "transfer"
    )  # fmt: skip
    assert (found["amount"], found["reference"]) == (
        {"amount": "19.00", "currency": "EUR"}, "statement 7"
    )  # fmt: skip
    assert machine.read(f"/payments/{found['id']}") == found
    shown = machine.read(f"/invoices/{found['invoice_id']}")
    assert (shown["paid"]["amount"], shown["open"]["amount"]) == ("19.00", "100.00")
    assert read_row("invoices", invoice.id).paid_minor == 1_900


def test_money_is_recorded_once_by_many_repeats(app: Flask, machine: Machine) -> None:
    invoice = make_issued_invoice()

    def record() -> tuple[int, bytes]:
        sender = Machine(app.test_client(), machine.key)
        answer = sender.post("/payments", paid(invoice), once="key-1")
        return answer.status_code, answer.data

    answers = run_together(app, *[record] * 6)

    assert {status for status, _ in answers} == {201}
    assert len({body for _, body in answers}) == 1
    assert len(rows("SELECT * FROM payments")) == 1
    assert read_row("invoices", invoice.id).paid_minor == 1_900


@pytest.mark.parametrize(
    ("over", "pointer"),
    [
        ({"amount": "19.00"}, "/amount"),
        ({"amount": {"amount": 19, "currency": "EUR"}}, "/amount/amount"),
        ({"amount": {"amount": "19.001", "currency": "EUR"}}, "/amount/amount"),
        ({"amount": {"amount": "1_000", "currency": "EUR"}}, "/amount/amount"),
        ({"amount": {"amount": "0.00", "currency": "EUR"}}, "/amount"),
        ({"amount": {"amount": "-5", "currency": "EUR"}}, "/amount"),
        ({"amount": {"amount": "19.00", "currency": "USD"}}, "/amount/currency"),
        ({"amount": {"amount": "19.00", "currency": "ZZZ"}}, "/amount/currency"),
        ({"method": "mandate"}, "/method"),
        ({"paid": str(today("Europe/Berlin") + timedelta(days=3))}, "/paid"),
        ({"paid": "2001-01-01"}, "/paid"),
        ({"reference": "x" * 101}, "/reference"),
        ({"state": "succeeded"}, "/state"),
    ],
)
def test_what_is_wrong_with_a_payment_is_pointed_to(
    machine: Machine, over: dict[str, Any], pointer: str
) -> None:
    answer = machine.post("/payments", paid(make_issued_invoice(), **over))
    found = problem_of(answer, 422, answer.get_json(force=True)["code"])
    assert pointer in {one["pointer"] for one in found["errors"]}, found
    assert rows("SELECT * FROM payments") == []


def test_money_is_not_recorded_while_the_gateway_collects(machine: Machine) -> None:
    payment = make_payment()
    invoice = read_row("invoices", payment.invoice_id)
    problem_of(machine.post("/payments", paid(invoice)), 409, "gateway_is_collecting")


def declined() -> Any:
    """Make a payment that was declined softly and waits for its next day."""
    payment = make_payment()
    answer_attempt(attempt_of(payment), ResultKind.DECLINE, reason_code="insufficient_funds")
    return read_row("payments", payment.id)


def test_a_payment_is_tried_again_once(app: Flask, machine: Machine) -> None:
    payment = declined()
    assert payment.state == "scheduled"
    path = f"/payments/{public_id('payment', payment.id)}/retry"

    def retry() -> tuple[int, bytes]:
        answer = Machine(app.test_client(), machine.key).post(path, once="key-1")
        return answer.status_code, answer.data

    answers = run_together(app, *[retry] * 4)

    assert {status for status, _ in answers} == {200}, answers
    assert len({body for _, body in answers}) == 1
    assert len(rows("SELECT * FROM payment_attempts")) == 2
    problem_of(machine.post(path), 409, "payment_under_way")


def test_a_payment_is_stopped_with_a_reason(machine: Machine) -> None:
    payment = declined()
    path = f"/payments/{public_id('payment', payment.id)}"
    problem_of(machine.post(f"{path}/stop", {}), 422, "body_invalid")
    stale = machine.post(f"{path}/stop", {"reason": "paid"}, headers={"If-Match": '"x"'})
    problem_of(stale, 412, "precondition_outdated")

    answer = machine.post(f"{path}/stop", {"reason": "paid in cash"})

    assert answer.status_code == 200, answer.text
    assert answer.get_json()["state"] == read_row("payments", payment.id).state == "cancelled"
    problem_of(machine.post(f"{path}/stop", {"reason": "again"}), 409, "payment_not_stoppable")


def test_a_planned_try_is_moved_once_to_a_working_day(app: Flask, machine: Machine) -> None:
    payment = declined()
    path = f"/payments/{public_id('payment', payment.id)}"
    day = next_business_day(today("Europe/Berlin") + timedelta(days=30), frozenset())
    wanted = {"day": str(day), "reason": "pay-day"}
    seen = machine.get(path)
    assert (seen.get_json()["is_movable"], seen.get_json()["moved_by"]) == (True, None)

    def move() -> tuple[int, bytes]:
        sender = Machine(app.test_client(), machine.key)
        answer = sender.post(
            f"{path}/move", wanted, once="key-1", headers={"If-Match": seen.headers["ETag"]}
        )
        return answer.status_code, answer.data

    answers = run_together(app, *[move] * 3)

    assert {status for status, _ in answers} == {200}, answers
    assert len({body for _, body in answers}) == 1
    found = machine.read(path)
    assert (found["next"], found["moved_by"]) == (str(day), "ERP")
    assert found["moved_from"] == str(payment.next_attempt_on)
    assert read_row("payments", payment.id).next_attempt_on == day
    assert len(rows("SELECT id FROM events WHERE kind = 'payment.moved'")) == 1
    stale = machine.post(f"{path}/move", wanted, headers={"If-Match": seen.headers["ETag"]})
    problem_of(stale, 412, "precondition_outdated")
    (row,) = machine.read("/attempts?try=1")["items"]
    assert (row["next"], row["moved"]) == (str(day), "ERP")


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"day": "2020-01-01", "reason": "x"}, "retry_day_invalid", "/day"),
        ({"day": "2020-01-32", "reason": "x"}, "body_invalid", "/day"),
        ({"day": "2026-12-01"}, "body_invalid", "/reason"),
        ({"day": "2026-12-01", "reason": "x", "why": "x"}, "body_invalid", "/why"),
    ],
)
def test_what_is_wrong_with_a_move_is_pointed_to(
    machine: Machine, body: dict[str, Any], code: str, pointer: str
) -> None:
    payment = declined()
    answer = machine.post(f"/payments/{public_id('payment', payment.id)}/move", body)
    assert [one["pointer"] for one in problem_of(answer, 422, code)["errors"]] == [pointer]
    assert read_row("payments", payment.id).version == payment.version


def test_what_is_not_planned_is_not_moved(machine: Machine) -> None:
    path = f"/payments/{public_id('payment', make_succeeded_payment().id)}/move"
    answer = machine.post(path, {"day": "2026-12-01", "reason": "x"})
    problem_of(answer, 409, "retry_not_movable")


def test_payments_and_attempts_are_listed_and_shown(machine: Machine) -> None:
    payment = make_succeeded_payment()
    attempt = attempt_of(payment)
    payment_id, attempt_id = public_id("payment", payment.id), public_id("attempt", attempt.id)

    (row,) = machine.read("/payments?state=succeeded")["items"]
    assert (row["id"], row["amount"]["amount"], row["attempts"]) == (payment_id, "119.00", 1)
    shown = machine.read(f"/payments/{payment_id}")
    assert (shown["attempt_id"], shown["allocated"]["amount"]) == (attempt_id, "119.00")
    (row,) = machine.read(f"/attempts?payment={payment_id}&try=1")["items"]
    assert (row["id"], row["state"], row["payment_id"]) == (attempt_id, "succeeded", payment_id)
    tried = machine.read(f"/attempts/{attempt_id}")
    assert (tried["try"], tried["merchant_ref"]) == (1, attempt.merchant_ref)
    assert tried["decided"].endswith("Z")
    assert machine.read("/attempts?state=declined")["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/payments/{payment}", None),
        ("POST", "/payments/{payment}/retry", None),
        ("POST", "/payments/{payment}/stop", {"reason": "mine"}),
        ("POST", "/payments/{payment}/move", {"reason": "mine", "day": "2026-12-01"}),
        ("GET", "/attempts/{attempt}", None),
        ("GET", "/attempts?payment={payment}", None),
        ("GET", "/payments?invoice={invoice}", None),
        ("POST", "/payments", "{invoice}"),
    ],
)
def test_another_organisations_payment_is_as_good_as_unknown(
    machine: Machine, method: str, path: str, body: Any
) -> None:
    neighbour = make_organisation("harbour", code="haven")
    theirs = make_payment(organisation_id=neighbour)
    attempt = attempt_of(theirs, organisation_id=neighbour)
    bodies = []
    for payment_id, attempt_id, invoice_id in (
        (theirs.id, attempt.id, theirs.invoice_id),
        (UUID(int=1), UUID(int=2), UUID(int=3)),
    ):
        ids = {
            "payment": public_id("payment", payment_id),
            "attempt": public_id("attempt", attempt_id),
            "invoice": public_id("invoice", invoice_id),
        }
        wanted = body
        if isinstance(body, str):
            wanted = {**paid(theirs), "invoice_id": body.format(**ids)}
        sent: dict[str, Any] = {} if wanted is None else {"body": wanted}
        answer = machine.send(method, path.format(**ids), once="key", **sent)
        found = problem_of(answer, 404, answer.get_json(force=True)["code"])
        del found["request_id"]
        said = str(found)
        for shown in ids.values():
            said = said.replace(shown, "ID")
        bodies.append(said)
    assert bodies[0] == bodies[1]
    kept = read_row("payments", theirs.id, organisation_id=neighbour)
    assert (kept.state, kept.version) == (theirs.state, theirs.version)
