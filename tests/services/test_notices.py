"""Notices: written with their reminders or not at all, and put into words when they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.domain.errors import Conflict
from portal.gateways.base import NoticeOrder
from portal.ids import public_id
from portal.services.invoices import void_invoice
from portal.services.messages import Claimed, claim_messages
from portal.services.notices import plan_notices, write_notices
from portal.services.payments import Verdict
from portal.services.reminders import remind_invoices
from portal.sql import execute
from tests.factories import (
    CLERK,
    NOW,
    bank_account_of,
    make_issued_invoice,
    make_payer,
    make_succeeded_payment,
    read_row,
)
from tests.services.books import rows
from tests.services.disputing import answer, make_dispute, tell_dispute
from tests.services.noticing import make_noticed, make_notices_account, notice_states, remind_of
from tests.services.reminding import LEVELS, make_reminder

NOTICE_MESSAGES = "SELECT * FROM messages WHERE kind = 'payer.reminder' ORDER BY id"
Orders = dict[UUID, NoticeOrder]


@pytest.fixture(autouse=True)
def _acting(organisation: UUID) -> Iterator[None]:
    with acting_for(organisation):
        yield


def change(statement: str, *parameters: Any) -> None:
    with transaction():
        assert execute(statement, parameters)


def claim(account: Any) -> list[Claimed]:
    with transaction():
        return claim_messages(gateway_account_id=account.id, limit=100, lease_seconds=60.0)


def plan(claimed: list[Claimed]) -> tuple[Orders, int]:
    """Say what is sent, by reminder, and how many are not."""
    with transaction():
        calls, needless = plan_notices(claimed, now=NOW)
    return {message.aggregate_id: order for message, order in calls}, len(needless)


def test_each_reminder_has_one_message_that_names_nobody() -> None:
    account = make_notices_account()
    invoices = [make_issued_invoice() for _ in range(3)]

    first = remind_of(*invoices)
    (second,) = remind_of(invoices[0], level=2)

    written = rows(NOTICE_MESSAGES)
    assert {row.aggregate_id for row in written} == {each.id for each in (*first, second)}
    assert len(written) == 4
    assert {(row.state, row.sequence, row.gateway_account_id) for row in written} == {
        ("ready", 1, account.id)
    }
    assert {str(row.payload) for row in written} == {"{}"}
    # Where nothing is reminded of, nothing is said.
    remind_of(*invoices[1:])
    assert len(rows(NOTICE_MESSAGES)) == 4


def test_without_an_account_for_notices_there_is_no_message(other_organisation: UUID) -> None:
    make_notices_account("rivertown-notices", other_organisation)
    (reminder,) = make_noticed()
    assert notice_states([reminder]) == ["none"]

    account = make_notices_account()
    change("UPDATE gateway_accounts SET is_active = false WHERE id = %s", account.id)
    (later,) = make_noticed()

    assert notice_states([reminder, later]) == ["none", "none"]
    with transaction():
        assert write_notices([]) == 0


def test_the_message_is_there_with_its_reminder_or_not_at_all() -> None:
    make_notices_account()
    invoice = make_issued_invoice()
    on = invoice.due_on + timedelta(days=LEVELS[0])

    def remind_and_break() -> None:
        with transaction():
            remind_invoices(invoice_ids=[invoice.id], business_on=on, actor=CLERK, now=NOW)
            raise RuntimeError("the worker died")

    with pytest.raises(RuntimeError):
        remind_and_break()
    assert rows("SELECT 1 FROM reminders") == rows(NOTICE_MESSAGES) == []

    (reminder,) = remind_of(invoice)
    make_issued_invoice(business_on=on + timedelta(days=60))
    with pytest.raises(Conflict):
        remind_of(invoice, level=2)
    assert [row.aggregate_id for row in rows(NOTICE_MESSAGES)] == [reminder.id]


def test_a_chunk_takes_as_many_statements_as_one(statements: Callable[[], Any]) -> None:
    account = make_notices_account()
    chunks = [[make_issued_invoice() for _ in range(size)] for size in (1, 1, 4)]
    counted = []
    for invoices in chunks:
        ids = [each.id for each in invoices]
        on = invoices[0].due_on + timedelta(days=LEVELS[0])
        with statements() as reminding:
            remind_invoices(invoice_ids=ids, business_on=on, actor=CLERK, now=NOW)
        claimed = claim(account)
        with statements() as planning:
            assert len(plan(claimed)[0]) == len(invoices)
        counted.append((reminding.count, planning.count))
    # What is loaded and opened once is so with the first.
    assert counted[1] == counted[2]


def test_what_it_says_is_read_when_it_leaves() -> None:
    account = make_notices_account()
    payer = make_payer(name="Ada Abendroth", email="ada@example.org")
    invoice = make_issued_invoice(payer_id=payer.id)
    (first,) = remind_of(invoice)
    (second,) = remind_of(invoice, level=2)
    change("UPDATE payers SET name = 'Ada Brisket' WHERE id = %s", payer.id)
    change("UPDATE invoices SET paid_minor = 1900 WHERE id = %s", invoice.id)

    orders, needless = plan(claim(account))

    assert needless == 0
    order = orders[second.id]
    assert order.merchant_ref == public_id("reminder", second.id)
    assert (order.payer_name, order.payer_email) == ("Ada Brisket", "ada@example.org")
    assert (order.sender, order.locale, order.level) == ("Harbour City", "de_DE", 2)
    assert (order.invoice_ref, order.due_date) == ("INV-2026-000001", invoice.due_on)
    assert (order.open_minor, order.fee_minor, order.interest_minor) == (10_000, 589, 0)
    assert (order.amount_minor, order.currency) == (10_589, "EUR")
    charge = read_row("invoices", second.charge_invoice_id)
    assert (order.fees_ref, order.fees_due_date) == ("INV-2026-000002", charge.due_on)
    assert order.reference == "INV-2026-000001 INV-2026-000002"
    assert order.pay_to == bank_account_of().iban
    assert order.idempotency_key != orders[first.id].idempotency_key
    free = orders[first.id]
    assert (free.level, free.fees_ref, free.amount_minor) == (1, None, 10_000)
    assert "Brisket" not in repr(order)


@pytest.mark.parametrize(("paid_minor", "fee_minor", "interest_minor"), [
    (0, 89, 500), (80, 9, 500), (100, 0, 489), (589, 0, 0),
])  # fmt: skip
def test_of_fee_and_interest_it_asks_for_what_is_still_owed(
    paid_minor: int, fee_minor: int, interest_minor: int
) -> None:
    account = make_notices_account()
    invoice = make_issued_invoice()
    charge = make_issued_invoice(lines=((589, "late_fee", "E"),), payer_id=invoice.payer_id)
    reminder = make_reminder(invoice, charge_invoice_id=charge.id, fee_minor=89, interest_minor=500)
    change("UPDATE invoices SET paid_minor = %s WHERE id = %s", paid_minor, charge.id)
    with transaction():
        assert write_notices([reminder.id]) == 1

    order = plan(claim(account))[0][reminder.id]

    assert (order.fee_minor, order.interest_minor) == (fee_minor, interest_minor)
    assert order.amount_minor == 11_900 + fee_minor + interest_minor
    assert (order.fees_ref is None) == (fee_minor + interest_minor == 0)


PEACE = {
    "paid": "UPDATE invoices SET paid_minor = total_minor WHERE id = %(invoice)s",
    "on hold": "UPDATE payers SET is_on_hold = true WHERE id = %(payer)s",
    "arranged": "UPDATE payers SET arrangement = 'hardship', arranged_until = %(today)s"
    " WHERE id = %(payer)s",
}


@pytest.mark.parametrize("why", [*PEACE, "void"])
def test_who_owes_nothing_or_is_left_in_peace_by_now_is_not_told(why: str) -> None:
    account = make_notices_account()
    left, told = make_noticed(2)
    invoice = read_row("invoices", left.invoice_id)
    if why == "void":
        void_invoice(
            invoice_id=invoice.id, version=invoice.version, reason="Billed to the wrong one.",
            on=left.reminded_on, actor=CLERK, now=NOW,
        )  # fmt: skip
    else:
        with transaction():
            values = {"invoice": left.invoice_id, "payer": left.payer_id, "today": NOW.date()}
            assert execute(PEACE[why], values)

    orders, needless = plan(claim(account))

    assert (set(orders), needless) == ({told.id}, 1)


def test_an_arrangement_that_is_over_keeps_nobody_from_being_told() -> None:
    account = make_notices_account()
    (reminder,) = make_noticed()
    yesterday = NOW.date() - timedelta(days=1)
    change(
        "UPDATE payers SET arrangement = 'instalments', arranged_until = %s WHERE id = %s",
        yesterday,
        reminder.payer_id,
    )

    assert set(plan(claim(account))[0]) == {reminder.id}


def test_who_disputes_is_not_told_and_is_again_when_it_is_decided() -> None:
    account = make_notices_account()
    payment = make_succeeded_payment()
    dispute = make_dispute(payment=payment)
    reminder = make_reminder(read_row("invoices", payment.invoice_id))
    with transaction():
        assert write_notices([reminder.id]) == 1
    claimed = [one for one in claim(account) if one.aggregate_id == reminder.id]
    assert plan(claimed) == ({}, 1)

    answer(dispute)
    assert plan(claimed) == ({}, 1)
    assert tell_dispute(read_row("disputes", dispute.id), "lose") is Verdict.APPLIED

    assert set(plan(claimed)[0]) == {reminder.id}


def test_nothing_is_read_for_another_organisation(other_organisation: UUID) -> None:
    account = make_notices_account()
    (reminder,) = make_noticed()
    claimed = claim(account)

    with acting_for(other_organisation):
        assert plan(claimed) == ({}, 1)
        with transaction():
            assert write_notices([reminder.id]) == 0
    assert notice_states([reminder]) == ["ready"]
