"""Giving a payment back what was taken of it, and settling again what it had paid."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.invoices import InvoiceState
from portal.domain.users import Actor
from portal.ids import new_id
from portal.services.allocations._apply import Debt, Source, Use, book_uses
from portal.services.allocations._reverse import InvoiceReversal
from portal.sql import execute, fetch, fetch_plain
from rules.types import OpenInvoiceFacts, SourceFacts


def give_money_back(
    *,
    payment_id: UUID,
    amount_minor: int,
    invoices: Sequence[InvoiceReversal],
    business_on: date,
    actor: Actor,
    now: datetime,
) -> None:
    """Make an amount that was taken back of a payment usable again, and pay invoices with it.

    Shape: inside the transaction that books where it came from, after its entry: it is the payer's
    credit first, and settles of the invoices given what was taken of each, as far as that is open
    and nothing is under way for it. The payment is locked by the caller.
    Raises: ValueError when not so much had been taken.
    """
    with transaction():
        sources = _free_credits(payment_id, amount_minor)
        debts = _lock_debts([each.invoice_id for each in invoices])
        uses: list[Use] = []
        for wanted in invoices:
            debt = debts.get(wanted.invoice_id)
            left = min(wanted.amount_minor, debt.facts.open_minor) if debt else 0
            for place, (source, usable) in enumerate(sources):
                part = min(left, usable)
                if debt is not None and part > 0:
                    uses.append(Use(new_id(), source, debt, part))
                    sources[place] = source, usable - part
                    left -= part
        book_uses(uses, business_on, actor=actor, now=now)


def _free_credits(payment_id: UUID, amount_minor: int) -> list[tuple[Source, int]]:
    """Lower what is used up of the payment's credits beyond what they have settled, newest first.

    Shape: (credit, what became usable of it) each.
    """
    rows = fetch(
        "SELECT c.id, c.payer_id, c.currency, c.since_on, c.applied_minor - COALESCE((SELECT"
        " sum(CASE WHEN a.reverses_id IS NULL THEN a.amount_minor ELSE -a.amount_minor END)"
        " FROM allocations a WHERE a.payer_credit_id = c.id), 0) AS taken_minor"
        " FROM payer_credits c WHERE c.organisation_id = %s AND c.payment_id = %s"
        " ORDER BY c.id DESC FOR UPDATE",
        (current_organisation_id(), payment_id),
    )
    freed: list[tuple[Source, int]] = []
    missing = amount_minor
    for row in rows:
        part = min(missing, int(row.taken_minor))
        if part > 0:
            missing -= part
            execute(
                "UPDATE payer_credits SET applied_minor = applied_minor - %s"
                " WHERE organisation_id = %s AND id = %s",
                (part, current_organisation_id(), row.id),
            )
            facts = SourceFacts("payer_credit", str(row.id), part, row.since_on, True)
            freed.append((Source(facts, row.id, row.payer_id, row.currency), part))
    if missing:
        raise ValueError(f"{missing} more was to be given back than was taken of the payment")
    return freed


def _lock_debts(invoice_ids: Sequence[UUID]) -> dict[UUID, Debt]:
    rows = fetch_plain(
        "SELECT id, payer_id, currency, open_minor - in_payment_minor, total_minor, due_on,"
        " issued_on FROM invoices WHERE organisation_id = %s AND id = ANY(%s) AND state = %s"
        " AND open_minor > in_payment_minor ORDER BY id FOR UPDATE",
        (current_organisation_id(), list(invoice_ids), InvoiceState.ISSUED.value),
    )
    return {
        row[0]: Debt(OpenInvoiceFacts(str(row[0]), row[3], row[5], row[6], row[4]), *row[:3])
        for row in rows
    }
