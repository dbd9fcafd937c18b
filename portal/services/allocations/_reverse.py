"""Taking back what a payment paid: its own allocations, and those of the credit it left over."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.users import Actor
from portal.ids import new_id
from portal.services.events import record_events
from portal.services.ledger import Account, LedgerBook
from portal.sql import execute, fetch_plain, stage_rows


class InvoiceReversal(NamedTuple):
    """What is open again on an invoice."""

    invoice_id: UUID
    payer_id: UUID
    amount_minor: int


class PaymentReversal(NamedTuple):
    """What a payment no longer pays.

    Shape: `invoices` and `credit_withdrawn_minor` add up to what the payment had brought, and are
    for the caller to post; `reopened` lists what the withdrawn credit had settled, posted already.
    """

    payment_id: UUID
    invoices: tuple[InvoiceReversal, ...]
    credit_withdrawn_minor: int
    reopened: tuple[InvoiceReversal, ...]


class Live(NamedTuple):
    """An allocation that nothing has reversed yet, of a payment or of the credit it left over."""

    id: UUID
    payment_id: UUID
    payer_credit_id: UUID | None
    invoice_id: UUID
    payer_id: UUID
    currency: str
    amount_minor: int


def reverse_allocations(
    *, payment_ids: Sequence[UUID], business_on: date, actor: Actor, now: datetime
) -> list[PaymentReversal]:
    """Take back what payments paid, inside the transaction that books their return.

    Shape: one result per payment, in the order given; a second call finds nothing left to do. The
    payer credit that came from a payment is withdrawn whole and counts as used up; invoices it
    had settled are open again, with an entry that reverses that of their allocation. The payments
    are locked by the caller; payer credits are locked here before invoices, as applying does.
    """
    with transaction():
        wanted = sorted(set(payment_ids))
        left_over = _lock_credits(wanted)
        live = _list_live(wanted)
        _lock_invoices(live)
        if live:
            reversals = {each.id: new_id() for each in live}
            _write_reversals(reversals, business_on)
            _lower_invoices(live)
            _post(reversals, [each for each in live if each.payer_credit_id], business_on)
        withdrawn = _withdraw(left_over, live)
        happened = [("invoice.reopened", invoice_id) for invoice_id in _invoice_ids(live)]
        happened += (
            ("payer_credit.withdrawn", credit_id)
            for each in withdrawn
            for credit_id in left_over[each][0]
        )
        record_events(happened, actor=actor, now=now)
    by_payment: dict[UUID, list[Live]] = {payment_id: [] for payment_id in payment_ids}
    for each in live:
        by_payment[each.payment_id].append(each)
    return [
        PaymentReversal(
            payment_id,
            _by_invoice(each for each in mine if each.payer_credit_id is None),
            withdrawn[payment_id],
            _by_invoice(each for each in mine if each.payer_credit_id is not None),
        )
        for payment_id, mine in by_payment.items()
    ]


def _by_invoice(allocations: Iterable[Live]) -> tuple[InvoiceReversal, ...]:
    amounts: Counter[tuple[UUID, UUID]] = Counter()
    for each in allocations:
        amounts[each.invoice_id, each.payer_id] += each.amount_minor
    return tuple(InvoiceReversal(*key, amount) for key, amount in amounts.items())


def _invoice_ids(allocations: Iterable[Live]) -> list[UUID]:
    return sorted({each.invoice_id for each in allocations})


def _lock_credits(payment_ids: Sequence[UUID]) -> dict[UUID, tuple[list[UUID], int]]:
    """Lock what payments left over: the credits and their unused amount per payment."""
    rows = fetch_plain(
        "SELECT payment_id, id, left_minor FROM payer_credits WHERE payment_id = ANY(%s)"
        " ORDER BY id FOR UPDATE",
        (payment_ids,),
    )
    found: dict[UUID, tuple[list[UUID], int]] = {}
    for payment_id, credit_id, left_minor in rows:
        credit_ids, left = found.get(payment_id, ([], 0))
        found[payment_id] = [*credit_ids, credit_id], left + left_minor
    return found


def _list_live(payment_ids: Sequence[UUID]) -> list[Live]:
    rows = fetch_plain(
        "SELECT a.id, s.payment_id, a.payer_credit_id, a.invoice_id, i.payer_id, a.currency,"
        " a.amount_minor FROM ("
        " SELECT id, payment_id FROM allocations WHERE payment_id = ANY(%(payments)s)"
        " UNION ALL SELECT o.id, c.payment_id FROM payer_credits c"
        " JOIN allocations o ON o.payer_credit_id = c.id"
        " WHERE c.payment_id = ANY(%(payments)s)) s"
        " JOIN allocations a ON a.id = s.id JOIN invoices i ON i.id = a.invoice_id"
        " WHERE a.reverses_id IS NULL"
        " AND NOT EXISTS (SELECT FROM allocations r WHERE r.reverses_id = a.id) ORDER BY a.id",
        {"payments": payment_ids},
    )
    return [Live._make(row) for row in rows]


def _lock_invoices(live: Iterable[Live]) -> None:
    execute(
        "SELECT id FROM invoices WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
        (_invoice_ids(live),),
    )


def _write_reversals(reversals: dict[UUID, UUID], business_on: date) -> None:
    stage_rows(
        "staged_reversals",
        {"id": "uuid", "reverses_id": "uuid"},
        ((reversal, original) for original, reversal in reversals.items()),
    )
    execute(
        "INSERT INTO allocations (organisation_id, id, invoice_id, payment_id, payer_credit_id,"
        " currency, amount_minor, applied_on, reverses_id)"
        " SELECT a.organisation_id, s.id, a.invoice_id, a.payment_id, a.payer_credit_id,"
        " a.currency, a.amount_minor, %s, a.id"
        " FROM pg_temp.staged_reversals s JOIN allocations a ON a.id = s.reverses_id",
        (business_on,),
    )


def _lower_invoices(live: Iterable[Live]) -> None:
    amounts: Counter[UUID] = Counter()
    for each in live:
        amounts[each.invoice_id] += each.amount_minor
    execute(
        "UPDATE invoices i SET paid_minor = i.paid_minor - s.amount, version = i.version + 1"
        " FROM unnest(%s::uuid[], %s::bigint[]) AS s (id, amount)"
        " WHERE i.organisation_id = %s AND i.id = s.id",
        (list(amounts), list(amounts.values()), current_organisation_id()),
    )


def _post(reversals: dict[UUID, UUID], from_credit: Sequence[Live], business_on: date) -> None:
    """Reverse the entries by which the credit of a payment had settled other invoices."""
    rows = fetch_plain(
        "SELECT source_id, id FROM ledger_entries WHERE source_id = ANY(%s) AND kind = %s",
        ([each.id for each in from_credit], EntryKind.CREDIT_APPLIED.value),
    )
    entries: dict[UUID, UUID] = dict(rows)
    book = LedgerBook()
    for each in from_credit:
        entry_id = book.add_entry(
            EntryKind.CREDIT_APPLIED,
            source_type="allocation",
            source_id=reversals[each.id],
            effective_on=business_on,
            reverses_id=entries[each.id],
        )
        book.post(
            entry_id,
            Account(AccountKind.RECEIVABLE, each.currency),
            Account(AccountKind.PAYER_CREDITS, each.currency),
            each.amount_minor,
            payer_id=each.payer_id,
            invoice_id=each.invoice_id,
        )
    book.write()


def _withdraw(left_over: dict[UUID, tuple[list[UUID], int]], live: Iterable[Live]) -> Counter[UUID]:
    """Leave nothing usable of the credits and say how much each payment's credit had been."""
    withdrawn = Counter({payment_id: left for payment_id, (_, left) in left_over.items()})
    for each in live:
        if each.payer_credit_id is not None:
            withdrawn[each.payment_id] += each.amount_minor
    # The amount stays what once arrived, and "applied" means no longer usable: the money went
    # back to the bank by the entry of the return.
    execute(
        "UPDATE payer_credits SET applied_minor = amount_minor"
        " WHERE id = ANY(%s) AND applied_minor < amount_minor",
        ([credit_id for credit_ids, _ in left_over.values() for credit_id in credit_ids],),
    )
    return +withdrawn
