"""What the answers of a gateway do to disputes, each by itself; one that breaks is asked for."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from jobs.refund_answers import GATEWAY
from portal.db import is_transient, savepoint
from portal.domain.messages import MessageKind
from portal.gateways.base import AnswerKind, GatewayAnswer
from portal.services.disputes import DisputeResult, apply_dispute_result
from portal.services.messages import Claimed

log = structlog.stdlib.get_logger(__name__)


def apply_dispute_answers(
    answered: Sequence[tuple[Claimed, GatewayAnswer]], *, now: datetime
) -> None:
    """Apply answers about disputes inside the open transaction."""
    for message, answer in answered:
        try:
            with savepoint():
                apply_dispute_result(result=_result_of(message, answer), actor=GATEWAY, now=now)
        except Exception as error:
            if is_transient(error):
                raise
            log.exception("answer.broke", dispute_id=str(message.aggregate_id))
            waiting = DisputeResult(message.aggregate_id, "wait")
            apply_dispute_result(result=waiting, actor=GATEWAY, now=now)


def _result_of(message: Claimed, answer: GatewayAnswer) -> DisputeResult:
    """Say what an answer means for the dispute; what is still to be told again changes nothing."""
    dispute_id, money = message.aggregate_id, (answer.amount_minor, answer.currency)
    match answer.kind:
        case AnswerKind.WON:
            return DisputeResult(dispute_id, "win", *money)
        case AnswerKind.LOST:
            return DisputeResult(dispute_id, "lose", *money)
        case AnswerKind.MISMATCH:
            return DisputeResult(dispute_id, "contradict", *money)
        case AnswerKind.DECLINED if message.kind == MessageKind.DISPUTE_ANSWER:
            return DisputeResult(dispute_id, "refuse_answer", reason=answer.reason)
        case AnswerKind.DECLINED:
            return DisputeResult(dispute_id, "contradict")
    return DisputeResult(dispute_id, "wait")
