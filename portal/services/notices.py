"""Notices of reminders: written with them, and put into words only when they leave."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.gateway_accounts import AccountPurpose
from portal.domain.invoices import InvoiceState
from portal.domain.messages import MessageKind
from portal.gateways.base import NoticeOrder
from portal.ids import new_id, public_id
from portal.queries.invoices import document_number
from portal.queries.payers import is_arranged
from portal.queries.populations import DISPUTED
from portal.queue import ring
from portal.services.messages import DELIVERY_BELL, Claimed
from portal.sql import execute, fetch

# What a reminder says, as things stand now: of fee and interest, what is still owed.
_SAID: Final = f"""
SELECT n.id, n.level, n.reminded_on, n.currency, o.name AS sender, o.locale, p.name AS payer_name,
  p.email, p.country, {document_number("i")} AS invoice_number, i.due_on, i.open_minor,
  COALESCE(c.open_minor - LEAST(n.interest_minor, c.open_minor), 0) AS fee_minor,
  LEAST(n.interest_minor, COALESCE(c.open_minor, 0)) AS interest_minor,
  {document_number("c")} AS fees_number, c.due_on AS fees_due_on,
  (SELECT b.iban FROM bank_accounts b WHERE b.organisation_id = n.organisation_id
    AND b.currency = n.currency ORDER BY b.id LIMIT 1) AS iban
FROM reminders n
JOIN organisations o ON o.id = n.organisation_id
JOIN invoices i ON (i.organisation_id, i.id) = (n.organisation_id, n.invoice_id)
JOIN payers p ON (p.organisation_id, p.id) = (n.organisation_id, n.payer_id)
LEFT JOIN invoices c ON (c.organisation_id, c.id) = (n.organisation_id, n.charge_invoice_id)
  AND c.state = '{InvoiceState.ISSUED}' AND c.open_minor > 0
WHERE n.organisation_id = %(o)s AND n.id = ANY(%(ids)s)
  AND i.state = '{InvoiceState.ISSUED}' AND i.open_minor > 0 AND NOT p.is_on_hold
  AND NOT {is_arranged("p", "(%(now)s AT TIME ZONE o.zone)::date")}
  AND NOT EXISTS (SELECT FROM payments y WHERE y.organisation_id = i.organisation_id
    AND y.invoice_id = i.id AND {DISPUTED})
"""


def write_notices(reminder_ids: Sequence[UUID]) -> int:
    """Write a message for each reminder and return how many; none without an account for notices.

    Shape: in the transaction that writes the reminders, so that there is never the one without the
    other. It names the reminder only: whom it is for and what it says is read when it leaves.
    """
    if not reminder_ids:
        return 0
    written = execute(
        "INSERT INTO messages (organisation_id, id, aggregate_id, sequence, kind,"
        " gateway_account_id, payload) SELECT %(o)s, w.id, w.reminder, 1, %(kind)s, g.id, '{}'"
        " FROM unnest(%(ids)s::uuid[], %(reminders)s::uuid[]) AS w (id, reminder)"
        " JOIN gateway_accounts g ON g.organisation_id = %(o)s AND g.purpose = %(purpose)s"
        " AND g.is_active",
        {
            "o": current_organisation_id(),
            "kind": MessageKind.PAYER_REMINDER.value,
            "purpose": AccountPurpose.NOTICES.value,
            "ids": [new_id() for _ in reminder_ids],
            "reminders": list(reminder_ids),
        },
    )
    if written:
        ring(DELIVERY_BELL)
    return written


def plan_notices(
    messages: Sequence[Claimed], *, now: datetime
) -> tuple[list[tuple[Claimed, NoticeOrder]], list[UUID]]:
    """Split messages of reminders into those to be sent, with what they say, and the needless.

    Shape: needless is one whose document is paid or void by now, or whose payer is left in peace. A
    message that is sent again has the same key, so the gateway takes it once.
    """
    if not messages:
        return [], []
    rows = fetch(
        _SAID,
        {
            "o": current_organisation_id(),
            "ids": [message.aggregate_id for message in messages],
            "now": now,
        },
    )
    said = {row.id: _order(row) for row in rows}
    return (
        [(one, said[one.aggregate_id]) for one in messages if one.aggregate_id in said],
        [one.id for one in messages if one.aggregate_id not in said],
    )


def _order(row: Any) -> NoticeOrder:
    return NoticeOrder(
        merchant_ref=public_id("reminder", row.id),
        idempotency_key=f"reminder-{row.id.hex}",
        amount_minor=row.open_minor + row.fee_minor + row.interest_minor,
        currency=row.currency,
        business_date=row.reminded_on,
        level=row.level,
        sender=row.sender,
        locale=row.locale,
        payer_name=row.payer_name,
        payer_email=row.email,
        payer_country=row.country,
        invoice_ref=row.invoice_number,
        due_date=row.due_on,
        open_minor=row.open_minor,
        fee_minor=row.fee_minor,
        interest_minor=row.interest_minor,
        fees_ref=row.fees_number,
        fees_due_date=row.fees_due_on,
        pay_to=row.iban,
        reference=" ".join(each for each in (row.invoice_number, row.fees_number) if each),
    )
