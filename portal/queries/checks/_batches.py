"""Proofs over batch runs: every item exactly once, and counts that add up."""

from portal.queries.checks._proof import Check, compare

BATCH_CHECKS = (
    Check(
        "chunks_of_runs",
        "The chunks of each run hold as many items as it was prepared with.",
        compare(
            ("run_id",),
            "SELECT id AS run_id, items_count AS expected FROM batch_runs",
            "SELECT run_id, sum(cardinality(item_ids)) AS found FROM batch_chunks GROUP BY run_id",
        ),
    ),
    Check(
        "sums_of_runs",
        "The control totals of each run's chunks add up to the run's.",
        compare(
            ("run_id",),
            "SELECT id AS run_id, sum_minor AS expected FROM batch_runs",
            "SELECT run_id, sum(sum_minor) AS found FROM batch_chunks GROUP BY run_id",
        ),
    ),
    Check(
        "counted_chunks",
        "Each run has as many chunks as it counts.",
        compare(
            ("run_id",),
            "SELECT id AS run_id, chunks_count AS expected FROM batch_runs",
            "SELECT run_id, count(*) AS found FROM batch_chunks GROUP BY run_id",
        ),
    ),
    Check(
        "worked_chunks",
        "Each worked chunk has one outcome per item, and no other chunk has any.",
        compare(
            ("run_id", "chunk_number"),
            "SELECT run_id, number AS chunk_number, cardinality(item_ids) AS expected"
            " FROM batch_chunks WHERE state = 'done'",
            "SELECT run_id, chunk_number, count(*) AS found FROM batch_items"
            " GROUP BY run_id, chunk_number",
        ),
    ),
    Check(
        "counted_outcomes",
        "The outcomes of each chunk's items are those that the chunk counts.",
        compare(
            ("run_id", "chunk_number", "outcome"),
            "SELECT c.run_id, c.number AS chunk_number, k.outcome, k.count AS expected"
            " FROM batch_chunks c CROSS JOIN LATERAL (VALUES ('done', c.done_count),"
            " ('filtered', c.filtered_count), ('skipped', c.skipped_count),"
            " ('failed', c.failed_count)) AS k (outcome, count)",
            "SELECT run_id, chunk_number, CASE WHEN outcome IN ('parked', 'unknown')"
            " THEN 'skipped' ELSE outcome END AS outcome, count(*) AS found FROM batch_items"
            " GROUP BY 1, 2, 3",
        ),
    ),
    Check(
        "items_of_chunks",
        "Each outcome is that of an item which its chunk was prepared with.",
        "SELECT b.item_id::text AS id, 'run ' || b.run_id || ' chunk ' || b.chunk_number AS label,"
        " 1::bigint AS expected, 0::bigint AS found FROM batch_items b LEFT JOIN ("
        "SELECT run_id, number, unnest(item_ids) AS item_id FROM batch_chunks) AS c"
        " ON c.run_id = b.run_id AND c.number = b.chunk_number AND c.item_id = b.item_id"
        " WHERE c.item_id IS NULL",
    ),
    Check(
        "completed_runs",
        "Each completed run has worked all its items.",
        "SELECT r.id::text, r.job AS label, r.items_count::bigint AS expected,"
        " count(b.item_id) AS found FROM batch_runs r LEFT JOIN batch_items b ON b.run_id = r.id"
        " WHERE r.state = 'completed' GROUP BY r.id, r.job, r.items_count"
        " HAVING count(b.item_id) <> r.items_count",
    ),
)
