"""Writing the ledger: accounts on first use, entries with their postings, many at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.ledger import AccountKind, EntryKind
from portal.ids import new_id
from portal.sql import execute, fetch, stage_rows

ENTRY_COLUMNS = {
    "id": "uuid",
    "kind": "text",
    "source_type": "text",
    "source_id": "uuid",
    "effective_on": "date",
    "reverses_id": "uuid",
}
POSTING_COLUMNS = {
    "entry_id": "uuid",
    "line": "smallint",
    "debit_account_id": "uuid",
    "credit_account_id": "uuid",
    "currency": "text",
    "amount_minor": "bigint",
    "payer_id": "uuid",
    "invoice_id": "uuid",
}


class Account(NamedTuple):
    """What names an account of the open organisation."""

    kind: AccountKind
    currency: str
    code: str = ""


@dataclass(slots=True)
class LedgerBook:
    """Collects entries of one transaction and writes them with two statements."""

    accounts: dict[tuple[str, str, str], UUID] = field(default_factory=dict)
    entries: list[tuple[object, ...]] = field(default_factory=list)
    postings: list[tuple[object, ...]] = field(default_factory=list)
    _lines: dict[UUID, int] = field(default_factory=dict)

    def open_accounts(self, wanted: Iterable[Account]) -> None:
        """Learn the ids of accounts before posting to them; unknown ones are opened."""
        missing = {
            (str(account.kind), account.currency, account.code) for account in wanted
        } - self.accounts.keys()
        if not missing:
            return
        self._read()
        missing -= self.accounts.keys()
        if not missing:
            return
        rows = sorted(missing)
        execute(
            "INSERT INTO ledger_accounts (organisation_id, id, kind, currency, code)"
            " SELECT %s, * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[])"
            " ON CONFLICT DO NOTHING",
            (
                current_organisation_id(),
                [new_id() for _ in rows],
                [kind for kind, _, _ in rows],
                [currency for _, currency, _ in rows],
                [code for _, _, code in rows],
            ),
        )
        self._read()

    def _read(self) -> None:
        self.accounts.update(
            ((row.kind, row.currency, row.code), row.id)
            for row in fetch("SELECT kind, currency, code, id FROM ledger_accounts")
        )

    def account_id(self, account: Account) -> UUID:
        """Return the id of an account, opening it when it is new."""
        key = (account.kind.value, account.currency, account.code)
        found = self.accounts.get(key)
        if found is None:
            self.open_accounts([account])
            found = self.accounts[key]
        return found

    def add_entry(
        self,
        kind: EntryKind,
        *,
        source_type: str,
        source_id: UUID,
        effective_on: date,
        reverses_id: UUID | None = None,
    ) -> UUID:
        """Begin an entry and return its id; one source has at most one entry of a kind."""
        entry_id = new_id()
        self.entries.append(
            (entry_id, kind.value, source_type, source_id, effective_on, reverses_id)
        )
        self._lines[entry_id] = 0
        return entry_id

    def post(
        self,
        entry_id: UUID,
        debit: Account,
        credit: Account,
        amount_minor: int,
        *,
        payer_id: UUID | None = None,
        invoice_id: UUID | None = None,
    ) -> None:
        """Move an amount to the debit account from the credit account.

        Shape: zero posts nothing; a negative amount swaps the sides.
        """
        if amount_minor == 0:
            return
        if amount_minor < 0:
            debit, credit, amount_minor = credit, debit, -amount_minor
        line = self._lines[entry_id] + 1
        self._lines[entry_id] = line
        self.postings.append(
            (
                entry_id,
                line,
                self.account_id(debit),
                self.account_id(credit),
                debit.currency,
                amount_minor,
                payer_id,
                invoice_id,
            )
        )

    def write(self) -> None:
        """Write everything collected, by COPY and two INSERTs, and begin anew."""
        if not self.entries:
            return
        write_entries(self.entries, self.postings)
        self.entries, self.postings = [], []


def write_entries(
    entries: Sequence[tuple[object, ...]], postings: Sequence[tuple[object, ...]]
) -> None:
    """Append entries and their postings."""
    organisation = (current_organisation_id(),)
    stage_rows("staged_entries", ENTRY_COLUMNS, entries)
    execute(
        f"INSERT INTO ledger_entries (organisation_id, {', '.join(ENTRY_COLUMNS)})"
        f" SELECT %s, {', '.join(ENTRY_COLUMNS)} FROM pg_temp.staged_entries",
        organisation,
    )
    stage_rows("staged_postings", POSTING_COLUMNS, postings)
    execute(
        f"INSERT INTO postings (organisation_id, {', '.join(POSTING_COLUMNS)})"
        f" SELECT %s, {', '.join(POSTING_COLUMNS)} FROM pg_temp.staged_postings",
        organisation,
    )
