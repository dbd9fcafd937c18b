"""Delivers messages to gateways and handles what they report; no transaction is open meanwhile.

Claim (one transaction, committed) → many calls in flight → answers written (a second one).
"""

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import structlog

from portal.clock import now_utc
from portal.config import Config
from portal.db import acting_for, in_transaction, repeat_when_transient, transaction
from portal.domain.errors import PortalError
from portal.domain.messages import MessageKind
from portal.domain.users import Actor
from portal.gateways.base import (
    AnswerKind,
    ChargeOrder,
    Gateway,
    GatewayAnswer,
    GatewayEvent,
    PayoutReport,
    call_all,
    open_gateway,
)
from portal.queue import ring_now
from portal.services.gateways import gateway_access, settings
from portal.services.messages import (
    DELIVERY_BELL,
    Claimed,
    DeliveryOutcome,
    claim_messages,
    events_cursor,
    finish_deliveries,
    list_due_accounts,
    list_inbox_organisations,
    list_query_organisations,
    note_health,
    store_events,
    withdraw_messages,
)
from portal.services.payments import (
    AttemptResult,
    QueryPolicy,
    ResultKind,
    apply_results,
    begin_sending,
    handle_inbox,
    list_askable,
    request_queries,
    request_resends,
)
from portal.services.settlements import record_payout

log = structlog.stdlib.get_logger(__name__)
GATEWAY = Actor("gateway", None, "gateway")
INBOX_MAX = 500
QUERIES_MAX = 500

RESULT_KINDS = {
    AnswerKind.PENDING: ResultKind.ACCEPT,
    AnswerKind.SUCCEEDED: ResultKind.SUCCEED,
    AnswerKind.DECLINED: ResultKind.DECLINE,
    AnswerKind.RETURNED: ResultKind.RETURN,
    AnswerKind.UNKNOWN: ResultKind.LOSE,
    AnswerKind.NOT_FOUND: ResultKind.NOT_FOUND,
    AnswerKind.NOT_SENT: ResultKind.NOT_SENT,
    AnswerKind.MISMATCH: ResultKind.MISMATCH,
}
TROUBLES = {AnswerKind.NOT_SENT, AnswerKind.UNKNOWN}


class Account(NamedTuple):
    """The gateway account whose messages are delivered."""

    organisation_id: UUID
    id: UUID
    code: str
    kind: str


class Parcel(NamedTuple):
    """What one worker leased of one account, sorted by what is done with it."""

    charges: list[tuple[Claimed, ChargeOrder]]
    queries: list[tuple[Claimed, str]]
    closings: list[Claimed]
    listings: list[tuple[Claimed, str | None]]

    def is_empty(self) -> bool:
        """Say whether there is nothing to call for."""
        return not (self.charges or self.queries or self.closings or self.listings)


class Answers(NamedTuple):
    """What the gateway answered to a parcel; an error text stands for a call that failed."""

    charges: Sequence[GatewayAnswer]
    queries: Sequence[GatewayAnswer]
    closings: Sequence[tuple[PayoutReport, ...] | str]
    listings: Sequence[tuple[tuple[GatewayEvent, ...], str | None] | str]


def drain_messages() -> int:
    """Handle what arrived, ask for what is unknown, deliver what is due; until nothing is left.

    Shape: returns how many rounds found something to do; rings again when time was up.
    """
    config = settings()
    until = time.monotonic() + config.drain_seconds
    rounds = 0
    while time.monotonic() < until:
        busy = _handle_inboxes(config)
        busy |= _ask_for_outcomes(config)
        for row in list_due_accounts():
            busy |= deliver_account(Account(*row), config)
        if not busy:
            break
        rounds += 1
    else:
        ring_now(DELIVERY_BELL)
    return rounds


def query_policy(config: Config) -> QueryPolicy:
    """Take the schedule of status queries from the settings."""
    return QueryPolicy(
        config.pending_query_seconds,
        config.query_delays_seconds,
        config.not_found_quiet_seconds,
    )


def _handle_inboxes(config: Config) -> bool:
    busy = False
    for organisation_id in list_inbox_organisations():
        with acting_for(organisation_id):
            handled = repeat_when_transient(
                lambda: handle_inbox(
                    limit=INBOX_MAX, policy=query_policy(config), actor=GATEWAY, now=now_utc()
                )
            )
        busy |= handled > 0
    return busy


def _ask_for_outcomes(config: Config) -> bool:
    busy = False
    for organisation_id in list_query_organisations():
        with transaction(organisation_id):
            asked = request_queries(
                limit=QUERIES_MAX, lease_seconds=config.message_lease_seconds
            )
        busy |= asked > 0
    return busy


def deliver_account(account: Account, config: Config) -> bool:
    """Lease messages of an account, call the gateway, write the answers; False when none was due."""
    with acting_for(account.organisation_id):
        leased, parcel = _lease(account, config)
        if not leased:
            return False
        if parcel.is_empty():
            return True
        assert not in_transaction()
        answers = asyncio.run(_call(account, parcel))
        repeat_when_transient(lambda: _write(account, parcel, answers, config))
    log.info("messages.delivered", account=account.code, messages=leased)
    return True


def _lease(account: Account, config: Config) -> tuple[int, Parcel]:
    now = now_utc()
    with transaction():
        claimed = claim_messages(
            gateway_account_id=account.id,
            limit=config.messages_claim_max,
            lease_seconds=config.message_lease_seconds,
        )
        by_kind = {
            kind: [message for message in claimed if message.kind == kind] for kind in MessageKind
        }
        sending = begin_sending(
            messages=by_kind[MessageKind.CHARGE],
            resend_seconds=config.resend_window_seconds,
            now=now,
        )
        queries, needless = list_askable(by_kind[MessageKind.QUERY])
        withdraw_messages([*sending.needless, *needless])
        _write_lost(sending.lost, config, now)
        cursor = None
        if by_kind[MessageKind.LIST_EVENTS]:
            cursor = events_cursor(gateway_account_id=account.id)
        listings = [(message, cursor) for message in by_kind[MessageKind.LIST_EVENTS]]
        return len(claimed), Parcel(
            sending.orders, queries, by_kind[MessageKind.CLOSE_DAY], listings
        )


def _write_lost(lost: Sequence[Claimed], config: Config, now: datetime) -> None:
    """Note that the worker which was sending these died: their outcome is unknown."""
    if not lost:
        return
    finish_deliveries(
        [
            DeliveryOutcome(message, "unknown", error="the worker died while sending")
            for message in lost
        ],
        now=now,
    )
    apply_results(
        results=[AttemptResult(message.aggregate_id, ResultKind.LOSE) for message in lost],
        policy=query_policy(config),
        actor=GATEWAY,
        now=now,
    )


async def _call(account: Account, parcel: Parcel) -> Answers:
    access = gateway_access(kind=account.kind, account_code=account.code)
    async with open_gateway(access) as gateway:
        charges, queries, closings, listings = await asyncio.gather(
            call_all(
                gateway.charge, [order for _, order in parcel.charges], access.in_flight_max
            ),
            call_all(gateway.query, [ref for _, ref in parcel.queries], access.in_flight_max),
            asyncio.gather(*(_close_day(gateway, message) for message in parcel.closings)),
            asyncio.gather(*(_list_events(gateway, after) for _, after in parcel.listings)),
        )
    return Answers(charges, queries, closings, listings)


async def _close_day(gateway: Gateway, message: Claimed) -> tuple[PayoutReport, ...] | str:
    try:
        return await gateway.close_day(date.fromisoformat(message.payload["business_on"]))
    except PortalError as error:
        return error.message


async def _list_events(
    gateway: Gateway, after: str | None
) -> tuple[tuple[GatewayEvent, ...], str | None] | str:
    try:
        found: list[GatewayEvent] = []
        while True:
            events, cursor = await gateway.list_events(after)
            found += events
            after = cursor or after
            if not events:
                return tuple(found), after
    except PortalError as error:
        return error.message


def _write(account: Account, parcel: Parcel, answers: Answers, config: Config) -> None:
    """Write the answers of messages that are still ours, in one transaction."""
    now = now_utc()
    asked = [
        *zip((message for message, _ in parcel.charges), answers.charges, strict=True),
        *zip((message for message, _ in parcel.queries), answers.queries, strict=True),
    ]
    with transaction():
        outcomes = [_outcome(message, answer, config) for message, answer in asked]
        outcomes += [
            _outcome_of_call(message, answer, config)
            for message, answer in [
                *zip(parcel.closings, answers.closings, strict=True),
                *zip((m for m, _ in parcel.listings), answers.listings, strict=True),
            ]
        ]
        ours = finish_deliveries(outcomes, now=now)
        results = [
            _result(message, answer, config) for message, answer in asked if message.id in ours
        ]
        policy = query_policy(config)
        apply_results(results=results, policy=policy, actor=GATEWAY, now=now)
        request_resends(
            attempt_ids=[r.attempt_id for r in results if r.kind is ResultKind.NOT_FOUND],
            quiet_seconds=config.not_found_quiet_seconds,
            now=now,
        )
        _take_reports(account, parcel, answers, ours, now)
        bad = sum(answer.kind in TROUBLES for _, answer in asked)
        note_health(gateway_account_id=account.id, good=len(asked) - bad, bad=bad)


def _take_reports(
    account: Account, parcel: Parcel, answers: Answers, ours: set[UUID], now: datetime
) -> None:
    for message, reports in zip(parcel.closings, answers.closings, strict=True):
        if message.id in ours and not isinstance(reports, str):
            for report in reports:
                record_payout(
                    gateway_account_id=account.id, report=report, actor=GATEWAY, now=now
                )
    for (message, _), listed in zip(parcel.listings, answers.listings, strict=True):
        if message.id in ours and not isinstance(listed, str):
            events, cursor = listed
            store_events(
                gateway_account_id=account.id,
                events=events,
                raws=[b""] * len(events),
                cursor=cursor,
                now=now,
            )


def _result(message: Claimed, answer: GatewayAnswer, config: Config) -> AttemptResult:
    kind = RESULT_KINDS[answer.kind]
    is_resend = message.kind == MessageKind.CHARGE and message.sequence > 1
    if kind is ResultKind.NOT_SENT and (is_resend or message.kind == MessageKind.QUERY):
        # This call reached nobody, which says nothing of the first one.
        kind = ResultKind.LOSE
    elif kind is ResultKind.NOT_SENT and message.tries >= config.message_tries_max:
        kind = ResultKind.ERROR
    return AttemptResult(
        message.aggregate_id,
        kind,
        answer.gateway_ref,
        answer.amount_minor,
        answer.currency,
        answer.reason_code,
        answer.reason,
        answer.fee_minor,
    )


def _outcome(message: Claimed, answer: GatewayAnswer, config: Config) -> DeliveryOutcome:
    """Say whether the message itself is finished; only what was surely not sent is sent again."""
    is_unsent_charge = (
        answer.kind is AnswerKind.NOT_SENT
        and message.kind == MessageKind.CHARGE
        and message.sequence == 1
    )
    wait = None
    if is_unsent_charge and message.tries < config.message_tries_max:
        wait = max(answer.retry_after_seconds or 0.0, _resend_delay(message, config))
    return DeliveryOutcome(
        message,
        answer.kind.value,
        retry_seconds=wait,
        is_parked=is_unsent_charge and wait is None,
        http_status=answer.http_status,
        error=answer.error,
    )


def _outcome_of_call(message: Claimed, answer: object, config: Config) -> DeliveryOutcome:
    if not isinstance(answer, str):
        return DeliveryOutcome(message, "succeeded")
    return DeliveryOutcome(
        message,
        "failed",
        retry_seconds=_resend_delay(message, config),
        is_parked=message.tries >= config.message_tries_max,
        error=answer,
    )


def _resend_delay(message: Claimed, config: Config) -> float:
    delays = config.resend_delays_seconds
    return delays[min(message.tries - 1, len(delays) - 1)] * random.uniform(0.8, 1.2)
