"""Working a chunk of a rehearsal: each document is asked about twice, and nothing of it changes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.invoices import InvoiceState
from portal.services.batches import Lease, SheetBroken
from portal.services.invoices import (
    Draft,
    Judged,
    facts_of_draft,
    judge_document,
    read_documents,
    result_of,
)
from portal.services.outcomes import ItemResult
from portal.services.rehearsals._compare import (
    compare_sides,
    side_of,
    side_of_booked,
)
from portal.services.rehearsals._write import Rehearsed, write_rehearsed
from portal.services.rulesets import keeping_rule_set, load_rule_set
from portal.sql import fetch, fetch_plain
from rules.ruleset import CompiledRuleSet
from rules.types import Charge, LineFacts

Lines = tuple[LineFacts, ...]


class Met(NamedTuple):
    """The version that is tried and the other one, ready for documents of a day."""

    after: CompiledRuleSet
    before: CompiledRuleSet | None


def rehearse_documents(*, invoice_ids: Sequence[UUID], lease: Lease) -> list[ItemResult]:
    """Say what a version would make of documents, write down what differs, and change nothing.

    Shape: the results are those of a real run with the version.
    Raises: SheetBroken when what a version says has changed since the run was started.
    """
    with transaction():
        parameters = lease.parameters
        _check_versions(lease)
        is_of_drafts = parameters["from_on"] is None
        found = {row.id: row for row in _read_booked(invoice_ids, with_traces=not is_of_drafts)}
        results = {each: _gone(each, found.get(each)) for each in sorted(invoice_ids)}
        standing = [row for row in found.values() if (row.state == "draft") == is_of_drafts]
        rehearsed = []
        for on, rows in _by_day(standing, lease.business_on):
            for each in _rehearse(rows, parameters, on, lease.business_on):
                rehearsed.append(each)
                results[each.row.id] = each.result
        write_rehearsed(rehearsed, run_id=lease.run_id, chunk_number=lease.number)
        return list(results.values())


def _check_versions(lease: Lease) -> None:
    parameters = lease.parameters
    tried = {
        parameters[name]: parameters[f"{name}_hash"]
        for name in ("version", "against")
        if parameters[name] is not None
    }
    rows = fetch_plain(
        "SELECT version, definition_hash FROM rule_sets"
        " WHERE organisation_id = %s AND version = ANY(%s)",
        (current_organisation_id(), list(tried)),
    )
    changed = [version for version, digest in rows if tried[version] != digest]
    if changed:
        raise SheetBroken(number=lease.number, reason=f"version {changed[0]} was changed meanwhile")


def _read_booked(invoice_ids: Sequence[UUID], *, with_traces: bool) -> list[Any]:
    """Read what documents come to now, and what was written down when they were issued."""
    entries = (
        "(SELECT t.entries FROM rule_traces t WHERE t.organisation_id = i.organisation_id"
        " AND t.subject_id = i.id AND t.stage = 'issue' ORDER BY t.id DESC LIMIT 1)"
        if with_traces
        else "NULL::jsonb"
    )
    return fetch(
        "SELECT i.id, i.state, i.kind, i.currency, p.kind AS payer_kind, i.issued_on, i.due_on,"
        f" i.net_minor, i.tax_minor, i.total_minor, i.open_minor, {entries} AS entries"
        " FROM invoices i JOIN payers p ON p.id = i.payer_id"
        " WHERE i.organisation_id = %s AND i.id = ANY(%s) ORDER BY i.issued_on, i.id",
        (current_organisation_id(), list(invoice_ids)),
    )


def _gone(invoice_id: UUID, row: Any) -> ItemResult:
    """Say why a document is left out, for the case that nothing else is said of it."""
    label = InvoiceState(row.state).label.lower() if row else "gone"
    message = f"The document is {label} by now."
    return ItemResult(invoice_id, ItemOutcome.FILTERED, "not_a_draft", message)


def _by_day(rows: Sequence[Any], business_on: date) -> Iterator[tuple[date, list[Any]]]:
    """Put documents under the day on which they are met: of issue, or the business date."""
    for on, group in groupby(rows, key=lambda row: row.issued_on or business_on):
        yield on, list(group)


def _rehearse(
    rows: Sequence[Any], parameters: Mapping[str, Any], on: date, business_on: date
) -> Iterator[Rehearsed]:
    against = parameters["against"]
    agreed = Met(_load(parameters["version"], on), _load(against, on) if against else None)
    late = Met(
        _load(parameters["version"], business_on), _load(against, business_on) if against else None
    )
    ids = [row.id for row in rows]
    documents = _read(ids, agreed.after)
    others = _read(ids, agreed.before) if agreed.before else documents
    for row in rows:
        judged = _judge(row, documents, agreed.after, on)
        # What was booked has no fees yet that could be compared.
        charges = _charge(row, documents, late.after, business_on) if late.before else ()
        after = side_of(judged, charges, on)
        if agreed.before and late.before:
            charges = _charge(row, others, late.before, business_on)
            before = side_of(_judge(row, others, agreed.before, on), charges, on)
        else:
            before = side_of_booked(row)
        yield Rehearsed(row, before, after, compare_sides(before, after), result_of(judged))


def _load(version: int, on: date) -> CompiledRuleSet:
    with keeping_rule_set(version):
        return load_rule_set(on=on)[1]


def _read(ids: Sequence[UUID], rule_set: CompiledRuleSet) -> dict[UUID, tuple[Draft, Lines]]:
    return {
        draft.id: (draft, lines)
        for draft, lines in read_documents(invoice_ids=ids, rule_set=rule_set)
    }


def _judge(
    row: Any, documents: Mapping[UUID, tuple[Draft, Lines]], rule_set: CompiledRuleSet, on: date
) -> Judged:
    draft, lines = documents[row.id]
    if row.entries is not None:
        draft, lines = _as_drafted(draft, lines, row.entries)
    elif row.issued_on is not None:
        # Nothing tells what it stated, so the date that it has is none that it stated.
        draft = draft._replace(due_on=None)
    return judge_document(draft, lines, rule_set, on)


def _as_drafted(draft: Draft, lines: Lines, entries: Sequence[Any]) -> tuple[Draft, Lines]:
    """Take back what issuing did to a document, by the trace of it.

    Shape: lines that were added are left out, tax codes that were turned are those before, and the
    due date is the one that was stated. Lines that a tariff has priced are priced by quantity
    again, or stay as they are where no tariff is agreed for them.
    """
    added: set[int] = set()
    codes: dict[int, str] = {}
    stated = None
    for _code, _place, inputs, result in entries:
        if "severity" in inputs:
            continue
        if "line" in inputs and ("text" in inputs or "total" in inputs):
            added.add(inputs["line"])
        elif "line" in inputs and "tax_code" in inputs:
            codes.setdefault(inputs["line"], inputs["tax_code"])
        elif "on" in inputs and isinstance(result, str):
            stated = inputs.get("stated")
    drafted = tuple(
        line._replace(tax_code=codes.get(line.position, line.tax_code))
        for line in lines
        if line.position not in added
    )
    return draft._replace(due_on=date.fromisoformat(stated) if stated else None), drafted


def _charge(
    row: Any,
    documents: Mapping[UUID, tuple[Draft, Lines]],
    rule_set: CompiledRuleSet,
    business_on: date,
) -> Sequence[Charge]:
    """List the fees and interest that an open document would be charged on the business date."""
    if row.open_minor <= 0:
        return ()
    facts = facts_of_draft(*documents[row.id], business_on)._replace(
        total_minor=row.total_minor, open_minor=row.open_minor
    )
    level = rule_set.reminder_level(facts)
    return rule_set.late_fee(facts._replace(reminder_level=level))
