"""What the answer of a gateway means for the message that asked, and for its attempt or refund."""

import random
from collections.abc import Sequence

from portal.config import Config
from portal.domain.messages import ASKING_KINDS, ORDER_KINDS, RESENT_KINDS, MessageKind
from portal.gateways.base import AnswerKind, GatewayAnswer
from portal.services.messages import Claimed, DeliveryOutcome
from portal.services.payments import AttemptResult, QueryPolicy, ResultKind
from portal.services.refunds import RefundResult

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
TOO_MANY_REQUESTS = 429
# How long a gateway is left alone that does not say how long it wants to be.
PAUSE_SECONDS = 1.0


def query_policy(config: Config) -> QueryPolicy:
    """Take the schedule of status queries from the settings."""
    return QueryPolicy(
        config.pending_query_seconds,
        config.query_delays_seconds,
        config.not_found_quiet_seconds,
    )


def result_of(message: Claimed, answer: GatewayAnswer, config: Config) -> AttemptResult:
    """Say what an answer means for the attempt."""
    return AttemptResult(
        message.aggregate_id,
        _kind_of(message, answer, config),
        answer.gateway_ref,
        answer.amount_minor,
        answer.currency,
        answer.reason_code,
        answer.reason,
        answer.fee_minor,
    )


def refund_result_of(message: Claimed, answer: GatewayAnswer, config: Config) -> RefundResult:
    """Say what an answer means for the refund."""
    return RefundResult(
        message.aggregate_id,
        _kind_of(message, answer, config),
        answer.gateway_ref,
        answer.amount_minor,
        answer.currency,
        answer.reason_code,
    )


def _kind_of(message: Claimed, answer: GatewayAnswer, config: Config) -> ResultKind:
    kind = RESULT_KINDS[answer.kind]
    if kind is not ResultKind.NOT_SENT:
        return kind
    if message.kind in ASKING_KINDS or message.sequence > 1:
        # This call reached nobody, which says nothing of the first one.
        return ResultKind.LOSE
    return ResultKind.ERROR if message.tries_counted >= config.message_tries_max else kind


def outcome_of(message: Claimed, answer: GatewayAnswer, config: Config) -> DeliveryOutcome:
    """Say whether the message itself is finished; only what was surely not sent is sent again."""
    is_unsent_order = (
        answer.kind is AnswerKind.NOT_SENT and message.kind in ORDER_KINDS and message.sequence == 1
    )
    is_untold = message.kind in RESENT_KINDS and answer.kind in TROUBLES
    may_go_again = is_unsent_order or is_untold
    wait = None
    if may_go_again and message.tries_counted < config.message_tries_max:
        wait = max(answer.retry_after_seconds or 0.0, _resend_delay(message, config))
    is_refused = _is_refused_notice(message, answer)
    return DeliveryOutcome(
        message,
        answer.kind.value,
        retry_seconds=wait,
        is_parked=is_refused or (may_go_again and wait is None),
        http_status=answer.http_status,
        error=answer.error or (answer.reason or answer.reason_code if is_refused else None),
    )


def _is_refused_notice(message: Claimed, answer: GatewayAnswer) -> bool:
    """Say whether a notice was refused, or told back wrongly: it has no noun that could say so."""
    is_notice = message.kind == MessageKind.PAYER_REMINDER
    return is_notice and answer.kind in (AnswerKind.DECLINED, AnswerKind.MISMATCH)


def outcome_of_call(message: Claimed, error: str | None, config: Config) -> DeliveryOutcome:
    """Say whether an errand is finished; one that failed is tried again, and then parked."""
    if error is None:
        return DeliveryOutcome(message, "succeeded")
    return DeliveryOutcome(
        message,
        "failed",
        retry_seconds=_resend_delay(message, config),
        is_parked=message.tries_counted >= config.message_tries_max,
        error=error,
    )


def _resend_delay(message: Claimed, config: Config) -> float:
    delays = config.resend_delays_seconds
    # Chance keeps messages apart here; nothing depends on its being secret.
    return delays[min(message.tries_counted - 1, len(delays) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311


def is_spent(message: Claimed, config: Config) -> bool:
    """Say whether each try of a message has cost a worker its life.

    Shape: an order is not sent a second time as long as nobody knows of the first, so it never is.
    """
    return message.kind not in ORDER_KINDS and message.tries_counted > config.message_tries_max


def pause_wanted(answers: Sequence[GatewayAnswer]) -> float | None:
    """Say for how long a gateway wants to be left alone; None when it does not.

    Units: seconds.
    """
    waits = [
        PAUSE_SECONDS if answer.retry_after_seconds is None else answer.retry_after_seconds
        for answer in answers
        if answer.http_status == TOO_MANY_REQUESTS
    ]
    return max(waits, default=None)
