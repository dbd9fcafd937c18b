"""What the tests of payments do again and again: start, send, tell, and look at the four rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from flask import Flask

from portal.db import transaction
from portal.domain.ledger import AccountKind
from portal.domain.messages import MessageKind
from portal.services.allocations import apply_credits
from portal.services.messages import Claimed, claim_messages
from portal.services.outcomes import ItemResult
from portal.services.payments import (
    AttemptResult,
    ResultKind,
    Sending,
    Verdict,
    apply_results,
    begin_sending,
    retry_payments,
    start_payments,
)
from portal.services.rulesets import load_rule_set
from portal.sql import execute
from tests import factories
from tests.factories import BUSINESS_ON, CLERK, NOW, QUERY_POLICY
from tests.services.books import balance, rows

LEASE_SECONDS = 60.0
RESEND_SECONDS = 3_600.0
RETURNED_ON = date(2026, 3, 25)
FEE_MINOR = 350


class Case(NamedTuple):
    """A payment with its last attempt, its invoice and its mandate, as they now are."""

    payment: Any
    attempt: Any
    invoice: Any
    mandate: Any


def case_of(payment_id: UUID) -> Case:
    """Read what belongs to a payment."""
    payment = factories.read_row("payments", payment_id)
    return Case(
        payment,
        factories.attempt_of(payment),
        factories.read_row("invoices", payment.invoice_id),
        factories.read_row("mandates", payment.mandate_id),
    )


def make_case(state: str = "sending", **over: Any) -> Case:
    """Start collecting an invoice of 119.00 and bring its attempt into a state by the services."""
    payment = factories.make_payment(**over)
    steps: dict[str, tuple[ResultKind, ...]] = {
        "created": (),
        "sending": (),
        "unknown": (ResultKind.LOSE,),
        "pending": (ResultKind.ACCEPT,),
        "succeeded": (ResultKind.SUCCEED,),
        "declined": (ResultKind.DECLINE,),
        "errored": (ResultKind.ERROR,),
        "returned": (ResultKind.SUCCEED, ResultKind.RETURN),
    }
    if state != "created":
        factories.answer_attempt(factories.attempt_of(payment), *steps[state])
    case = case_of(payment.id)
    assert case.attempt.state == state
    return case


def start(*invoice_ids: UUID, on: date = BUSINESS_ON) -> list[ItemResult]:
    """Start collecting invoices."""
    with transaction(factories.home.get()):
        return start_payments(invoice_ids=invoice_ids, business_on=on, actor=CLERK, now=NOW)


def retry(*payment_ids: UUID, on: date) -> list[ItemResult]:
    """Try payments again."""
    with transaction(factories.home.get()):
        return retry_payments(payment_ids=payment_ids, business_on=on, actor=CLERK, now=NOW)


def tell(*results: AttemptResult, now: datetime = NOW) -> dict[UUID, Verdict]:
    """Apply results."""
    with transaction(factories.home.get()):
        return apply_results(results=results, policy=QUERY_POLICY, actor=CLERK, now=now)


def tell_one(attempt: Any, kind: ResultKind, *, after_seconds: float = 0.0, **over: Any) -> Verdict:
    """Apply one result about an attempt and return the verdict."""
    result = AttemptResult(attempt.id, kind)._replace(**over)
    return tell(result, now=NOW + timedelta(seconds=after_seconds))[attempt.id]


def balances() -> tuple[int, ...]:
    """Return what stands on gateway clearing, receivable and payer credits."""
    kinds = (AccountKind.GATEWAY_CLEARING, AccountKind.RECEIVABLE, AccountKind.PAYER_CREDITS)
    return tuple(
        balance(kind, code="harbour" if kind is AccountKind.GATEWAY_CLEARING else "")
        for kind in kinds
    )


def give_back(attempt: Any, **over: Any) -> Verdict:
    """Tell that the bank took the money of an attempt back, for a fee."""
    wanted = {"reason_code": "AM04", "fee_minor": FEE_MINOR, "effective_on": RETURNED_ON}
    return tell_one(attempt, ResultKind.RETURN, **{**wanted, **over})


def release_reservation(case: Case) -> None:
    """Leave what a payment had reserved to others, as after a decision by a person."""
    with transaction(factories.home.get()):
        execute("UPDATE invoices SET in_payment_minor = 0 WHERE id = %s", (case.invoice.id,))
        execute("UPDATE payments SET reserved_minor = 0 WHERE id = %s", (case.payment.id,))


def apply_money(payer_id: UUID) -> None:
    """Settle what a payer owes from what the payer has."""
    with transaction(factories.home.get()):
        _, rule_set = load_rule_set(on=BUSINESS_ON)
        apply_credits(
            payer_ids=[payer_id], business_on=BUSINESS_ON, rule_set=rule_set, actor=CLERK, now=NOW
        )


def claim(*, limit: int = 100, lease_seconds: float = LEASE_SECONDS) -> list[Claimed]:
    """Lease the messages of the gateway account."""
    account = factories.gateway_account_of()
    with transaction(factories.home.get()):
        return claim_messages(
            gateway_account_id=account.id, limit=limit, lease_seconds=lease_seconds
        )


def send(messages: Sequence[Claimed], *, now: datetime = NOW) -> Sending:
    """Mark the attempts of leased charges as being sent."""
    with transaction(factories.home.get()):
        charges = [each for each in messages if each.kind == MessageKind.CHARGE]
        return begin_sending(messages=charges, resend_seconds=RESEND_SECONDS, now=now)


def expire(table: str, column: str = "next_at") -> None:
    """Let every lease or wait of a table be over."""
    with transaction(factories.home.get()):
        execute(
            f"UPDATE {table} SET {column} = clock_timestamp() - interval '1 second'"
            f" WHERE {column} IS NOT NULL"
        )


def messages_of(attempt: Any) -> list[tuple[int, str, str]]:
    """List sequence, kind and state of the messages of an attempt."""
    found = rows(
        "SELECT sequence, kind, state FROM messages WHERE aggregate_id = %s ORDER BY sequence",
        attempt.id,
    )
    return [tuple(row) for row in found]


def run_together(app: Flask, *works: Callable[[], Any]) -> list[Any]:
    """Run functions at once, each with its own connection, and return what each returned or raised.

    Shape: in the order given; the organisation of the test is theirs, too.
    """
    home = factories.home.get()
    ready = threading.Barrier(len(works), timeout=30)
    found: list[Any] = [None] * len(works)

    def run(place: int, work: Callable[[], Any]) -> None:
        factories.home.set(home)
        with app.app_context():
            ready.wait()
            try:
                found[place] = work()
            except Exception as error:  # noqa: BLE001 – handed to the test
                found[place] = error

    threads = [threading.Thread(target=run, args=(place, work)) for place, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return found
