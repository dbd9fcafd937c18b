"""What one import is told, the lock it holds, and the refusal of content that came before."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from portal.domain.errors import Conflict
from portal.domain.users import Actor
from portal.extensions import db
from portal.queries.files import FileRow, find_file_by_hash
from portal.queries.organisations import OrganisationRow
from portal.services.files._mapping import ImportMapping
from portal.services.files._report import ResultFile, Totals
from portal.services.files._source import SourceFile

# Hears what is being done, how far it is and how far it goes.
Told = Callable[[str, int, int], None]


class FileAlreadyImported(Conflict):
    """The content of {file} was imported before, as {name} on {on}. Nothing was changed; import
    only what is new."""

    file: str
    name: str
    on: date


class FileBeingImported(Conflict):
    """The content of {file} is being imported by another command. Nothing was changed; wait for
    it."""

    file: str


class ImportOrder(NamedTuple):
    """Everything an import is told."""

    source: SourceFile
    mapping: ImportMapping
    organisation: OrganisationRow
    currency: str
    actor: Actor
    now: datetime
    business_on: date
    told: Told
    result: ResultFile
    totals: Totals


def refuse_repeat(order: ImportOrder) -> FileRow | None:
    """Return the file that a killed import of the same content left, or None.

    Raises: FileAlreadyImported.
    """
    found = find_file_by_hash(order.mapping.kind, order.source.content_hash)
    if found is not None and found.state == "completed":
        assert found.finished_at is not None
        raise FileAlreadyImported(
            file=order.source.path.name, name=found.name, on=found.finished_at.date()
        )
    return found


@contextmanager
def only_importer(order: ImportOrder) -> Iterator[None]:
    """Hold a lock on the content while it is imported; it goes when this process dies.

    Raises: FileBeingImported.
    """
    name = f"{order.organisation.id} {order.mapping.kind} {order.source.content_hash}"
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    # A connection of its own: the lock outlives the transactions of the import.
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as held:
        locked = held.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key})
        if not locked.scalar_one():
            raise FileBeingImported(file=order.source.path.name)
        try:
            yield
        finally:
            # A lost connection has lost its locks as well.
            with contextlib.suppress(DBAPIError):
                held.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
