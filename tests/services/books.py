"""What the tests of money ask of the books, and money of payers made as the services would."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.ledger import AccountKind, EntryKind
from portal.ids import new_id
from portal.services.ledger import Account, LedgerBook
from portal.sql import execute, fetch, fetch_one
from tests import factories

# Every statement must find nothing: each row is a proof that does not hold.
PROOFS = {
    "receivable is what is open": """
        SELECT i.id, i.open_minor, COALESCE(sum(
          CASE WHEN d.kind = 'receivable' THEN p.amount_minor ELSE 0 END
          - CASE WHEN c.kind = 'receivable' THEN p.amount_minor ELSE 0 END), 0) AS booked
        FROM invoices i LEFT JOIN postings p ON p.invoice_id = i.id
        LEFT JOIN ledger_accounts d ON d.id = p.debit_account_id
        LEFT JOIN ledger_accounts c ON c.id = p.credit_account_id
        WHERE i.state = 'issued' AND i.kind <> 'credit_note'
        GROUP BY i.id, i.open_minor HAVING i.open_minor <> COALESCE(sum(
          CASE WHEN d.kind = 'receivable' THEN p.amount_minor ELSE 0 END
          - CASE WHEN c.kind = 'receivable' THEN p.amount_minor ELSE 0 END), 0)""",
    "allocations are the amounts on the invoice": """
        SELECT i.id FROM invoices i LEFT JOIN allocations a ON a.invoice_id = i.id
        WHERE i.kind <> 'credit_note' GROUP BY i.id, i.paid_minor, i.credited_minor
        HAVING i.paid_minor <> COALESCE(sum(CASE WHEN a.reverses_id IS NULL THEN a.amount_minor
            ELSE -a.amount_minor END) FILTER (WHERE a.credit_note_id IS NULL), 0)
          OR i.credited_minor <> COALESCE(sum(CASE WHEN a.reverses_id IS NULL THEN a.amount_minor
            ELSE -a.amount_minor END) FILTER (WHERE a.credit_note_id IS NOT NULL), 0)""",
    "allocations are what is applied of credit notes": """
        SELECT i.id FROM invoices i LEFT JOIN allocations a ON a.credit_note_id = i.id
        WHERE i.kind = 'credit_note' GROUP BY i.id, i.applied_minor
        HAVING i.applied_minor <> COALESCE(sum(a.amount_minor), 0)""",
    "allocations are what is applied of deposits": """
        SELECT s.id FROM deposits s LEFT JOIN allocations a ON a.deposit_id = s.id
        GROUP BY s.id, s.applied_minor, s.state, s.left_minor, s.amount_minor
        HAVING s.applied_minor <> COALESCE(sum(a.amount_minor), 0)
          OR s.state <> CASE WHEN s.left_minor = 0 THEN 'applied'
            WHEN s.left_minor < s.amount_minor THEN 'partially_applied' ELSE 'held' END""",
    "an allocation of what the payer has has one entry": """
        SELECT a.id FROM allocations a LEFT JOIN ledger_entries e ON e.source_id = a.id
          AND e.source_type = 'allocation' AND e.kind = CASE WHEN a.deposit_id IS NULL
            THEN 'credit_applied' ELSE 'deposit_applied' END
        WHERE a.payment_id IS NULL GROUP BY a.id HAVING count(e.id) <> 1""",
    "payer and currency of an allocation are those of its source": """
        SELECT a.id FROM allocations a JOIN invoices i ON i.id = a.invoice_id
        LEFT JOIN deposits d ON d.id = a.deposit_id
        LEFT JOIN payer_credits c ON c.id = a.payer_credit_id
        LEFT JOIN invoices n ON n.id = a.credit_note_id
        WHERE a.payment_id IS NULL
          AND COALESCE(d.payer_id, c.payer_id, n.payer_id) <> i.payer_id""",
}
HELD = {
    AccountKind.DEPOSITS_HELD: "SELECT currency, sum(left_minor) FROM deposits GROUP BY currency",
    AccountKind.PAYER_CREDITS: "SELECT currency, sum(amount) FROM (SELECT currency,"
    " credit_left_minor AS amount FROM invoices UNION ALL SELECT currency, left_minor"
    " FROM payer_credits) AS held GROUP BY currency",
}


def balance(kind: AccountKind, currency: str = "EUR", code: str = "") -> int:
    """Return what is debited less what is credited on an account."""
    with transaction(factories.home.get()):
        row = fetch_one(
            "SELECT COALESCE(sum(CASE WHEN p.debit_account_id = a.id THEN p.amount_minor"
            " ELSE -p.amount_minor END), 0)::bigint AS minor FROM ledger_accounts a"
            " JOIN postings p ON a.id IN (p.debit_account_id, p.credit_account_id)"
            " WHERE a.kind = %s AND a.currency = %s AND a.code = %s",
            (kind.value, currency, code),
        )
    assert row is not None
    return int(row.minor)


def assert_books_hold(currencies: Sequence[str] = ("EUR",)) -> None:
    """Prove what the shape of the tables cannot: amounts, allocations and ledger agree."""
    with transaction(factories.home.get()):
        for claim, statement in PROOFS.items():
            assert fetch(statement) == [], claim
        for kind, statement in HELD.items():
            held = {row.currency: int(row[1]) for row in fetch(statement)}
            for currency in currencies:
                assert balance(kind, currency) == -held.get(currency, 0), kind


def rows(statement: str, *parameters: Any) -> list[Any]:
    """Read rows of the organisation that the test is about."""
    with transaction(factories.home.get()):
        return fetch(statement, parameters)


def events_of(subject_id: UUID) -> list[str]:
    """List what happened to a subject, in order."""
    return [
        row.kind
        for row in rows("SELECT kind FROM events WHERE subject_id = %s ORDER BY id", subject_id)
    ]


def make_payer_credit(
    *,
    payer_id: UUID,
    amount_minor: int,
    currency: str = "EUR",
    since_on: date = factories.BUSINESS_ON,
    payment_id: UUID | None = None,
) -> Any:
    """Insert money that arrived beyond what was open, with its entry."""
    with transaction(factories.home.get()):
        credit = factories.insert_row(
            "payer_credits",
            organisation_id=current_organisation_id(),
            id=new_id(),
            payer_id=payer_id,
            payment_id=payment_id,
            currency=currency,
            amount_minor=amount_minor,
            since_on=since_on,
        )
        _post_received(AccountKind.PAYER_CREDITS, currency, amount_minor, payer_id, None)
        return credit


def pay(invoice: Any, *, excess_minor: int = 0) -> Any:
    """Insert a payment that succeeded: the open amount allocated, the excess kept as credit."""
    with transaction(factories.home.get()):
        payment = factories.insert_row(
            "payments",
            organisation_id=current_organisation_id(),
            id=new_id(),
            payer_id=invoice.payer_id,
            invoice_id=invoice.id,
            currency=invoice.currency,
            amount_minor=invoice.open_minor + excess_minor,
            method="transfer",
            state="succeeded",
            started_on=factories.BUSINESS_ON,
        )
        factories.insert_row(
            "allocations",
            organisation_id=current_organisation_id(),
            id=new_id(),
            invoice_id=invoice.id,
            payment_id=payment.id,
            currency=invoice.currency,
            amount_minor=invoice.open_minor,
            applied_on=factories.BUSINESS_ON,
        )
        execute(
            "UPDATE invoices SET paid_minor = paid_minor + %s WHERE id = %s",
            (invoice.open_minor, invoice.id),
        )
        _post_received(
            AccountKind.RECEIVABLE,
            invoice.currency,
            invoice.open_minor,
            invoice.payer_id,
            invoice.id,
        )
        if excess_minor:
            make_payer_credit(
                payer_id=invoice.payer_id,
                amount_minor=excess_minor,
                currency=invoice.currency,
                payment_id=payment.id,
            )
        return payment


def _post_received(
    kind: AccountKind, currency: str, amount_minor: int, payer_id: UUID, invoice_id: UUID | None
) -> None:
    post(AccountKind.BANK, kind, currency, amount_minor, payer_id=payer_id, invoice_id=invoice_id)


def post(
    debit: AccountKind,
    credit: AccountKind,
    currency: str,
    amount_minor: int,
    *,
    payer_id: UUID | None = None,
    invoice_id: UUID | None = None,
    code: str = "",
) -> None:
    """Post an entry of one posting; the code is that of the clearing account on either side."""
    with transaction(factories.home.get()):
        book = LedgerBook()
        entry_id = book.add_entry(
            EntryKind.PAYMENT_RECORDED,
            source_type="payment",
            source_id=new_id(),
            effective_on=factories.BUSINESS_ON,
        )
        clearing = AccountKind.GATEWAY_CLEARING
        book.post(
            entry_id,
            Account(debit, currency, code if debit is clearing else ""),
            Account(credit, currency, code if credit is clearing else ""),
            amount_minor,
            payer_id=payer_id,
            invoice_id=invoice_id,
        )
        book.write()
