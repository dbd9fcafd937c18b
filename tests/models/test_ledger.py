"""The ledger is written once: no change, no removal, no posting added later."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from portal.db import transaction
from portal.sql import execute, fetch_one
from tests.factories import make_issued_invoice

APPEND_ONLY = (
    "allocations",
    "batch_items",
    "events",
    "file_refusals",
    "invoice_taxes",
    "ledger_entries",
    "message_deliveries",
    "postings",
)
COPY_OF_A_POSTING = (
    "INSERT INTO postings (organisation_id, entry_id, line, debit_account_id, credit_account_id,"
    " currency, amount_minor) SELECT organisation_id, %(entry)s, 77, debit_account_id,"
    " credit_account_id, currency, amount_minor FROM postings LIMIT 1"
)

SEALED = "fk_postings_ledger_entries_organisation_id_entry_id_sealed_xid"
VERBS = ("UPDATE {} SET organisation_id = NULL", "DELETE FROM {}")


def test_append_only_tables_refuse_the_app_and_their_owner(
    organisation: UUID, owner: psycopg.Connection[Any], subtests: pytest.Subtests
) -> None:
    for statement in (verb.format(table) for table in APPEND_ONLY for verb in VERBS):
        with subtests.test(statement):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), transaction(organisation):
                execute(statement)
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation) as refused:
                owner.execute(statement)
            assert refused.value.diag.constraint_name == "append_only"


def begin_entry() -> UUID:
    """Write an entry like the first one, without postings."""
    row = fetch_one(
        "INSERT INTO ledger_entries (organisation_id, id, kind, source_type, source_id,"
        " effective_on) SELECT organisation_id, gen_random_uuid(), kind, source_type,"
        " gen_random_uuid(), effective_on FROM ledger_entries LIMIT 1 RETURNING id"
    )
    assert row is not None
    return UUID(str(row.id))


def test_an_entry_takes_postings_only_in_the_transaction_that_wrote_it(
    organisation: UUID,
) -> None:
    make_issued_invoice()
    with transaction(organisation):
        entry_id = begin_entry()
        assert execute(COPY_OF_A_POSTING, {"entry": entry_id}) == 1

    late = COPY_OF_A_POSTING.replace("77", "78")
    with pytest.raises(psycopg.errors.IntegrityError) as refused, transaction(organisation):
        execute(late, {"entry": entry_id})

    assert refused.value.diag.constraint_name == SEALED
    with pytest.raises(psycopg.errors.InsufficientPrivilege), transaction(organisation):
        execute("INSERT INTO postings (sealed_xid) SELECT sealed_xid FROM ledger_entries")


def test_a_posting_in_another_currency_than_its_accounts_is_refused(organisation: UUID) -> None:
    make_issued_invoice()
    foreign = COPY_OF_A_POSTING.replace("currency, amount_minor FROM", "'USD', amount_minor FROM")

    with pytest.raises(psycopg.errors.ForeignKeyViolation), transaction(organisation):
        execute(foreign, {"entry": begin_entry()})
