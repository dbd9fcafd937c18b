"""Reading rehearsals: what a version would change, in sums, by clause and by finding."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.batches import RunState
from portal.domain.errors import NotFound
from portal.domain.rehearsals import REHEARSAL_JOB, RehearsalChange
from portal.queries.invoices import document_number
from portal.sql import fetch, fetch_one

LARGEST_MAX = 10
REHEARSALS_MAX = 20

_AMOUNTS = (
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


class RehearsalMissing(NotFound):
    """There is no such rehearsal here, or it is another organisation's; nothing was changed. Choose
    one on the page of its version."""


class RehearsalRow(NamedTuple):
    """A rehearsal: what is tried on which documents; against no version it is against what was
    booked, without days it is about drafts."""

    id: UUID
    number: int
    state: RunState
    business_on: date
    items_count: int
    started_by: str
    started_at: datetime | None
    version: int
    against: int | None
    from_on: date | None
    to_on: date | None
    currency: str | None
    differing_count: int


class SumsRow(NamedTuple):
    """What documents come to, before and after; of all kinds of payers where none is named."""

    currency: str
    payer_kind: str | None
    documents_count: int
    differing_count: int
    priced_before_count: int
    net_before_minor: int
    tax_before_minor: int
    total_before_minor: int
    charges_before_minor: int
    priced_after_count: int
    net_after_minor: int
    tax_after_minor: int
    total_after_minor: int
    charges_after_minor: int

    @property
    def difference_minor(self) -> int:
        """How much more is billed, fees and interest as well."""
        charges_minor = self.charges_after_minor - self.charges_before_minor
        return self.total_after_minor - self.total_before_minor + charges_minor

    @property
    def stopped_before_count(self) -> int:
        """How many documents are stopped before."""
        return self.documents_count - self.priced_before_count

    @property
    def stopped_after_count(self) -> int:
        """How many documents are stopped after."""
        return self.documents_count - self.priced_after_count


class ClauseEffectRow(NamedTuple):
    """How many documents of a currency differ by a clause, and by how much."""

    clause: str
    currency: str
    documents_count: int
    difference_minor: int


class FindingCountRow(NamedTuple):
    """On how many documents a clause finds something; on how many anew, and no longer."""

    code: str
    before_count: int
    after_count: int
    appeared_count: int
    vanished_count: int


class DifferingRow(NamedTuple):
    """A document that differs."""

    invoice_id: UUID
    document: str | None
    payer: str
    change: RehearsalChange
    currency: str
    total_before_minor: int | None
    total_after_minor: int | None
    charges_before_minor: int
    charges_after_minor: int
    difference_minor: int
    clauses: list[str]


_REHEARSALS = (
    "SELECT r.id, r.number, r.state, r.business_on, r.items_count, r.started_by, r.started_at,"
    " (r.parameters->>'version')::int AS version, (r.parameters->>'against')::int AS against,"
    " (r.parameters->>'from_on')::date AS from_on, (r.parameters->>'to_on')::date AS to_on,"
    " r.parameters->>'currency' AS currency, (SELECT COALESCE(sum(t.differing_count), 0)::int"
    " FROM rehearsal_totals t"
    " WHERE (t.organisation_id, t.run_id) = (r.organisation_id, r.id)) AS differing"
    f" FROM batch_runs r WHERE r.job = '{REHEARSAL_JOB}'"
)


def list_rehearsals(version: int) -> list[RehearsalRow]:
    """List the latest rehearsals of a version, the last one first."""
    rows = fetch(
        f"{_REHEARSALS} AND r.parameters->>'version' = %s ORDER BY r.number DESC LIMIT %s",
        (str(version), REHEARSALS_MAX),
    )
    return [_row(row) for row in rows]


def get_rehearsal(rehearsal_id: UUID) -> RehearsalRow:
    """Return one rehearsal by the id of its run.

    Raises: RehearsalMissing.
    """
    row = fetch_one(f"{_REHEARSALS} AND r.id = %s", (rehearsal_id,))
    if row is None:
        raise RehearsalMissing
    return _row(row)


def sum_rehearsal(rehearsal_id: UUID) -> list[SumsRow]:
    """Add up a rehearsal as far as it has come, by currency, and within by kind of payer.

    Shape: of each currency the whole first.
    """
    sums = ", ".join(f"sum({name})::bigint AS {name}" for name in _AMOUNTS)
    rows = fetch(
        f"SELECT currency, payer_kind, {sums} FROM rehearsal_totals WHERE run_id = %s"
        " GROUP BY GROUPING SETS ((currency), (currency, payer_kind))"
        " ORDER BY currency, payer_kind NULLS FIRST",
        (rehearsal_id,),
    )
    return [SumsRow(*row) for row in rows]


def list_clause_effects(rehearsal_id: UUID) -> list[ClauseEffectRow]:
    """List what each clause changes; a document that differs by two clauses counts for both."""
    rows = fetch(
        "SELECT c.clause, d.currency, count(*)::int AS documents,"
        " sum(d.difference_minor)::bigint AS difference"
        " FROM rehearsal_differences d CROSS JOIN unnest(d.clauses) AS c (clause)"
        " WHERE d.run_id = %s GROUP BY c.clause, d.currency ORDER BY c.clause, d.currency",
        (rehearsal_id,),
    )
    return [ClauseEffectRow(*row) for row in rows]


def list_finding_counts(rehearsal_id: UUID) -> list[FindingCountRow]:
    """List what is found before and after, by the code of what finds it."""
    rows = fetch(
        "SELECT f.code, sum(f.before_count)::int AS before, sum(f.after_count)::int AS after,"
        " (SELECT count(*) FROM rehearsal_differences d"
        " WHERE d.run_id = %(id)s AND f.code = ANY(d.appeared))::int AS appeared,"
        " (SELECT count(*) FROM rehearsal_differences d"
        " WHERE d.run_id = %(id)s AND f.code = ANY(d.vanished))::int AS vanished"
        " FROM rehearsal_findings f WHERE f.run_id = %(id)s GROUP BY f.code ORDER BY f.code",
        {"id": rehearsal_id},
    )
    return [FindingCountRow(*row) for row in rows]


def list_largest_differences(rehearsal_id: UUID) -> list[DifferingRow]:
    """List the documents that differ by the most money."""
    rows = fetch(
        f"SELECT d.invoice_id, COALESCE({document_number('i')}, i.external_ref) AS document,"
        " p.name, d.change, d.currency, d.total_before_minor, d.total_after_minor,"
        " d.charges_before_minor, d.charges_after_minor, d.difference_minor, d.clauses"
        " FROM (SELECT * FROM rehearsal_differences WHERE run_id = %s"
        " ORDER BY abs(difference_minor) DESC, invoice_id LIMIT %s) d"
        " JOIN invoices i ON i.id = d.invoice_id JOIN payers p ON p.id = i.payer_id"
        " ORDER BY abs(d.difference_minor) DESC, d.invoice_id",
        (rehearsal_id, LARGEST_MAX),
    )
    return [DifferingRow(*row)._replace(change=RehearsalChange(row.change)) for row in rows]


def _row(row: Any) -> RehearsalRow:
    return RehearsalRow(*row)._replace(state=RunState(row.state))
