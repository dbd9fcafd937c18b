"""The run sheet: what a run was about when it was prepared, with its control totals."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.invoices import InvoiceKind
from portal.domain.payments import PaymentMethod
from portal.sql import fetch_one

BPS = 10_000
# How much the run before may differ from this one before people are told, in percent.
DIFFERENCE_PERCENT_MAX = 50.0
LONG_DUE_DAYS = 365

KIND_WORDS: Mapping[str, str] = {
    **{kind.value: kind.label for kind in InvoiceKind},
    **{method.value: method.label for method in PaymentMethod},
    "gateway_account": "Gateway account",
    "payout": "Payout",
}
WARNING_SENTENCES: Mapping[str, str] = {
    "no_amount": "These items have no amount.",
    "long_due": f"These items were due more than {LONG_DUE_DAYS} days before the business date.",
    "left_over": "These items are no longer to be done and are not part of this run.",
    "count_differs": "The number of items is far from that of the run before.",
    "sum_differs": "The sum is far from that of the run before.",
}


class SheetTotal(NamedTuple):
    """The items of one currency, or those among them of one kind or month."""

    by: str
    value: str | None
    currency: str
    items_count: int
    sum_minor: int

    @property
    def words(self) -> str:
        """What people call it; months and currencies are their own names."""
        if self.value is None:
            return "No date" if self.by == "month" else "No kind"
        return KIND_WORDS.get(self.value, self.value)


class SheetWarning(NamedTuple):
    """What a person should look at, and how many items it is about."""

    code: str
    sentence: str
    items_count: int


class PreviousRun(NamedTuple):
    """The last completed run of the same job, as it was when this one was prepared."""

    number: int
    items_count: int
    sum_minor: int


class RunSheet(NamedTuple):
    """What a run was about when it was prepared, what may differ, and who let it begin."""

    items_count: int
    sum_minor: int
    population_hash: str
    totals: tuple[SheetTotal, ...]
    warnings: tuple[SheetWarning, ...]
    previous: PreviousRun | None
    tolerance_bps: int | None
    changed_count: int
    needs_approval: bool
    started_by_id: UUID | None
    approved_by: str | None
    approved_at: datetime | None
    # The run that worked again what failed here.
    repeated_by: int | None
    repeated_by_id: UUID | None

    @property
    def count_percent(self) -> float | None:
        """By how much the number of items differs from the run before; None where it had none."""
        return percent_more(self.items_count, self.previous and self.previous.items_count)

    @property
    def sum_percent(self) -> float | None:
        """By how much the sum differs from the run before; None where it had none."""
        return percent_more(self.sum_minor, self.previous and self.previous.sum_minor)

    @property
    def changed_max(self) -> int | None:
        """How many items may have changed; None where nothing is compared."""
        return changed_max(self.items_count, self.tolerance_bps)

    def totals_by(self, by: str) -> list[SheetTotal]:
        """List the totals by currency, kind or month."""
        return [total for total in self.totals if total.by == by]


def percent_more(now: int, before: int | None) -> float | None:
    """Say by how many percent a number is above another."""
    return 100.0 * (now - before) / before if before else None


def changed_max(items_count: int, tolerance_bps: int | None) -> int | None:
    """Say how many items may have changed.

    Shape: rounded up, so that one corrected draft does not stop a small run; none at zero.
    """
    return None if tolerance_bps is None else -(-items_count * tolerance_bps // BPS)


def get_sheet(run_id: UUID) -> RunSheet | None:
    """Return the run sheet of a run, or None when there is no such run."""
    row = fetch_one(
        "SELECT r.items_count, r.sum_minor, encode(r.population_hash, 'hex') AS hash, r.sheet,"
        " r.tolerance_bps, (SELECT COALESCE(sum(c.changed_count), 0)::int FROM batch_chunks c"
        " WHERE (c.organisation_id, c.run_id) = (r.organisation_id, r.id)) AS changed_count,"
        " r.needs_approval, r.started_by_id, r.approved_by, r.approved_at,"
        " n.number AS repeated_by, n.id AS repeated_by_id FROM batch_runs r"
        " LEFT JOIN LATERAL (SELECT number, id FROM batch_runs WHERE repeats_id = r.id"
        " AND organisation_id = r.organisation_id AND state <> 'abandoned') n ON true"
        " WHERE r.id = %s",
        (run_id,),
    )
    return _sheet(row) if row is not None else None


def _sheet(row: Any) -> RunSheet:
    kept: Mapping[str, Any] = row.sheet
    previous = kept.get("previous")
    return RunSheet(
        row.items_count,
        row.sum_minor,
        row.hash,
        tuple(SheetTotal(**total) for total in kept.get("totals", ())),
        tuple(
            SheetWarning(one["code"], WARNING_SENTENCES[one["code"]], one["items_count"])
            for one in kept.get("warnings", ())
        ),
        PreviousRun(**previous) if previous else None,
        *row[4:],
    )
