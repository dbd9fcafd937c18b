"""Messages on their way: leased in turn, delivered, finished; one lease at a time, none lost."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, sweeping
from portal.domain.messages import ASKING_KINDS, PAYLOAD_VERSION, MessageKind
from portal.queries.brakes import HOLDS
from portal.queries.gateway_accounts import TOKENS_LEFT
from portal.sql import execute, fetch, fetch_one, stage_rows

DELIVERY_BELL = "jobs.message_delivery.drain_messages"
BREAKER_TROUBLES = 5  # Troubles in a row that open the breaker of an account.
BREAKER_SECONDS = 5.0  # A probe is let through this often while it is open.


class Claimed(NamedTuple):
    """A message leased to this worker; the token proves it when the answer is written."""

    id: UUID
    aggregate_id: UUID
    sequence: int
    kind: str
    payload: Mapping[str, Any]
    tries: int
    token: int
    tries_before: int = 0

    @property
    def tries_counted(self) -> int:
        """The tries since it was written, or since a person sent it again."""
        return self.tries - self.tries_before


class DeliveryOutcome(NamedTuple):
    """What became of one try: finished, to be tried again after a while, or parked."""

    message: Claimed
    outcome: str
    retry_seconds: float | None = None
    is_parked: bool = False
    http_status: int | None = None
    error: str | None = None


def list_due_accounts() -> list[tuple[UUID, UUID, str, str]]:
    """Name the gateway accounts with a message to deliver whose breaker lets it through.

    Shape: (organisation, account, code, kind).
    """
    with sweeping():
        rows = fetch(
            "SELECT g.organisation_id, g.id, g.code, g.kind FROM gateway_accounts g"
            " WHERE g.is_active"
            " AND (g.open_until IS NULL OR g.open_until <= clock_timestamp())"
            " AND EXISTS (SELECT FROM messages m WHERE m.organisation_id = g.organisation_id"
            " AND m.gateway_account_id = g.id AND m.state = 'ready'"
            " AND m.next_at <= clock_timestamp())"
        )
    return [(row.organisation_id, row.id, row.code, row.kind) for row in rows]


def claim_messages(*, gateway_account_id: UUID, limit: int, lease_seconds: float) -> list[Claimed]:
    """Lease due messages of an account; the lease is `next_at`, the tries count before the work.

    Shape: of one aggregate only the first waiting message, and none that newer code wrote in a form
    of its own; no more than the rate of the account allows; an open breaker lets one through each
    time its while is over, to whichever worker comes first. While a brake holds, only what asks is
    leased, and charges that a dead worker was sending, which are not sent but become unknown.
    """
    probes = execute(
        "UPDATE gateway_accounts SET open_until = clock_timestamp() + make_interval(secs => %s)"
        " WHERE id = %s AND troubles_in_a_row >= %s"
        " AND (open_until IS NULL OR open_until <= clock_timestamp())",
        (BREAKER_SECONDS, gateway_account_id, BREAKER_TROUBLES),
    )
    state = _lock_account(gateway_account_id)
    if state is None:
        return []
    if state.troubles_in_a_row >= BREAKER_TROUBLES:
        limit = probes
    limit = min(limit, int(state.tokens_left))
    if limit <= 0:
        return []
    rows = fetch(
        f"WITH due AS (SELECT m.id FROM messages m WHERE {_BRAKED if state.is_braked else _DUE}"
        " ORDER BY m.next_at, m.id LIMIT %(limit)s FOR UPDATE OF m SKIP LOCKED)"
        " UPDATE messages m SET tries = m.tries + 1, lease_token = m.lease_token + 1,"
        " next_at = clock_timestamp() + make_interval(secs => %(lease)s)"
        " FROM due WHERE m.id = due.id AND m.organisation_id = %(o)s"
        " RETURNING m.id, m.aggregate_id, m.sequence, m.kind, m.payload, m.tries, m.lease_token,"
        " m.tries_before",
        {
            "account": gateway_account_id,
            "limit": limit,
            "lease": lease_seconds,
            "o": current_organisation_id(),
            "version": PAYLOAD_VERSION,
            "asking": [kind.value for kind in ASKING_KINDS],
            "charge": MessageKind.CHARGE.value,
        },
    )
    _take_tokens(gateway_account_id, len(rows))
    return [Claimed._make(row) for row in rows]


_READY = (
    "m.gateway_account_id = %(account)s AND m.state = 'ready' AND m.next_at <= clock_timestamp()"
    " AND m.payload_version <= %(version)s"
)
# Most messages are the first of their attempt; of the others the order asked for here leads the
# planner to the index of attempts. Left alone, it joins all that wait with all that wait, as long
# as the account is newer than the statistics.
_FIRST = (
    "(m.sequence = 1 OR (SELECT p.sequence FROM messages p"
    " WHERE p.organisation_id = m.organisation_id AND p.aggregate_id = m.aggregate_id"
    " AND p.sequence < m.sequence AND p.state = 'ready'{further}"
    " ORDER BY p.sequence LIMIT 1) IS NULL)"
)
_DUE = f"{_READY} AND {_FIRST.format(further='')}"
# A question overtakes the order that a brake holds back: knowing goes on.
_BRAKED = (
    f"{_READY} AND (m.kind = ANY(%(asking)s) OR (m.kind = %(charge)s AND m.tries > 0"
    " AND EXISTS (SELECT FROM payment_attempts a WHERE a.organisation_id = m.organisation_id"
    " AND a.id = m.aggregate_id AND a.state = 'sending')))"
    f" AND {_FIRST.format(further=' AND p.kind = ANY(%(asking)s)')}"
)


def _lock_account(gateway_account_id: UUID) -> Any | None:
    """Lock an account until the commit, so that workers take from one bucket in turn."""
    return fetch_one(
        f"SELECT g.troubles_in_a_row, floor({TOKENS_LEFT}) AS tokens_left, EXISTS (SELECT"
        f" FROM brakes b WHERE b.organisation_id = g.organisation_id AND {HOLDS}"
        " AND b.job IS NULL AND COALESCE(b.gateway_account_id, g.id) = g.id) AS is_braked"
        " FROM gateway_accounts g WHERE g.id = %s FOR NO KEY UPDATE OF g",
        (gateway_account_id,),
    )


def _take_tokens(gateway_account_id: UUID, count: int) -> None:
    if count:
        execute(
            f"UPDATE gateway_accounts g SET tokens = GREATEST(0, {TOKENS_LEFT} - %s),"
            " refilled_at = GREATEST(g.refilled_at, clock_timestamp()) WHERE g.id = %s",
            (count, gateway_account_id),
        )


def pause_account(*, gateway_account_id: UUID, seconds: float) -> None:
    """Call a gateway no more for a while, because it asked for that.

    Shape: the bucket is empty, and is filled again only from then on.
    """
    execute(
        "UPDATE gateway_accounts SET tokens = 0, refilled_at = GREATEST(refilled_at,"
        " clock_timestamp() + make_interval(secs => %s)) WHERE id = %s",
        (seconds, gateway_account_id),
    )


def finish_deliveries(outcomes: Sequence[DeliveryOutcome], *, now: datetime) -> set[UUID]:
    """Write what became of leased messages and return those that were still ours.

    Shape: a message leased by another worker meanwhile is left alone and not returned; its answer
    must then be dropped by the caller.
    """
    stage_rows(
        "staged_deliveries",
        {
            "id": "uuid",
            "token": "bigint",
            "try_number": "int",
            "outcome": "text",
            "retry_seconds": "float8",
            "is_parked": "boolean",
            "http_status": "smallint",
            "error": "text",
        },
        (
            (
                each.message.id,
                each.message.token,
                each.message.tries,
                each.outcome,
                each.retry_seconds,
                each.is_parked,
                each.http_status,
                each.error,
            )
            for each in outcomes
        ),
    )
    rows = fetch(
        "UPDATE messages m SET state = CASE WHEN s.is_parked THEN 'parked'"
        " WHEN s.retry_seconds IS NOT NULL THEN 'ready' ELSE 'done' END,"
        " next_at = clock_timestamp() + make_interval(secs => COALESCE(s.retry_seconds, 0)),"
        " last_error = s.error, done_at = CASE WHEN s.retry_seconds IS NULL THEN clock_timestamp()"
        " END FROM pg_temp.staged_deliveries s WHERE m.organisation_id = %s AND m.id = s.id"
        " AND m.lease_token = s.token AND m.state = 'ready' RETURNING m.id",
        (current_organisation_id(),),
    )
    execute(
        "INSERT INTO message_deliveries (organisation_id, message_id, try_number, tried_at,"
        " outcome,"
        " http_status, error) SELECT %s, id, try_number, %s, outcome, http_status, error"
        " FROM pg_temp.staged_deliveries ON CONFLICT DO NOTHING",
        (current_organisation_id(), now),
    )
    return {row.id for row in rows}


def withdraw_messages(message_ids: Sequence[UUID]) -> None:
    """Mark leased messages as no longer worth sending: what they ask for is decided."""
    if message_ids:
        execute(
            "UPDATE messages SET state = 'will_not_send', done_at = clock_timestamp()"
            " WHERE id = ANY(%s) AND state = 'ready'",
            (list(message_ids),),
        )


def note_health(*, gateway_account_id: UUID, good: int, bad: int) -> None:
    """Count troubles in a row; enough of them open the breaker, any success closes it."""
    execute(
        "UPDATE gateway_accounts SET troubles_in_a_row = t.troubles,"
        " open_until = CASE WHEN t.troubles >= %(limit)s"
        " THEN clock_timestamp() + make_interval(secs => %(seconds)s) END"
        " FROM (SELECT id, CASE WHEN %(good)s > 0 THEN 0 ELSE troubles_in_a_row + %(bad)s END"
        " AS troubles FROM gateway_accounts WHERE id = %(account)s) t"
        " WHERE gateway_accounts.id = t.id AND (gateway_accounts.troubles_in_a_row <> t.troubles"
        " OR gateway_accounts.open_until IS NOT NULL)",
        {
            "limit": BREAKER_TROUBLES,
            "seconds": BREAKER_SECONDS,
            "good": good,
            "bad": bad,
            "account": gateway_account_id,
        },
    )
