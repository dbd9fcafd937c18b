"""What the sandbox's answers say, as values of ours; pure, so that each oddity is easy to try."""

from typing import Any

from portal.gateways.http import Reply, Trouble
from portal.gateways.strict_json import (
    AMOUNT_MINOR_MAX,
    amount_of,
    currency_of,
    day_of,
    optional_text_of,
    text_of,
)
from portal.gateways.values import (
    AnswerKind,
    Effect,
    EffectState,
    GatewayAnswer,
    ItemKind,
    PayoutItemReport,
    PayoutReport,
)

# A key or a reference met again with another content: the first one may have moved money.
AMBIGUOUS_CODES = frozenset({"idempotency_key_reused", "merchant_ref_used"})
ANSWER_KINDS = {
    "pending": AnswerKind.PENDING,
    "succeeded": AnswerKind.SUCCEEDED,
    "declined": AnswerKind.DECLINED,
    "returned": AnswerKind.RETURNED,
    "failed": AnswerKind.DECLINED,
    "needs_response": AnswerKind.PENDING,
    "under_review": AnswerKind.PENDING,
    "won": AnswerKind.WON,
    "lost": AnswerKind.LOST,
}


def answer_from(reply: Reply, merchant_ref: str) -> GatewayAnswer:
    """Read what became of a charge, refund or dispute; anything unreadable answers `unknown`."""
    body = reply.body
    try:
        kind = ANSWER_KINDS[text_of(body, "status")]
        answer = GatewayAnswer(
            kind=kind,
            gateway_ref=text_of(body, "id"),
            amount_minor=amount_of(body, "amount_minor"),
            currency=currency_of(body),
            reason_code=optional_text_of(body, "reason_code"),
            reason=optional_text_of(body, "reason"),
            fee_minor=amount_of(body, "fee_minor"),
            http_status=reply.status,
        )
        told_ref = text_of(body, "merchant_ref")
    except KeyError:
        return unknown(reply, "an unknown status")
    except ValueError as error:
        return unknown(reply, f"an unreadable answer: {error}")
    if told_ref != merchant_ref:
        return mismatch(answer, "another reference than ours")
    return answer


def refused(reply: Reply) -> GatewayAnswer:
    """Read a refusal of the order itself; without a clear code it stays `unknown`."""
    code = error_code(reply.body)
    if code is None or code in AMBIGUOUS_CODES:
        return unknown(reply, f"refused ({code or 'no code'})")
    message = reply.body["error"].get("message")
    return GatewayAnswer(
        AnswerKind.DECLINED,
        reason_code=code,
        reason=message if isinstance(message, str) else None,
        http_status=reply.status,
    )


def error_code(body: dict[str, Any]) -> str | None:
    """Return the code of an error, or None where the body has none."""
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def mismatch(answer: GatewayAnswer, error: str) -> GatewayAnswer:
    """Say that the gateway answered for something else than was ordered."""
    return GatewayAnswer(
        AnswerKind.MISMATCH,
        gateway_ref=answer.gateway_ref,
        amount_minor=answer.amount_minor,
        currency=answer.currency,
        http_status=answer.http_status,
        error=error,
    )


def unknown(reply: Reply, error: str) -> GatewayAnswer:
    """Say that a readable answer leaves open what was done."""
    return GatewayAnswer(
        AnswerKind.UNKNOWN,
        http_status=reply.status,
        retry_after_seconds=reply.retry_after_seconds,
        error=error,
    )


def troubled(trouble: Trouble, kind: AnswerKind) -> GatewayAnswer:
    """Say that there was no readable answer."""
    return GatewayAnswer(
        kind,
        http_status=trouble.http_status,
        retry_after_seconds=trouble.retry_after_seconds,
        error=trouble.error,
    )


def payout_from(row: dict[str, Any]) -> PayoutReport:
    """Read the head of a payout; its items come in pages.

    Raises: ValueError.
    """
    return PayoutReport(
        gateway_ref=text_of(row, "gateway_ref"),
        business_date=day_of(row, "business_date"),
        currency=currency_of(row),
        gross_minor=amount_of(row, "gross_minor", least=-AMOUNT_MINOR_MAX),
        fee_minor=amount_of(row, "fee_minor"),
        net_minor=amount_of(row, "net_minor", least=-AMOUNT_MINOR_MAX),
        items=(),
    )


def item_from(row: dict[str, Any]) -> PayoutItemReport:
    """Read one item of a payout.

    Raises: ValueError.
    """
    return PayoutItemReport(
        kind=ItemKind(text_of(row, "kind")),
        gateway_ref=text_of(row, "gateway_ref"),
        merchant_ref=text_of(row, "merchant_ref"),
        gross_minor=amount_of(row, "gross_minor", least=-AMOUNT_MINOR_MAX),
        fee_minor=amount_of(row, "fee_minor"),
        net_minor=amount_of(row, "net_minor", least=-AMOUNT_MINOR_MAX),
    )


def effect_from(row: dict[str, Any]) -> Effect:
    """Read one charge that moved money.

    Raises: ValueError.
    """
    return Effect(
        merchant_ref=text_of(row, "merchant_ref"),
        payment_ref=text_of(row, "payment_ref"),
        invoice_ref=text_of(row, "invoice_ref"),
        amount_minor=amount_of(row, "amount_minor", least=1),
        currency=currency_of(row),
        state=EffectState(text_of(row, "state")),
        gateway_ref=text_of(row, "gateway_ref"),
        business_date=day_of(row, "business_date"),
        fee_minor=amount_of(row, "fee_minor"),
        return_fee_minor=amount_of(row, "return_fee_minor"),
        refunded_minor=amount_of(row, "refunded_minor"),
        disputed_minor=amount_of(row, "disputed_minor"),
        reason_code=optional_text_of(row, "reason_code"),
    )
