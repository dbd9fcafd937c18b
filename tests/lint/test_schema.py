"""The schema: migrations make what the models say, and no table is left without its guards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from portal.config import Config
from portal.migrate import alembic_config, newest_revision, upgrade_database
from portal.models import metadata
from tests.servers import clone_database, connect

Database = psycopg.Connection[Any]

UNGUARDED = {
    "alembic_version": "belongs to the migrations",
    "organisations": "tells who there is; what they own is guarded",
    "staged_lines": "is filled by COPY, keyed by a file's random id, and emptied after",
    "users": "a person may work for several organisations",
    "user_sessions": "is looked up by the hash of a token before anyone is known",
}
APPEND_ONLY = {
    "allocations",
    "batch_items",
    "events",
    "file_refusals",
    "invoice_taxes",
    "ledger_entries",
    "message_deliveries",
    "postings",
    "reminders",
    "rule_traces",
    "sequence_steps",
}
# Only the database says which transaction has written their rows.
SEALED = {"ledger_entries", "postings"}
DELETABLE = {
    "idempotency_keys",
    "invoice_lines",
    "memberships",
    "staged_lines",
    "user_sessions",
}

# Foreign keys by which nobody looks for children, whose parents are never deleted.
UNINDEXED = {
    "fk_invoices_invoices_organisation_id_corrects_id_currency": "corrections are found by payer",
    "fk_mandates_gateway_accounts_organisation_id_gateway_ac_29d4": "mandates are found by payer",
    "fk_postings_ledger_entries_organisation_id_entry_id_sealed_xid": "the primary key leads to it",
    "fk_postings_ledger_accounts_organisation_id_credit_acco_de0c": "an account is summed whole",
    "fk_postings_ledger_accounts_organisation_id_debit_accou_ce86": "an account is summed whole",
    "fk_rehearsal_differences_invoices_organisation_id_invoice_id": "they are found by run",
    "fk_user_sessions_organisations_organisation_id": "sessions are found by token or person",
}

# Amounts without a currency in their table: where the currency stands.
CURRENCY_OF_PARENT = {
    "batch_chunks": "a control total over the run's documents, in their currencies",
    "batch_items": "the document it speaks of",
    "batch_runs": "a control total over documents, in their currencies",
    "invoice_lines": "invoices",
    "invoice_taxes": "invoices",
    "settlements": "payouts",
}


@pytest.fixture(scope="module")
def database_url(servers: Config) -> Iterator[str]:
    with clone_database(servers) as url:
        yield url


@pytest.fixture(scope="module")
def schema(database_url: str) -> Iterator[Database]:
    """The schema as it is after all migrations, to be read only."""
    with connect(database_url) as connection:
        yield connection


def names(schema: Database, statement: str) -> set[str]:
    return {str(row[0]) for row in schema.execute(statement)}


def tables(schema: Database) -> set[str]:
    return names(schema, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")


def test_migrations_make_what_the_models_say(database_url: str) -> None:
    engine = sqlalchemy.create_engine(database_url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_go_down_and_up_again(servers: Config) -> None:
    with clone_database(servers) as url:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        config = alembic_config()
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "base")
        with connect(url) as emptied:
            assert tables(emptied) == {"alembic_version"}
            assert names(emptied, "SELECT proname FROM pg_proc WHERE pronamespace = 2200") == set()

        assert upgrade_database(url) == newest_revision()


def test_each_table_of_an_organisation_is_guarded(schema: Database) -> None:
    rows = schema.execute(
        "SELECT relname, relrowsecurity AND relforcerowsecurity AND EXISTS (SELECT FROM pg_policy"
        " WHERE polrelid = c.oid AND polname = 'organisation' AND polcmd = '*'"
        " AND polqual IS NOT NULL AND polwithcheck IS NOT NULL), EXISTS (SELECT FROM pg_attribute"
        " WHERE attrelid = c.oid AND attname = 'organisation_id') FROM pg_class c"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    ).fetchall()
    guarded = {table for table, is_guarded, _ in rows if is_guarded}
    owned = {table for table, _, has_organisation in rows if has_organisation}

    assert owned - guarded - UNGUARDED.keys() == set()
    assert {table for table, _, _ in rows} - guarded == UNGUARDED.keys()


def test_each_primary_key_of_a_guarded_table_begins_with_the_organisation(
    schema: Database,
) -> None:
    rows = schema.execute(
        "SELECT i.indrelid::regclass::text, a.attname FROM pg_index i JOIN pg_attribute a"
        " ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
        " JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'public'::regnamespace"
        " WHERE i.indisprimary"
    ).fetchall()

    others = {table for table, first in rows if first != "organisation_id"}

    assert others == UNGUARDED.keys()


@pytest.mark.parametrize("role", ["portal_app", "portal_sweeper"])
def test_the_working_roles_own_nothing_and_pass_nothing_by(schema: Database, role: str) -> None:
    (rights,) = schema.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles"
        " WHERE rolname = %s",
        [role],
    ).fetchall()
    (owned,) = schema.execute(
        "SELECT count(*) FROM pg_class WHERE relowner = %s::regrole", [role]
    ).fetchone() or (None,)

    assert rights == (False, False, False, False)
    assert owned == 0


def test_the_app_role_does_not_inherit_what_the_sweeper_sees(schema: Database) -> None:
    found = schema.execute(
        "SELECT pg_has_role('portal_app', 'portal_sweeper', 'USAGE'),"
        " pg_has_role('portal_app', 'portal_sweeper', 'MEMBER')"
    ).fetchone()

    assert found == (False, True)


def granted(schema: Database, right: str) -> set[str]:
    return names(
        schema,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        f" AND has_table_privilege('portal_app', oid, '{right}')",
    )


def test_the_app_role_may_do_what_each_table_is_for_and_no_more(schema: Database) -> None:
    everything = tables(schema)

    assert granted(schema, "SELECT") == everything
    assert granted(schema, "INSERT") == everything - {"alembic_version"} - SEALED
    assert sealed_columns(schema) == {(table, "sealed_xid") for table in SEALED}
    assert granted(schema, "UPDATE") == everything - APPEND_ONLY - {"alembic_version"}
    assert granted(schema, "DELETE") == DELETABLE
    assert granted(schema, "TRUNCATE") == set()


def sealed_columns(schema: Database) -> set[tuple[str, str]]:
    """List the columns of sealed tables that the app role cannot fill."""
    return {
        (table, column)
        for table, column in schema.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = ANY(%s)"
            " AND NOT has_column_privilege('portal_app', table_name, column_name, 'INSERT')",
            (sorted(SEALED),),
        )
    }


def test_append_only_tables_refuse_even_their_owner(schema: Database) -> None:
    refusing = names(
        schema, "SELECT tgrelid::regclass FROM pg_trigger WHERE tgname = 'append_only'"
    )

    assert refusing == APPEND_ONLY


def test_the_sweeper_sees_only_where_work_is_due(schema: Database) -> None:
    seen: dict[str, set[str]] = {}
    for table, column in schema.execute(
        "SELECT table_name, column_name FROM information_schema.column_privileges"
        " WHERE grantee = 'portal_sweeper'"
    ):
        seen.setdefault(table, set()).add(column)

    assert seen.keys() == {
        "batch_chunks",
        "batch_runs",
        "brakes",
        "disputes",
        "gateway_accounts",
        "inbox_messages",
        "messages",
        "payment_attempts",
        "refunds",
        "schedules",
    }
    telling = {
        "amount_minor",
        "payload",
        "content",
        "raw",
        "parameters",
        "item_ids",
        "merchant_ref",
    }
    assert set().union(*seen.values()) & telling == set()


def list_foreign_keys(schema: Database) -> Iterator[tuple[str, str, str, list[str]]]:
    """List foreign keys: name, table, table they point to, columns."""
    yield from schema.execute(
        "SELECT conname, conrelid::regclass::text, confrelid::regclass::text, (SELECT"
        " array_agg(attname::text ORDER BY place) FROM unnest(conkey) WITH ORDINALITY AS k (n,"
        " place) JOIN pg_attribute ON attrelid = conrelid AND attnum = n)"
        " FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
    )


def test_foreign_keys_within_an_organisation_name_it(schema: Database) -> None:
    wrong = [
        name
        for name, table, parent, columns in list_foreign_keys(schema)
        if table not in UNGUARDED and parent not in UNGUARDED and columns[0] != "organisation_id"
    ]

    assert wrong == []


def test_no_foreign_key_points_to_rows_that_can_be_deleted(schema: Database) -> None:
    deletable = granted(schema, "DELETE")

    assert [name for name, _, parent, _ in list_foreign_keys(schema) if parent in deletable] == []


def test_children_that_are_asked_for_by_parent_are_indexed(schema: Database) -> None:
    indexed: dict[str, list[list[str]]] = {}
    for table, columns in schema.execute(
        "SELECT i.indrelid::regclass::text, (SELECT array_agg(attname::text ORDER BY place)"
        " FROM unnest(i.indkey) WITH ORDINALITY AS k (n, place) JOIN pg_attribute"
        " ON attrelid = i.indrelid AND attnum = n) FROM pg_index i"
    ):
        indexed.setdefault(table, []).append(columns or [])

    unsupported = {
        name
        for name, table, _, columns in list_foreign_keys(schema)
        if not any(
            index[: len(wanted)] == wanted
            for wanted in ([c for c in columns if c != "currency"],)
            for index in indexed[table]
        )
    }

    assert unsupported == UNINDEXED.keys()


def test_each_amount_has_a_currency_in_its_table_or_in_its_parent(schema: Database) -> None:
    columns: dict[str, set[str]] = {}
    for table, column in schema.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public'"
    ):
        columns.setdefault(table, set()).add(column)
    with_amounts = {
        table for table, all_of in columns.items() if any(c.endswith("_minor") for c in all_of)
    }

    without = {table for table in with_amounts if "currency" not in columns[table]}

    assert without == CURRENCY_OF_PARENT.keys()


def test_amounts_are_whole_numbers(schema: Database) -> None:
    kinds = names(
        schema,
        "SELECT DISTINCT data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name LIKE '%\\_minor'",
    )

    assert kinds == {"bigint"}


def test_instants_know_their_zone(schema: Database) -> None:
    naive = names(
        schema,
        "SELECT table_name || '.' || column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type = 'timestamp without time zone'",
    )

    assert naive == set()


def test_constraints_and_indexes_are_named_after_what_they_hold(schema: Database) -> None:
    prefixes = {"p": "pk", "u": "uq", "c": "ck", "f": "fk"}
    constraints = schema.execute(
        "SELECT conname, contype::text, conrelid::regclass::text FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'c', 'f')"
        " AND conrelid::regclass::text <> 'alembic_version'"
    ).fetchall()
    indexes = names(
        schema,
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'"
        " AND tablename <> 'alembic_version'",
    )

    wrong = [
        name
        for name, kind, table in constraints
        if not name.startswith(f"{prefixes[kind]}_{table}"[:50])
    ]

    assert wrong == []
    assert [name for name in indexes if not re.match(r"(pk|uq|ix)_[a-z0-9_]+$", name)] == []


def test_each_table_has_a_model(schema: Database) -> None:
    assert tables(schema) - {"alembic_version"} == set(metadata.tables)
