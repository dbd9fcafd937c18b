"""Asking about payouts, their items and settlements, and what gateways have not paid out."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.domain.settlements import MatchState, PayoutItemKind, PayoutState, SettlementState
from portal.sql import fetch_plain

# What is neither found here nor left out by a person.
LEFT_MATCHES = tuple(
    state for state in MatchState if state not in (MatchState.MATCHED, MatchState.EXCLUDED)
)
_PAYOUT = (
    "SELECT p.id, s.id, s.version, p.gateway_ref, g.code, p.business_on, p.currency, p.gross_minor,"
    " p.fee_minor, p.net_minor, p.state, s.state, s.residual_minor, s.tolerated_minor, s.closed_at,"
    " p.created_at FROM payouts p JOIN settlements s ON s.payout_id = p.id"
    " JOIN gateway_accounts g ON g.id = p.gateway_account_id"
)


class SettlementToWork(NamedTuple):
    """A settlement that is not closed."""

    settlement_id: UUID
    version: int
    net_minor: int


class PayoutMissing(NotFound):
    """There is no such payout here, or it is another organisation's; nothing was changed. Choose
    one from the list of payouts."""


class PayoutRow(NamedTuple):
    """A payout with its settlement.

    Shape: the residual is what the items that were found here leave of the net amount; tolerated is
    what the bank showed beyond it.
    """

    id: UUID
    settlement_id: UUID
    version: int
    gateway_ref: str
    account_code: str
    business_on: date
    currency: str
    gross_minor: int
    fee_minor: int
    net_minor: int
    payout_state: PayoutState
    settlement_state: SettlementState
    residual_minor: int
    tolerated_minor: int
    closed_at: datetime | None
    created_at: datetime


class PayoutPart(NamedTuple):
    """The items of one kind in a payout; those not found here count as left."""

    kind: PayoutItemKind
    items_count: int
    gross_minor: int
    fee_minor: int
    net_minor: int
    left_count: int


class BankLineRow(NamedTuple):
    """A line of the bank that names a payout."""

    id: UUID
    bank_ref: str
    booked_on: date
    currency: str
    amount_minor: int
    match_state: MatchState


class SettlementEventRow(NamedTuple):
    """One thing that happened to a payout's booking."""

    happened_at: datetime
    kind: str
    actor: str


class UnpaidAttempt(NamedTuple):
    """An attempt that succeeded here and that no payout has brought: missing there."""

    attempt_id: UUID
    merchant_ref: str
    business_on: date
    currency: str
    amount_minor: int


def list_settlements_to_work(*, limit: int | None = None) -> list[SettlementToWork]:
    """List settlements that are not closed, by id."""
    rows = fetch_plain(
        "SELECT s.id, s.version, p.net_minor FROM settlements s JOIN payouts p"
        " ON p.id = s.payout_id WHERE s.state IN ('open', 'matching', 'balanced')"
        " ORDER BY s.id LIMIT %s",
        (limit,),
    )
    return [SettlementToWork._make(row) for row in rows]


def get_payout(payout_id: UUID) -> PayoutRow:
    """Return one payout.

    Raises: PayoutMissing.
    """
    rows = fetch_plain(f"{_PAYOUT} WHERE p.id = %s", (payout_id,))
    if not rows:
        raise PayoutMissing
    return _payout(rows[0])


def find_payout_by_reference(gateway_ref: str) -> UUID | None:
    """Return the payout that a gateway calls so; None where there is none, or more than one."""
    rows = fetch_plain("SELECT id FROM payouts WHERE gateway_ref = %s LIMIT 2", (gateway_ref,))
    return rows[0][0] if len(rows) == 1 else None


def list_payouts(*, limit: int) -> list[PayoutRow]:
    """List payouts with their settlements, the latest recorded first."""
    return [_payout(row) for row in fetch_plain(f"{_PAYOUT} ORDER BY p.id DESC LIMIT %s", (limit,))]


def list_payout_parts(payout_id: UUID) -> list[PayoutPart]:
    """Add up the items of a payout by their kind, the largest part first."""
    rows = fetch_plain(
        "SELECT kind, count(*), sum(gross_minor)::bigint, sum(fee_minor)::bigint,"
        " sum(net_minor)::bigint, count(*) FILTER (WHERE match_state = ANY(%s))"
        " FROM payout_items WHERE payout_id = %s GROUP BY kind ORDER BY 2 DESC, 1",
        ([state.value for state in LEFT_MATCHES], payout_id),
    )
    return [PayoutPart(PayoutItemKind(row[0]), *row[1:]) for row in rows]


def list_bank_lines_of_payout(payout: PayoutRow) -> list[BankLineRow]:
    """List the lines of the bank that name a payout, the oldest first."""
    rows = fetch_plain(
        "SELECT id, bank_ref, booked_on, currency, amount_minor, match_state FROM bank_lines"
        " WHERE reference = %s AND currency = %s ORDER BY booked_on, id",
        (payout.gateway_ref, payout.currency),
    )
    lines = [BankLineRow._make(row) for row in rows]
    return [line._replace(match_state=MatchState(line.match_state)) for line in lines]


def list_settlement_history(payout: PayoutRow) -> list[SettlementEventRow]:
    """List what happened to a payout's booking, the newest first."""
    rows = fetch_plain(
        "SELECT happened_at, kind, actor_name FROM events WHERE subject_id = ANY(%s)"
        " ORDER BY happened_at DESC, id DESC",
        ([payout.id, payout.settlement_id],),
    )
    return [SettlementEventRow._make(row) for row in rows]


def list_attempts_not_paid_out(
    *, gateway_account_id: UUID, until: date, limit: int
) -> list[UnpaidAttempt]:
    """List attempts that succeeded by a business date and are in no payout, oldest first.

    Shape: an attempt whose result came after the gateway closed that date follows in a later
    payout, so this tells where to look, not that something is wrong.
    """
    rows = fetch_plain(
        "SELECT a.id, a.merchant_ref, a.business_on, a.currency, a.amount_minor"
        " FROM payment_attempts a WHERE a.gateway_account_id = %s AND a.business_on <= %s"
        " AND a.state IN ('succeeded', 'returned') AND NOT EXISTS (SELECT FROM payout_items i"
        " WHERE i.attempt_id = a.id AND i.kind = 'payment') ORDER BY a.business_on, a.id LIMIT %s",
        (gateway_account_id, until, limit),
    )
    return [UnpaidAttempt._make(row) for row in rows]


def _payout(row: tuple[Any, ...]) -> PayoutRow:
    found = PayoutRow._make(row)
    return found._replace(
        payout_state=PayoutState(found.payout_state),
        settlement_state=SettlementState(found.settlement_state),
    )
