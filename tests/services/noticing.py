"""Notices for tests: an account for them, overdue invoices that are reminded of, what was told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from portal.db import acting_for, transaction
from portal.domain.gateway_accounts import AccountPurpose
from portal.services.gateway_accounts import add_gateway_account
from portal.services.reminders import remind_invoices
from portal.sql import execute, fetch
from tests import factories
from tests.factories import CLERK, NOW, make_issued_invoice, read_row
from tests.services.books import rows
from tests.services.reminding import LEVELS


def make_notices_account(code: str = "harbour-notices", organisation_id: UUID | None = None) -> Any:
    """Give an organisation an account for notices."""
    owner = organisation_id or factories.home.get()
    with acting_for(owner):
        added = add_gateway_account(
            code=code, purpose=AccountPurpose.NOTICES, currency="EUR", actor=CLERK, now=NOW
        )
    return read_row("gateway_accounts", added, organisation_id=owner)


def remind_of(*invoices: Any, level: int = 1, organisation_id: UUID | None = None) -> list[Any]:
    """Remind of invoices on the day of a level, as the job does, and return their reminders."""
    owner = organisation_id or factories.home.get()
    on = invoices[0].due_on + timedelta(days=LEVELS[level - 1])
    ids = [each.id for each in invoices]
    with acting_for(owner):
        remind_invoices(invoice_ids=ids, business_on=on, actor=CLERK, now=NOW)
    with transaction(owner):
        return list(
            fetch(
                "SELECT * FROM reminders WHERE invoice_id = ANY(%s) AND level = %s ORDER BY id",
                (ids, level),
            )
        )


def make_noticed(count: int = 1, **over: Any) -> list[Any]:
    """Remind of new invoices, each of a payer of its own; there must be an account for notices."""
    return remind_of(*[make_issued_invoice(**over) for _ in range(count)])


def notice_states(reminders: Sequence[Any]) -> list[str]:
    """List the states of the messages of reminders, in their order."""
    found = {
        row.aggregate_id: row.state
        for row in rows("SELECT aggregate_id, state FROM messages WHERE kind = 'payer.reminder'")
    }
    return [found.get(each.id, "none") for each in reminders]


def make_told(*states: str) -> list[Any]:
    """Remind of new invoices and bring the messages to their payers into these states."""
    make_notices_account()
    reminders = make_noticed(len(states))
    with transaction(factories.home.get()):
        for reminder, state in zip(reminders, states, strict=True):
            execute(
                "UPDATE messages SET state = %(state)s, done_at = CASE WHEN %(state)s <> 'ready'"
                " THEN timestamptz '2026-03-24 09:30Z' END WHERE aggregate_id = %(about)s",
                {"state": state, "about": reminder.id},
            )
    return reminders


def message_of(reminder: Any) -> Any:
    """Return the message that brings a reminder to its payer."""
    (found,) = rows("SELECT * FROM messages WHERE aggregate_id = %s", reminder.id)
    return found
