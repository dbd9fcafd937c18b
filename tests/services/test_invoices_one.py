"""Issuing one draft: as a run would, with all that is against it, and only once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for
from portal.domain.ledger import AccountKind
from portal.ids import new_id
from portal.queries.invoices import InvoiceMissing
from portal.services.invoices import (
    InvoiceBlocked,
    InvoiceChanged,
    InvoiceNotDraft,
    IssuedBeforeLast,
    assess_draft,
    discard_draft,
    issue_invoice,
    issue_invoices,
)
from tests import factories
from tests.factories import CLERK, NOW, Line, activate_rule_set, make_draft_invoice, make_payer
from tests.factories import read_row as read
from tests.services.books import assert_books_hold, balance, events_of, rows
from tests.services.drafting import broken_proofs, do_at_once

ON = factories.BUSINESS_ON
CONTENT = (
    "SELECT kind, state, series, year, issued_on, due_on, net_minor, tax_minor, total_minor,"
    " open_minor, rule_set_version, version FROM invoices WHERE id = %s"
)


def issue(invoice_id: UUID, version: int = 1, on: date = ON) -> None:
    with acting_for(factories.home.get()):
        issue_invoice(invoice_id=invoice_id, version=version, on=on, actor=CLERK, now=NOW)


def test_one_draft_is_issued_as_a_run_would(organisation: UUID) -> None:
    lines = (Line(10_000), Line(-500), Line(3_333, "4100", "R"))
    by_run, by_hand = (make_draft_invoice(lines=lines) for _ in range(2))
    with acting_for(organisation):
        issue_invoices(invoice_ids=[by_run.id], business_on=ON, actor=CLERK, now=NOW)

    issue(by_hand.id)

    assert rows(CONTENT, by_hand.id) == rows(CONTENT, by_run.id)
    assert read("invoices", by_hand.id).number == 2
    assert events_of(by_hand.id) == events_of(by_run.id) == ["invoice.issued"]
    taxes = (
        "SELECT tax_code, rate_bps, tax_minor FROM invoice_taxes WHERE invoice_id = %s ORDER BY 1"
    )
    assert rows(taxes, by_hand.id) == rows(taxes, by_run.id)
    assert balance(AccountKind.RECEIVABLE) == 2 * read("invoices", by_hand.id).total_minor
    assert_books_hold()
    assert broken_proofs() == []


def test_a_blocked_draft_says_all_that_is_against_it(organisation: UUID) -> None:
    payer = make_payer(kind="public_body")
    made = make_draft_invoice(payer_id=payer.id, lines=(Line(100),), document_on=date(2026, 4, 1))
    events = rows("SELECT count(*) AS n FROM events")

    with pytest.raises(InvoiceBlocked, match="It stays a draft") as caught:
        issue(made.id)

    findings = caught.value.findings
    assert [(each.code, each.field) for each in findings] == [
        ("V101", "total_minor"),
        ("V106", "purchase_order_ref"),
        ("V111", "document_on"),
    ]
    assert caught.value.field == "total_minor"
    assert all(each.message.endswith(".") for each in findings)
    assert findings[0].message in caught.value.message
    assert read("invoices", made.id) == made
    for table in ("number_series", "ledger_entries", "invoice_taxes"):
        assert rows(f"SELECT * FROM {table}") == []
    assert rows("SELECT count(*) AS n FROM events") == events


@pytest.mark.parametrize(
    ("lines", "code", "field"),
    [
        ((Line(10_000, "4000", "Q"),), "C102", "lines"),
        ((Line(20_000, "4000", "E"), Line(-9_000)), "negative", "lines"),
        ((), "V114", "lines"),
    ],
)
def test_a_draft_without_a_price_is_blocked(
    organisation: UUID, lines: tuple[Line, ...], code: str, field: str
) -> None:
    made = make_draft_invoice(lines=lines)

    with pytest.raises(InvoiceBlocked) as caught:
        issue(made.id)

    assert (caught.value.findings[0].code, caught.value.field) == (code, field)
    assert read("invoices", made.id) == made


def test_a_warning_does_not_block(organisation: UUID) -> None:
    definition = rows("SELECT definition FROM rule_sets")[0].definition
    warning = {"code": "V105", "stage": "issue", "severity": "warn"}
    definition["clause"].append(warning)
    with acting_for(organisation):
        activate_rule_set(definition=definition, starts_on=ON)
    made = make_draft_invoice(external_ref=None)
    with acting_for(organisation):
        assessment = assess_draft(invoice_id=made.id, on=ON)

    issue(made.id)

    assert [each.code for each in assessment.findings] == ["V105"]
    assert assessment.price is not None
    after = read("invoices", made.id)
    assert (after.state, after.total_minor) == ("issued", assessment.price.total_minor)


def test_an_assessment_writes_nothing(organisation: UUID, statements: Callable[[], Any]) -> None:
    made = make_draft_invoice(lines=(Line(100),))
    with acting_for(organisation), statements() as recorded:
        assessment = assess_draft(invoice_id=made.id, on=ON)

    assert [each.code for each in assessment.findings] == ["V101"]
    assert assessment.price is not None
    assert assessment.price.total_minor == 119
    assert not any(text.startswith(("INSERT", "UPDATE")) for text in recorded.texts)
    assert read("invoices", made.id) == made
    issued = factories.make_issued_invoice()
    with acting_for(organisation):
        with pytest.raises(InvoiceNotDraft):
            assess_draft(invoice_id=issued.id, on=ON)
        with pytest.raises(InvoiceMissing):
            assess_draft(invoice_id=new_id(), on=ON)


def test_an_old_version_or_another_state_is_not_issued(organisation: UUID) -> None:
    made = make_draft_invoice(version=3)
    waiting = make_draft_invoice(state="pending_approval")

    with pytest.raises(InvoiceChanged) as caught:
        issue(made.id, 2)
    with pytest.raises(InvoiceNotDraft, match="“Waiting for approval”"):
        issue(waiting.id)
    issue(made.id, 3)
    with pytest.raises(InvoiceNotDraft, match="“Issued”"):
        issue(made.id, 4)

    assert caught.value.version == 3
    assert read("invoices", waiting.id) == waiting
    assert events_of(made.id) == ["invoice.issued"]


def test_nothing_is_dated_before_the_last_of_its_series(organisation: UUID) -> None:
    issue(make_draft_invoice().id)
    late = make_draft_invoice()

    with pytest.raises(IssuedBeforeLast, match="Nothing was issued"):
        issue(late.id, on=date(2026, 3, 17))

    assert read("invoices", late.id) == late
    assert broken_proofs() == []


def test_a_draft_that_many_issue_or_discard_at_once_has_one_end(
    organisation: UUID, app: Flask
) -> None:
    made = make_draft_invoice()
    by_hand = partial(issue_invoice, invoice_id=made.id, version=1, on=ON, actor=CLERK, now=NOW)
    by_run = partial(issue_invoices, invoice_ids=[made.id], business_on=ON, actor=CLERK, now=NOW)
    gone = partial(discard_draft, invoice_id=made.id, version=1, actor=CLERK, now=NOW)

    do_at_once(app, [by_hand, by_hand, by_run, gone])

    after = read("invoices", made.id)
    assert (after.state, after.version) in {("issued", 2), ("discarded", 2)}
    assert events_of(made.id) == [f"invoice.{after.state}"]
    assert broken_proofs() == []


def test_documents_of_others_are_not_there(organisation: UUID, other_organisation: UUID) -> None:
    theirs = make_draft_invoice(organisation_id=other_organisation)

    with pytest.raises(InvoiceMissing):
        issue(theirs.id)
    with pytest.raises(InvoiceMissing):
        issue(new_id())

    assert read("invoices", theirs.id, organisation_id=other_organisation) == theirs
