"""The lists of messages: those to the gateways, and those that came from them."""

from portal.domain.messages import InboxState, MessageKind, MessageState
from portal.domain.states import State
from portal.domain.users import Permission
from portal.queries.tables._shape import (
    Choice,
    Column,
    Key,
    Kind,
    Option,
    Reference,
    Table,
    Text,
    options_of,
)

ERROR_CHARACTERS_MAX = 90

# The kinds as gateways name them, in words.
ARRIVED_KINDS = (
    Option("charge.succeeded", "Payment succeeded"),
    Option("charge.declined", "Payment declined"),
    Option("charge.returned", "Payment returned"),
    Option("refund.succeeded", "Refund succeeded"),
    Option("refund.failed", "Refund failed"),
    Option("dispute.opened", "Dispute opened"),
    Option("dispute.won", "Dispute won"),
    Option("dispute.lost", "Dispute lost"),
    Option("payout.paid", "Payout paid"),
)

_ACCOUNT_SQL = (
    "(SELECT g.code FROM gateway_accounts g"
    " WHERE (g.organisation_id, g.id) = (m.organisation_id, m.gateway_account_id))"
)
_PAYER_JOINS = (
    " LEFT JOIN payments y ON (y.organisation_id, y.id) = (a.organisation_id, a.payment_id)"
    " LEFT JOIN payers p ON (p.organisation_id, p.id) = (y.organisation_id, y.payer_id)"
)
_ACCOUNT_JOIN = (
    "JOIN gateway_accounts g ON (g.organisation_id, g.id) ="
    " (m.organisation_id, m.gateway_account_id)"
)
_ABOUT_COLUMNS = (
    Column("attempt_id", "Attempt id", Kind.ID, "a.id", noun="attempt", is_shown=False),
    Column("payment_id", "Payment id", Kind.ID, "y.id", noun="payment", is_shown=False),
)
_ERROR_COLUMN = Column(
    "error", "Last error", Kind.TEXT, f"left(m.last_error, {ERROR_CHARACTERS_MAX})"
)


def _in_words(column: str, options: tuple[tuple[str, str], ...]) -> str:
    """Write an expression that says a stored value in words."""
    cases = " ".join(f"WHEN '{value}' THEN '{words}'" for value, words in options)
    return f"CASE {column} {cases} ELSE {column} END"


def _ages(column: str) -> tuple[Option, ...]:
    return tuple(
        Option(value, words, sql=f"{column} < now() - interval '1 {value}'")
        for value, words in (
            ("hour", "Over an hour"),
            ("day", "Over a day"),
            ("week", "Over a week"),
        )
    )


def _kinds(kinds: type[State]) -> tuple[tuple[str, str], ...]:
    return tuple((kind.value, kind.label) for kind in kinds)


MESSAGE_TABLE = Table(
    noun="message",
    words="Messages",
    permission=Permission.VIEW_MESSAGES,
    source="messages",
    alias="m",
    joins=(
        f"{_ACCOUNT_JOIN} LEFT JOIN payment_attempts a"
        f" ON (a.organisation_id, a.id) = (m.organisation_id, m.aggregate_id){_PAYER_JOINS}"
    ),
    columns=(
        Column("id", "Id", Kind.ID, "m.id", noun="message", is_shown=False),
        # Ids are made when messages are written, and their index needs no other beside it.
        Column(
            "created",
            "Written",
            Kind.INSTANT,
            "m.created_at",
            keys=(Key("m.id", "uuid"),),
            noun="message",
            is_descending_first=True,
        ),
        Column("kind", "Message", Kind.TEXT, _in_words("m.kind", _kinds(MessageKind))),
        *_ABOUT_COLUMNS,
        Column(
            "about",
            "About",
            Kind.TEXT,
            "COALESCE(p.name, m.payload->>'business_on')",
            noun="payment",
        ),
        Column("attempt", "Attempt", Kind.COUNT, "a.number", noun="attempt"),
        Column("state", "State", Kind.STATE, "m.state", states=MessageState),
        Column(
            "tries",
            "Tries",
            Kind.COUNT,
            "m.tries",
            keys=(Key("m.tries", "bigint"),),
            is_descending_first=True,
        ),
        Column("next", "Next try", Kind.INSTANT, "CASE WHEN m.state = 'ready' THEN m.next_at END"),
        _ERROR_COLUMN,
        Column("account", "Account", Kind.TEXT, "g.code"),
    ),
    filters=(
        Choice("state", "State", options_of(MessageState), sql="m.state", is_facet=True),
        Choice("kind", "Message", options_of(MessageKind), sql="m.kind", is_facet=True),
        Choice("age", "Age", _ages("m.created_at")),
        Text("account", "Account", "the code of a gateway account", _ACCOUNT_SQL),
        Reference(
            "attempt",
            "Attempt",
            "attempt",
            "m.aggregate_id = %(value)s",
            "SELECT number::text FROM payment_attempts WHERE id = %(value)s",
        ),
    ),
    default_sort="-created",
)

# Machines read the kind as it is stored.
MACHINE_MESSAGE_TABLE = MESSAGE_TABLE._replace(
    columns=tuple(
        Column("kind", "Message", Kind.STATE, "m.kind", states=MessageKind)
        if one.name == "kind"
        else one
        for one in MESSAGE_TABLE.columns
    )
)

INBOX_TABLE = Table(
    noun="inbox_message",
    words="Arrived messages",
    permission=Permission.VIEW_MESSAGES,
    source="inbox_messages",
    alias="m",
    joins=(
        f"{_ACCOUNT_JOIN} LEFT JOIN payment_attempts a ON a.organisation_id = m.organisation_id"
        " AND a.gateway_account_id = m.gateway_account_id"
        f" AND a.merchant_ref = m.content->>'merchant_ref'{_PAYER_JOINS}"
    ),
    columns=(
        Column("id", "Id", Kind.ID, "m.id", noun="inbox_message", is_shown=False),
        Column(
            "received",
            "Arrived",
            Kind.INSTANT,
            "m.received_at",
            keys=(Key("m.received_at", "timestamptz"),),
            noun="inbox_message",
            is_descending_first=True,
        ),
        Column(
            "kind",
            "Message",
            Kind.TEXT,
            _in_words("m.kind", tuple((one.value, one.words) for one in ARRIVED_KINDS)),
        ),
        *_ABOUT_COLUMNS,
        Column("about", "About", Kind.TEXT, "p.name", noun="payment"),
        Column("state", "State", Kind.STATE, "m.state", states=InboxState),
        Column("tries", "Tries", Kind.COUNT, "m.tries"),
        _ERROR_COLUMN,
        Column("bytes", "Bytes", Kind.COUNT, "octet_length(m.raw)"),
        Column("account", "Account", Kind.TEXT, "g.code"),
        Column("event_ref", "Event", Kind.TEXT, "m.event_ref", is_shown=False),
    ),
    filters=(
        Choice("state", "State", options_of(InboxState), sql="m.state",
               is_facet=True),
        Choice("kind", "Message", ARRIVED_KINDS, sql="m.kind", is_facet=True),
        Choice("age", "Age", _ages("m.received_at")),
        Text("account", "Account", "the code of a gateway account", _ACCOUNT_SQL),
        Text("event", "Event", "the gateway's reference of the event", "m.event_ref"),
    ),
    default_sort="-received",
)  # fmt: skip
