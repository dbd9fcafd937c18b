"""Sequences for machines: read, started once, and watched; nobody else's."""

from __future__ import annotations

from uuid import UUID

from portal.db import acting_for
from portal.domain.sequences import Step
from portal.ids import public_id
from portal.services.sequences import SequenceWish, add_sequence
from tests.api.conftest import PREFIX, Machine, problem_of
from tests.factories import CLERK, NOW
from tests.services.books import rows
from tests.services.running import make_drafts


def add(organisation: UUID) -> str:
    wish = SequenceWish("Month end", (Step("invoice_issuing"), Step("ledger_check")))
    with acting_for(organisation):
        return public_id("sequence", add_sequence(wish=wish, actor=CLERK, now=NOW))


def test_a_sequence_is_started_once_for_a_key(machine: Machine, organisation: UUID) -> None:
    make_drafts(1)
    address = f"/sequences/{add(organisation)}"

    first = machine.post(f"{address}/runs", {"version": 1}, once="key-1")
    again = machine.post(f"{address}/runs", {"version": 1}, once="key-1")

    assert (first.status_code, first.data) == (again.status_code, again.data)
    assert first.status_code == 202, first.text
    found = first.get_json()
    assert [step["state"] for step in found["steps"]] == ["started", None]
    assert first.location == f"{PREFIX}/sequence-runs/{found['id']}"
    assert machine.read(f"/sequence-runs/{found['id']}") == found
    assert machine.read(address)["last_id"] == found["id"]
    assert [one["name"] for one in machine.read("/sequences")["items"]] == ["Month end"]
    assert len(rows("SELECT id FROM batch_runs")) == 1


def test_what_cannot_be_started_says_why(
    machine: Machine, organisation: UUID, other_organisation: UUID
) -> None:
    address = f"/sequences/{add(organisation)}/runs"
    theirs = f"/sequences/{add(other_organisation)}/runs"

    problem_of(machine.post(address, {"version": 7}, once="a"), 409, "sequence_changed")
    assert machine.post(address, {"date": "2999-01-01"}, once="b").status_code == 422
    problem_of(machine.post(theirs, {}, once="c"), 404, "sequence_missing")
    assert rows("SELECT id FROM sequence_runs") == []
