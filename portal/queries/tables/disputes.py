"""The list of disputes."""

from portal.domain.disputes import OPEN_DISPUTE_STATES, DisputeState
from portal.domain.users import Permission
from portal.queries.tables._about import (
    OF_PAYMENT_COLUMNS,
    amount,
    by_payer_name,
    by_payment,
    currency,
    first_day,
    of_payment_joins,
    own_id,
    version,
)
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
)

DISPUTE_TABLE = Table(
    noun="dispute",
    words="Disputes",
    permission=Permission.VIEW_PAYMENTS,
    source="disputes",
    alias="d",
    joins=of_payment_joins("d"),
    columns=(
        own_id("dispute", "d"),
        first_day("day", "Opened", "d.opened_on", noun="dispute"),
        *OF_PAYMENT_COLUMNS,
        Column("state", "State", Kind.STATE, "d.state", states=DisputeState),
        Column(
            "respond_by",
            "Answer by",
            Kind.DAY,
            "d.respond_by",
            keys=(Key("d.respond_by", "date"),),
        ),
        Column("reason_code", "Reason code", Kind.TEXT, "d.reason_code", is_shown=False),
        amount("d"),
        Column("fee", "Fee", Kind.MONEY, "d.fee_minor", is_shown=False),
        currency("d"),
        Column("gateway_ref", "Gateway reference", Kind.TEXT, "d.gateway_ref", is_shown=False),
        Column("closed", "Decided", Kind.DAY, "d.closed_on", is_shown=False),
        version("d"),
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
        by_payment("d"),
        by_payer_name("d"),
    ),
    default_sort="-day",
    sums=("amount",),
    parts=Parts("state", "d.state", tuple(one.value for one in DisputeState)),
)
