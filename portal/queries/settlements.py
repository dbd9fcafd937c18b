"""Asking about payouts, their items and settlements, and what gateways have not paid out."""

from datetime import date
from typing import NamedTuple
from uuid import UUID

from portal.sql import fetch_plain


class SettlementToWork(NamedTuple):
    """A settlement that is not closed."""

    settlement_id: UUID
    version: int
    net_minor: int


class PayoutRow(NamedTuple):
    """A payout with its settlement, as a list shows it."""

    payout_id: UUID
    settlement_id: UUID
    gateway_ref: str
    account_code: str
    business_on: date
    currency: str
    gross_minor: int
    fee_minor: int
    net_minor: int
    payout_state: str
    settlement_state: str
    residual_minor: int


class PayoutItemRow(NamedTuple):
    """One part of a payout and how it is matched."""

    position: int
    kind: str
    gateway_ref: str | None
    merchant_ref: str | None
    gross_minor: int
    fee_minor: int
    net_minor: int
    attempt_id: UUID | None
    match_state: str
    discrepancy: str | None


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


def list_payouts(*, limit: int, before: UUID | None = None) -> list[PayoutRow]:
    """List payouts with their settlements, the latest recorded first, those behind `before`."""
    rows = fetch_plain(
        "SELECT p.id, s.id, p.gateway_ref, g.code, p.business_on, p.currency, p.gross_minor,"
        " p.fee_minor, p.net_minor, p.state, s.state, s.residual_minor FROM payouts p"
        " JOIN settlements s ON s.payout_id = p.id"
        " JOIN gateway_accounts g ON g.id = p.gateway_account_id"
        " WHERE %(before)s::uuid IS NULL OR p.id < %(before)s"
        " ORDER BY p.id DESC LIMIT %(limit)s",
        {"before": before, "limit": limit},
    )
    return [PayoutRow._make(row) for row in rows]


def list_payout_items(
    *, payout_id: UUID, limit: int, after: int = 0, only_trouble: bool = False
) -> list[PayoutItemRow]:
    """List the items of a payout in the gateway's order, those behind the position `after`."""
    rows = fetch_plain(
        "SELECT position, kind, gateway_ref, merchant_ref, gross_minor, fee_minor, net_minor,"
        " attempt_id, match_state, discrepancy FROM payout_items"
        " WHERE payout_id = %(payout)s AND position > %(after)s"
        " AND (NOT %(trouble)s OR match_state NOT IN ('matched', 'excluded'))"
        " ORDER BY position LIMIT %(limit)s",
        {"payout": payout_id, "after": after, "trouble": only_trouble, "limit": limit},
    )
    return [PayoutItemRow._make(row) for row in rows]


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
