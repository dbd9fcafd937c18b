"""The audit trail: everything that happened, the newest first."""

from portal.domain.users import Permission
from portal.queries.events import EVENT_ID_SQL
from portal.queries.invoices import document_number
from portal.queries.tables._about import own_id
from portal.queries.tables._shape import Choice, Column, Key, Kind, Option, Range, Table, Text

_EVENTS = (
    f"SELECT organisation_id, id AS number, {EVENT_ID_SQL} AS id, kind, subject_type, subject_id,"
    " actor_kind, actor_name, happened_at, reason FROM events"
)
# `rule_set.put_in_force` reads as “Rule set put in force”.
_WORDS = "upper(left(e.kind, 1)) || translate(substr(e.kind, 2), '._', '  ')"
_ABOUT = (
    f"COALESCE({document_number('i')}, p.name, 'Run ' || r.number, o.gateway_ref,"
    " 'of ' || y.started_on)"
)
_SUBJECTS = {
    "invoice": "Invoices",
    "payment": "Payments",
    "refund": "Refunds",
    "dispute": "Disputes",
    "payer": "Payers",
    "run": "Runs",
    "schedule": "Schedules",
    "sequence": "Sequences",
    "rule_set": "Rules",
    "case": "Cases",
    "message": "Messages",
    "brake": "Brakes",
    "user": "People",
    "api_key": "Keys",
    "file": "Files",
}
_ACTORS = (
    Option("people", "People", sql="e.actor_kind IN ('person', 'operator')"),
    Option("systems", "Other systems", sql="e.actor_kind = 'system'"),
    Option(
        "portal", "The portal itself", sql="e.actor_kind NOT IN ('person', 'operator', 'system')"
    ),
)

EVENT_TABLE = Table(
    noun="event",
    words="Events",
    permission=Permission.VIEW_EVENTS,
    source=f"({_EVENTS})",
    alias="e",
    joins=(
        "LEFT JOIN invoices i ON (i.organisation_id, i.id) = (e.organisation_id, e.subject_id)"
        " LEFT JOIN refunds f ON (f.organisation_id, f.id) = (e.organisation_id, e.subject_id)"
        " LEFT JOIN disputes d ON (d.organisation_id, d.id) = (e.organisation_id, e.subject_id)"
        " LEFT JOIN payments y ON (y.organisation_id, y.id)"
        " = (e.organisation_id, COALESCE(f.payment_id, d.payment_id, e.subject_id))"
        " LEFT JOIN payouts o ON (o.organisation_id, o.id) = (e.organisation_id, e.subject_id)"
        " LEFT JOIN batch_runs r ON (r.organisation_id, r.id) = (e.organisation_id, e.subject_id)"
        " LEFT JOIN payers p ON (p.organisation_id, p.id)"
        " = (e.organisation_id, COALESCE(y.payer_id, e.subject_id))"
    ),
    columns=(
        own_id("event", "e"),
        Column(
            "when",
            "When",
            Kind.INSTANT,
            "e.happened_at",
            keys=(Key("e.number", "bigint"),),
            noun="event",
            is_descending_first=True,
        ),
        Column("what", "What", Kind.TEXT, _WORDS),
        Column("about", "About", Kind.TEXT, _ABOUT),
        Column("by", "By", Kind.TEXT, "COALESCE(NULLIF(e.actor_name, ''), 'the portal')"),
        Column("reason", "Reason", Kind.TEXT, "e.reason"),
        Column("kind", "Kind", Kind.TEXT, "e.kind", is_shown=False),
        Column("actor", "Kind of actor", Kind.TEXT, "e.actor_kind", is_shown=False),
        Column("subject", "Subject", Kind.TEXT, "e.subject_id", is_shown=False),
    ),
    filters=(
        Choice("actor", "By", _ACTORS),
        Choice(
            "about",
            "About",
            tuple(
                Option(value, words, sql=f"e.subject_type = '{value}'")
                for value, words in _SUBJECTS.items()
            ),
        ),
        Text("kind", "Kind", "a kind such as invoice.voided", "e.kind"),
        Text("name", "Name", "the whole name of who did it", "e.actor_name"),
        Range("day", "Day (UTC)", Kind.DAY, "e.happened_at"),
    ),
    default_sort="-when",
)
