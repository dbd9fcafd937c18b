"""The list of payment attempts: the table of the retry monitor."""

from portal.domain.payments import AttemptState
from portal.domain.users import Permission
from portal.queries.payments import MOVED_SQL
from portal.queries.tables._about import (
    OF_PAYMENT_COLUMNS,
    amount,
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
from portal.queries.tables.payments import SENTENCES_SQL, say_code

PARKED_SQL = (
    "a.id IN (SELECT m.aggregate_id FROM messages m"
    " WHERE m.organisation_id = a.organisation_id AND m.state = 'parked')"
)

ATTEMPT_TABLE = Table(
    noun="attempt",
    words="Attempts",
    permission=Permission.VIEW_PAYMENTS,
    source="payment_attempts",
    alias="a",
    joins=(
        f"{of_payment_joins('a')}"
        f" LEFT JOIN {SENTENCES_SQL} ON reasons.code = a.reason_code"
        f" LEFT JOIN LATERAL ({MOVED_SQL}) v ON a.number = y.attempts_count"
    ),
    columns=(
        own_id("attempt", "a"),
        first_day("day", "Day", "a.business_on", noun="attempt"),
        *OF_PAYMENT_COLUMNS,
        Column("try", "Try", Kind.COUNT, "a.number", noun="payment"),
        Column("state", "State", Kind.STATE, "a.state", states=AttemptState),
        Column(
            "reason",
            "Reason",
            Kind.TEXT,
            "COALESCE(reasons.sentence, a.reason, a.reason_code)",
        ),
        # What is planned follows from the last attempt, and stands there alone.
        Column(
            "next",
            "Next try",
            Kind.DAY,
            "CASE WHEN a.number = y.attempts_count THEN y.next_attempt_on END",
            note="moved",
        ),
        Column("moved", "Moved by", Kind.TEXT, "v.moved_by", is_shown=False),
        amount("a"),
        currency("a"),
        Column("reason_code", "Reason code", Kind.TEXT, "a.reason_code", is_shown=False),
        Column("gateway_ref", "Gateway reference", Kind.TEXT, "a.gateway_ref", is_shown=False),
        Column("decided", "Decided", Kind.INSTANT, "a.decided_at", is_shown=False),
        version("a"),
    ),
    filters=(
        Choice(
            "state",
            "State",
            tuple(Option(one.value, one.label, (one.value,)) for one in AttemptState),
            is_facet=True,
        ),
        Text("reason", "Reason", "the code of the reason", "a.reason_code", say=say_code),
        Range("day", "Day", Kind.DAY, "a.business_on"),
        Range("amount", "Amount", Kind.MONEY, "a.amount_minor"),
        Text("currency", "Currency", "three letters", "a.currency"),
        Choice("message", "Message", (Option("parked", "Parked", sql=PARKED_SQL),)),
        Range("try", "Try", Kind.COUNT, "a.number"),
        by_payment("a"),
    ),
    default_sort="-day",
    sums=("amount",),
    parts=Parts("state", "a.state", tuple(one.value for one in AttemptState)),
)
