"""The run sheet: frozen with the population, and compared again when each chunk is worked."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from portal.db import current_organisation_id, transaction
from portal.domain.batches import REPEATED_OUTCOMES
from portal.domain.errors import Conflict
from portal.domain.rehearsals import REHEARSAL_JOB
from portal.queries.populations import BONDS, PER_CURRENCY, POPULATIONS
from portal.queries.sheets import (
    BPS,
    DIFFERENCE_PERCENT_MAX,
    LONG_DUE_DAYS,
    changed_max,
    percent_more,
)
from portal.services.batches._lease import Lease, LeaseLost
from portal.services.gateways import settings
from portal.services.rulesets import RuleSetNotFound, load_rule_set
from portal.sql import execute, fetch_one

# From this size on a plan made for an organisation the planner does not know yet costs minutes.
STATISTICS_ITEMS_MIN = 2000
# The oldest months of a currency are one line of the sheet.
MONTHS_MAX = 24
EARLIER = "earlier"


_FREEZING = """
WITH population AS MATERIALIZED (SELECT * FROM ({population}) AS every_item {only}),
money AS (SELECT * FROM ({money}) AS sums {only_money}),
frozen AS (
    INSERT INTO batch_chunks (organisation_id, run_id, number, item_ids, item_versions,
        items_count, sum_minor, population_hash)
    SELECT %(_organisation)s, %(_run)s, 1 + place / %(_size)s, array_agg(id ORDER BY place),
        array_agg(version ORDER BY place), count(*), sum(amount_minor),
        sha256(string_agg(uuid_send(id) || int4send(version::int), '' ORDER BY place))
    FROM (SELECT id, version::bigint AS version, amount_minor,
        row_number() OVER (ORDER BY id) - 1 AS place FROM population) AS placed
    GROUP BY place / %(_size)s
    RETURNING number, items_count, sum_minor, population_hash),
totals AS (
    SELECT CASE WHEN GROUPING(kind) = 0 THEN 'kind' WHEN GROUPING(month) = 0 THEN 'month'
            ELSE 'currency' END AS by,
        CASE WHEN GROUPING(kind) = 0 THEN kind WHEN GROUPING(month) = 0 THEN month
            ELSE currency END AS value,
        currency, count(*)::int AS items_count, sum(amount_minor)::bigint AS sum_minor
    FROM (SELECT currency, kind, to_char(due_on, 'YYYY-MM') AS month, amount_minor FROM money
        WHERE currency IS NOT NULL) AS dated
    GROUP BY GROUPING SETS ((currency), (currency, kind), (currency, month)))
SELECT count(*)::int AS chunks, COALESCE(sum(items_count), 0)::int AS items,
    COALESCE(sum(sum_minor), 0)::bigint AS amount,
    sha256(COALESCE(string_agg(population_hash, '' ORDER BY number), '')) AS hash,
    (SELECT jsonb_agg(to_jsonb(t) ORDER BY by, currency, value) FROM totals t) AS totals,
    (SELECT count(*) FILTER (WHERE amount_minor = 0) FROM population)::int AS no_amount,
    (SELECT count(*) FILTER (WHERE due_on < %(_long_due)s) FROM population)::int AS long_due
FROM frozen
"""
_REPEATED = (
    "WHERE id IN (SELECT item_id FROM batch_items"
    " WHERE run_id = %(_repeats)s AND outcome = ANY(%(_outcomes)s))"
)


class SheetBroken(Conflict):
    """Chunk {number} is no longer what the run sheet says: {reason}. Nothing of it was done;
    abandon the run and start a new one over what there is now."""

    reason: str


class Frozen(NamedTuple):
    """How much a run has frozen."""

    chunks_count: int
    items_count: int
    sum_minor: int


def is_over_limit(*, items_count: int, sum_minor: int, on: date) -> bool:
    """Say whether a run of this size waits for a second person.

    Shape: by the agreement of its day where it names limits, by the settings elsewhere.
    """
    agreed = None
    with suppress(RuleSetNotFound):
        agreed = load_rule_set(on=on)[1].needs_second_for_run(abs(sum_minor), items_count)
    if agreed is not None:
        return agreed
    config = settings()
    return (
        items_count >= config.approval_items_min or abs(sum_minor) >= config.approval_sum_minor_min
    )


def freeze(
    run_id: UUID,
    *,
    job: str,
    business_on: date,
    parameters: Mapping[str, Any],
    chunk_items_max: int,
    repeats_id: UUID | None = None,
) -> Frozen:
    """Write the population as chunks, in the database and without carrying it through here.

    Shape: of a run that repeats another, only what was left over there. The control totals come
    from the same statement, so they are of the same instant.
    """
    population = POPULATIONS[job](business_on, parameters)
    only = _REPEATED if repeats_id else ""
    money = PER_CURRENCY[job](business_on, parameters).statement if job in PER_CURRENCY else None
    row = fetch_one(
        # The money is never joined to the population: how many items an organisation has is not
        # known to the planner when it is new, and it would walk all of them for each of them.
        _FREEZING.format(
            population=population.statement,
            only=only,
            money=money or "SELECT * FROM population",
            only_money=only if money else "",
        ),
        {
            **population.parameters,
            "_organisation": current_organisation_id(),
            "_run": run_id,
            "_size": chunk_items_max,
            "_long_due": business_on - timedelta(days=LONG_DUE_DAYS),
            "_repeats": repeats_id,
            "_outcomes": [outcome.value for outcome in REPEATED_OUTCOMES],
        },
    )
    assert row is not None
    # Rehearsals are each of other documents.
    previous = None if job == REHEARSAL_JOB else _read_previous(run_id, job)
    sheet = {
        "totals": _capped(row.totals or []),
        "warnings": _list_warnings(row, job, previous, repeats_id),
        "previous": previous,
    }
    tolerance = round(settings().sheet_tolerance * BPS) if job in BONDS else None
    execute(
        "UPDATE batch_runs SET items_count = %s, chunks_count = %s, sum_minor = %s,"
        " population_hash = %s, sheet = %s, tolerance_bps = %s WHERE id = %s",
        (row.items, row.chunks, row.amount, row.hash, Jsonb(sheet), tolerance, run_id),
    )
    if row.items >= STATISTICS_ITEMS_MIN:
        execute("SELECT refresh_statistics()")
    return Frozen(row.chunks, row.items, row.amount)


def _read_previous(run_id: UUID, job: str) -> dict[str, int] | None:
    """Return the last completed run of the job that did not only repeat another."""
    row = fetch_one(
        "SELECT number, items_count, sum_minor FROM batch_runs WHERE job = %s AND id <> %s"
        " AND state = 'completed' AND repeats_id IS NULL AND items_count > 0"
        " ORDER BY number DESC LIMIT 1",
        (job, run_id),
    )
    return dict(row._asdict()) if row is not None else None


def _list_warnings(
    row: Any, job: str, previous: Mapping[str, int] | None, repeats_id: UUID | None
) -> list[dict[str, Any]]:
    counts = {"no_amount": row.no_amount if job in BONDS else 0, "long_due": row.long_due}
    if repeats_id is not None:
        counts["left_over"] = _count_left_over(repeats_id) - row.items
    elif previous is not None:
        for code, now, before in (
            ("count_differs", row.items, previous["items_count"]),
            ("sum_differs", row.amount, previous["sum_minor"]),
        ):
            differs = abs(percent_more(now, before) or 0.0) > DIFFERENCE_PERCENT_MAX
            counts[code] = row.items if differs else 0
    return [{"code": code, "items_count": count} for code, count in counts.items() if count]


def _count_left_over(repeats_id: UUID) -> int:
    row = fetch_one(
        "SELECT count(*)::int AS items FROM batch_items WHERE run_id = %s AND outcome = ANY(%s)",
        (repeats_id, [outcome.value for outcome in REPEATED_OUTCOMES]),
    )
    assert row is not None
    return int(row.items)


def _capped(totals: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the oldest months of each currency together where there are too many."""
    kept = [total for total in totals if total["by"] != "month"]
    months: dict[str, list[dict[str, Any]]] = {}
    for total in totals:
        if total["by"] == "month":
            months.setdefault(total["currency"], []).append(total)
    for currency, of_currency in months.items():
        in_turn = sorted(of_currency, key=lambda total: total["value"] or "")
        old, latest = in_turn[:-MONTHS_MAX], in_turn[-MONTHS_MAX:]
        if old:
            kept.append(
                {
                    "by": "month",
                    "value": EARLIER,
                    "currency": currency,
                    "items_count": sum(total["items_count"] for total in old),
                    "sum_minor": sum(total["sum_minor"] for total in old),
                }
            )
        kept += latest
    return kept


def compare_with_sheet(lease: Lease) -> int:
    """Count the items of a chunk that changed since they were frozen, in one statement.

    Shape: what is no longer to be done does not count, as nothing is done with it; 0 of a job that
    is not held to its sheet.
    Raises: LeaseLost; SheetBroken when the whole run has more changes than it may have, or the
    chunk is now about more money than was frozen.
    """
    bond = BONDS.get(lease.job)
    if bond is None or lease.tolerance_bps is None:
        return 0
    row = fetch_one(
        "SELECT c.items_count, c.sum_minor, r.items_count AS run_items, n.changed, n.amount,"
        " (SELECT COALESCE(sum(changed_count), 0)::int FROM batch_chunks"
        " WHERE organisation_id = c.organisation_id AND run_id = c.run_id) AS before"
        " FROM batch_chunks c JOIN batch_runs r"
        " ON (r.organisation_id, r.id) = (c.organisation_id, c.run_id)"
        " CROSS JOIN LATERAL (SELECT"
        " (count(*) FILTER (WHERE x.version <> f.version))::int AS changed,"
        f" COALESCE(sum(x.{bond.amount}), 0)::bigint AS amount"
        " FROM unnest(c.item_ids, c.item_versions) AS f (id, version)"
        f" JOIN {bond.table} x ON (x.organisation_id, x.id) = (c.organisation_id, f.id)"
        f" WHERE {bond.is_waiting}) n WHERE c.run_id = %s AND c.number = %s"
        " AND c.lease_token = %s AND c.state = 'leased'",
        (lease.run_id, lease.number, lease.token),
    )
    if row is None:
        raise LeaseLost(number=lease.number)
    allowed = changed_max(row.run_items, lease.tolerance_bps) or 0
    if row.before + row.changed > allowed:
        reason = f"{row.changed} of its {row.items_count} items changed since they were frozen"
        if row.before:
            reason += f", after {row.before} in other chunks"
        raise SheetBroken(number=lease.number, reason=f"{reason}; {allowed} of the run may")
    if (row.amount - row.sum_minor) * BPS > abs(row.sum_minor) * lease.tolerance_bps:
        raise SheetBroken(
            number=lease.number, reason="its items are about more money than when they were frozen"
        )
    return int(row.changed)


def fail_by_sheet(*, lease: Lease, reason: str) -> None:
    """Give up a chunk that its sheet no longer describes, and let its run end there."""
    message = (
        f"chunk {lease.number} is no longer what the run sheet says: {reason}. Nothing of it was"
        " done; abandon this run and start a new one over what there is now"
    )
    with transaction(lease.organisation_id):
        given_up = execute(
            "UPDATE batch_chunks SET state = 'failed', last_error = %s, lease_until = NULL,"
            " finished_at = clock_timestamp()"
            " WHERE run_id = %s AND number = %s AND lease_token = %s AND state = 'leased'",
            (message, lease.run_id, lease.number, lease.token),
        )
        if given_up:
            execute(
                "UPDATE batch_runs SET state = 'stopping', exit_message = %s"
                " WHERE id = %s AND state IN ('started', 'stopping')",
                (message, lease.run_id),
            )
