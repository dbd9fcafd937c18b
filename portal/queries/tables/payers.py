"""The list of payers."""

from portal.domain.payers import Arrangement, PayerKind
from portal.domain.users import Permission
from portal.queries.payers import is_arranged
from portal.queries.tables._shape import (
    Choice,
    Column,
    Key,
    Kind,
    Option,
    Table,
    Words,
    options_of,
)

_FOUND = (
    "y.id IN (SELECT id FROM payers WHERE external_ref = %(text)s UNION"
    " SELECT id FROM payers WHERE name_sort >= %(least)s AND name_sort < %(end)s)"
)
_IS_ARRANGED = is_arranged("y", "%(today)s")

PAYER_TABLE = Table(
    noun="payer",
    words="Payers",
    permission=Permission.VIEW_PAYERS,
    source="payers",
    alias="y",
    joins="",
    columns=(
        Column("id", "Id", Kind.ID, "y.id", noun="payer", is_shown=False),
        Column(
            "name", "Name", Kind.TEXT, "y.name", keys=(Key("y.name_sort", "text"),), noun="payer"
        ),
        Column("reference", "Reference", Kind.TEXT, "y.external_ref"),
        Column("kind", "Kind", Kind.STATE, "y.kind", states=PayerKind),
        Column("email", "E-mail", Kind.TEXT, "y.email"),
        Column("country", "Country", Kind.TEXT, "y.country"),
        Column("is_on_hold", "On hold", Kind.FLAG, "y.is_on_hold"),
        # One that is over pauses nothing; what it was stands on the page of the payer. For machines
        # and files, since the page of the list has no room for it.
        Column(
            "arrangement",
            "Arrangement",
            Kind.STATE,
            f"CASE WHEN {_IS_ARRANGED} THEN y.arrangement END",
            states=Arrangement,
            is_shown=False,
        ),
        Column(
            "arranged_until",
            "Until",
            Kind.DAY,
            f"CASE WHEN {_IS_ARRANGED} THEN y.arranged_until END",
            is_shown=False,
        ),
        Column(
            "number",
            "Added",
            Kind.COUNT,
            "y.number",
            keys=(Key("y.number", "bigint"),),
            is_shown=False,
        ),
        Column("version", "Version", Kind.COUNT, "y.version", is_shown=False),
    ),
    filters=(
        Choice("kind", "Kind", options_of(PayerKind), sql="y.kind", is_facet=True),
        Choice(
            "collection",
            "Collection",
            (
                Option("on_hold", "On hold", sql="y.is_on_hold"),
                Option("open", "Not on hold", sql="NOT y.is_on_hold"),
                Option(
                    "mandate",
                    "By mandate",
                    sql="EXISTS (SELECT FROM mandates m WHERE (m.organisation_id, m.payer_id) ="
                    " (y.organisation_id, y.id) AND m.state = 'active')",
                ),
            ),
        ),
        Choice(
            "terms",
            "Terms",
            (
                Option("on_hold", "On hold", sql="y.is_on_hold"),
                *(
                    Option(
                        one.value,
                        one.label,
                        sql=f"y.arrangement = '{one.value}' AND {_IS_ARRANGED}",
                    )
                    for one in Arrangement
                ),
                Option("none", "As usual", sql=f"NOT (y.is_on_hold OR {_IS_ARRANGED})"),
            ),
        ),
        Words("text", "Search", "reference or the beginning of a name", _FOUND),
    ),
    default_sort="name",
)
