"""Reminders for machines: listed and read, never another organisation's."""

from __future__ import annotations

from uuid import UUID

import pytest

from portal.ids import new_id, public_id
from tests.api.conftest import Machine, problem_of
from tests.factories import make_issued_invoice
from tests.services.noticing import make_told, message_of
from tests.services.reminding import make_reminder, make_reminders, remind_as_agreed


def test_a_reminder_is_listed_and_read(machine: Machine) -> None:
    first, second = remind_as_agreed()
    charge = public_id("invoice", second.charge_invoice_id)

    (listed,) = machine.read("/reminders?level[gt]=1")["items"]
    shown = machine.read(f"/reminders/{public_id('reminder', second.id)}")
    free = machine.read(f"/reminders/{public_id('reminder', first.id)}")

    assert listed["id"] == shown["id"]
    for name in ("day", "level", "payer", "invoice", "open", "fee", "interest", "charge"):
        assert listed[name] == shown[name], name
    assert (listed["charge_id"], shown["charge_id"]) == (charge, charge)
    assert machine.read(f"/invoices/{charge}")["total"] == shown["fee"]
    assert shown["owed"] == {"amount": "124.89", "currency": "EUR"}
    assert shown["clauses"] == second.clause_codes
    assert (free["charge_id"], free["charge"], free["charge_due"]) == (None, None, None)
    assert (free["clauses"], free["owed"]) == ([], free["open"])


def test_reminders_are_found_by_what_they_are_about(machine: Machine) -> None:
    first, *_ = make_reminders(3)
    other = make_reminder()

    for name in ("invoice", "payer"):
        wanted = public_id(name, getattr(other, f"{name}_id"))
        (found,) = machine.read(f"/reminders?{name}={wanted}")["items"]
        assert found["id"] == public_id("reminder", other.id)
    levels = [one["level"] for one in machine.read("/reminders?sort=level")["items"]]
    assert levels == [1, 1, 2, 3]
    days = machine.read(f"/reminders?day[lte]={first.reminded_on}")["items"]
    assert len(days) == 2


def test_a_reminder_says_what_became_of_its_notice(machine: Machine) -> None:
    (untold,) = make_reminders(1)
    (told,) = make_told("done")

    shown = machine.read(f"/reminders/{public_id('reminder', told.id)}")
    message_id = public_id("message", message_of(told).id)
    assert (shown["notice"], shown["message_id"]) == ("done", message_id)
    assert machine.read(f"/messages/{message_id}")["kind"] == "payer.reminder"
    none = machine.read(f"/reminders/{public_id('reminder', untold.id)}")
    assert (none["notice"], none["message_id"]) == (None, None)
    listed = {one["id"]: one["notice"] for one in machine.read("/reminders")["items"]}
    assert listed == {shown["id"]: "done", none["id"]: None}
    (found,) = machine.read("/reminders?notice=none")["items"]
    assert found["id"] == none["id"]


def test_reminders_of_others_do_not_exist(machine: Machine, other_organisation: UUID) -> None:
    theirs = make_reminder(make_issued_invoice(organisation_id=other_organisation))

    assert machine.read("/reminders")["items"] == []
    for unknown in (theirs.id, new_id()):
        address = f"/reminders/{public_id('reminder', unknown)}"
        problem_of(machine.get(address), 404, "reminder_missing")
    asked = f"/reminders?invoice={public_id('invoice', theirs.invoice_id)}"
    assert machine.get(asked).status_code == 404


@pytest.mark.parametrize(
    "query", ["level=high", "open=1.2.3", "day=then", "state=open", "sort=fee"]
)
def test_a_question_that_cannot_be_read_is_refused(machine: Machine, query: str) -> None:
    make_reminders(1)

    assert machine.get(f"/reminders?{query}").status_code == 400
