"""`portal payment` as people call it: what it prints and how it ends."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from flask import Flask

from portal.clock import today
from portal.domain.dates import next_business_day
from portal.ids import public_id
from tests.commands import portal
from tests.factories import read_row
from tests.services.books import events_of
from tests.services.test_payments_by_hand import planned


def test_a_try_is_moved_and_stopped(organisation: UUID, app: Flask) -> None:
    payment = planned().payment
    name = public_id("payment", payment.id)
    day = next_business_day(today("Europe/Berlin") + timedelta(days=30), frozenset())

    moved = portal(app, "payment", "move", name, "--to", str(day), "--reason", "pay-day")
    assert moved == (0, f"{name} is tried next on {day}.\n", "")
    assert read_row("payments", payment.id).next_attempt_on == day
    status, _, said = portal(app, "payment", "move", name, "--to", "2020-01-01", "--reason", "x")
    assert (status, "in the past" in said) == (2, True)
    assert portal(app, "payment", "stop", name, "--reason", "paid in cash")[:2] == (
        0, f"{name} is stopped.\n"
    )  # fmt: skip
    assert read_row("payments", payment.id).state == "cancelled"
    assert events_of(payment.id)[-2:] == ["payment.moved", "payment.stopped"]
    assert portal(app, "payment", "stop", name, "--reason", "again")[0] == 5
    assert portal(app, "payment", "stop", "pay_nonsense", "--reason", "x")[0] == 4
