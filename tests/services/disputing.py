"""What the tests of disputes do again and again: report one, decide it, and look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from portal.db import acting_for, transaction
from portal.domain.users import Actor
from portal.gateways.base import DisputeOrder, ItemKind, PayoutItemReport, PayoutReport
from portal.services.disputes import (
    DisputeReport,
    DisputeResult,
    accept_dispute,
    answer_dispute,
    apply_dispute_result,
    handle_dispute_events,
    open_dispute,
    plan_dispute_calls,
)
from portal.services.messages import Claimed
from portal.services.payments import Verdict
from portal.services.settlements import match_settlements, record_payout
from portal.sql import execute, fetch
from tests import factories
from tests.factories import BUSINESS_ON, NOW, make_inbox_message, read_row

GATEWAY = Actor("gateway", None, "gateway")
OPENED_ON = date(2026, 3, 26)
RESPOND_BY = date(2026, 4, 9)
DISPUTE_FEE_MINOR = 1_500
TEXT = "The water was delivered.\nSee the meter."


def report(attempt: Any, amount_minor: int | None = None, **over: Any) -> DisputeReport:
    """Make a gateway's report that an attempt is disputed."""
    return DisputeReport(
        attempt.id,
        f"dp-{attempt.id.hex}",
        attempt.amount_minor if amount_minor is None else amount_minor,
        attempt.currency,
        DISPUTE_FEE_MINOR,
        "product_not_received",
        OPENED_ON,
        RESPOND_BY,
    )._replace(**over)


def dispute(attempt: Any, amount_minor: int | None = None, **over: Any) -> Verdict:
    """Have an attempt disputed."""
    with transaction(factories.home.get()):
        return open_dispute(report=report(attempt, amount_minor, **over), actor=GATEWAY, now=NOW)


def make_dispute(state: str = "needs_response", *, payment: Any = None, **over: Any) -> Any:
    """Bring a dispute of a payment of 119.00 into a state by the services."""
    payment = payment or factories.make_succeeded_payment()
    attempt = factories.attempt_of(payment)
    assert dispute(attempt, **over) is Verdict.APPLIED
    (found,) = list_disputes("payment_id = %s AND state = 'needs_response'", payment.id)
    if state != "needs_response":
        answer(found)
    if state in ("won", "lost"):
        tell_dispute(found, "win" if state == "won" else "lose")
    return read_row("disputes", found.id)


def list_disputes(condition: str, *values: Any) -> list[Any]:
    """List disputes."""
    with transaction(factories.home.get()):
        return fetch(f"SELECT * FROM disputes WHERE {condition} ORDER BY id", values)


def answer(found: Any, text: str = TEXT) -> None:
    """Answer a dispute as it stands."""
    with acting_for(factories.home.get()):
        answer_dispute(
            dispute_id=found.id, version=found.version, text=text, actor=factories.CLERK, now=NOW
        )


def accept(found: Any) -> None:
    """Accept the loss of a dispute as it stands."""
    with acting_for(factories.home.get()):
        accept_dispute(
            dispute_id=found.id,
            version=found.version,
            on=OPENED_ON,
            actor=factories.CLERK,
            now=NOW,
        )


def tell_dispute(found: Any, event: Any, **over: Any) -> Verdict:
    """Apply one result about a dispute and return the verdict."""
    result = DisputeResult(found.id, event, on=OPENED_ON + timedelta(days=7))._replace(**over)
    with transaction(factories.home.get()):
        return apply_dispute_result(result=result, actor=GATEWAY, now=NOW)


def arrive(kind: str, attempt: Any, **over: Any) -> None:
    """Let a message about a dispute of an attempt arrive."""
    content = {
        "merchant_ref": attempt.merchant_ref,
        "gateway_ref": f"dp-{attempt.id.hex}",
        "amount_minor": attempt.amount_minor,
        "currency": attempt.currency,
        "reason_code": "fraudulent",
        "fee_minor": DISPUTE_FEE_MINOR,
        "occurred_at": NOW.isoformat(),
        "opened_on": str(OPENED_ON),
        "respond_by": str(RESPOND_BY),
        "closed_on": None,
    }
    make_inbox_message(kind=kind, content={**content, **over})


def handle(times: int = 1) -> int:
    """Handle what arrived, as often as is asked, and return how much was settled."""
    settled = 0
    for _ in range(times):
        with transaction(factories.home.get()):
            execute("UPDATE inbox_messages SET next_at = clock_timestamp()")
        with acting_for(factories.home.get()):
            settled += handle_dispute_events(limit=10, actor=GATEWAY, now=NOW)
    return settled


def inbox_states() -> list[str]:
    """List the states of what arrived."""
    with transaction(factories.home.get()):
        return [row.state for row in fetch("SELECT state FROM inbox_messages ORDER BY event_ref")]


def calls_of(messages: Sequence[Claimed]) -> list[DisputeOrder]:
    """Plan the calls of leased messages about disputes."""
    with transaction(factories.home.get()):
        calls, _ = plan_dispute_calls([one for one in messages if "dispute" in one.kind])
    return [order for _, order in calls]


def pay_out_dispute(found: Any, *, ref: str, is_reversed: bool, with_payment: bool) -> Any:
    """Have a chargeback, or its reversal, paid out beside other money, and match the payout."""
    attempt = read_row("payment_attempts", found.attempt_id)
    account = factories.gateway_account_of()
    kind = ItemKind.CHARGEBACK_REVERSED if is_reversed else ItemKind.CHARGEBACK
    gross = found.amount_minor if is_reversed else -found.amount_minor
    fee = 0 if is_reversed else found.fee_minor
    items = [
        PayoutItemReport(kind, found.gateway_ref, attempt.merchant_ref, gross, fee, gross - fee)
    ]
    if with_payment:
        paid = attempt.amount_minor
        items.append(
            PayoutItemReport(ItemKind.PAYMENT, "", attempt.merchant_ref, paid, 35, paid - 35)
        )
    gross, fee = (sum(getattr(one, name) for one in items) for name in ("gross_minor", "fee_minor"))
    told = PayoutReport(ref, BUSINESS_ON, account.currency, gross, fee, gross - fee, tuple(items))
    with transaction(factories.home.get()):
        payout_id = record_payout(
            gateway_account_id=account.id, report=told, actor=factories.CLERK, now=NOW
        )
    return match_payout(payout_id)


def match_payout(payout_id: Any) -> Any:
    """Match a payout (once more) and return its settlement."""
    with transaction(factories.home.get()):
        (row,) = fetch("SELECT id FROM settlements WHERE payout_id = %s", (payout_id,))
        match_settlements(
            settlement_ids=[row.id], actor=factories.CLERK, now=NOW, business_on=BUSINESS_ON
        )
    return read_row("settlements", row.id)
