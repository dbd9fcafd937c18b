"""What belongs to one organisation is nobody else's: not to see, not to change, not to point to."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from portal.db import acting_for, current_organisation_id, sweeping, transaction
from portal.ids import new_id
from portal.sql import execute, fetch, fetch_one, fetch_plain
from tests import books
from tests.factories import (
    insert_row,
    make_draft_invoice,
    make_organisation,
    make_payer,
    make_payment,
)

UNGUARDED = {"alembic_version", "organisations", "staged_lines", "user_sessions", "users"}
SEEN_BY_SWEEPER = {
    "batch_chunks": {"organisation_id", "run_id", "number", "state", "lease_until"},
    "batch_runs": {"organisation_id", "id", "state", "job"},
    "brakes": {"organisation_id", "gateway_account_id", "job", "state", "expires_at"},
    "gateway_accounts": {
        "organisation_id",
        "id",
        "code",
        "kind",
        "is_active",
        "open_until",
        "purpose",
    },
    "inbox_messages": {"organisation_id", "gateway_account_id", "state", "next_at"},
    "messages": {"organisation_id", "gateway_account_id", "state", "next_at"},
    "payment_attempts": {"organisation_id", "state", "next_query_at"},
    "disputes": {"organisation_id", "state", "next_query_at"},
    "refunds": {"organisation_id", "state", "next_query_at"},
    "schedules": {"organisation_id", "id", "wake_at"},
}


def list_guarded() -> list[str]:
    rows = fetch_plain("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return sorted({str(row[0]) for row in rows} - UNGUARDED)


def count_rows(table: str) -> int:
    return int(fetch_plain(f"SELECT count(*) FROM {table}")[0][0])


def test_each_organisation_sees_its_own_rows_and_no_scope_sees_none(organisation: UUID) -> None:
    neighbour = make_organisation("harbour", code="haven")
    books.write_month(organisation)
    books.write_month(neighbour)

    with acting_for(organisation):
        tables = list_guarded()
        mine = {table: count_rows(table) for table in tables}
        owners = {
            row[0]
            for table in tables
            for row in fetch_plain(f"SELECT DISTINCT organisation_id FROM {table}")
        }
    with acting_for(neighbour):
        theirs = {table: count_rows(table) for table in tables}
    with acting_for(None):
        nobodys = {table: count_rows(table) for table in tables}

    assert owners == {organisation}
    assert mine == theirs
    assert {table for table, rows in mine.items() if rows} > {"invoices", "messages", "postings"}
    assert set(nobodys.values()) == {0}


def test_a_row_of_another_organisation_cannot_be_written(
    organisation: UUID, other_organisation: UUID
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), transaction(organisation):
        insert_row(
            "payers",
            organisation_id=other_organisation,
            id=new_id(),
            external_ref="P-1",
            name="Nobody",
            name_sort="nobody",
            kind="person",
        )


def test_a_row_of_another_organisation_cannot_be_changed(
    organisation: UUID, other_organisation: UUID
) -> None:
    payer = make_payer(organisation_id=other_organisation)

    with transaction(organisation):
        assert execute("UPDATE payers SET name = 'Taken' WHERE id = %s", (payer.id,)) == 0
        assert execute("DELETE FROM invoice_lines") == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege), transaction(other_organisation):
        execute("UPDATE payers SET organisation_id = %s", (organisation,))


def test_a_row_cannot_point_to_another_organisations(
    organisation: UUID, other_organisation: UUID
) -> None:
    foreign = make_payer(organisation_id=other_organisation)

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        make_draft_invoice(payer_id=foreign.id)


def test_writing_without_a_scope_is_refused(organisation: UUID) -> None:
    with acting_for(None), pytest.raises(psycopg.errors.InsufficientPrivilege), transaction():
        execute("INSERT INTO number_series (organisation_id, series, year, last, last_issued_on)"
                " VALUES (%s, 'X', 2026, 0, '2026-01-01')", (organisation,))  # fmt: skip
    with acting_for(None), pytest.raises(RuntimeError):
        current_organisation_id()


def test_a_scope_ends_with_its_transaction(organisation: UUID) -> None:
    make_payer()
    with transaction(organisation):
        assert count_rows("payers") == 1

    with acting_for(None):
        assert count_rows("payers") == 0


def test_a_transaction_keeps_its_organisation(organisation: UUID, other_organisation: UUID) -> None:
    with transaction(organisation), pytest.raises(RuntimeError), transaction(other_organisation):
        pass


def test_the_sweeper_sees_where_work_is_due_in_every_organisation(organisation: UUID) -> None:
    neighbour = make_organisation("harbour", code="haven")
    make_payment()
    make_payment(organisation_id=neighbour)

    with sweeping():
        messages = fetch("SELECT organisation_id, state FROM messages")
        attempts = fetch("SELECT organisation_id, state FROM payment_attempts")

    assert {row.organisation_id for row in messages} == {organisation, neighbour}
    assert {row.organisation_id for row in attempts} == {organisation, neighbour}


def test_the_sweeper_sees_nothing_else(app: Any) -> None:
    seen: dict[str, set[str]] = {}
    with sweeping():
        for table, column in fetch_plain(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
            " AND has_column_privilege(current_user, c.oid, a.attnum, 'SELECT')"
        ):
            seen.setdefault(table, set()).add(column)

    assert seen == SEEN_BY_SWEEPER


def test_the_sweeper_changes_nothing(organisation: UUID) -> None:
    make_payment()

    for table in SEEN_BY_SWEEPER:
        statement = f"UPDATE {table} SET organisation_id = organisation_id"
        with pytest.raises(psycopg.errors.InsufficientPrivilege), sweeping():
            execute(statement)


def test_the_app_role_takes_no_other_role(app: Any) -> None:
    with acting_for(None):
        row = fetch_one("SELECT current_user AS name, session_user AS signed_in")
    assert row is not None
    assert row.name == "portal_app"
    with pytest.raises(psycopg.errors.InsufficientPrivilege), transaction():
        execute("SET LOCAL ROLE portal_owner")
