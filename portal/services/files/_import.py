"""The import of a file from end to end: inspected, staged, grouped, decided about, written.

A killed import leaves whole documents only and is taken up again by the same command.
"""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from psycopg.types.json import Jsonb

from portal.db import current_organisation_id, in_transaction, repeat_when_transient, transaction
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.organisations import OrganisationRow
from portal.services.events import record_event
from portal.services.files._invoices import Decision, InvoiceImport, Taken
from portal.services.files._lines import LineReader, line_reader
from portal.services.files._mapping import ImportMapping
from portal.services.files._order import ImportOrder, Told, only_importer, refuse_repeat
from portal.services.files._payers import MandateImport, PayerImport
from portal.services.files._report import (
    ImportReport,
    Refusal,
    ResultFile,
    Totals,
    shown_refusal,
)
from portal.services.files._source import (
    inspect_file,
    read_records,
    saying_what_is_wrong,
)
from portal.services.files._stage import (
    REHEARSED,
    STAGED,
    StagedDocument,
    count_staged,
    empty_stage,
    ensure_grouped,
    forget_groups,
    list_documents,
    list_line_numbers,
    stage_lines,
)
from portal.services.rulesets import load_rule_set
from portal.sql import execute, stage_rows

CHUNK_DOCUMENTS: Final = 1000


class _Work(Protocol):
    """What a kind of file adds to the import: deciding about documents and writing them."""

    def decide(self, documents: Sequence[StagedDocument]) -> Decision: ...

    def write(
        self, taken: Sequence[Taken], *, actor: Actor, now: datetime
    ) -> tuple[set[str], int]: ...


def import_file(
    *,
    path: Path,
    mapping: ImportMapping,
    organisation: OrganisationRow,
    actor: Actor,
    now: datetime,
    business_on: date,
    result_path: Path | None = None,
    is_rehearsal: bool = False,
    told: Told | None = None,
) -> ImportReport:
    """Import a file of invoices, payers or mandates, or only say what an import would do.

    Shape: `told` hears what is being done, how far it is, and how far it goes. Invoices are
    written in transactions of a thousand documents, payers and mandates in one; a rehearsal
    writes nothing. Refused documents are listed in `result_path`.
    Raises: FileNotImportable; FileAlreadyImported; FileBeingImported; ResultNotWritable.
    """
    source = inspect_file(path, mapping)
    currency = mapping.currency or organisation.currency
    result = ResultFile(result_path)
    order = ImportOrder(
        source, mapping, organisation, currency, actor, now, business_on,
        told or (lambda _what, _done, _all: None), result, Totals(currency),
    )  # fmt: skip
    try:
        if is_rehearsal:
            lines_count, is_resumed = _rehearse(order), False
        else:
            with only_importer(order):
                lines_count, is_resumed = _import(order)
        written = result.finish()
    finally:
        result.discard()
    return _report(
        order, lines_count, is_rehearsal=is_rehearsal, is_resumed=is_resumed, written=written
    )


def _rehearse(order: ImportOrder) -> int:
    """Stage, group and decide without writing anything that stays."""
    with transaction(order.organisation.id):
        refuse_repeat(order)
        file_id = new_id()
        forget_groups()
        work = _work(order, REHEARSED, file_id)
        lines_count = _stage(order, REHEARSED, file_id)
        count = ensure_grouped(REHEARSED, file_id)
        for first in range(1, count + 1, CHUNK_DOCUMENTS):
            documents = list_documents(first, first + CHUNK_DOCUMENTS - 1)
            decision = work.decide(documents)
            numbers = _line_numbers(REHEARSED, file_id, decision.refused)
            _count(order, decision, numbers, payers_added=0)
            order.told("deciding", min(count, first + CHUNK_DOCUMENTS - 1), count)
        forget_groups()
    return lines_count


def _import(order: ImportOrder) -> tuple[int, bool]:
    """Stage the file, or take up what a killed import staged, and write its documents."""
    with transaction(order.organisation.id):
        file_id, lines_count, is_resumed = _take_up(order)
    if order.mapping.kind == "invoices":
        _write_all(order, file_id)
        with transaction(order.organisation.id):
            _finish(order, file_id, lines_count)
    else:
        with transaction(order.organisation.id):
            _write_all(order, file_id)
            _finish(order, file_id, lines_count)
    return lines_count, is_resumed


def _take_up(order: ImportOrder) -> tuple[UUID, int, bool]:
    """Return a file whose lines are staged, how many these are, and whether it was there before."""
    source, mapping = order.source, order.mapping
    left = refuse_repeat(order)
    definition = dict(mapping.definition)
    is_same = left is not None and left.state == "staged" and left.mapping == definition
    if left is not None and is_same and count_staged(left.id) == left.lines_count:
        return left.id, left.lines_count, True
    file_id = left.id if left else new_id()
    if left is None:
        execute(
            "INSERT INTO files (organisation_id, id, kind, name, content_hash, size_bytes, mapping,"
            " detected, state, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'staging', %s)",
            (
                current_organisation_id(),
                file_id,
                mapping.kind,
                source.path.name,
                source.content_hash,
                source.size_bytes,
                Jsonb(definition),
                Jsonb(source.detected),
                order.now,
            ),
        )
    empty_stage(file_id)
    forget_groups()
    lines_count = _stage(order, STAGED, file_id)
    execute(
        "UPDATE files SET state = 'staged', lines_count = %s, mapping = %s, detected = %s"
        " WHERE id = %s",
        (lines_count, Jsonb(definition), Jsonb(source.detected), file_id),
    )
    return file_id, lines_count, left is not None


def _stage(order: ImportOrder, table: str, file_id: UUID) -> int:
    """Read the file into a staging table.

    Raises: FileNotImportable, when a line shows that the file as a whole is not what it should be.
    """
    source = order.source
    size = source.size_bytes
    _, rule_set = load_rule_set(on=order.business_on)
    read: LineReader = line_reader(
        source, order.mapping, currency=order.currency, rule_set=rule_set
    )
    with saying_what_is_wrong(source.path.name):
        records = read_records(source, told=lambda done: order.told("reading", done, size))
        next(records)
        count = stage_lines(table, file_id, records, read, len(source.header))
        if not count:
            raise ValueError("it has a header and no lines")
    return count


def _write_all(order: ImportOrder, file_id: UUID) -> None:
    """Write the documents chunk by chunk; each one is whole or not there."""
    with transaction(order.organisation.id):
        work = _work(order, STAGED, file_id)
        count = ensure_grouped(STAGED, file_id)
    for first in range(1, count + 1, CHUNK_DOCUMENTS):

        def write(first: int = first) -> tuple[Decision, dict[str, list[int]], int]:
            return _write_chunk(order, work, file_id, first)

        # A transaction that is part of a larger one cannot be repeated by itself.
        done = write() if in_transaction() else repeat_when_transient(write)
        _count(order, done[0], done[1], payers_added=done[2])
        order.told("writing", min(count, first + CHUNK_DOCUMENTS - 1), count)


def _write_chunk(
    order: ImportOrder, work: _Work, file_id: UUID, first: int
) -> tuple[Decision, dict[str, list[int]], int]:
    with transaction(order.organisation.id):
        execute("SET LOCAL work_mem = '32MB'")
        ensure_grouped(STAGED, file_id)
        documents = list_documents(first, first + CHUNK_DOCUMENTS - 1)
        decision = work.decide(documents)
        written, payers_added = work.write(decision.taken, actor=order.actor, now=order.now)
        late = [each for each in decision.taken if each.external_ref not in written]
        if late:
            refused = [_refused_late(each) for each in late]
            taken = [each for each in decision.taken if each.external_ref in written]
            decision = Decision(taken, decision.already, [*decision.refused, *refused])
        numbers = _line_numbers(STAGED, file_id, decision.refused)
        _write_refusals(file_id, decision.refused, numbers)
    return decision, numbers, payers_added


def _refused_late(taken: Taken) -> Refusal:
    return Refusal(
        taken.document,
        "already_here",
        f"The document {taken.external_ref} was imported by someone else meanwhile; leave it out.",
    )


def _write_refusals(
    file_id: UUID, refusals: Sequence[Refusal], numbers: dict[str, list[int]]
) -> None:
    if not refusals:
        return
    stage_rows(
        "refused_documents",
        {
            "document_ref": "text",
            "lines": "integer[]",
            "amount": "numeric",
            "code": "text",
            "message": "text",
        },
        (
            (
                document.document_ref,
                numbers.get(document.document_ref, [document.first_line]),
                document.amount,
                code,
                message,
            )
            for document, code, message in refusals
        ),
    )
    execute(
        "INSERT INTO file_refusals"
        " (organisation_id, file_id, document_ref, lines, amount, code, message)"
        " SELECT %s, %s, document_ref, lines, amount, code, message FROM pg_temp.refused_documents"
        " ON CONFLICT DO NOTHING",
        (current_organisation_id(), file_id),
    )


def _finish(order: ImportOrder, file_id: UUID, lines_count: int) -> None:
    """Close the file; when nothing of it was taken, its content may be imported again."""
    totals = order.totals
    refused_count = totals.documents["refused"]
    imported_count = totals.documents.total() - refused_count
    execute(
        "UPDATE files SET state = %s, documents_count = %s, imported_count = %s,"
        " refused_count = %s, finished_at = %s, content_hash = content_hash || %s WHERE id = %s",
        (
            "completed" if imported_count else "failed",
            imported_count + refused_count,
            imported_count,
            refused_count,
            order.now,
            "" if imported_count else f"#{file_id}",
            file_id,
        ),
    )
    record_event(
        "file.imported" if imported_count else "file.refused",
        file_id,
        actor=order.actor,
        now=order.now,
        details={
            "name": order.source.path.name,
            "kind": order.mapping.kind,
            "lines": lines_count,
            "documents": dict(totals.documents),
            "reasons": dict(totals.reasons),
            "amounts": totals.amounts_shown(),
        },
    )
    empty_stage(file_id)
    forget_groups()


def _work(order: ImportOrder, table: str, file_id: UUID) -> _Work:
    if order.mapping.kind == "payers":
        return PayerImport()
    if order.mapping.kind == "mandates":
        return MandateImport()
    _, rule_set = load_rule_set(on=order.business_on)
    return InvoiceImport(
        table=table,
        file_id=file_id,
        mapping=order.mapping,
        rule_set=rule_set,
        business_on=order.business_on,
    )


def _line_numbers(table: str, file_id: UUID, refused: Sequence[Refusal]) -> dict[str, list[int]]:
    return list_line_numbers(table, file_id, [each.document for each in refused])


def _count(
    order: ImportOrder, decision: Decision, numbers: dict[str, list[int]], *, payers_added: int
) -> None:
    """Add a chunk to the totals, once it is committed."""
    for each in decision.taken:
        order.totals.add_taken(each.document, each.kind, already=False)
    for each in decision.already:
        order.totals.add_taken(each.document, each.kind, already=True)
    for refusal in decision.refused:
        order.totals.add_refused(refusal)
    order.totals.payers_added += payers_added
    order.result.add(decision.refused, numbers)


def _report(
    order: ImportOrder,
    lines_count: int,
    *,
    is_rehearsal: bool,
    is_resumed: bool,
    written: Path | None,
) -> ImportReport:
    totals = order.totals
    imported = {
        kind: count for kind, count in sorted(totals.documents.items()) if kind != "refused"
    }
    return ImportReport(
        file=order.source.path.name,
        kind=order.mapping.kind,
        organisation=order.organisation.code,
        currency=order.currency,
        is_rehearsal=is_rehearsal,
        is_resumed=is_resumed,
        detected=order.source.detected,
        lines_count=lines_count,
        documents_count=totals.documents.total(),
        imported=imported,
        refused_count=totals.documents["refused"],
        reasons=dict(sorted(totals.reasons.items())),
        examples=dict(totals.examples),
        lines={name: totals.lines[name] for name in ("imported", "refused")},
        amounts=totals.amounts_shown() if order.mapping.kind == "invoices" else {},
        payers_added=totals.payers_added,
        already_count=totals.already_count,
        refusals=[shown_refusal(each) for each in totals.first_refusals],
        result_path=str(written) if written else None,
    )
