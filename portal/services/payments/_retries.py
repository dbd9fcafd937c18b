"""Asking what follows a payment that failed, and keeping why until it is written."""

from datetime import date, datetime
from typing import Any, Literal

from portal.queries.payments import CONTRADICTED_WORKLIST
from portal.services.rulesets import load_rule_set
from portal.services.traces import Trace, record_traces
from rules.ruleset import CompiledRuleSet
from rules.traces import trace_retry
from rules.types import PaymentFacts, RetryDecision, Stage

# What a failure is of which the gateway did not say why.
UNKNOWN_REASON = "MS03"

CONTRADICTED = RetryDecision(
    "fail",
    None,
    CONTRADICTED_WORKLIST,
    "The gateway has said two things about this payment; it is not tried again by itself.",
)


class Retries:
    """The decisions of one transaction, each by the agreement of its day."""

    def __init__(self) -> None:
        """Begin without any."""
        self._rule_sets: dict[date, tuple[int, CompiledRuleSet]] = {}
        self._traces: dict[date, list[Trace]] = {}

    def decide(
        self,
        row: Any,
        reason_code: str | None,
        kind: Literal["decline", "return"],
        *,
        on: date,
        instead: RetryDecision | None = None,
    ) -> RetryDecision:
        """Ask the organisation's rules what follows a decline or return.

        Shape: `instead` is what follows where a retry is agreed, but cannot be; no retry follows
        while the gateway contradicts itself, whatever the rules say.
        Raises: RuleSetNotFound.
        """
        if on not in self._rule_sets:
            self._rule_sets[on] = load_rule_set(on=on)
        facts = PaymentFacts(
            str(row.payment_id),
            row.amount_minor,
            row.currency,
            row.number,
            reason_code or UNKNOWN_REASON,
            kind,
            on,
            row.started_on,
        )
        decision = self._rule_sets[on][1].decide_retry(facts)
        if decision.action == "retry":
            is_contradicted = row.worklist == CONTRADICTED_WORKLIST
            decision = (CONTRADICTED if is_contradicted else instead) or decision
        self._traces.setdefault(on, []).append((row.payment_id, trace_retry(facts, decision)))
        return decision

    def write(self, now: datetime) -> None:
        """Record why each was decided, with one statement for each day."""
        for on, traces in self._traces.items():
            record_traces(
                traces,
                subject_type="payment",
                stage=Stage.ATTEMPT_FAILED,
                version=self._rule_sets[on][0],
                on=on,
                now=now,
            )
