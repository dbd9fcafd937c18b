"""The list of payouts with how far their booking is, and of the items of one."""

from uuid import UUID

from portal.domain.settlements import (
    Discrepancy,
    MatchState,
    PayoutItemKind,
    PayoutState,
    SettlementState,
)
from portal.domain.users import Permission
from portal.queries.invoices import document_number
from portal.queries.tables._about import currency, own_id, version
from portal.queries.tables._shape import (
    Choice,
    Column,
    Key,
    Kind,
    Option,
    Range,
    Table,
    Text,
    options_of,
)

_PAYOUTS = (
    "SELECT p.*, s.state AS booking, s.residual_minor, s.tolerated_minor, s.closed_at, s.version,"
    " g.code AS account FROM payouts p"
    " JOIN settlements s ON (s.organisation_id, s.payout_id) = (p.organisation_id, p.id)"
    " JOIN gateway_accounts g ON (g.organisation_id, g.id)"
    " = (p.organisation_id, p.gateway_account_id)"
)
# A part of a payout has no id of its own: the payout and its place there name it.
_ITEMS = "SELECT *, md5(payout_id || '/' || position)::uuid AS id FROM payout_items"
_UNFINISHED = "p.booking IN ('open', 'matching', 'balanced')"
_KINDS = " ".join(f"WHEN '{one}' THEN '{one.label}'" for one in PayoutItemKind)
_WHY = " ".join(f"WHEN '{one}' THEN '{one.label}'" for one in Discrepancy)


def _money(name: str, words: str, sql: str) -> Column:
    keys = (Key(sql, "bigint"),)
    return Column(name, words, Kind.MONEY, sql, keys=keys, is_descending_first=True)


PAYOUT_TABLE = Table(
    noun="payout",
    words="Payouts",
    permission=Permission.VIEW_SETTLEMENTS,
    source=f"({_PAYOUTS})",
    alias="p",
    joins="",
    columns=(
        own_id("payout", "p"),
        Column(
            "reference",
            "Payout",
            Kind.TEXT,
            "p.gateway_ref",
            keys=(Key("p.gateway_ref", "text"),),
            noun="payout",
        ),
        Column(
            "day",
            "Day",
            Kind.DAY,
            "p.business_on",
            keys=(Key("p.business_on", "date"),),
            is_descending_first=True,
        ),
        Column("account", "Account", Kind.TEXT, "p.account"),
        Column("state", "Booking", Kind.STATE, "p.booking", states=SettlementState),
        _money("gross", "Gross", "p.gross_minor"),
        _money("fee", "Fees", "p.fee_minor"),
        _money("net", "Paid out", "p.net_minor"),
        _money("residual", "Not explained", "p.residual_minor"),
        Column(
            "tolerated", "Tolerated difference", Kind.MONEY, "p.tolerated_minor", is_shown=False
        ),
        currency("p"),
        Column(
            "gateway_state",
            "At the gateway",
            Kind.STATE,
            "p.state",
            states=PayoutState,
            is_shown=False,
        ),
        Column("closed", "Closed", Kind.INSTANT, "p.closed_at", is_shown=False),
        version("p"),
    ),
    filters=(
        Choice(
            "state",
            "Booking",
            (
                Option("unfinished", "Not closed", sql=_UNFINISHED),
                *(
                    Option(one.value, one.label, sql=f"p.booking = '{one}'")
                    for one in SettlementState
                ),
            ),
            is_facet=True,
        ),
        Range("day", "Day", Kind.DAY, "p.business_on"),
        Range("net", "Paid out", Kind.MONEY, "p.net_minor"),
        Text("account", "Account", "the code of a gateway account", "p.account"),
        Text("reference", "Reference", "the gateway's reference", "p.gateway_ref"),
        Text("currency", "Currency", "three letters", "p.currency"),
    ),
    default_sort="-day",
    sums=("gross", "fee", "net"),
)

PAYOUT_ITEM_TABLE = Table(
    noun="payout_item",
    words="Items",
    permission=Permission.VIEW_SETTLEMENTS,
    source=f"({_ITEMS})",
    alias="t",
    joins=(
        "LEFT JOIN payment_attempts a ON (a.organisation_id, a.id) = (t.organisation_id,"
        " t.attempt_id)"
        " LEFT JOIN refunds r ON (r.organisation_id, r.id) = (t.organisation_id, t.refund_id)"
        " LEFT JOIN disputes d ON (d.organisation_id, d.id) = (t.organisation_id, t.dispute_id)"
        " LEFT JOIN payments y ON (y.organisation_id, y.id) = (t.organisation_id,"
        " COALESCE(a.payment_id, r.payment_id, d.payment_id))"
        " LEFT JOIN payers p ON (p.organisation_id, p.id) = (y.organisation_id, y.payer_id)"
        " LEFT JOIN invoices i ON (i.organisation_id, i.id) = (y.organisation_id, y.invoice_id)"
    ),
    columns=(
        own_id("payout_item", "t"),
        Column("position", "No.", Kind.COUNT, "t.position", keys=(Key("t.position", "bigint"),)),
        Column("part", "Kind", Kind.TEXT, f"CASE t.kind {_KINDS} END"),
        Column("kind", "Kind", Kind.STATE, "t.kind", states=PayoutItemKind, is_shown=False),
        Column("payer_id", "Payer id", Kind.ID, "y.payer_id", noun="payer", is_shown=False),
        Column("payer", "Payer", Kind.TEXT, "p.name", noun="payer"),
        Column("payment_id", "Payment id", Kind.ID, "y.id", noun="payment", is_shown=False),
        Column(
            "payment",
            "Payment",
            Kind.TEXT,
            f"CASE WHEN y.id IS NOT NULL THEN COALESCE({document_number('i')}, 'of '"
            " || y.started_on) END",
            noun="payment",
        ),
        Column("attempt_id", "Attempt id", Kind.ID, "t.attempt_id", noun="attempt", is_shown=False),
        Column("refund_id", "Refund id", Kind.ID, "t.refund_id", noun="refund", is_shown=False),
        Column("dispute_id", "Dispute id", Kind.ID, "t.dispute_id", noun="dispute", is_shown=False),
        Column("match", "Found here", Kind.STATE, "t.match_state", states=MatchState),
        Column("why", "Why not", Kind.TEXT, f"CASE t.discrepancy {_WHY} END"),
        Column("discrepancy", "Discrepancy", Kind.TEXT, "t.discrepancy", is_shown=False),
        Column("merchant_ref", "Our reference", Kind.TEXT, "t.merchant_ref", is_shown=False),
        Column("gateway_ref", "Gateway reference", Kind.TEXT, "t.gateway_ref", is_shown=False),
        _money("gross", "Gross", "t.gross_minor"),
        _money("fee", "Fee", "t.fee_minor"),
        _money("net", "Net", "t.net_minor"),
        currency("t"),
    ),
    filters=(
        Choice("kind", "Kind", options_of(PayoutItemKind), sql="t.kind", is_facet=True),
        Choice("match", "Found here", options_of(MatchState), sql="t.match_state", is_facet=True),
        Choice("why", "Why not", options_of(Discrepancy), sql="t.discrepancy"),
        Range("net", "Net", Kind.MONEY, "t.net_minor"),
        Text("merchant_ref", "Our reference", "our reference", "t.merchant_ref"),
        Text("gateway_ref", "Gateway reference", "the gateway's reference", "t.gateway_ref"),
    ),
    default_sort="position",
    sums=("gross", "fee", "net"),
    hint="The parts of a payout in the gateway's order.",
)


def items_of_payout(payout_id: UUID) -> Table:
    """Return the list of the items of one payout."""
    return PAYOUT_ITEM_TABLE._replace(source=f"({_ITEMS} WHERE payout_id = '{payout_id}')")
