"""Reading reminders: one with its document and its charge, and those of a document."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.domain.messages import NoticeState
from portal.queries.invoices import document_number
from portal.sql import fetch, fetch_one

# The message to the payer of reminder n; there is none where nobody could be told.
NOTICE_JOIN = (
    " LEFT JOIN messages m"
    " ON (m.organisation_id, m.aggregate_id, m.sequence) = (n.organisation_id, n.id, 1)"
)
_SELECT = (
    f"SELECT n.id, n.invoice_id, {document_number('i')} AS invoice_number, i.issued_on, i.due_on,"
    " n.payer_id, p.name AS payer, n.level, n.reminded_on, n.currency, n.open_minor, n.fee_minor,"
    f" n.interest_minor, n.charge_invoice_id, {document_number('c')} AS charge_number,"
    " c.due_on AS charge_due_on, n.clause_codes, n.rule_set_version, n.created_at,"
    " m.state AS notice, m.id AS message_id, m.done_at AS notice_at"
    " FROM reminders n JOIN invoices i ON i.id = n.invoice_id JOIN payers p ON p.id = n.payer_id"
    f" LEFT JOIN invoices c ON c.id = n.charge_invoice_id{NOTICE_JOIN}"
)


class ReminderMissing(NotFound):
    """There is no such reminder here, or it is another organisation's; nothing was changed. Choose
    one from the list of reminders."""


class ReminderRow(NamedTuple):
    """A reminder with the document it is about, the charge that it made, and its notice.

    Shape: the amounts are those of its day, and so the clauses that charged; without an account for
    notices there was none. `notice_at` is when it was sent, or was found not to be needed.
    """

    id: UUID
    invoice_id: UUID
    invoice_number: str
    issued_on: date
    due_on: date
    payer_id: UUID
    payer: str
    level: int
    reminded_on: date
    currency: str
    open_minor: int
    fee_minor: int
    interest_minor: int
    charge_invoice_id: UUID | None
    charge_number: str | None
    charge_due_on: date | None
    clause_codes: list[str]
    rule_set_version: int
    created_at: datetime
    notice: NoticeState | None
    message_id: UUID | None
    notice_at: datetime | None

    @property
    def days_late(self) -> int:
        """How many days the document was overdue on that day."""
        return (self.reminded_on - self.due_on).days

    @property
    def owed_minor(self) -> int:
        """What is to be paid in all: what was open, the fee and the interest."""
        return self.open_minor + self.fee_minor + self.interest_minor


def get_reminder(reminder_id: UUID) -> ReminderRow:
    """Return one reminder.

    Raises: ReminderMissing.
    """
    row = fetch_one(f"{_SELECT} WHERE n.id = %s", (reminder_id,))
    if row is None:
        raise ReminderMissing
    return _reminder(row)


def list_reminders_of_invoice(invoice_id: UUID) -> list[ReminderRow]:
    """List the reminders of a document, the first level first; of a charge, the one it is of."""
    rows = fetch(
        f"{_SELECT} WHERE n.invoice_id = %(id)s OR n.charge_invoice_id = %(id)s ORDER BY n.level",
        {"id": invoice_id},
    )
    return [_reminder(row) for row in rows]


def _reminder(row: Any) -> ReminderRow:
    return ReminderRow(*row)._replace(notice=NoticeState(row.notice) if row.notice else None)
