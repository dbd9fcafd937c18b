"""Reading batch runs: how far they are, what became of their items, and why."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.batches import ItemOutcome, RunState
from portal.domain.errors import NotFound
from portal.sql import fetch, fetch_one

CAUSES_MAX = 20

# What is counted while a run works stands in its chunks; the items are many times as many.
_COLUMNS = (
    "r.id, r.number, r.job, r.business_on, r.state, r.exit_message, r.items_count, r.chunks_count,"
    " r.sum_minor, r.started_by, r.created_at, r.started_at, r.finished_at, p.number AS repeats,"
    " c.done, c.filtered, c.skipped, c.failed, c.leased, c.lost, c.given_up,"
    " r.rule_set_version"
)
_FROM = (
    " FROM batch_runs r"
    " LEFT JOIN batch_runs p ON (p.organisation_id, p.id) = (r.organisation_id, r.repeats_id)"
    " CROSS JOIN LATERAL ("
    " SELECT COALESCE(sum(done_count), 0)::int AS done,"
    " COALESCE(sum(filtered_count), 0)::int AS filtered,"
    " COALESCE(sum(skipped_count), 0)::int AS skipped,"
    " COALESCE(sum(failed_count), 0)::int AS failed,"
    " (count(*) FILTER (WHERE state = 'leased'))::int AS leased,"
    " (count(*) FILTER (WHERE state = 'leased' AND lease_until < now()))::int AS lost,"
    " (count(*) FILTER (WHERE state = 'failed'))::int AS given_up"
    " FROM batch_chunks WHERE (organisation_id, run_id) = (r.organisation_id, r.id)) c"
)


class RunMissing(NotFound):
    """There is no such run here, or it is another organisation's; nothing was changed. Choose one
    from the list of runs."""


class RunRow(NamedTuple):
    """A run with how many of its items have which outcome, as far as it has come."""

    id: UUID
    number: int
    job: str
    business_on: date
    state: RunState
    exit_message: str | None
    items_count: int
    chunks_count: int
    sum_minor: int
    started_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    repeats: int | None
    done: int
    filtered: int
    skipped: int
    failed: int
    leased: int
    lost: int
    given_up: int
    # Which version decides in it, whatever comes into force; none where no rules are asked.
    rule_set_version: int | None

    @property
    def handled(self) -> int:
        """How many items have an outcome."""
        return self.done + self.filtered + self.skipped + self.failed


class CauseRow(NamedTuple):
    """Why items are not done: one code with how many and one of its sentences."""

    outcome: ItemOutcome
    code: str | None
    message: str | None
    is_varied: bool
    items_count: int


def list_runs(
    *, rows_max: int, before: int | None = None, after: int | None = None
) -> list[RunRow]:
    """List runs, the newest first, below one number or just above another."""
    order = "ASC" if after is not None else "DESC"
    rows = fetch(
        f"SELECT {_COLUMNS}{_FROM} WHERE r.number < COALESCE(%(before)s, 2147483647)"
        f" AND r.number > COALESCE(%(after)s, 0) ORDER BY r.number {order} LIMIT %(rows_max)s",
        {"before": before, "after": after, "rows_max": rows_max},
    )
    runs = [_run(row) for row in rows]
    return runs[::-1] if after is not None else runs


def get_run(run_id: UUID) -> RunRow:
    """Return one run.

    Raises: RunMissing.
    """
    row = fetch_one(f"SELECT {_COLUMNS}{_FROM} WHERE r.id = %s", (run_id,))
    if row is None:
        raise RunMissing
    return _run(row)


def find_run_by_number(number: int) -> RunRow | None:
    """Return the run with a number, or None."""
    row = fetch_one(f"SELECT {_COLUMNS}{_FROM} WHERE r.number = %s", (number,))
    return _run(row) if row else None


def list_causes(run_id: UUID) -> list[CauseRow]:
    """List why items of a run are not done, the most frequent cause first.

    Shape: at most CAUSES_MAX; one per outcome and code, with the first of its messages.
    """
    rows = fetch(
        "SELECT outcome, code, min(message) AS message, min(message) <> max(message) AS is_varied,"
        " count(*)::int AS items_count FROM batch_items WHERE run_id = %s AND outcome <> 'done'"
        " GROUP BY outcome, code ORDER BY (outcome = 'filtered'), items_count DESC, code LIMIT %s",
        (run_id, CAUSES_MAX),
    )
    return [
        CauseRow(
            ItemOutcome(row.outcome), row.code, row.message, bool(row.is_varied), row.items_count
        )
        for row in rows
    ]


def _run(row: Any) -> RunRow:
    return RunRow(*row)._replace(state=RunState(row.state))
