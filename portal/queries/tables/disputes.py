"""The list of disputes."""

from portal.domain.disputes import OPEN_DISPUTE_STATES, DisputeState
from portal.domain.users import Permission
from portal.queries.tables._shape import (
    Choice,
    Column,
    Key,
    Kind,
    Option,
    Parts,
    Range,
    Reference,
    Table,
    Text,
    Words,
)
from portal.queries.tables.payments import ABOUT_COLUMNS, ABOUT_JOINS

_FOUND = (
    "d.payment_id IN (SELECT n.id FROM payers p JOIN payments n"
    " ON (n.organisation_id, n.payer_id) = (p.organisation_id, p.id)"
    " WHERE p.name_sort >= %(least)s AND p.name_sort < %(end)s)"
)

DISPUTE_TABLE = Table(
    noun="dispute",
    words="Disputes",
    permission=Permission.VIEW_PAYMENTS,
    source="disputes",
    alias="d",
    joins=(
        "JOIN payments y ON (y.organisation_id, y.id) = (d.organisation_id, d.payment_id)"
        f" {ABOUT_JOINS}"
    ),
    columns=(
        Column("id", "Id", Kind.ID, "d.id", noun="dispute", is_shown=False),
        Column(
            "day",
            "Opened",
            Kind.DAY,
            "d.opened_on",
            keys=(Key("d.opened_on", "date"),),
            noun="dispute",
            is_descending_first=True,
        ),
        Column("payment_id", "Payment id", Kind.ID, "y.id", noun="payment", is_shown=False),
        *ABOUT_COLUMNS,
        Column("state", "State", Kind.STATE, "d.state", states=DisputeState),
        Column(
            "respond_by",
            "Answer by",
            Kind.DAY,
            "d.respond_by",
            keys=(Key("d.respond_by", "date"),),
        ),
        Column("reason_code", "Reason code", Kind.TEXT, "d.reason_code", is_shown=False),
        Column(
            "amount",
            "Amount",
            Kind.MONEY,
            "d.amount_minor",
            keys=(Key("d.amount_minor", "bigint"),),
            is_descending_first=True,
        ),
        Column("fee", "Fee", Kind.MONEY, "d.fee_minor", is_shown=False),
        Column("currency", "Currency", Kind.TEXT, "d.currency", is_shown=False),
        Column("gateway_ref", "Gateway reference", Kind.TEXT, "d.gateway_ref", is_shown=False),
        Column("closed", "Decided", Kind.DAY, "d.closed_on", is_shown=False),
        Column("version", "Version", Kind.COUNT, "d.version", is_shown=False),
    ),
    filters=(
        Choice(
            "state",
            "State",
            (
                Option("open", "Open", tuple(one.value for one in OPEN_DISPUTE_STATES)),
                *(Option(one.value, one.label, (one.value,)) for one in DisputeState),
            ),
            is_facet=True,
        ),
        Range("day", "Opened", Kind.DAY, "d.opened_on"),
        Range("respond_by", "Answer by", Kind.DAY, "d.respond_by"),
        Range("amount", "Amount", Kind.MONEY, "d.amount_minor"),
        Text("currency", "Currency", "three letters", "d.currency"),
        Reference(
            "payment",
            "Payment",
            "payment",
            "d.payment_id = %(value)s",
            "SELECT 'of ' || started_on FROM payments WHERE id = %(value)s",
        ),
        Words("text", "Search", "the beginning of a payer's name", _FOUND),
    ),
    default_sort="-day",
    sums=("amount",),
    parts=Parts("state", "d.state", tuple(one.value for one in DisputeState)),
)
