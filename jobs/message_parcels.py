"""Leases the messages that are due and sorts them into what is called for; before any call."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from jobs.gateway_calls import Account, Parcel
from jobs.message_answers import is_spent, query_policy
from jobs.refund_answers import GATEWAY, lose_refunds
from portal.clock import now_utc
from portal.config import Config
from portal.db import transaction
from portal.domain.messages import DISPUTE_ORDER_KINDS, MessageKind
from portal.services.disputes import plan_dispute_calls
from portal.services.messages import (
    Claimed,
    DeliveryOutcome,
    claim_messages,
    events_cursor,
    finish_deliveries,
    withdraw_messages,
)
from portal.services.notices import plan_notices
from portal.services.payments import (
    AttemptResult,
    ResultKind,
    apply_results,
    begin_sending,
    list_askable,
)
from portal.services.refunds import begin_refunds, list_askable_refunds

log = structlog.stdlib.get_logger(__name__)
DISPUTE_KINDS = (*DISPUTE_ORDER_KINDS, MessageKind.DISPUTE_QUERY)


def lease_parcel(account: Account, config: Config) -> tuple[int, Parcel]:
    """Lease due messages of an account and read what each one says, in one transaction.

    Shape: how many were leased, of which the parcel holds those that are still worth a call.
    """
    now = now_utc()
    with transaction():
        claimed = claim_messages(
            gateway_account_id=account.id,
            limit=config.messages_claim_max,
            lease_seconds=config.message_lease_seconds,
        )
        spent = [message for message in claimed if is_spent(message, config)]
        _park_spent(spent, now)
        by_kind = {
            kind: [message for message in claimed if message.kind == kind and message not in spent]
            for kind in MessageKind
        }
        sending = begin_sending(
            messages=by_kind[MessageKind.CHARGE],
            resend_seconds=config.resend_window_seconds,
            now=now,
        )
        queries, needless = list_askable(by_kind[MessageKind.QUERY])
        refunds = begin_refunds(
            messages=by_kind[MessageKind.REFUND],
            resend_seconds=config.resend_window_seconds,
            ask_seconds=config.message_lease_seconds,
            now=now,
        )
        refund_queries, over = list_askable_refunds(by_kind[MessageKind.REFUND_QUERY])
        disputes, decided = plan_dispute_calls(
            [each for kind in DISPUTE_KINDS for each in by_kind[kind]]
        )
        notices, unwanted = plan_notices(by_kind[MessageKind.PAYER_REMINDER], now=now)
        withdraw_messages(
            [*sending.needless, *needless, *refunds.needless, *over, *decided, *unwanted]
        )
        _finish_lost(refunds.lost, now)
        lose_refunds(refunds.lost, query_policy(config), now=now)
        _write_lost(sending.lost, config, now)
        cursor = None
        if by_kind[MessageKind.LIST_EVENTS]:
            cursor = events_cursor(gateway_account_id=account.id)
        listings = [(message, cursor) for message in by_kind[MessageKind.LIST_EVENTS]]
        return len(claimed), Parcel(
            sending.orders,
            queries,
            by_kind[MessageKind.CLOSE_DAY],
            listings,
            refunds.orders,
            refund_queries,
            disputes,
            notices,
        )


def _park_spent(spent: Sequence[Claimed], now: datetime) -> None:
    """Leave to a person what no try has come to an end with."""
    if spent:
        said = "no try came to an end; the workers died or lost their connection"
        finish_deliveries(
            [DeliveryOutcome(each, "failed", is_parked=True, error=said) for each in spent], now=now
        )
        log.error("messages.given_up", messages=len(spent))


def _write_lost(lost: Sequence[Claimed], config: Config, now: datetime) -> None:
    """Note that the worker which was sending these died: their outcome is unknown."""
    if not lost:
        return
    _finish_lost(lost, now)
    apply_results(
        results=[AttemptResult(message.aggregate_id, ResultKind.LOSE) for message in lost],
        policy=query_policy(config),
        actor=GATEWAY,
        now=now,
    )


def _finish_lost(lost: Sequence[Claimed], now: datetime) -> None:
    if not lost:
        return
    said = "the worker died while sending"
    finish_deliveries([DeliveryOutcome(each, "unknown", error=said) for each in lost], now=now)
