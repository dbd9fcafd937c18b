"""The list of schedules, as machines read it."""

from portal.domain.users import Permission
from portal.queries.tables._shape import Choice, Column, Key, Kind, Option, Table
from portal.queries.tables.runs import JOBS

_STATE_SQL = "CASE WHEN s.is_active THEN 'active' ELSE 'paused' END"

SCHEDULE_TABLE = Table(
    noun="schedule",
    words="Schedules",
    permission=Permission.VIEW_RUNS,
    source="schedules",
    alias="s",
    joins=(
        "LEFT JOIN sequences q ON (q.organisation_id, q.id) = (s.organisation_id, s.sequence_id)"
        " LEFT JOIN LATERAL (SELECT due_at, state FROM schedule_dues"
        " WHERE (organisation_id, schedule_id) = (s.organisation_id, s.id)"
        " ORDER BY due_at DESC LIMIT 1) d ON true"
    ),
    columns=(
        Column("id", "Id", Kind.ID, "s.id", noun="schedule", is_shown=False),
        Column("name", "Name", Kind.TEXT, "s.name", keys=(Key("s.name", "text"),), noun="schedule"),
        Column("job", "Job", Kind.TEXT, "s.job"),
        Column("sequence", "Sequence", Kind.TEXT, "q.name"),
        Column("rule", "Rule", Kind.TEXT, "s.rule"),
        Column("on_holiday", "On holidays", Kind.TEXT, "s.on_holiday"),
        Column("misfire", "After a gap", Kind.TEXT, "s.misfire"),
        Column(
            "state", "State", Kind.TEXT, "CASE WHEN s.is_active THEN 'active' ELSE 'paused' END"
        ),
        Column(
            "next",
            "Next",
            Kind.INSTANT,
            "s.next_at",
            # What is paused is due after everything else.
            keys=(Key("COALESCE(s.next_at, 'infinity'::timestamptz)", "timestamptz"),),
        ),
        Column("last", "Last", Kind.INSTANT, "d.due_at"),
        Column("last_state", "What became of the last", Kind.TEXT, "d.state"),
        Column(
            "created",
            "Created",
            Kind.INSTANT,
            "s.created_at",
            keys=(Key("s.id", "uuid"),),
            is_descending_first=True,
        ),
        Column("version", "Version", Kind.COUNT, "s.version", is_shown=False),
    ),
    filters=(
        Choice(
            "state",
            "State",
            (
                Option("active", "Active", sql="s.is_active"),
                Option("paused", "Paused", sql="NOT s.is_active"),
            ),
        ),
        Choice("job", "Job", JOBS, sql="s.job"),
    ),
    default_sort="name",
)
