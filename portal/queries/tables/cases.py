"""The list of cases."""

from portal.domain.cases import CaseKind, CaseState
from portal.domain.users import Permission
from portal.queries.tables._shape import (
    Choice,
    Column,
    Key,
    Kind,
    Option,
    Parts,
    Range,
    Table,
    Text,
    options_of,
)

_WORDS = " ".join(f"WHEN '{kind}' THEN '{kind.label}'" for kind in CaseKind)
_AGES = tuple(
    Option(value, words, sql=f"c.since_at < now() - interval '1 {value}'")
    for value, words in (("day", "Over a day"), ("week", "Over a week"), ("month", "Over a month"))
)

CASE_TABLE = Table(
    noun="case",
    words="Cases",
    permission=Permission.VIEW_CASES,
    source="cases",
    alias="c",
    joins="",
    columns=(
        Column("id", "Id", Kind.ID, "c.id", noun="case", is_shown=False),
        Column("kind", "Case", Kind.TEXT, f"CASE c.kind {_WORDS} END", noun="case"),
        Column("about", "About", Kind.TEXT, "c.subject_name"),
        Column("state", "State", Kind.STATE, "c.state", states=CaseState),
        Column(
            "since",
            "Since",
            Kind.INSTANT,
            "c.since_at",
            keys=(Key("c.since_at", "timestamptz"),),
        ),
        Column(
            "opened",
            "Opened",
            Kind.INSTANT,
            "c.opened_at",
            keys=(Key("c.opened_at", "timestamptz"),),
            is_shown=False,
            is_descending_first=True,
        ),
        Column(
            "amount",
            "Amount",
            Kind.MONEY,
            "c.amount_minor",
            keys=(
                # The expression of the index ix_cases_by_amount.
                Key(
                    "(CASE WHEN c.amount_minor IS NULL THEN 0::bigint ELSE c.amount_minor END)",
                    "bigint",
                ),
            ),
            is_descending_first=True,
        ),
        Column("currency", "Currency", Kind.TEXT, "c.currency", is_shown=False),
        Column("code", "Kind", Kind.TEXT, "c.kind", is_shown=False),
        Column("ended", "Ended", Kind.INSTANT, "c.ended_at", is_shown=False),
        Column("closed_by", "Closed by", Kind.TEXT, "c.closed_by", is_shown=False),
        Column("reason", "Reason", Kind.TEXT, "c.reason", is_shown=False),
    ),
    filters=(
        Choice(
            "state",
            "State",
            tuple(Option(one.value, one.label, (one.value,)) for one in CaseState),
            is_facet=True,
        ),
        Choice("kind", "Kind", options_of(CaseKind), sql="c.kind", is_facet=True),
        Choice("age", "Age", _AGES),
        Range("amount", "Amount", Kind.MONEY, "c.amount_minor"),
        Text("currency", "Currency", "three letters", "c.currency"),
    ),
    default_sort="-opened",
    sums=("amount",),
    parts=Parts("state", "c.state", tuple(one.value for one in CaseState)),
    hint="A case opens by itself when something that was expected has not come.",
)
