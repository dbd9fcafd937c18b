"""Reminders for tests, written as the job would write them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from portal.db import acting_for, transaction
from portal.ids import new_id
from portal.services.reminders import remind_invoices
from tests import factories
from tests.factories import CLERK, NOW, home, insert_row, make_issued_invoice
from tests.services.books import rows

REMINDED_ON = date(2026, 5, 4)
# The levels of the harbour city, in days after an invoice is due: 7 free, 21 with a fee of 5.00.
LEVELS = (7, 21)


def make_reminder(invoice: Any = None, **over: Any) -> Any:
    """Insert a reminder that charges nothing, of a new overdue invoice unless given."""
    about = invoice or make_issued_invoice()
    columns: dict[str, Any] = {
        "organisation_id": about.organisation_id,
        "id": new_id(),
        "invoice_id": about.id,
        "payer_id": about.payer_id,
        "level": 1,
        "reminded_on": REMINDED_ON,
        "currency": about.currency,
        "open_minor": about.open_minor,
        "fee_minor": 0,
        "interest_minor": 0,
        "clause_codes": [],
        "rule_set_version": 1,
    }
    with transaction(about.organisation_id):
        return insert_row("reminders", **{**columns, **over})


def make_reminders(count: int) -> list[Any]:
    """Insert reminders of one invoice, a level and a week apart."""
    invoice = factories.make_issued_invoice()
    return [
        make_reminder(invoice, level=1 + place, reminded_on=REMINDED_ON + timedelta(weeks=place))
        for place in range(count)
    ]


def remind_as_agreed() -> list[Any]:
    """Remind of a new invoice as the job does, on the days of both levels; the second charges."""
    invoice = make_issued_invoice()
    with acting_for(home.get()):
        for late in LEVELS:
            on = invoice.due_on + timedelta(days=late)
            remind_invoices(invoice_ids=[invoice.id], business_on=on, actor=CLERK, now=NOW)
    return list(rows("SELECT * FROM reminders ORDER BY level"))
