"""The list of refunds."""

from portal.domain.refunds import OPEN_REFUND_STATES, RefundState
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
    "r.payment_id IN (SELECT n.id FROM payers p JOIN payments n"
    " ON (n.organisation_id, n.payer_id) = (p.organisation_id, p.id)"
    " WHERE p.name_sort >= %(least)s AND p.name_sort < %(end)s)"
)

REFUND_TABLE = Table(
    noun="refund",
    words="Refunds",
    permission=Permission.VIEW_PAYMENTS,
    source="refunds",
    alias="r",
    joins=(
        "JOIN payments y ON (y.organisation_id, y.id) = (r.organisation_id, r.payment_id)"
        f" {ABOUT_JOINS}"
    ),
    columns=(
        Column("id", "Id", Kind.ID, "r.id", noun="refund", is_shown=False),
        Column(
            "day",
            "Day",
            Kind.DAY,
            "r.business_on",
            keys=(Key("r.business_on", "date"),),
            noun="refund",
            is_descending_first=True,
        ),
        Column("payment_id", "Payment id", Kind.ID, "y.id", noun="payment", is_shown=False),
        *ABOUT_COLUMNS,
        Column("state", "State", Kind.STATE, "r.state", states=RefundState),
        Column("reason", "Reason", Kind.TEXT, "r.reason"),
        Column("requested_by", "Asked for by", Kind.TEXT, "r.requested_by", is_shown=False),
        Column("approved_by", "Approved by", Kind.TEXT, "r.approved_by", is_shown=False),
        Column(
            "amount",
            "Amount",
            Kind.MONEY,
            "r.amount_minor",
            keys=(Key("r.amount_minor", "bigint"),),
            is_descending_first=True,
        ),
        Column("currency", "Currency", Kind.TEXT, "r.currency", is_shown=False),
        Column("reason_code", "Reason code", Kind.TEXT, "r.reason_code", is_shown=False),
        Column("gateway_ref", "Gateway reference", Kind.TEXT, "r.gateway_ref", is_shown=False),
        Column("decided", "Decided", Kind.INSTANT, "r.decided_at", is_shown=False),
        Column("version", "Version", Kind.COUNT, "r.version", is_shown=False),
    ),
    filters=(
        Choice(
            "state",
            "State",
            (
                Option("open", "Under way", tuple(one.value for one in OPEN_REFUND_STATES)),
                *(Option(one.value, one.label, (one.value,)) for one in RefundState),
            ),
            is_facet=True,
        ),
        Range("day", "Day", Kind.DAY, "r.business_on"),
        Range("amount", "Amount", Kind.MONEY, "r.amount_minor"),
        Text("currency", "Currency", "three letters", "r.currency"),
        Reference(
            "payment",
            "Payment",
            "payment",
            "r.payment_id = %(value)s",
            "SELECT 'of ' || started_on FROM payments WHERE id = %(value)s",
        ),
        Words("text", "Search", "the beginning of a payer's name", _FOUND),
    ),
    default_sort="-day",
    sums=("amount",),
    parts=Parts("state", "r.state", tuple(one.value for one in RefundState)),
)
