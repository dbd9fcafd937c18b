"""What the answers of a gateway do to refunds, each by itself; one that breaks is asked for."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from jobs.message_answers import refund_result_of
from portal.config import Config
from portal.db import is_transient, savepoint
from portal.domain.users import Actor
from portal.gateways.base import GatewayAnswer
from portal.services.messages import Claimed
from portal.services.payments import QueryPolicy, ResultKind
from portal.services.refunds import RefundResult, apply_refund_results, request_refund_resends

log = structlog.stdlib.get_logger(__name__)
GATEWAY = Actor("gateway", None, "gateway")


def apply_refund_answers(
    answered: Sequence[tuple[Claimed, GatewayAnswer]],
    policy: QueryPolicy,
    config: Config,
    *,
    now: datetime,
) -> None:
    """Apply answers about refunds inside the open transaction, and send again what is sure."""
    results = [refund_result_of(message, answer, config) for message, answer in answered]
    for result in results:
        try:
            with savepoint():
                apply_refund_results(results=[result], policy=policy, actor=GATEWAY, now=now)
        except Exception as error:
            if is_transient(error):
                raise
            log.exception("answer.broke", refund_id=str(result.refund_id))
            lost = RefundResult(result.refund_id, ResultKind.LOSE)
            apply_refund_results(results=[lost], policy=policy, actor=GATEWAY, now=now)
    request_refund_resends(
        refund_ids=[each.refund_id for each in results if each.kind is ResultKind.NOT_FOUND],
        quiet_seconds=config.not_found_quiet_seconds,
        now=now,
    )


def lose_refunds(lost: Sequence[Claimed], policy: QueryPolicy, *, now: datetime) -> None:
    """Note that the worker which was sending these died: their outcome is unknown."""
    results = [RefundResult(message.aggregate_id, ResultKind.LOSE) for message in lost]
    apply_refund_results(results=results, policy=policy, actor=GATEWAY, now=now)
