"""Reminding: levels, what pauses them, and charges for fees and interest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.errors import Conflict
from portal.queries.checks import run_checks
from portal.queries.populations import POPULATIONS
from portal.services.outcomes import ItemResult
from portal.services.reminders import remind_invoices
from portal.sql import execute, fetch
from tests.factories import (
    CLERK,
    NOW,
    agree,
    make_credit_note,
    make_draft_invoice,
    make_issued_invoice,
    make_payer,
    read_row,
)

# The sample agreement reminds 7, 21 and 42 days after the due day, which is 16 March.
DUE_ON = date(2026, 3, 16)
FIRST_ON, SECOND_ON, LAST_ON = (DUE_ON + timedelta(days) for days in (7, 21, 42))
INTEREST = {"code": "C203", "parameters": {"yearly_rate_bps": 3650}}


@pytest.fixture(autouse=True)
def _acting(organisation: UUID) -> Iterator[None]:
    with acting_for(organisation):
        yield


def remind(*invoices: Any, on: date) -> list[ItemResult]:
    ids = [each if isinstance(each, UUID) else each.id for each in invoices]
    return remind_invoices(invoice_ids=ids, business_on=on, actor=CLERK, now=NOW)


def reminders_of(invoice: Any) -> Sequence[Any]:
    with transaction():
        return fetch("SELECT * FROM reminders WHERE invoice_id = %s ORDER BY level", (invoice.id,))


def population(on: date) -> set[UUID]:
    with transaction():
        items = POPULATIONS["reminding"](on, {})
        return {row.id for row in fetch(items.statement, items.parameters)}


def change(statement: str, *parameters: Any) -> None:
    with transaction():
        execute(statement, parameters)


def test_levels_rise_and_charge_what_was_agreed() -> None:
    invoice = make_issued_invoice()
    (early,) = remind(invoice, on=FIRST_ON - timedelta(1))
    assert (early.outcome, early.code) == (ItemOutcome.FILTERED, "level_not_reached")
    for on in (FIRST_ON, SECOND_ON, LAST_ON):
        (done,) = remind(invoice, on=on)
        assert (done.outcome, done.amount_minor) == (ItemOutcome.DONE, 11_900)
    assert [
        (each.level, each.reminded_on, each.open_minor, each.fee_minor, each.interest_minor)
        for each in reminders_of(invoice)
    ] == [
        (1, FIRST_ON, 11_900, 0, 0),
        # The late fee of 0.75 % comes once, the fee of the level with each notice.
        (2, SECOND_ON, 11_900, 500 + 89, 0),
        (3, LAST_ON, 11_900, 1500, 0),
    ]
    (after,) = remind(invoice, on=LAST_ON + timedelta(300))
    assert after.code == "level_not_reached"
    assert len(reminders_of(invoice)) == 3


def test_a_charge_is_a_numbered_document_of_its_own() -> None:
    invoice = make_issued_invoice()
    remind(invoice, on=FIRST_ON)
    remind(invoice, on=SECOND_ON)
    first, second = reminders_of(invoice)
    assert first.charge_invoice_id is None
    charge = read_row("invoices", second.charge_invoice_id)
    assert (charge.kind, charge.state, charge.payer_id) == ("charge", "issued", invoice.payer_id)
    assert (charge.net_minor, charge.tax_minor, charge.open_minor) == (589, 0, 589)
    assert (charge.issued_on, charge.number) == (SECOND_ON, invoice.number + 1)
    assert charge.due_on > SECOND_ON
    assert read_row("invoices", invoice.id).open_minor == 11_900
    with transaction():
        lines = fetch(
            "SELECT description, net_minor, revenue_code, tax_code FROM invoice_lines"
            " WHERE invoice_id = %s ORDER BY position",
            (charge.id,),
        )
        traced = fetch(
            "SELECT entries FROM rule_traces WHERE subject_id = %s AND stage = 'remind'"
            " ORDER BY id DESC LIMIT 1",
            (invoice.id,),
        )
        told = fetch("SELECT kind FROM events WHERE subject_id = %s", (invoice.id,))
    assert {(each.net_minor, each.revenue_code, each.tax_code) for each in lines} == {
        (500, "late_fee", "O"),
        (89, "late_fee", "O"),
    }
    assert all(each.description.endswith("INV-2026-000001") for each in lines)
    assert {entry[0] for entry in traced[0].entries} == {"P112", "C204", "C201"}
    assert [each.kind for each in told].count("invoice.reminded") == 2


def test_interest_is_charged_once_for_each_day() -> None:
    agree(INTEREST, on=FIRST_ON)
    invoice = make_issued_invoice()
    for on in (FIRST_ON, SECOND_ON, LAST_ON):
        remind(invoice, on=on)
    # 36.5 % a year is one thousandth a day: 11.90 per day.
    assert [each.interest_minor for each in reminders_of(invoice)] == [83, 167, 250]
    with transaction():
        (line,) = fetch(
            "SELECT l.description FROM invoice_lines l JOIN reminders r"
            " ON r.charge_invoice_id = l.invoice_id WHERE r.level = 2"
            " AND l.revenue_code = 'interest'"
        )
    assert line.description.startswith("Interest for 14 days")


def test_reminding_leaves_the_books_proven() -> None:
    agree(INTEREST, on=FIRST_ON)
    invoices = [make_issued_invoice() for _ in range(2)]
    for on in (FIRST_ON, SECOND_ON, LAST_ON):
        remind(*invoices, on=on)
    assert [each.check for each in run_checks() if each.rows] == []


def test_a_level_is_not_skipped_and_a_day_has_one_notice() -> None:
    invoice = make_issued_invoice()
    remind(invoice, on=LAST_ON)
    assert [each.level for each in reminders_of(invoice)] == [1]
    (again,) = remind(invoice, on=LAST_ON)
    assert (again.outcome, again.code) == (ItemOutcome.FILTERED, "reminded_today")
    assert len(reminders_of(invoice)) == 1
    remind(invoice, invoice, on=LAST_ON + timedelta(1))
    assert [each.level for each in reminders_of(invoice)] == [1, 2]


def test_a_hold_pauses_whether_a_clause_says_so_or_not() -> None:
    invoice = make_issued_invoice()
    change("UPDATE payers SET is_on_hold = true WHERE id = %s", invoice.payer_id)
    assert [each.code for each in remind(invoice, on=FIRST_ON)] == ["payer_on_hold"]
    agree({"code": "P108"}, on=FIRST_ON)
    (paused,) = remind(invoice, on=FIRST_ON)
    assert paused.code == "P108"
    assert "on hold" in str(paused.message)
    assert not reminders_of(invoice)
    change("UPDATE payers SET is_on_hold = false WHERE id = %s", invoice.payer_id)
    assert remind(invoice, on=FIRST_ON)[0].outcome is ItemOutcome.DONE


def test_what_is_no_overdue_invoice_is_left_alone(other_organisation: UUID) -> None:
    small = make_issued_invoice()
    change("UPDATE invoices SET paid_minor = total_minor - 249 WHERE id = %s", small.id)
    paying = make_issued_invoice()
    change("UPDATE invoices SET in_payment_minor = total_minor WHERE id = %s", paying.id)
    unnamed = make_issued_invoice(payer_id=make_payer(is_default=True).id)
    foreign = make_issued_invoice(organisation_id=other_organisation)
    told = {
        make_credit_note().id: "is_charge",
        make_draft_invoice().id: "not_overdue",
        small.id: "P106",
        paying.id: "in_payment",
        unnamed.id: "default_payer",
        foreign.id: "not_found",
        UUID(int=7): "not_found",
    }
    results = remind(*told, on=SECOND_ON)
    assert {each.item_id: each.code for each in results} == told
    assert {each.outcome for each in results} == {ItemOutcome.FILTERED}
    assert [each.code for each in remind(make_issued_invoice(), on=DUE_ON)] == ["not_overdue"]
    assert remind(on=SECOND_ON) == []
    with transaction():
        assert not fetch("SELECT 1 FROM reminders")


def test_the_population_is_what_is_overdue_but_no_charge() -> None:
    invoice, paying = make_issued_invoice(), make_issued_invoice()
    change("UPDATE invoices SET in_payment_minor = total_minor WHERE id = %s", paying.id)
    make_credit_note()
    assert population(DUE_ON) == set()
    assert population(FIRST_ON) == {invoice.id}
    remind(invoice, on=FIRST_ON)
    assert population(FIRST_ON) == set()
    remind(invoice, on=SECOND_ON)
    charge_id = reminders_of(invoice)[-1].charge_invoice_id
    long_after = read_row("invoices", charge_id).due_on + timedelta(100)
    assert population(long_after) == {invoice.id}
    assert [each.code for each in remind(charge_id, on=long_after)] == ["is_charge"]


def test_nothing_is_kept_when_the_series_is_ahead() -> None:
    invoice = make_issued_invoice()
    remind(invoice, on=FIRST_ON)
    make_issued_invoice(business_on=LAST_ON)
    with pytest.raises(Conflict):
        remind(invoice, on=SECOND_ON)
    assert [each.level for each in reminders_of(invoice)] == [1]


def test_a_reminder_is_never_changed() -> None:
    invoice = make_issued_invoice()
    remind(invoice, on=FIRST_ON)
    with pytest.raises(psycopg.Error) as refused:
        change("UPDATE reminders SET level = 2")
    assert refused.value.diag.constraint_name == "append_only" or "permission" in str(refused.value)


def test_a_chunk_takes_as_many_statements_as_one(statements: Any) -> None:
    chunks = [[make_issued_invoice() for _ in range(size)] for size in (1, 1, 4)]
    counted = []
    for invoices in chunks:
        with statements() as recorded:
            remind(*invoices, on=SECOND_ON)
        counted.append(recorded.count)
    # What is loaded and opened once is so with the first.
    assert counted[1] == counted[2]
