"""Writing down what a chunk of a rehearsal has found."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id
from portal.services.outcomes import ItemResult
from portal.services.rehearsals._compare import Comparison, Side
from portal.sql import execute, stage_rows

_DIFFERENCE = {
    "invoice_id": "uuid",
    "change": "text",
    "payer_kind": "text",
    "currency": "text",
    "net_before_minor": "bigint",
    "tax_before_minor": "bigint",
    "total_before_minor": "bigint",
    "due_before_on": "date",
    "charges_before_minor": "bigint",
    "net_after_minor": "bigint",
    "tax_after_minor": "bigint",
    "total_after_minor": "bigint",
    "due_after_on": "date",
    "charges_after_minor": "bigint",
    "difference_minor": "bigint",
    "appeared": "text[]",
    "vanished": "text[]",
    "clauses": "text[]",
}
_SUMS = (
    "documents_count",
    "differing_count",
    "priced_before_count",
    "net_before_minor",
    "tax_before_minor",
    "total_before_minor",
    "charges_before_minor",
    "priced_after_count",
    "net_after_minor",
    "tax_after_minor",
    "total_after_minor",
    "charges_after_minor",
)


class Rehearsed(NamedTuple):
    """A document with what both agreements make of it; no comparison where they are alike."""

    row: Any
    before: Side
    after: Side
    comparison: Comparison | None
    result: ItemResult


def write_rehearsed(rehearsed: Sequence[Rehearsed], *, run_id: UUID, chunk_number: int) -> None:
    """Write the differences of a chunk, and what all of its documents come to.

    Shape: a chunk that is worked in parts is added up.
    """
    key = {"o": current_organisation_id(), "run": run_id, "chunk": chunk_number}
    stage_rows("staged_differences", _DIFFERENCE, _list_differences(rehearsed))
    names = ", ".join(_DIFFERENCE)
    execute(
        f"INSERT INTO rehearsal_differences (organisation_id, run_id, {names})"
        f" SELECT %(o)s, %(run)s, {names} FROM pg_temp.staged_differences",
        key,
    )
    sums: dict[tuple[str, str], list[int]] = {}
    found: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for each in rehearsed:
        place = (each.row.currency, each.row.payer_kind)
        so_far = sums.setdefault(place, [0] * len(_SUMS))
        sums[place] = [one + more for one, more in zip(so_far, _count(each), strict=True)]
        for counter, side in zip(found, (each.before, each.after), strict=True):
            counter.update(side.findings or ())
    _add_up(
        "rehearsal_totals",
        ("currency", "payer_kind"),
        _SUMS,
        ((*place, *amounts) for place, amounts in sums.items()),
        key,
    )
    _add_up(
        "rehearsal_findings",
        ("code",),
        ("before_count", "after_count"),
        ((code, found[0][code], found[1][code]) for code in sorted(found[0] | found[1])),
        key,
    )


def _list_differences(rehearsed: Sequence[Rehearsed]) -> Iterator[tuple[Any, ...]]:
    for row, before, after, comparison, _ in rehearsed:
        if comparison is not None:
            change, *others = comparison
            head = (row.id, change.value, row.payer_kind, row.currency)
            yield (*head, *before[:5], *after[:5], *others)


def _count(each: Rehearsed) -> list[int]:
    counts = [1, int(each.comparison is not None)]
    for side in (each.before, each.after):
        amounts = (side.net_minor or 0, side.tax_minor or 0, side.total_minor or 0)
        counts += [int(side.total_minor is not None), *amounts, side.charges_minor]
    return counts


def _add_up(
    table: str,
    groups: Sequence[str],
    sums: Sequence[str],
    rows: Iterator[tuple[Any, ...]],
    key: dict[str, Any],
) -> None:
    """Add counts and amounts to those that are already there of the chunk."""
    columns = dict.fromkeys(groups, "text") | dict.fromkeys(sums, "bigint")
    stage_rows(f"staged_{table}", columns, rows)
    names = ", ".join(columns)
    added = ", ".join(f"{name} = t.{name} + excluded.{name}" for name in sums)
    execute(
        f"INSERT INTO {table} AS t (organisation_id, run_id, chunk_number, {names})"
        f" SELECT %(o)s, %(run)s, %(chunk)s, {names} FROM pg_temp.staged_{table}"
        f" ON CONFLICT (organisation_id, run_id, chunk_number, {', '.join(groups)})"
        f" DO UPDATE SET {added}",
        key,
    )
