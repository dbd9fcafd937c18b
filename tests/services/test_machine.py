"""Any order of what may happen to invoices and payments leaves books that prove themselves.

A state machine draws what people, runs and the gateway do. After each step its clearing account is
compared with what the gateway told to have taken, at the end every proof is run.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.errors import PortalError
from portal.queries.checks import run_checks
from portal.services.allocations import apply_credits
from portal.services.invoices import void_invoice
from portal.services.payments import (
    AttemptResult,
    ResultKind,
    apply_results,
    record_payment,
    retry_payments,
    start_payments,
)
from portal.services.rulesets import load_rule_set
from portal.sql import execute, fetch
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    NOW,
    QUERY_POLICY,
    Line,
    home,
    make_credit_note,
    make_issued_invoice,
    make_mandate,
    make_organisation,
    make_payer,
)

AMOUNTS = strategies.integers(min_value=500, max_value=20_000)
PLACES = strategies.integers(min_value=0, max_value=50)
REASONS = strategies.sampled_from(["AM04", "AC04", "MS03"])
ANSWERS = strategies.sampled_from(
    [each for each in ResultKind if each not in (ResultKind.RETURN, ResultKind.MISMATCH)]
)
EXAMPLES, STEPS = 30, 40
OPEN = ("created", "sending", "pending", "unknown")


class Billing(RuleBasedStateMachine):
    """One organisation with two payers, and a gateway that says anything it may say."""

    # What was heard in all examples together: a machine that hears nothing proves nothing.
    heard: ClassVar[set[ResultKind]] = set()

    @initialize()
    def begin(self) -> None:
        """Add an organisation of its own, with payments under way."""
        self.organisation_id = make_organisation("harbour", code=f"harbour-{uuid4().hex[:12]}")
        home.set(self.organisation_id)
        self.payers: list[UUID] = []
        for _ in range(2):
            payer = make_payer()
            make_mandate(payer_id=payer.id)
            self.payers.append(payer.id)
        self.taken_minor = 0
        # Most of what may happen needs an attempt; few draws would come to one by themselves.
        for place in range(3):
            self.issue(place, 1_000 * (1 + place))
        self.collect()

    @rule(place=PLACES, net_minor=AMOUNTS)
    def issue(self, place: int, net_minor: int) -> None:
        """Issue an invoice that is due by now."""
        make_issued_invoice(payer_id=self.payers[place % 2], lines=(Line(net_minor),))

    @rule(place=PLACES, net_minor=AMOUNTS)
    def credit(self, place: int, net_minor: int) -> None:
        """Issue a credit note."""
        make_credit_note(
            payer_id=self.payers[place % 2], lines=(Line(net_minor),), business_on=BUSINESS_ON
        )

    @rule()
    def apply(self) -> None:
        """Settle what can be settled from the payers' own money."""
        with transaction(self.organisation_id):
            _, rule_set = load_rule_set(on=BUSINESS_ON)
            apply_credits(
                payer_ids=self.payers, business_on=BUSINESS_ON, rule_set=rule_set, actor=CLERK,
                now=NOW,
            )  # fmt: skip

    @rule(place=PLACES)
    def void(self, place: int) -> None:
        """Void an invoice, if that may be."""
        if invoice := self._pick(place, "SELECT id, version FROM invoices ORDER BY id"):
            with suppress(PortalError), acting_for(self.organisation_id):
                void_invoice(
                    invoice_id=invoice.id, version=invoice.version, on=BUSINESS_ON,
                    reason="Sent to the wrong payer", actor=CLERK, now=NOW,
                )  # fmt: skip

    @rule()
    def collect(self) -> None:
        """Start collecting everything that is open, twice as fast as it is wise."""
        for _ in range(2):
            with transaction(self.organisation_id):
                ids = [row.id for row in fetch("SELECT id FROM invoices WHERE state = 'issued'")]
                start_payments(invoice_ids=ids, business_on=BUSINESS_ON, actor=CLERK, now=NOW)

    @rule(place=PLACES, amount_minor=AMOUNTS)
    def record(self, place: int, amount_minor: int) -> None:
        """Record money that came beside the gateway, if that may be."""
        if invoice := self._pick(place, "SELECT id FROM invoices ORDER BY id"):
            with suppress(PortalError), acting_for(self.organisation_id):
                record_payment(
                    invoice_id=invoice.id, amount_minor=amount_minor, paid_on=BUSINESS_ON,
                    method="transfer", reference="counter", actor=CLERK, now=NOW,
                )  # fmt: skip

    @rule(place=PLACES, kind=ANSWERS, reason=REASONS, times=strategies.integers(1, 2))
    def answer(self, place: int, kind: ResultKind, reason: str, times: int) -> None:
        """Send an attempt and hear of it, once or twice."""
        attempt = self._pick(
            place, "SELECT * FROM payment_attempts WHERE state = ANY(%s) ORDER BY id", list(OPEN)
        )
        if attempt is None:
            return
        with transaction(self.organisation_id):
            execute(
                "UPDATE payment_attempts SET state = 'sending', version = version + 1"
                " WHERE id = %s AND state = 'created'",
                (attempt.id,),
            )
        self._hear(attempt, kind, reason, times)
        if kind is ResultKind.SUCCEED:
            self.taken_minor += attempt.amount_minor

    @rule(place=PLACES, reason=REASONS, times=strategies.integers(1, 2))
    def take_back(self, place: int, reason: str, times: int) -> None:
        """Hear that a bank took a collected amount back, once or twice."""
        attempt = self._pick(
            place, "SELECT * FROM payment_attempts WHERE state = 'succeeded' ORDER BY id"
        )
        if attempt is not None:
            self._hear(attempt, ResultKind.RETURN, reason, times)
            self.taken_minor -= attempt.amount_minor

    @rule()
    def retry(self) -> None:
        """Try everything again that is planned for some day."""
        with transaction(self.organisation_id):
            rows = fetch("SELECT id, next_attempt_on FROM payments WHERE state = 'scheduled'")
        for on in sorted({row.next_attempt_on for row in rows if row.next_attempt_on}):
            with transaction(self.organisation_id):
                ids = [row.id for row in rows if row.next_attempt_on == on]
                results = retry_payments(payment_ids=ids, business_on=on, actor=CLERK, now=NOW)
            assert all(result.outcome is not ItemOutcome.FAILED for result in results)

    @precondition(lambda self: hasattr(self, "payers"))
    @invariant()
    def clearing_is_what_was_said(self) -> None:
        """Compare the clearing account with what the gateway told."""
        with acting_for(self.organisation_id):
            (row,) = fetch(
                "SELECT COALESCE(sum(CASE 'gateway_clearing' WHEN d.kind THEN p.amount_minor"
                " WHEN c.kind THEN -p.amount_minor END), 0) AS balance FROM postings p"
                " JOIN ledger_accounts d ON d.id = p.debit_account_id"
                " JOIN ledger_accounts c ON c.id = p.credit_account_id"
            )
        assert row.balance == self.taken_minor

    def teardown(self) -> None:
        """Run every proof."""
        if hasattr(self, "payers"):
            with acting_for(self.organisation_id):
                assert [result for result in run_checks() if result.rows] == []

    def _hear(self, attempt: Any, kind: ResultKind, reason: str, times: int) -> None:
        told = AttemptResult(
            attempt.id,
            kind,
            f"gw-{attempt.merchant_ref}",
            reason_code=reason,
        )
        self.heard.add(kind)
        for _ in range(times):
            with transaction(self.organisation_id):
                apply_results(results=[told], policy=QUERY_POLICY, actor=CLERK, now=NOW)

    def _pick(self, place: int, statement: str, *parameters: object) -> Any:
        with transaction(self.organisation_id):
            rows = fetch(statement, parameters)
        return rows[place % len(rows)] if rows else None


@pytest.mark.slow
def test_any_order_of_events_leaves_books_that_prove_themselves(app: Flask) -> None:
    run_state_machine_as_test(
        Billing,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert {ResultKind.SUCCEED, ResultKind.DECLINE} <= Billing.heard
