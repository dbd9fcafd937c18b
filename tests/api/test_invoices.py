"""Invoices for machines: drafted, changed, issued and voided once; listed; nobody else's."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.api.invoices._shape import LINES_MAX
from portal.clock import now_utc, today
from portal.db import transaction
from portal.domain.errors import Invalid
from portal.ids import parse_public_id, public_id
from portal.services.invoices import NewInvoice, NewLine, draft_invoices
from tests.api.conftest import PREFIX, Machine, problem_of
from tests.factories import (
    CLERK,
    NOW,
    Line,
    make_draft_invoice,
    make_issued_invoice,
    make_payer,
    make_payment,
    read_row,
)
from tests.services.books import rows
from tests.services.collecting import run_together

LINE = {
    "description": "Berth fee",
    "quantity": "2.5",
    "unit_price": "40",
    "revenue_code": "4000",
    "tax_code": "S",
}


def draft_of(payer: UUID, **over: Any) -> dict[str, Any]:
    return {
        "payer_id": public_id("payer", payer),
        "currency": "EUR",
        "lines": [LINE],
        **over,
    }


@pytest.fixture
def draft(machine: Machine) -> dict[str, Any]:
    """A draft that the machine has written, with its ETag as `tag`."""
    answer = machine.post("/invoices", draft_of(make_payer().id, reference="ERP-1"))
    assert answer.status_code == 201, answer.text
    return {**answer.get_json(), "tag": answer.headers["ETag"]}


def stored(shown: dict[str, Any]) -> Any:
    invoice_id = parse_public_id("invoice", shown["id"])
    assert invoice_id is not None
    return read_row("invoices", invoice_id)


def test_a_draft_is_written_and_found_at_its_location(machine: Machine) -> None:
    payer = make_payer()
    answer = machine.post(
        "/invoices", draft_of(payer.id, reference="ERP-1", order="PO-7", date="2026-03-01")
    )

    assert answer.status_code == 201, answer.text
    found = answer.get_json()
    assert answer.location == f"{PREFIX}/invoices/{found['id']}"
    assert (found["object"], found["state"], found["status"]) == ("invoice", "draft", "draft")
    assert (found["number"], found["reference"], found["order"], found["date"]) == (
        None, "ERP-1", "PO-7", "2026-03-01"
    )  # fmt: skip
    assert found["payer"] == payer.name
    assert found["total"] == {"amount": "100.00", "currency": "EUR"}
    (line,) = found["lines"]
    assert (line["quantity"], line["unit_price"], line["net"]["amount"]) == ("2.5", "40", "100.00")
    row = stored(found)
    assert (row.state, row.net_minor, row.external_ref) == ("draft", 10_000, "ERP-1")
    got = machine.get(f"/invoices/{found['id']}")
    assert (got.get_json(), got.headers["ETag"]) == (found, answer.headers["ETag"])


@pytest.mark.parametrize(
    ("over", "pointer"),
    [
        ({"currency": "XTS"}, "/currency"),
        ({"currency": "eur"}, "/currency"),
        ({"kind": "charge"}, "/kind"),
        ({"lines": []}, "/lines"),
        ({"lines": [{**LINE, "tax_code": "Q"}]}, "/lines/0/tax_code"),
        ({"lines": [{**LINE, "revenue_code": ""}]}, "/lines/0/revenue_code"),
        ({"lines": [LINE, {**LINE, "quantity": 1}]}, "/lines/1/quantity"),
        ({"lines": [{**LINE, "quantity": "1e3"}]}, "/lines/0/quantity"),
        ({"lines": [{**LINE, "quantity": "１"}]}, "/lines/0/quantity"),
        ({"lines": [{**LINE, "unit_price": "-1"}]}, "/lines"),
        ({"lines": [{**LINE, "net": "1"}]}, "/lines/0/net"),
        ({"reference": "a\nb"}, "/reference"),
        ({"reference": "x" * 101}, "/reference"),
        ({"date": "2026-02-30"}, "/date"),
        ({"payer_id": "inv_agiknyb4abyabaaaaerukz4jvm"}, "/payer_id"),
        ({"payer_id": None}, "/payer_id"),
        ({"state": "issued"}, "/state"),
        ({"total_minor": 1}, "/total_minor"),
    ],
)
def test_what_is_wrong_with_a_draft_is_pointed_to(
    machine: Machine, over: dict[str, Any], pointer: str
) -> None:
    answer = machine.post("/invoices", draft_of(make_payer().id, **over))
    found = problem_of(answer, 422, answer.get_json(force=True)["code"])
    assert pointer in {one["pointer"] for one in found["errors"]}
    assert rows("SELECT * FROM invoices") == []


def test_a_reference_is_taken_once(machine: Machine, draft: dict[str, Any]) -> None:
    answer = machine.post("/invoices", draft_of(make_payer().id, reference="ERP-1"))
    problem_of(answer, 409, "external_ref_taken")


def test_a_draft_is_written_once_with_a_key(machine: Machine) -> None:
    body = draft_of(make_payer().id)
    first, again = (machine.post("/invoices", body, once="key-1") for _ in range(2))
    assert first.data == again.data
    assert machine.post("/invoices", body, once=None).status_code == 201
    assert len(rows("SELECT * FROM invoices")) == 2


def test_a_draft_is_changed_by_who_has_seen_it(machine: Machine, draft: dict[str, Any]) -> None:
    path = f"/invoices/{draft['id']}"
    problem_of(machine.patch(path, {"order": "PO-8"}), 428, "precondition_missing")
    stale = machine.patch(path, {"order": "PO-8"}, headers={"If-Match": '"old"'})
    problem_of(stale, 412, "precondition_outdated")
    assert stored(draft).version == 1

    answer = machine.patch(
        path,
        {"order": "PO-8", "reference": None, "lines": [LINE, LINE]},
        headers={"If-Match": draft["tag"]},
    )

    assert answer.status_code == 200, answer.text
    found = answer.get_json()
    assert (found["order"], found["reference"], found["version"]) == ("PO-8", None, 2)
    assert found["total"]["amount"] == "200.00"
    assert found["payer_id"] == draft["payer_id"], "what is not named stays"
    assert answer.headers["ETag"] != draft["tag"]
    problem_of(
        machine.patch(path, {"order": "PO-9"}, headers={"If-Match": draft["tag"]}),
        412, "precondition_outdated",
    )  # fmt: skip


FURTHER = {
    "buyer_reference": "04011000-12345-03",
    "cost_centre": "CC-7",
    "payment_reference": "RF18539007547034",
    "period_from": "2026-02-01",
    "period_to": "2026-02-28",
}


def test_what_agreements_ask_for_is_written_shown_and_taken_back(machine: Machine) -> None:
    made = machine.post("/invoices", draft_of(make_payer().id, **FURTHER)).get_json()
    path = f"/invoices/{made['id']}"
    assert {name: made[name] for name in FURTHER} == FURTHER

    patch = {"cost_centre": "CC-8", "period_to": None}
    found = machine.patch(path, patch, headers={"If-Match": "*"}).get_json()

    assert {name: found[name] for name in FURTHER} == {**FURTHER, **patch}
    wrong = machine.patch(path, {"period_to": "2026-01-01"}, headers={"If-Match": "*"})
    (finding,) = problem_of(wrong, 422, "draft_invalid")["errors"]
    assert finding["pointer"] == "/period_to"
    assert stored(made).version == 2


def test_a_patch_is_checked_like_a_draft(machine: Machine, draft: dict[str, Any]) -> None:
    path, seen = f"/invoices/{draft['id']}", {"If-Match": draft["tag"]}
    for patch, pointer in (
        ({"payer_id": None}, "/payer_id"),
        ({"colour": "red"}, "/colour"),
        ({"lines": [{}]}, "/lines/0/description"),
    ):
        found = problem_of(machine.patch(path, patch, headers=seen), 422, "body_invalid")
        assert pointer in {one["pointer"] for one in found["errors"]}
    plain = machine.send("PATCH", path, {"order": "x"}, headers=seen)
    problem_of(plain, 415, "body_not_json")
    assert stored(draft).version == 1


def test_null_removes_what_a_draft_may_lack_and_nothing_else(
    machine: Machine, draft: dict[str, Any]
) -> None:
    path, seen = f"/invoices/{draft['id']}", {"If-Match": draft["tag"]}
    for name in ("payer_id", "currency", "kind", "date", "lines"):
        answer = machine.patch(path, {"order": "PO-8", name: None}, headers=seen)
        (finding,) = problem_of(answer, 422, "body_invalid")["errors"]
        assert (finding["pointer"], finding["detail"]) == (f"/{name}", "it may not be null")
    assert stored(draft).version == 1

    answer = machine.patch(path, {"reference": None, "order": None}, headers=seen)

    assert answer.status_code == 200, answer.text
    row = stored(draft)
    assert (row.external_ref, row.purchase_order_ref) == (None, None)
    day = machine.post("/invoices", draft_of(make_payer().id, date=None))
    assert problem_of(day, 422, "body_invalid")["errors"][0]["pointer"] == "/date"


def test_a_patch_keeps_the_kind_and_the_day(machine: Machine) -> None:
    note = make_draft_invoice(kind="credit_note", document_on=date(2026, 2, 3))
    path = f"/invoices/{public_id('invoice', note.id)}"
    answer = machine.patch(path, {"order": "PO-1"}, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text
    row = read_row("invoices", note.id)
    assert (row.kind, row.document_on, row.external_ref, row.purchase_order_ref) == (
        "credit_note", date(2026, 2, 3), note.external_ref, "PO-1"
    )  # fmt: skip


def test_a_patch_leaves_lines_that_came_another_way(machine: Machine, organisation: UUID) -> None:
    lines = [NewLine("Berth fee\r\nQuay 7", Decimal(1), Decimal(1), "4000", "S")]
    many = NewInvoice(make_payer().id, "EUR", lines * (LINES_MAX + 1), document_on=NOW.date())
    with transaction(organisation):
        (draft_id,) = draft_invoices(invoices=[many], on=NOW.date(), actor=CLERK, now=NOW)
    path = f"/invoices/{public_id('invoice', draft_id)}"

    answer = machine.patch(path, {"order": "PO-1"}, headers={"If-Match": "*"})

    assert answer.status_code == 200, answer.text
    row = read_row("invoices", draft_id)
    assert (row.purchase_order_ref, row.net_minor) == ("PO-1", 100 * (LINES_MAX + 1))
    (found,) = rows("SELECT count(*) AS count, min(description) AS words FROM invoice_lines")
    assert (found.count, found.words) == (LINES_MAX + 1, "Berth fee\r\nQuay 7")
    sent = machine.patch(path, {"lines": [LINE] * (LINES_MAX + 1)}, headers={"If-Match": "*"})
    assert problem_of(sent, 422, "body_invalid")["errors"][0]["pointer"] == "/lines"


def test_a_patched_draft_is_judged_whole(machine: Machine) -> None:
    draft = make_draft_invoice(lines=(Line(10_000, tax_code="OLD"),))
    path = f"/invoices/{public_id('invoice', draft.id)}"
    answer = machine.patch(path, {"order": "PO-1"}, headers={"If-Match": "*"})
    found = problem_of(answer, 422, "draft_invalid")
    assert found["errors"][0]["pointer"] == "/lines/0/tax_code"
    assert read_row("invoices", draft.id).version == draft.version


def test_a_draft_is_discarded_and_stays_to_be_read(machine: Machine, draft: dict[str, Any]) -> None:
    path = f"/invoices/{draft['id']}"
    problem_of(machine.send("DELETE", path), 428, "precondition_missing")
    answer = machine.send("DELETE", path, headers={"If-Match": draft["tag"]})
    assert (answer.status_code, answer.data) == (204, b"")
    assert machine.read(path)["state"] == "discarded"
    again = machine.send("DELETE", path, headers={"If-Match": "*"})
    problem_of(again, 409, "move_not_allowed")


def test_a_draft_is_issued_once(machine: Machine, draft: dict[str, Any]) -> None:
    path = f"/invoices/{draft['id']}/issue"
    problem_of(machine.post(path, once=None), 400, "idempotency_key_missing")
    first, again = (machine.post(path, once="key-1") for _ in range(2))

    assert first.status_code == 200, first.text
    found = first.get_json()
    assert found["number"].endswith("-000001")
    assert (found["state"], found["status"]) == ("issued", "unpaid")
    assert found["total"]["amount"] == "119.00"
    assert [(tax["tax_code"], tax["tax"]["amount"]) for tax in found["taxes"]] == [("S", "19.00")]
    assert again.data == first.data
    assert again.headers["Idempotency-Replayed"] == "true"
    problem_of(machine.post(path), 409, "invoice_not_draft")
    (event,) = rows("SELECT * FROM events WHERE kind = 'invoice.issued'")
    assert event.actor_name in {"ERP", "system"}


def test_what_the_rules_have_against_it_is_listed(machine: Machine) -> None:
    # A document dated in the future is blocked by the harbour's agreement (V111).
    draft = make_draft_invoice(document_on=date(2099, 1, 1))
    path = f"/invoices/{public_id('invoice', draft.id)}"
    found = problem_of(machine.post(f"{path}/issue"), 422, "invoice_blocked")
    assert "V111" in {error["code"] for error in found["errors"]}
    assert read_row("invoices", draft.id).state == "draft"


def test_an_invoice_is_voided_once(machine: Machine, draft: dict[str, Any]) -> None:
    path = f"/invoices/{draft['id']}"
    issued = machine.post(f"{path}/issue")
    body = {"reason": "billed twice"}
    stale = machine.post(f"{path}/void", body, headers={"If-Match": draft["tag"]})
    problem_of(stale, 412, "precondition_outdated")
    seen = {"If-Match": issued.headers["ETag"]}
    first = machine.post(f"{path}/void", body, once="key-1", headers=seen)

    assert first.status_code == 200, first.text
    found = first.get_json()
    assert (found["state"], found["status"]) == ("voided", "voided")
    note = machine.read(f"/invoices/{found['voided_by_id']}")
    assert (note["kind"], note["corrects_id"], note["status"]) == (
        "credit_note", draft["id"], "credit_used"
    )  # fmt: skip
    again = machine.post(f"{path}/void", body, once="key-1", headers=seen)
    assert again.data == first.data
    problem_of(machine.post(f"{path}/void", body), 409, "invoice_not_voidable")
    problem_of(machine.post(f"{path}/void", {"reason": " "}), 422, "body_invalid")


def test_many_voids_at_once_make_one_credit_note(app: Flask, machine: Machine) -> None:
    invoice = make_issued_invoice()
    path = f"/invoices/{public_id('invoice', invoice.id)}/void"

    def void(key: str) -> int:
        sender = Machine(app.test_client(), machine.key)
        return sender.post(path, {"reason": "twice"}, once=key).status_code

    same = run_together(app, *[lambda: void("key-1")] * 4, lambda: void("key-2"))

    assert sorted(set(same)) in ([200], [200, 409])
    assert len(rows("SELECT * FROM invoices WHERE kind = 'credit_note'")) == 1


def test_an_invoice_in_payment_is_not_voided(machine: Machine) -> None:
    payment = make_payment()
    path = f"/invoices/{public_id('invoice', payment.invoice_id)}/void"
    problem_of(machine.post(path, {"reason": "twice"}), 409, "invoice_not_voidable")


def test_invoices_are_filtered_and_sorted(machine: Machine) -> None:
    small = make_issued_invoice(lines=(Line(1_000),))
    large = make_issued_invoice(lines=(Line(90_000),))
    draft = make_draft_invoice()

    def found(query: str) -> list[str]:
        return [one["id"] for one in machine.read(f"/invoices?{query}")["items"]]

    ids = {name: public_id("invoice", one.id) for name, one in
           (("small", small), ("large", large), ("draft", draft))}  # fmt: skip
    assert set(found("")) == set(ids.values())
    assert found("status=draft") == [ids["draft"]]
    assert found("status=overdue&status=draft&sort=-total&limit=2")[0] == ids["large"]
    assert found("total[gte]=500&total[lt]=5000.00&status=open") == [ids["large"]]
    assert found(f"payer={public_id('payer', small.payer_id)}") == [ids["small"]]
    assert found("due[lte]=2026-01-01") == []
    yesterday = today("Europe/Berlin") - timedelta(days=1)
    assert set(found(f"due[lte]={yesterday}&status=open")) <= {ids["small"], ids["large"]}
    for wrong in ("status=lost", "due[near]=2026-01-01", "total[gte]=x", "sort=payer", "cursor=x"):
        problem_of(machine.get(f"/invoices?{wrong}"), 400, "query_invalid")


def test_a_list_and_a_document_say_the_same(machine: Machine) -> None:
    make_issued_invoice()
    make_draft_invoice()
    for row in machine.read("/invoices")["items"]:
        document = machine.read(f"/invoices/{row['id']}")
        assert {name: document[name] for name in row} == row


def test_a_list_costs_the_same_however_long_it_is(machine: Machine, statements: Any) -> None:
    make_issued_invoice()
    machine.read("/invoices")
    counts = []
    for _ in range(2):
        with statements() as recorded:
            machine.read("/invoices")
        counts.append(recorded.count)
        for _ in range(3):
            make_issued_invoice()
    assert counts == [2, 2]


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"order": "x"}),
        ("DELETE", "", None),
        ("POST", "/issue", None),
        ("POST", "/void", {"reason": "mine"}),
    ],
)
def test_another_organisations_invoice_is_as_good_as_unknown(
    machine: Machine,
    other_organisation: UUID,
    method: str,
    tail: str,
    body: dict[str, Any] | None,
) -> None:
    theirs = make_draft_invoice(organisation_id=other_organisation)
    bodies = []
    for invoice_id in (theirs.id, UUID(int=1)):
        shown = public_id("invoice", invoice_id)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        sent: dict[str, Any] = {} if body is None else {"body": body, "content_type": kind}
        answer = machine.send(
            method, f"/invoices/{shown}{tail}", once="key", headers={"If-Match": "*"}, **sent
        )
        found = problem_of(answer, 404, "invoice_missing")
        del found["request_id"]
        bodies.append(str(found).replace(shown, "ID"))
    assert bodies[0] == bodies[1]
    kept = read_row("invoices", theirs.id, organisation_id=other_organisation)
    assert (kept.state, kept.version) == ("draft", 1)


def test_a_draft_for_another_organisations_payer_is_refused_as_if_unknown(
    machine: Machine, other_organisation: UUID
) -> None:
    theirs = make_payer(organisation_id=other_organisation)
    bodies = []
    for payer_id in (theirs.id, UUID(int=1)):
        found = problem_of(
            machine.post("/invoices", draft_of(payer_id)), 404, "draft_payer_missing"
        )
        del found["request_id"]
        bodies.append(found)
    assert bodies[0] == bodies[1]
    assert rows("SELECT * FROM invoices") == []


def test_a_fault_after_the_effect_leaves_neither(
    app: Flask, machine: Machine, draft: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.api.invoices import _doors

    def burst(*_given: Any, **_named: Any) -> Any:
        raise Invalid(reason="of the answer")

    path = f"/invoices/{draft['id']}/issue"
    with monkeypatch.context() as broken:
        broken.setattr(_doors, "_answer", burst)
        assert machine.post(path, once="key-1").status_code == 422
    assert stored(draft).state == "draft"
    assert machine.post(path, once="key-1").status_code == 200
    assert now_utc().year >= stored(draft).year


def test_the_trace_of_an_invoice_says_why(machine: Machine) -> None:
    invoice = make_issued_invoice(business_on=date(2026, 3, 2), lines=(Line(10_000),))
    address = f"/invoices/{public_id('invoice', invoice.id)}/trace"
    found = machine.get(address).get_json()
    assert found["object"] == "trace"
    (decision,) = found["decisions"]
    assert (decision["stage"], decision["rule_set_version"]) == ("issue", 1)
    assert decision["decided_on"] == "2026-03-02"
    assert [one["code"] for one in decision["entries"]] == ["C102", "C104"]
    tax = decision["entries"][0]
    assert tax["sentence"] == "C102 19.00 % of 100.00 EUR (tax code S) is 19.00 EUR."
    assert "round the tax once" in tax["agreed"]
    draft = make_draft_invoice()
    untraced = machine.get(f"/invoices/{public_id('invoice', draft.id)}/trace")
    assert untraced.get_json()["decisions"] == []
    nobody = machine.get(f"/invoices/{public_id('invoice', UUID(int=1))}/trace")
    assert nobody.status_code == 404
