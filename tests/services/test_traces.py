"""Traces as services leave them: with the issue, the refusal, the retry; once, and for good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from portal.db import acting_for, transaction
from portal.queries.traces import TraceRow, list_traces
from portal.services.invoices import InvoiceBlocked, issue_invoice, issue_invoices, void_invoice
from portal.services.payments import ResultKind, retry_payments, start_payments
from portal.services.traces import record_traces
from portal.sql import execute, fetch_plain
from rules.types import Stage, TraceEntry
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    EARLIER_ON,
    NOW,
    Line,
    activate_rule_set,
    agree,
    answer_attempt,
    attempt_of,
    make_draft_invoice,
    make_issued_invoice,
    make_mandate,
    make_payment,
    make_succeeded_payment,
    read_row,
)


@pytest.fixture(autouse=True)
def _acting(organisation: UUID) -> Iterator[None]:
    with acting_for(organisation):
        yield


def issue(*ids: UUID) -> None:
    issue_invoices(invoice_ids=ids, business_on=BUSINESS_ON, actor=CLERK, now=NOW)


def said(row: TraceRow) -> list[str]:
    return [one.sentence for one in row.explain("EUR")]


def change_line(draft: Any, changes: str) -> None:
    with transaction():
        execute(f"UPDATE invoice_lines SET {changes} WHERE invoice_id = %s", (draft.id,))


def test_an_issued_invoice_keeps_how_its_amounts_came_about() -> None:
    draft = make_draft_invoice(lines=(Line(10_000), Line(2_001, tax_code="R")))
    issue(draft.id)
    (row,) = list_traces(draft.id)
    assert (row.stage, row.rule_set_version) == ("issue", 1)
    assert (row.decided_on, row.recorded_at) == (BUSINESS_ON, NOW)
    invoice = read_row("invoices", draft.id)
    taxes = [entry for entry in row.entries if entry[0] == "C102"]
    assert sum(inputs["net"] + tax for _, _, inputs, tax in taxes) == invoice.total_minor
    assert [entry for entry in row.entries if entry[0] == "C104"] == [
        ["C104", 4, {"on": BUSINESS_ON.isoformat()}, invoice.due_on.isoformat()]
    ]
    assert "C102 19.00 % of 100.00 EUR (tax code S) is 19.00 EUR." in said(row)


def test_the_sentence_is_that_of_the_version_which_decided() -> None:
    old = make_issued_invoice(business_on=EARLIER_ON)
    changed = {"clause": [
        {"code": "C102", "parameters": {"rates": {"S": 2000}}},
        {"code": "C104", "parameters": {"days": 5}},
    ]}  # fmt: skip
    activate_rule_set(definition=changed, starts_on=BUSINESS_ON)
    new = make_draft_invoice()
    issue(new.id)
    (before,), (after,) = list_traces(old.id), list_traces(new.id)
    assert (before.rule_set_version, after.rule_set_version) == (1, 2)
    assert "19.00 %" in said(before)[0]
    assert "20.00 %" in said(after)[0]
    assert "5 days" in after.explain("EUR")[-1].agreed
    assert "14 days" in before.explain("EUR")[-1].agreed


def test_a_refused_draft_keeps_why_once_for_each_reason() -> None:
    draft = make_draft_invoice(lines=(Line(100),))
    issue(draft.id)
    issue(draft.id)
    (row,) = list_traces(draft.id)
    ((code, place, inputs, message),) = row.entries
    assert (code, inputs) == ("V101", {"severity": "block"})
    assert place > 0
    assert said(row) == [f"V101 The document is stopped: {message}"]
    change_line(draft, "tax_code = 'X'")
    issue(draft.id)
    assert len(list_traces(draft.id)) == 2
    change_line(draft, "tax_code = 'S', net_minor = 9000")
    issue(draft.id)
    issue(draft.id)
    assert [row.stage for row in list_traces(draft.id)] == ["issue"] * 3
    assert "C102" in said(list_traces(draft.id)[0])[0]


def test_nothing_is_kept_of_an_issue_that_did_not_happen() -> None:
    draft = make_draft_invoice(lines=(Line(100),))
    with pytest.raises(InvoiceBlocked):
        issue_invoice(invoice_id=draft.id, version=1, on=BUSINESS_ON, actor=CLERK, now=NOW)
    assert list_traces(draft.id) == []


def test_a_credit_note_that_repeats_an_invoice_has_no_trace_of_its_own() -> None:
    invoice = make_issued_invoice(business_on=EARLIER_ON)
    note = void_invoice(
        invoice_id=invoice.id, version=invoice.version, reason="Twice.", on=BUSINESS_ON,
        actor=CLERK, now=NOW,
    )  # fmt: skip
    assert list_traces(note) == []
    assert len(list_traces(invoice.id)) == 1


def test_a_decline_keeps_which_clause_planned_the_next_try() -> None:
    payment = make_payment()
    answer_attempt(attempt_of(payment), ResultKind.DECLINE, reason_code="AM04")
    (row,) = list_traces(payment.id)
    ((code, place, inputs, result),) = row.entries
    after = read_row("payments", payment.id)
    assert (code, result) == ("P101", after.next_attempt_on.isoformat())
    assert (inputs["kind"], inputs["reason"], inputs["attempt"]) == ("decline", "AM04", 1)
    assert row.definition["clause"][place - 1]["parameters"]["attempts_max"] == 4
    assert (row.stage, row.decided_on) == ("attempt_failed", attempt_of(payment).business_on)


def test_a_return_is_decided_by_its_own_clause_and_a_hard_reason_goes_to_a_list() -> None:
    payment = make_succeeded_payment()
    answer_attempt(attempt_of(payment), ResultKind.RETURN, reason_code="AC04")
    (row,) = list_traces(payment.id)
    ((_, place, inputs, result),) = row.entries
    assert row.definition["clause"][place - 1]["when"]["value"] == "return"
    assert inputs["kind"] == "return"
    assert result["worklist"] == read_row("payments", payment.id).worklist == "hard_decline"


def test_trouble_of_the_gateway_is_no_decision_of_a_rule() -> None:
    payment = make_payment()
    answer_attempt(attempt_of(payment), ResultKind.ERROR)
    assert list_traces(payment.id) == []


def start(invoice: Any, days: int = 0) -> None:
    on = invoice.due_on + timedelta(days=days)
    start_payments(invoice_ids=[invoice.id], business_on=on, actor=CLERK, now=NOW)


def test_a_collection_that_a_rule_refuses_keeps_why_and_no_other() -> None:
    mandate = make_mandate()
    invoice = make_issued_invoice(business_on=EARLIER_ON, payer_id=mandate.payer_id)
    start(invoice, days=-1)
    assert [row.stage for row in list_traces(invoice.id)] == ["issue"]
    agree({"code": "P104", "parameters": {"minimum_minor": 10**9}}, on=invoice.due_on)
    start(invoice)
    start(invoice, days=1)
    refused, issued = list_traces(invoice.id)
    assert (refused.stage, issued.stage) == ("collect", "issue")
    assert refused.rule_set_version == 2
    ((code, _, _, _),) = refused.entries
    assert code == "P104"
    assert fetch_plain("SELECT count(*) FROM payments") == [(0,)]


def test_a_retry_that_a_rule_refuses_is_told_of_at_the_payment() -> None:
    payment = make_payment()
    answer_attempt(attempt_of(payment), ResultKind.DECLINE, reason_code="AM04")
    on = read_row("payments", payment.id).next_attempt_on
    agree({"code": "P104", "parameters": {"minimum_minor": 10**9}}, on=on)
    for _ in range(2):
        retry_payments(payment_ids=[payment.id], business_on=on, actor=CLERK, now=NOW)
    refused, failed = list_traces(payment.id)
    assert (refused.stage, failed.stage) == ("collect", "attempt_failed")
    assert said(refused)[0].startswith("P104 The document is stopped: ")


def test_traces_are_written_at_once_and_never_changed(
    statements: Any, other_organisation: UUID
) -> None:
    entries = [TraceEntry("C102", 1, {"tax_code": 'S\n"ü\\', "rate_bps": 1900, "net": 100}, 19)]
    ids = [make_draft_invoice().id for _ in range(3)]
    kept: dict[str, Any] = {"subject_type": "invoice", "stage": Stage.ISSUE, "version": 1,
                            "on": BUSINESS_ON, "now": NOW}  # fmt: skip
    with transaction(), statements() as recorded:
        record_traces([(one, entries) for one in ids], **kept)
        record_traces([(ids[0], [])], **kept)
        record_traces([], **kept)
    assert recorded.count == 1
    assert [list_traces(one)[0].entries for one in ids] == [[list(entries[0])]] * 3
    for change in ("DELETE FROM rule_traces", "UPDATE rule_traces SET entries = '[]'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), transaction():
            execute(change)
    with acting_for(other_organisation):
        assert list_traces(ids[0]) == []
