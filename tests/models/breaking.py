"""Breaking one constraint at a time: a row of the book is copied with just that fault in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

import psycopg

from portal.db import transaction
from portal.sql import execute, fetch


class Copy(NamedTuple):
    """A row of a table, copied with changes that one constraint must refuse.

    Shape: `changes` are SQL expressions; a table's own id is always a new one.
    """

    table: str
    changes: Mapping[str, str]
    where: str = "true"


def refused_by(organisation: UUID, fault: Copy) -> str | None:
    """Try to insert a faulty copy and name the constraint that refuses it; None when none does."""
    with transaction(organisation) as session:
        columns = [
            row.column_name
            for row in fetch(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public'"
                " AND table_name = %s AND is_generated = 'NEVER'"
                " AND identity_generation IS NULL"
                # The standard's own tables have some of our names; theirs is never asked about.
                " AND CASE WHEN table_schema = 'public' THEN"
                " has_column_privilege('public.' || table_name, column_name, 'INSERT') END"
                " ORDER BY ordinal_position",
                (fault.table,),
            )
        ]
        changes = {"id": "gen_random_uuid()", **fault.changes}
        chosen = ", ".join(changes.get(column, column) for column in columns)
        try:
            inserted = execute(
                f"INSERT INTO {fault.table} ({', '.join(columns)}) SELECT {chosen}"
                f" FROM {fault.table} WHERE {fault.where} LIMIT 1"
            )
        except psycopg.errors.IntegrityError as refused:
            return refused.diag.constraint_name
        finally:
            session.rollback()
    assert inserted == 1, f"{fault.table} has no row where {fault.where}"
    return None
