"""How often a payment is tried in all, as the agreement plans it: “attempt 3 of 5”."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from portal.domain.payments import AttemptState, PaymentMethod
from portal.services.rulesets import load_rule_set
from portal.sql import fetch
from rules.reasons import ReasonClass, find_reason
from rules.ruleset import CompiledRuleSet
from rules.types import PaymentFacts

# More attempts than any agreement may allow.
ATTEMPTS_ASKED_MAX = 30
# What a decline that is worth another try is, where none has happened yet.
USUAL_REASON = "MS03"


def list_attempts_max(*, payment_ids: Sequence[UUID], on: date) -> dict[UUID, int]:
    """Say how often each payment is tried at most, by the agreement in force on a day.

    Shape: never below the attempts made: a person may add some, and a hard decline ends them.
    Raises: RuleSetNotFound.
    """
    rows = fetch(
        "SELECT y.id, y.amount_minor, y.currency, y.attempts_count, y.started_on, a.reason_code,"
        " a.state AS attempt_state, y.method FROM payments y LEFT JOIN LATERAL ("
        " SELECT state, reason_code FROM payment_attempts WHERE payment_id = y.id"
        " ORDER BY number DESC LIMIT 1) a ON true WHERE y.id = ANY(%s)",
        (list(payment_ids),),
    )
    if not rows:
        return {}
    _, rule_set = load_rule_set(on=on)
    return {row.id: max(row.attempts_count, _planned(rule_set, row)) for row in rows}


def _planned(rule_set: CompiledRuleSet, row: Any) -> int:
    """Ask the rules attempt after attempt until they plan no other one.

    Shape: nothing for what no gateway collects, and for what is never tried again.
    """
    reason_code = row.reason_code or USUAL_REASON
    is_over = find_reason(reason_code).reason_class is not ReasonClass.RETRYABLE
    if row.method != PaymentMethod.MANDATE or is_over:
        return 0
    for number in range(1, ATTEMPTS_ASKED_MAX):
        facts = PaymentFacts(
            str(row.id),
            row.amount_minor,
            row.currency,
            number,
            reason_code,
            "return" if row.attempt_state == AttemptState.RETURNED else "decline",
            row.started_on,
            row.started_on,
        )
        if rule_set.decide_retry(facts).action != "retry":
            return number
    return ATTEMPTS_ASKED_MAX
