"""Payers for machines: found, with what they owe; nobody else's."""

from __future__ import annotations

from uuid import UUID

from portal.ids import public_id
from tests.api.conftest import Machine, problem_of
from tests.factories import make_issued_invoice, make_payer


def test_a_payer_is_shown_with_what_it_owes(machine: Machine) -> None:
    invoice = make_issued_invoice()
    found = machine.read(f"/payers/{public_id('payer', invoice.payer_id)}")

    assert found["object"] == "payer"
    assert found["name"].startswith("Brightwater")
    (balance,) = found["balances"]
    assert balance["open"] == {"amount": "119.00", "currency": "EUR"}
    assert balance["invoices"] == 1


def test_payers_are_found(machine: Machine) -> None:
    first, second = make_payer(name="Anchor Chandlery"), make_payer(name="Brine Works")

    found = machine.read("/payers?sort=name")["items"]
    assert [one["name"] for one in found] == ["Anchor Chandlery", "Brine Works"]
    (only,) = machine.read("/payers?text=brine")["items"]
    assert only["id"] == public_id("payer", second.id)
    (only,) = machine.read(f"/payers?text={first.external_ref}")["items"]
    assert only["reference"] == first.external_ref
    assert only["is_on_hold"] is False


def test_another_organisations_payer_is_as_good_as_unknown(
    machine: Machine, other_organisation: UUID
) -> None:
    theirs = make_payer(organisation_id=other_organisation)
    assert machine.read("/payers")["items"] == []
    bodies = []
    for payer_id in (theirs.id, UUID(int=1)):
        shown = public_id("payer", payer_id)
        found = []
        for path in (f"/payers/{shown}", f"/invoices?payer={shown}", f"/payments?payer={shown}"):
            answer = machine.get(path)
            problem = problem_of(answer, 404, answer.get_json(force=True)["code"])
            del problem["request_id"]
            found.append(str(problem).replace(shown, "ID").replace(str(payer_id), "ID"))
        bodies.append(found)
    assert bodies[0] == bodies[1]
