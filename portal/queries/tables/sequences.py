"""The list of sequences, as machines read it."""

from portal.domain.users import Permission
from portal.queries.tables._shape import Column, Key, Kind, Table

SEQUENCE_TABLE = Table(
    noun="sequence",
    words="Sequences",
    permission=Permission.VIEW_RUNS,
    source="sequences",
    alias="s",
    joins="",
    columns=(
        Column("id", "Id", Kind.ID, "s.id", noun="sequence", is_shown=False),
        Column("name", "Name", Kind.TEXT, "s.name", keys=(Key("s.name", "text"),), noun="sequence"),
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
    filters=(),
    default_sort="name",
)
