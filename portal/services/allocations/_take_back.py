"""Taking a part of a payment back from what it paid, so that it can be given to its payer."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.users import Actor
from portal.ids import new_id
from portal.services.allocations._reverse import InvoiceReversal
from portal.services.events import record_events
from portal.services.ledger import Account, LedgerBook
from portal.sql import execute, fetch, fetch_one


class TakenBack(NamedTuple):
    """What a payment no longer pays.

    Shape: `invoices` is what its own allocations gave back, for the caller to post as the payer's
    credit; `reopened` what its credit had settled elsewhere, posted already.
    """

    invoices: tuple[InvoiceReversal, ...]
    reopened: tuple[InvoiceReversal, ...]


def take_back_money(
    *, payment_id: UUID, amount_minor: int, business_on: date, actor: Actor, now: datetime
) -> TakenBack:
    """Use up an amount of a payment, inside the transaction that books where it went.

    Shape: the credit that is left of it comes first, then its own allocations, the latest first,
    then what its credit has settled elsewhere; an allocation is reversed whole and its rest is
    allocated anew. The payment is locked by the caller; credits are locked here before invoices.
    Raises: ValueError when the payment has not that much to give.
    """
    with transaction():
        credits_left = _lock_credits(payment_id)
        missing = amount_minor - credits_left
        invoices: list[InvoiceReversal] = []
        reopened: list[InvoiceReversal] = []
        for live in _list_live(payment_id) if missing > 0 else []:
            taken = min(missing, live.amount_minor)
            if not taken:
                break
            missing -= taken
            _take(live, taken, business_on)
            reversal = InvoiceReversal(live.invoice_id, live.payer_id, taken)
            (invoices if live.payer_credit_id is None else reopened).append(reversal)
        if missing > 0:
            raise ValueError(f"the payment has {missing} less to give than was taken back")
        _use_credits(payment_id, amount_minor)
        happened = (("invoice.reopened", each.invoice_id) for each in (*invoices, *reopened))
        record_events(happened, actor=actor, now=now)
    return TakenBack(tuple(invoices), tuple(reopened))


def _lock_credits(payment_id: UUID) -> int:
    """Lock the credits of a payment and return what is left of them."""
    rows = fetch(
        "SELECT left_minor FROM payer_credits WHERE organisation_id = %s AND payment_id = %s"
        " ORDER BY id FOR UPDATE",
        (current_organisation_id(), payment_id),
    )
    return sum(row.left_minor for row in rows)


def _list_live(payment_id: UUID) -> list[Any]:
    """List what nothing has reversed yet, and lock the invoices of it."""
    rows = fetch(
        "SELECT a.id, a.payment_id, a.payer_credit_id, a.invoice_id, i.payer_id, a.currency,"
        " a.amount_minor FROM ("
        " SELECT id FROM allocations WHERE payment_id = %(payment)s"
        " UNION ALL SELECT o.id FROM payer_credits c JOIN allocations o"
        " ON o.payer_credit_id = c.id WHERE c.payment_id = %(payment)s) s"
        " JOIN allocations a ON a.id = s.id JOIN invoices i ON i.id = a.invoice_id"
        " WHERE a.reverses_id IS NULL"
        " AND NOT EXISTS (SELECT FROM allocations r WHERE r.reverses_id = a.id)"
        " ORDER BY a.payer_credit_id IS NOT NULL, a.id DESC",
        {"payment": payment_id},
    )
    execute(
        "SELECT id FROM invoices WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
        ([row.invoice_id for row in rows],),
    )
    return rows


def _take(live: Any, taken: int, business_on: date) -> None:
    """Take a part of an allocation back; what it brings is credit of the payment again."""
    reversal_id = _allocate(live, live.amount_minor, business_on, reverses_id=live.id)
    rest = live.amount_minor - taken
    rest_id = _allocate(live, rest, business_on) if rest else None
    execute(
        "UPDATE invoices SET paid_minor = paid_minor - %s, version = version + 1"
        " WHERE organisation_id = %s AND id = %s",
        (taken, current_organisation_id(), live.invoice_id),
    )
    if live.payer_credit_id is None:
        execute(
            "INSERT INTO payer_credits (organisation_id, id, payer_id, payment_id, currency,"
            " amount_minor, since_on) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (
                current_organisation_id(),
                new_id(),
                live.payer_id,
                live.payment_id,
                live.currency,
                taken,
                business_on,
            ),
        )
        return
    execute(
        "UPDATE payer_credits SET applied_minor = applied_minor - %s"
        " WHERE organisation_id = %s AND id = %s",
        (taken, current_organisation_id(), live.payer_credit_id),
    )
    _post_credit(live, reversal_id, rest_id, rest, business_on)


def _allocate(
    live: Any, amount_minor: int, business_on: date, *, reverses_id: UUID | None = None
) -> UUID:
    allocation_id = new_id()
    execute(
        "INSERT INTO allocations (organisation_id, id, invoice_id, payment_id, payer_credit_id,"
        " currency, amount_minor, applied_on, reverses_id)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            current_organisation_id(),
            allocation_id,
            live.invoice_id,
            live.payment_id,
            live.payer_credit_id,
            live.currency,
            amount_minor,
            business_on,
            reverses_id,
        ),
    )
    return allocation_id


def _post_credit(
    live: Any, reversal_id: UUID, rest_id: UUID | None, rest: int, business_on: date
) -> None:
    """Reverse the entry by which a credit had settled an invoice, and post what stays of it."""
    original = fetch_one(
        "SELECT id FROM ledger_entries WHERE source_id = %s AND kind = %s",
        (live.id, EntryKind.CREDIT_APPLIED.value),
    )
    assert original is not None
    receivable = Account(AccountKind.RECEIVABLE, live.currency)
    held = Account(AccountKind.PAYER_CREDITS, live.currency)
    names = {"payer_id": live.payer_id, "invoice_id": live.invoice_id}
    book = LedgerBook()
    reversing = book.add_entry(
        EntryKind.CREDIT_APPLIED,
        source_type="allocation",
        source_id=reversal_id,
        effective_on=business_on,
        reverses_id=original.id,
    )
    book.post(reversing, receivable, held, live.amount_minor, **names)
    if rest_id is not None:
        applying = book.add_entry(
            EntryKind.CREDIT_APPLIED,
            source_type="allocation",
            source_id=rest_id,
            effective_on=business_on,
        )
        book.post(applying, held, receivable, rest, **names)
    book.write()


def _use_credits(payment_id: UUID, amount_minor: int) -> None:
    """Leave so much less of the credits of a payment, the oldest first."""
    execute(
        "UPDATE payer_credits c SET applied_minor = c.applied_minor + u.used FROM ("
        " SELECT id, GREATEST(0, LEAST(left_minor, %(amount)s - (sum(left_minor)"
        " OVER (ORDER BY id) - left_minor)))::bigint AS used FROM payer_credits"
        " WHERE organisation_id = %(o)s AND payment_id = %(payment)s) u"
        " WHERE c.organisation_id = %(o)s AND c.id = u.id AND u.used > 0",
        {"amount": amount_minor, "o": current_organisation_id(), "payment": payment_id},
    )
