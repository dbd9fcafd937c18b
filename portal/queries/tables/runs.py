"""The list of batch runs."""

from portal.domain.batches import RunState, list_jobs
from portal.domain.users import Permission
from portal.queries.tables._shape import (
    Choice,
    Column,
    Key,
    Kind,
    Option,
    Range,
    Table,
    options_of,
)

JOBS = tuple(Option(job.name, job.title) for job in list_jobs())

RUN_TABLE = Table(
    noun="run",
    words="Runs",
    permission=Permission.VIEW_RUNS,
    source="batch_runs",
    alias="r",
    joins=(
        "CROSS JOIN LATERAL (SELECT COALESCE(sum(done_count), 0)::int AS done,"
        " COALESCE(sum(filtered_count), 0)::int AS filtered,"
        " COALESCE(sum(skipped_count), 0)::int AS skipped,"
        " COALESCE(sum(failed_count), 0)::int AS failed FROM batch_chunks"
        " WHERE (organisation_id, run_id) = (r.organisation_id, r.id)) c"
    ),
    columns=(
        Column("id", "Id", Kind.ID, "r.id", noun="run", is_shown=False),
        Column(
            "number",
            "Run",
            Kind.COUNT,
            "r.number",
            keys=(Key("r.number", "bigint"),),
            noun="run",
            is_descending_first=True,
        ),
        Column("job", "Job", Kind.TEXT, "r.job"),
        Column(
            "date",
            "Business date",
            Kind.DAY,
            "r.business_on",
            keys=(Key("r.business_on", "date"),),
            is_descending_first=True,
        ),
        Column("state", "State", Kind.STATE, "r.state", states=RunState),
        Column(
            "items",
            "Items",
            Kind.COUNT,
            "r.items_count",
            keys=(Key("r.items_count", "bigint"),),
            is_descending_first=True,
        ),
        Column("done", "Done", Kind.COUNT, "c.done"),
        Column("filtered", "Filtered", Kind.COUNT, "c.filtered", is_shown=False),
        Column("skipped", "Skipped", Kind.COUNT, "c.skipped", is_shown=False),
        Column("failed", "Failed", Kind.COUNT, "c.failed"),
        Column("by", "Started by", Kind.TEXT, "r.started_by"),
        Column("started", "Started", Kind.INSTANT, "r.started_at"),
        Column("finished", "Finished", Kind.INSTANT, "r.finished_at", is_shown=False),
    ),
    filters=(
        Choice("job", "Job", JOBS, sql="r.job"),
        Choice("state", "State", options_of(RunState), sql="r.state", is_facet=True),
        Range("date", "Business date", Kind.DAY, "r.business_on"),
    ),
    default_sort="-number",
)
