"""Payouts for machines: listed, read with their parts, never another organisation's."""

from __future__ import annotations

from uuid import UUID

import pytest

from portal.db import acting_for
from portal.ids import new_id, public_id
from tests.api.conftest import Machine, problem_of
from tests.factories import home, make_organisation
from tests.services.settling import make_payouts


def address_of(payout_id: UUID) -> str:
    return f"/payouts/{public_id('payout', payout_id)}"


def test_a_payout_is_listed_and_read(machine: Machine) -> None:
    payouts = make_payouts()

    (listed,) = machine.read("/payouts?state=balanced")["items"]
    shown = machine.read(address_of(payouts["balanced"]))

    for name in listed:
        assert listed[name] == shown[name], name
    assert shown["net"] == {"amount": "118.55", "currency": "EUR"}
    assert shown["parts"] == [
        {
            "kind": kind,
            "items": 1,
            "left": 0,
            "gross": {"amount": gross, "currency": "EUR"},
            "fee": {"amount": fee, "currency": "EUR"},
            "net": {"amount": net, "currency": "EUR"},
        }
        for kind, gross, fee, net in (
            ("fee", "0.00", "0.10", "-0.10"),
            ("payment", "119.00", "0.35", "118.65"),
        )
    ]
    (line,) = shown["bank_lines"]
    assert line["amount"] == {"amount": "118.54", "currency": "EUR"}
    assert (line["state"], shown["closed"]) == ("unmatched", None)


def test_the_items_of_a_payout_say_what_was_found(machine: Machine) -> None:
    payouts = make_payouts()

    items = machine.read(f"{address_of(payouts['matching'])}/items")["items"]
    assert [(one["position"], one["match"], one["discrepancy"]) for one in items] == [
        (1, "matched", None),
        (2, "unmatched", "missing_here"),
    ]
    assert machine.read(f"/payments/{items[0]['payment_id']}")["id"] == items[0]["payment_id"]
    (left,) = machine.read(f"{address_of(payouts['matching'])}/items?match=unmatched")["items"]
    assert left == items[1]
    assert (left["payment_id"], left["merchant_ref"]) == (None, "other")


def test_payouts_of_others_do_not_exist(machine: Machine, organisation: UUID) -> None:
    other = make_organisation(code="elsewhere")
    token = home.set(other)
    with acting_for(other):
        theirs = make_payouts()["closed"]
    home.reset(token)

    assert machine.read("/payouts")["items"] == []
    for unknown in (theirs, new_id()):
        problem_of(machine.get(address_of(unknown)), 404, "payout_missing")
        problem_of(machine.get(f"{address_of(unknown)}/items"), 404, "payout_missing")


@pytest.mark.parametrize("query", ["state=wrong", "net=1.2.3", "day=then", "sort=account"])
def test_a_question_that_cannot_be_read_is_refused(machine: Machine, query: str) -> None:
    problem_of(machine.get(f"/payouts?{query}"), 400, "query_invalid")
