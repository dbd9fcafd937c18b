"""Matching the items of payouts to attempts, refunds and disputes, and counting what came of it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from portal.domain.payments import AttemptState
from portal.domain.settlements import MatchState
from portal.sql import execute, fetch_plain

COLLECTED = (AttemptState.SUCCEEDED.value, AttemptState.RETURNED.value)
UNDECIDED = (
    AttemptState.CREATED.value,
    AttemptState.SENDING.value,
    AttemptState.PENDING.value,
    AttemptState.UNKNOWN.value,
)
# What a person has excluded or what is matched is not looked at again.
UNSETTLED = (
    MatchState.UNMATCHED.value,
    MatchState.SUGGESTED.value,
    MatchState.CONFLICTING.value,
)

ITEMS_HASHED_MIN = 1_000

# Found: the attempt of an item, by our reference, else by the gateway's. An attempt has one item
# of a kind in all payouts: whoever holds it keeps it, and any other is a duplicate.
# Verdict: `awaited` when the gateway knows more than has reached us, which its events will tell.
# The ledger has a return's fee from the return itself, so the two must agree.
# Each step is materialised, so that a verdict is found once and not per column.
_MATCH = """
WITH wanted AS MATERIALIZED (
  SELECT i.payout_id, i.position, i.kind, i.gross_minor, i.fee_minor, p.account_id,
    i.attempt_id IS NULL AS is_new, i.kind IN ('payment', 'return') AS has_attempt,
    i.merchant_ref, i.gateway_ref
  FROM unnest(%(payouts)s::uuid[], %(accounts)s::uuid[]) AS p (payout_id, account_id)
  JOIN payout_items i ON i.payout_id = p.payout_id AND i.match_state = ANY(%(unsettled)s)
    AND i.kind NOT IN ('refund', 'chargeback', 'chargeback_reversed')
), found AS MATERIALIZED (
  SELECT w.payout_id, w.position, w.kind, w.gross_minor, w.fee_minor,
    COALESCE(m.id, g.id) AS attempt_id, COALESCE(m.state, g.state) AS state,
    COALESCE(m.amount_minor, g.amount_minor) AS amount_minor,
    COALESCE(m.return_fee_minor, g.return_fee_minor) AS return_fee_minor,
    row_number() OVER (PARTITION BY COALESCE(m.id, g.id), w.kind
      ORDER BY w.is_new, w.payout_id, w.position) AS place
  FROM wanted w
  LEFT JOIN payment_attempts m ON w.has_attempt
    AND m.gateway_account_id = w.account_id AND m.merchant_ref = w.merchant_ref
  LEFT JOIN payment_attempts g ON w.has_attempt AND m.id IS NULL
    AND g.gateway_account_id = w.account_id AND g.gateway_ref = w.gateway_ref
), judged AS MATERIALIZED (
  SELECT f.payout_id, f.position, f.attempt_id, CASE
    WHEN f.kind = 'fee' THEN 'matched'
    WHEN f.attempt_id IS NULL THEN 'missing_here'
    WHEN f.place > 1 OR EXISTS (SELECT FROM payout_items o WHERE o.attempt_id = f.attempt_id
      AND o.kind = f.kind AND (o.payout_id, o.position) <> (f.payout_id, f.position))
      THEN 'duplicate'
    WHEN f.amount_minor <> CASE f.kind WHEN 'return' THEN -f.gross_minor ELSE f.gross_minor END
      THEN 'amount_differs'
    WHEN f.state = ANY(%(undecided)s) THEN 'awaited'
    WHEN f.kind = 'payment' AND f.state = ANY(%(collected)s) THEN 'matched'
    WHEN f.kind = 'return' AND f.state = %(succeeded)s THEN 'awaited'
    WHEN f.kind = 'return' AND f.state = %(returned)s THEN
      CASE WHEN f.return_fee_minor = f.fee_minor THEN 'matched' ELSE 'amount_differs' END
    ELSE 'status_differs' END AS verdict
  FROM found f
), news AS (
  SELECT payout_id, position,
    CASE WHEN verdict <> 'duplicate' THEN attempt_id END AS attempt_id,
    CASE verdict WHEN 'matched' THEN 'matched' WHEN 'awaited' THEN 'suggested'
      WHEN 'missing_here' THEN 'unmatched' ELSE 'conflicting' END AS match_state,
    CASE WHEN verdict NOT IN ('matched', 'awaited') THEN verdict END AS discrepancy
  FROM judged
)
UPDATE payout_items t SET attempt_id = n.attempt_id, match_state = n.match_state,
  discrepancy = n.discrepancy
FROM news n
WHERE (t.payout_id, t.position) = (n.payout_id, n.position)
  AND (t.attempt_id, t.match_state, t.discrepancy)
    IS DISTINCT FROM (n.attempt_id, n.match_state, n.discrepancy)
"""

# A refund has one item in all payouts; a dispute one when its money is taken, and one when that
# comes back. Nobody of us orders a dispute, so one that is not known may still be reported.
_MATCH_ONE_EACH = """
WITH judged AS (
  SELECT i.payout_id, i.position, x.id AS found_id, CASE
    WHEN x.id IS NULL THEN {unknown}
    WHEN row_number() OVER (PARTITION BY x.id, i.kind ORDER BY i.{column} IS NULL, i.payout_id,
      i.position) > 1 OR EXISTS (SELECT FROM payout_items o WHERE o.{column} = x.id
      AND o.kind = i.kind AND (o.payout_id, o.position) <> (i.payout_id, i.position))
      THEN 'duplicate'
    {verdicts}
    ELSE 'status_differs' END AS verdict
  FROM unnest(%(payouts)s::uuid[], %(accounts)s::uuid[]) AS p (payout_id, account_id)
  JOIN payout_items i ON i.payout_id = p.payout_id AND i.match_state = ANY(%(unsettled)s)
    AND i.kind IN ({kinds})
  LEFT JOIN {table} x ON x.gateway_account_id = p.account_id AND x.{reference} = i.{reference}
)
UPDATE payout_items t SET
  {column} = CASE WHEN verdict <> 'duplicate' THEN n.found_id END,
  match_state = CASE verdict WHEN 'matched' THEN 'matched' WHEN 'awaited' THEN 'suggested'
    WHEN 'missing_here' THEN 'unmatched' ELSE 'conflicting' END,
  discrepancy = CASE WHEN verdict NOT IN ('matched', 'awaited') THEN verdict END
FROM judged n WHERE (t.payout_id, t.position) = (n.payout_id, n.position)
"""
_MATCH_REFUNDS = _MATCH_ONE_EACH.format(
    table="refunds",
    column="refund_id",
    reference="merchant_ref",
    kinds="'refund'",
    unknown="'missing_here'",
    verdicts="WHEN x.amount_minor <> -i.gross_minor THEN 'amount_differs'"
    " WHEN x.state = 'submitted' THEN 'awaited' WHEN x.state = 'succeeded' THEN 'matched'",
)
_MATCH_DISPUTES = _MATCH_ONE_EACH.format(
    table="disputes",
    column="dispute_id",
    reference="gateway_ref",
    kinds="'chargeback', 'chargeback_reversed'",
    unknown="CASE WHEN EXISTS (SELECT FROM payment_attempts a WHERE a.merchant_ref = i.merchant_ref"
    " AND a.gateway_account_id = p.account_id) THEN 'awaited' ELSE 'missing_here' END",
    # The ledger has the fee from the opening itself, so the two must agree.
    verdicts="WHEN x.amount_minor <> abs(i.gross_minor) OR i.fee_minor <> CASE i.kind"
    " WHEN 'chargeback' THEN x.fee_minor ELSE 0 END"
    " OR (i.gross_minor > 0) <> (i.kind = 'chargeback_reversed') THEN 'amount_differs'"
    " WHEN i.kind = 'chargeback' OR x.state = 'won' THEN 'matched'"
    " WHEN x.state <> 'lost' THEN 'awaited'",
)


class Tally(NamedTuple):
    """What is known of a payout's items.

    Shape: `open` counts items that are neither matched nor excluded, `awaited` those of them whose
    result has not reached us; the residual is what matched items leave of the payout's net amount.
    Units: fee_minor, the fees of all items but returns and chargebacks.
    """

    residual_minor: int
    fee_minor: int
    open: int
    awaited: int
    discrepancies: tuple[tuple[str, int], ...]

    @property
    def is_explained(self) -> bool:
        """Say whether every item is matched and nothing is left over."""
        return self.residual_minor == 0 and self.open == 0


def match_items(accounts: Mapping[UUID, UUID]) -> None:
    """Match what is not matched yet to what the payouts' gateway accounts have moved.

    Shape: gateway account per payout; the settlements are locked by the caller.
    """
    (count,) = fetch_plain(
        "SELECT count(*) FROM payout_items WHERE payout_id = ANY(%s)", (list(accounts.keys()),)
    )[0]
    # Of a payout just written the planner knows no figures yet, expects a single item, and would
    # compare every item with every attempt; of many items it is told to hash both sides.
    _set_joins("off" if count >= ITEMS_HASHED_MIN else "on")
    execute(
        _MATCH,
        {
            "payouts": list(accounts.keys()),
            "accounts": list(accounts.values()),
            "unsettled": list(UNSETTLED),
            "undecided": list(UNDECIDED),
            "collected": list(COLLECTED),
            "succeeded": AttemptState.SUCCEEDED.value,
            "returned": AttemptState.RETURNED.value,
        },
    )
    _set_joins("on")
    scope = {
        "payouts": list(accounts.keys()),
        "accounts": list(accounts.values()),
        "unsettled": list(UNSETTLED),
    }
    execute(_MATCH_REFUNDS, scope)
    execute(_MATCH_DISPUTES, scope)


def _set_joins(setting: str) -> None:
    execute(
        "SELECT set_config('enable_nestloop', %(setting)s, true),"
        " set_config('enable_mergejoin', %(setting)s, true)",
        {"setting": setting},
    )


def tally_items(payout_ids: Sequence[UUID]) -> dict[UUID, Tally]:
    """Count the items of payouts by how they are matched."""
    discrepancies: dict[UUID, list[tuple[str, int]]] = {}
    for payout_id, name, count in fetch_plain(
        "SELECT payout_id, discrepancy, count(*) FROM payout_items WHERE payout_id = ANY(%s)"
        " AND match_state = ANY(%s) AND discrepancy IS NOT NULL"
        " GROUP BY payout_id, discrepancy ORDER BY discrepancy",
        (list(payout_ids), list(UNSETTLED)),
    ):
        discrepancies.setdefault(payout_id, []).append((name, count))
    rows = fetch_plain(
        "SELECT p.id,"
        " (p.net_minor - COALESCE(sum(i.net_minor) FILTER (WHERE i.match_state = 'matched'), 0))"
        "::bigint, COALESCE(sum(i.fee_minor)"
        " FILTER (WHERE i.kind NOT IN ('return', 'chargeback')), 0)::bigint,"
        " count(*) FILTER (WHERE i.match_state = ANY(%(unsettled)s)),"
        " count(*) FILTER (WHERE i.match_state = 'suggested')"
        " FROM payouts p LEFT JOIN payout_items i ON i.payout_id = p.id"
        " WHERE p.id = ANY(%(payouts)s) GROUP BY p.organisation_id, p.id",
        {"payouts": list(payout_ids), "unsettled": list(UNSETTLED)},
    )
    return {
        payout_id: Tally(residual, fee, left, awaited, tuple(discrepancies.get(payout_id, ())))
        for payout_id, residual, fee, left, awaited in rows
    }
