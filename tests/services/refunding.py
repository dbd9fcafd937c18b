"""What the tests of refunds do again and again: ask, approve, send, tell, and look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from portal.db import acting_for, transaction
from portal.domain.messages import MessageKind
from portal.domain.users import Actor
from portal.gateways.base import ItemKind, PayoutItemReport, PayoutReport
from portal.ids import new_id
from portal.queries.checks import run_checks
from portal.services.messages import Claimed
from portal.services.payments import ResultKind, Verdict
from portal.services.refunds import (
    RefundResult,
    RefundSending,
    RefundWish,
    apply_refund_results,
    approve_refund,
    begin_refunds,
    request_refund,
)
from portal.services.settlements import match_settlements, record_payout
from portal.sql import fetch
from tests import factories
from tests.factories import BUSINESS_ON, NOW, QUERY_POLICY, read_row
from tests.services.books import assert_books_hold
from tests.services.collecting import LEASE_SECONDS, RESEND_SECONDS, claim

ASKER = Actor("person", UUID(int=11), "Ada Clerk")
APPROVER = Actor("person", UUID(int=12), "Mara Weber")
REASON = "Paid twice."


def ask(
    payment: Any, amount_minor: int, *, request_key: str | None = None, actor: Actor = ASKER
) -> UUID:
    """Ask for a refund of a payment."""
    wish = RefundWish(payment.id, amount_minor, REASON, request_key)
    with acting_for(factories.home.get()):
        return request_refund(wish=wish, on=BUSINESS_ON, actor=actor, now=NOW)


def approve(refund_id: UUID, actor: Actor = APPROVER) -> None:
    """Let a refund go."""
    with acting_for(factories.home.get()):
        approve_refund(refund_id=refund_id, actor=actor, now=NOW)


def send_refunds(messages: Sequence[Claimed], *, now: Any = NOW) -> RefundSending:
    """Mark the refunds of leased messages as being sent."""
    orders = [each for each in messages if each.kind == MessageKind.REFUND]
    with transaction(factories.home.get()):
        return begin_refunds(
            messages=orders, resend_seconds=RESEND_SECONDS, ask_seconds=LEASE_SECONDS, now=now
        )


def tell_refund(
    refund_id: UUID, kind: ResultKind, *, after_seconds: float = 0.0, **over: Any
) -> Verdict:
    """Apply one result about a refund and return the verdict."""
    result = RefundResult(refund_id, kind)._replace(**over)
    with transaction(factories.home.get()):
        now = NOW + timedelta(seconds=after_seconds)
        return apply_refund_results(
            results=[result], policy=QUERY_POLICY, actor=factories.CLERK, now=now
        )[refund_id]


def make_refund(state: str = "submitted", *, payment: Any = None, amount_minor: int = 5_000) -> Any:
    """Bring a refund of a payment of 119.00 into a state by the services."""
    payment = payment or factories.make_succeeded_payment()
    refund_id = ask(payment, amount_minor)
    row = read_row("refunds", refund_id)
    if row.state == "requested" and state != "requested":
        approve(refund_id)
    if state not in ("requested", "approved"):
        send_refunds(claim())
    if state == "succeeded":
        tell_refund(refund_id, ResultKind.SUCCEED, gateway_ref=f"re-{new_id().hex}")
    elif state == "failed":
        tell_refund(refund_id, ResultKind.DECLINE, reason_code="AC04")
    found = read_row("refunds", refund_id)
    assert found.state == state, found
    return found


def pay_out_refund(refund: Any, amount_minor: int) -> None:
    """Have the payment of a refund paid out, less an amount, and match the payout."""
    attempt = read_row("payment_attempts", refund.attempt_id)
    account = factories.gateway_account_of()
    gross, fee = attempt.amount_minor, 35
    items = (
        PayoutItemReport(ItemKind.PAYMENT, "", attempt.merchant_ref, gross, fee, gross - fee),
        PayoutItemReport(ItemKind.REFUND, "", refund.merchant_ref, -amount_minor, 0, -amount_minor),
    )
    gross -= amount_minor
    report = PayoutReport(
        "payout-of-refund", BUSINESS_ON, account.currency, gross, fee, gross - fee, items
    )
    with transaction(factories.home.get()):
        payout_id = record_payout(
            gateway_account_id=account.id, report=report, actor=factories.CLERK, now=NOW
        )
        settlements = fetch("SELECT id FROM settlements WHERE payout_id = %s", (payout_id,))
        match_settlements(
            settlement_ids=[row.id for row in settlements],
            actor=factories.CLERK,
            now=NOW,
            business_on=BUSINESS_ON,
        )


def assert_everything_holds() -> None:
    """Run the proofs of the tests and those of the portal."""
    assert_books_hold()
    with acting_for(factories.home.get()):
        broken = [result for result in run_checks() if result.rows]
    assert broken == []
