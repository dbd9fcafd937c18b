"""The list of refunds."""

from portal.domain.refunds import OPEN_REFUND_STATES, RefundState
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
    Kind,
    Option,
    Parts,
    Range,
    Table,
    Text,
)

REFUND_TABLE = Table(
    noun="refund",
    words="Refunds",
    permission=Permission.VIEW_PAYMENTS,
    source="refunds",
    alias="r",
    joins=of_payment_joins("r"),
    columns=(
        own_id("refund", "r"),
        first_day("day", "Day", "r.business_on", noun="refund"),
        *OF_PAYMENT_COLUMNS,
        Column("state", "State", Kind.STATE, "r.state", states=RefundState),
        Column("reason", "Reason", Kind.TEXT, "r.reason"),
        Column("requested_by", "Asked for by", Kind.TEXT, "r.requested_by", is_shown=False),
        Column("approved_by", "Approved by", Kind.TEXT, "r.approved_by", is_shown=False),
        amount("r"),
        currency("r"),
        Column("reason_code", "Reason code", Kind.TEXT, "r.reason_code", is_shown=False),
        Column("gateway_ref", "Gateway reference", Kind.TEXT, "r.gateway_ref", is_shown=False),
        Column("decided", "Decided", Kind.INSTANT, "r.decided_at", is_shown=False),
        version("r"),
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
        by_payment("r"),
        by_payer_name("r"),
    ),
    default_sort="-day",
    sums=("amount",),
    parts=Parts("state", "r.state", tuple(one.value for one in RefundState)),
)
