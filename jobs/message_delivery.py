"""Delivers messages to gateways and handles what they report; no transaction is open meanwhile.

Claim (one transaction, committed) → many calls in flight → answers written (a second one).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog

from jobs.dispute_answers import apply_dispute_answers
from jobs.gateway_calls import Account, Answers, Parcel, call_gateway
from jobs.message_answers import (
    TROUBLES,
    outcome_of,
    outcome_of_call,
    pause_wanted,
    query_policy,
    result_of,
)
from jobs.message_parcels import lease_parcel
from jobs.refund_answers import GATEWAY, apply_refund_answers
from portal.clock import now_utc
from portal.config import Config
from portal.db import (
    acting_for,
    in_transaction,
    is_transient,
    repeat_when_transient,
    savepoint,
    transaction,
)
from portal.domain.errors import PortalError
from portal.gateways.base import (
    GatewayEvent,
    PayoutReport,
)
from portal.queue import ring_now
from portal.services.disputes import (
    handle_dispute_events,
    request_dispute_queries,
)
from portal.services.gateways import gateway_access, settings
from portal.services.messages import (
    DELIVERY_BELL,
    Claimed,
    finish_deliveries,
    list_due_accounts,
    list_inbox_organisations,
    list_query_organisations,
    note_health,
    pause_account,
    store_events,
)
from portal.services.payments import (
    AttemptResult,
    QueryPolicy,
    ResultKind,
    apply_results,
    handle_inbox,
    request_queries,
    request_resends,
)
from portal.services.refunds import (
    handle_refund_events,
    request_refund_queries,
)
from portal.services.settlements import record_payout

log = structlog.stdlib.get_logger(__name__)
INBOX_MAX = 500
QUERIES_MAX = 500
# Results trickle in behind a delivery; staying for them is cheaper than a fork for each handful.
LINGER_SECONDS = 0.4
LINGER_POLL_SECONDS = 0.04


def drain_messages() -> int:
    """Handle what arrived, ask for what is unknown, deliver what is due; until nothing is left.

    Shape: returns how many rounds found something to do; rings again when time was up.
    """
    config = settings()
    until = time.monotonic() + config.drain_seconds
    rounds = 0
    idle_since: float | None = None
    while time.monotonic() < until:
        busy = _handle_inboxes(config)
        busy |= _ask_for_outcomes(config)
        for row in list_due_accounts():
            busy |= _apart(partial(deliver_account, Account(*row), config))
        if busy:
            rounds, idle_since = rounds + 1, None
            continue
        idle_since = idle_since or time.monotonic()
        if not rounds or time.monotonic() - idle_since > LINGER_SECONDS:
            break
        time.sleep(LINGER_POLL_SECONDS)
    else:
        ring_now(DELIVERY_BELL)
    return rounds


def _apart(work: Callable[[], bool]) -> bool:
    """Run the work of one account or organisation; its trouble does not hold up the others.

    Shape: False when it broke, so that a drain ends and the next bell tries again.
    """
    try:
        return work()
    except Exception:
        log.exception("messages.broke")
        return False


def _handle_inboxes(config: Config) -> bool:
    busy = False
    for organisation_id in list_inbox_organisations():
        busy |= _apart(partial(_handle_inbox, organisation_id, config))
    return busy


def _handle_inbox(organisation_id: UUID, config: Config) -> bool:
    with acting_for(organisation_id):
        policy = query_policy(config)
        handled = sum(
            repeat_when_transient(
                partial(handle, limit=INBOX_MAX, actor=GATEWAY, now=now_utc()),
            )
            for handle in (
                partial(handle_inbox, policy=policy),
                partial(handle_refund_events, policy=policy),
                handle_dispute_events,
            )
        )
    return handled > 0


def _ask_for_outcomes(config: Config) -> bool:
    busy = False
    for organisation_id in list_query_organisations():
        busy |= _apart(partial(_ask_organisation, organisation_id, config))
    return busy


def _ask_organisation(organisation_id: UUID, config: Config) -> bool:
    with transaction(organisation_id):
        wait = config.message_lease_seconds
        asked = request_queries(limit=QUERIES_MAX, lease_seconds=wait)
        asked += request_refund_queries(limit=QUERIES_MAX, lease_seconds=wait)
        asked += request_dispute_queries(limit=QUERIES_MAX, lease_seconds=wait)
    return asked > 0


def deliver_account(account: Account, config: Config) -> bool:
    """Lease messages of an account, call the gateway, write the answers; False: none was due."""
    # Before anything is marked as being sent: without address or key nothing can be.
    access = gateway_access(kind=account.kind, account_code=account.code)
    with acting_for(account.organisation_id):
        leased, parcel = repeat_when_transient(lambda: lease_parcel(account, config))
        if not leased:
            return False
        if parcel.is_empty():
            return True
        assert not in_transaction()
        answers = asyncio.run(call_gateway(access, parcel))
        repeat_when_transient(lambda: _write(account, parcel, answers, config))
    log.info("messages.delivered", account=account.code, messages=leased)
    return True


def _write(account: Account, parcel: Parcel, answers: Answers, config: Config) -> None:
    """Write the answers of messages that are still ours, in one transaction."""
    now = now_utc()
    asked = [
        *zip((message for message, _ in parcel.charges), answers.charges, strict=True),
        *zip((message for message, _ in parcel.queries), answers.queries, strict=True),
    ]
    about_refunds = [
        *zip((message for message, _ in parcel.refunds), answers.refunds, strict=True),
        *zip(
            (message for message, _ in parcel.refund_queries), answers.refund_queries, strict=True
        ),
    ]
    about_disputes = [
        *zip((message for message, _ in parcel.disputes), answers.disputes, strict=True)
    ]
    notices = zip((message for message, _ in parcel.notices), answers.notices, strict=True)
    called = [*asked, *about_refunds, *about_disputes, *notices]
    with transaction():
        taken = _take_reports(account, parcel, answers, now)
        outcomes = [outcome_of(message, answer, config) for message, answer in called]
        outcomes += [outcome_of_call(message, error, config) for message, error in taken]
        ours = finish_deliveries(outcomes, now=now)
        results = [
            result_of(message, answer, config) for message, answer in asked if message.id in ours
        ]
        _apply(results, query_policy(config), now)
        request_resends(
            attempt_ids=[r.attempt_id for r in results if r.kind is ResultKind.NOT_FOUND],
            quiet_seconds=config.not_found_quiet_seconds,
            now=now,
        )
        apply_refund_answers(
            [pair for pair in about_refunds if pair[0].id in ours],
            query_policy(config),
            config,
            now=now,
        )
        apply_dispute_answers([pair for pair in about_disputes if pair[0].id in ours], now=now)
        bad = sum(answer.kind in TROUBLES for _, answer in called)
        told = sum(not isinstance(each, str) for each in (*answers.closings, *answers.listings))
        note_health(gateway_account_id=account.id, good=len(called) - bad + told, bad=bad)
        wait = pause_wanted([answer for _, answer in called])
        if wait is not None:
            pause_account(gateway_account_id=account.id, seconds=wait)


def _apply(results: Sequence[AttemptResult], policy: QueryPolicy, now: datetime) -> None:
    """Apply answers, in halves down to the one that breaks; what that one asked stays unknown."""
    if not results:
        return
    try:
        with savepoint():
            apply_results(results=results, policy=policy, actor=GATEWAY, now=now)
    except Exception as error:
        if is_transient(error):
            raise
        if len(results) > 1:
            middle = len(results) // 2
            _apply(results[:middle], policy, now)
            _apply(results[middle:], policy, now)
            return
        log.exception("answer.broke", attempt_id=str(results[0].attempt_id))
        lost = AttemptResult(results[0].attempt_id, ResultKind.LOSE)
        apply_results(results=[lost], policy=policy, actor=GATEWAY, now=now)


def _take_reports(
    account: Account, parcel: Parcel, answers: Answers, now: datetime
) -> list[tuple[Claimed, str | None]]:
    """Record payouts and events, both harmless when they are recorded already.

    Shape: each message with the error of its call, or of what it brought; None when all is well.
    """
    taken: list[tuple[Claimed, str | None]] = []
    for message, reports in zip(parcel.closings, answers.closings, strict=True):
        if isinstance(reports, str):
            taken.append((message, reports))
        else:
            taken.append((message, _error_of(partial(_record_payouts, account, reports, now))))
    for (message, _), listed in zip(parcel.listings, answers.listings, strict=True):
        if isinstance(listed, str):
            taken.append((message, listed))
        else:
            taken.append((message, _error_of(partial(_store_listed, account, listed, now))))
    return taken


def _error_of(record: Callable[[], None]) -> str | None:
    """Record what a gateway reported; what it reported wrongly is undone alone, and named."""
    try:
        with savepoint():
            record()
    except Exception as error:
        if is_transient(error):
            raise
        log.exception("report.broke")
        return error.message if isinstance(error, PortalError) else repr(error)[:500]
    return None


def _record_payouts(account: Account, reports: Sequence[PayoutReport], now: datetime) -> None:
    for report in reports:
        record_payout(gateway_account_id=account.id, report=report, actor=GATEWAY, now=now)


def _store_listed(
    account: Account, listed: tuple[Sequence[GatewayEvent], str | None], now: datetime
) -> None:
    events, cursor = listed
    store_events(
        gateway_account_id=account.id,
        events=events,
        raws=[b""] * len(events),
        cursor=cursor,
        now=now,
    )
