"""Payers for machines: found, with what they owe; nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from portal.clock import today
from portal.ids import public_id
from tests.api.conftest import Machine, problem_of
from tests.factories import make_issued_invoice, make_payer, read_row
from tests.services.books import events_of, rows

TODAY = today("Europe/Berlin")
UNTIL = TODAY + timedelta(days=90)
TERMS = {
    "is_on_hold": True,
    "arrangement": "instalments",
    "arranged_until": UNTIL.isoformat(),
    "reason": "Six rates were agreed.",
}


def path_of(payer: Any) -> str:
    return f"/payers/{public_id('payer', payer.id)}"


def put(machine: Machine, payer: Any, body: Any, *, seen: str | None = "*") -> TestResponse:
    headers = {"If-Match": seen} if seen else {}
    return machine.send("PUT", f"{path_of(payer)}/terms", body, headers=headers)


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


def test_payers_are_found_by_their_terms(machine: Machine) -> None:
    terms: dict[str, dict[str, Any]] = {
        "Ada": {},
        "Ben": {"is_on_hold": True},
        "Cora": {"arrangement": "hardship", "arranged_until": UNTIL},
        "Dan": {"arrangement": "hardship", "arranged_until": TODAY - timedelta(days=2)},
        "Eva": {"is_on_hold": True, "arrangement": "instalments", "arranged_until": UNTIL},
    }
    for name, columns in terms.items():
        make_payer(name=name, **columns)

    def found(query: str) -> list[str]:
        return [one["name"] for one in machine.read(f"/payers?{query}")["items"]]

    assert found("terms=none") == ["Ada", "Dan"]
    assert found("terms=on_hold&sort=-name") == ["Eva", "Ben"]
    assert found("terms=hardship") == ["Cora"]
    assert found("terms=hardship&terms=instalments") == ["Cora", "Eva"]
    problem_of(machine.get("/payers?terms=friendship"), 400, "query_invalid")
    told = machine.read("/payers?terms=instalments")["items"][0]
    assert (told["is_on_hold"], told["arrangement"]) == (True, "instalments")
    assert told["arranged_until"] == UNTIL.isoformat()
    over = machine.read("/payers?text=Dan")["items"][0]
    assert (over["arrangement"], over["arranged_until"]) == (None, None)


def test_terms_are_written_as_they_were_seen(machine: Machine) -> None:
    payer = make_payer()
    seen = machine.get(path_of(payer)).headers["ETag"]
    problem_of(put(machine, payer, TERMS, seen=None), 428, "precondition_missing")

    answer = put(machine, payer, TERMS, seen=seen)

    assert answer.status_code == 200, answer.text
    found = answer.get_json()
    assert {name: found[name] for name in TERMS if name != "reason"} == {
        name: value for name, value in TERMS.items() if name != "reason"
    }
    assert machine.read(path_of(payer)) == found
    row = read_row("payers", payer.id)
    assert (row.is_on_hold, row.arrangement, row.arranged_until) == (True, "instalments", UNTIL)
    (event,) = rows(
        "SELECT actor_kind, actor_name, reason FROM events WHERE subject_id = %s", payer.id
    )
    assert tuple(event) == ("system", "ERP", "Six rates were agreed.")

    ended = {**TERMS, "is_on_hold": False, "arrangement": None, "arranged_until": None}
    problem_of(put(machine, payer, ended, seen=seen), 412, "precondition_outdated")
    assert read_row("payers", payer.id) == row
    now_seen = answer.headers["ETag"]
    assert put(machine, payer, ended, seen=now_seen).get_json()["arrangement"] is None
    assert events_of(payer.id) == ["payer.terms_changed"] * 2


def test_the_same_terms_again_change_nothing(machine: Machine) -> None:
    payer = make_payer()
    answers = [put(machine, payer, TERMS) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    assert answers[0].get_json() == answers[1].get_json()
    assert events_of(payer.id) == ["payer.terms_changed"]
    assert read_row("payers", payer.id).version == payer.version + 1


@pytest.mark.parametrize(
    ("over", "code", "pointer"),
    [
        ({"reason": " "}, "body_invalid", "/reason"),
        ({"reason": "x" * 501}, "body_invalid", "/reason"),
        ({"is_on_hold": "yes"}, "body_invalid", "/is_on_hold"),
        ({"is_on_hold": 1}, "body_invalid", "/is_on_hold"),
        ({"is_on_hold": None}, "body_invalid", "/is_on_hold"),
        ({"arrangement": "friendship"}, "body_invalid", "/arrangement"),
        ({"arranged_until": "soon"}, "body_invalid", "/arranged_until"),
        ({"arranged_until": None}, "terms_invalid", "/arranged_until"),
        ({"arrangement": None}, "terms_invalid", "/arranged_until"),
        ({"arranged_until": "2020-01-01"}, "terms_invalid", "/arranged_until"),
        ({"note": "x"}, "body_invalid", "/note"),
    ],
)
def test_what_is_wrong_with_terms_is_pointed_to(
    machine: Machine, over: dict[str, Any], code: str, pointer: str
) -> None:
    payer = make_payer()
    found = problem_of(put(machine, payer, {**TERMS, **over}), 422, code)
    assert [one["pointer"] for one in found["errors"]] == [pointer]
    assert read_row("payers", payer.id) == payer
    assert events_of(payer.id) == []


@pytest.mark.parametrize("name", list(TERMS))
def test_terms_are_said_whole(machine: Machine, name: str) -> None:
    payer = make_payer()
    part = {each: value for each, value in TERMS.items() if each != name}
    found = problem_of(put(machine, payer, part), 422, "body_invalid")
    assert [one["pointer"] for one in found["errors"]] == [f"/{name}"]
    assert read_row("payers", payer.id) == payer


def test_nothing_is_agreed_with_a_payer_who_stands_for_many(machine: Machine) -> None:
    unnamed = make_payer(is_default=True)
    found = problem_of(put(machine, unnamed, TERMS), 422, "terms_invalid")
    assert found["errors"][0]["pointer"] == "/arrangement"
    assert read_row("payers", unnamed.id) == unnamed


def test_only_its_own_scope_writes_terms(
    make_machine: Callable[..., Machine], other_organisation: UUID
) -> None:
    payer = make_payer()
    problem_of(put(make_machine(["read", "invoices:write"]), payer, TERMS), 403, "scope_missing")
    assert read_row("payers", payer.id) == payer
    writer = make_machine(["payers:write"])
    theirs = make_payer(organisation_id=other_organisation)
    for unknown in (theirs.id, UUID(int=1)):
        shown = f"/payers/{public_id('payer', unknown)}/terms"
        answer = writer.send("PUT", shown, TERMS, headers={"If-Match": "*"})
        problem_of(answer, 404, "payer_not_found")
    assert put(writer, payer, TERMS).status_code == 200


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
