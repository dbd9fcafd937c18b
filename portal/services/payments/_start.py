"""Starting payments: reserve on the invoice, write payment, attempt and message in one go."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.messages import MessageKind
from portal.domain.payers import arrangement_on
from portal.domain.payments import PAYMENT_MOVES, STOPPED_REASON, AttemptState, PaymentState
from portal.domain.users import Actor
from portal.ids import new_id, public_id
from portal.queries.populations import DISPUTED, ON_WORKLIST
from portal.queue import ring
from portal.services.events import record_events
from portal.services.outcomes import ItemResult
from portal.services.rulesets import load_rule_set
from portal.services.traces import SubjectType, record_traces
from portal.sql import execute, fetch, stage_rows
from rules import CATALOGUE
from rules.ruleset import CompiledRuleSet
from rules.traces import trace_findings
from rules.types import Finding, InvoiceFacts, Severity, Stage

MANDATE_UNUSED_MONTHS_MAX = 36  # SEPA: a mandate lapses when it has not been used that long.
DELIVERY_BELL = "jobs.message_delivery.drain_messages"
PAID_OTHERWISE = "The invoice was paid otherwise."

_INVOICE_COLUMNS = (
    "i.id AS invoice_id, i.state AS invoice_state, i.kind, i.currency, i.payer_id,"
    " i.open_minor, i.in_payment_minor, i.total_minor, i.due_on, i.external_ref,"
    " i.purchase_order_ref, i.document_on, p.kind AS payer_kind, p.external_ref AS payer_ref,"
    " p.is_default, p.is_on_hold, p.arrangement, p.arranged_until, m.id AS mandate_id,"
    " m.gateway_account_id, COALESCE(m.last_used_on, m.signed_on) AS mandate_used_on"
)
_INVOICE_JOINS = (
    " JOIN payers p ON p.id = i.payer_id"
    " LEFT JOIN mandates m ON m.payer_id = i.payer_id AND m.currency = i.currency"
    " AND m.state = 'active'"
)
_DISPUTED = (
    f"EXISTS (SELECT FROM payments y WHERE y.invoice_id = i.id AND {DISPUTED}) AS is_disputed"
)
START_COLUMNS = {
    "payment_id": "uuid",
    "attempt_id": "uuid",
    "message_id": "uuid",
    "invoice_id": "uuid",
    "payer_id": "uuid",
    "mandate_id": "uuid",
    "gateway_account_id": "uuid",
    "currency": "text",
    "amount_minor": "bigint",
    "number": "smallint",
    "merchant_ref": "text",
    "idempotency_key": "text",
}


class Start(NamedTuple):
    """One attempt to be made, in the order of START_COLUMNS."""

    payment_id: UUID
    attempt_id: UUID
    message_id: UUID
    invoice_id: UUID
    payer_id: UUID
    mandate_id: UUID
    gateway_account_id: UUID
    currency: str
    amount_minor: int
    number: int
    merchant_ref: str
    idempotency_key: str


def start_payments(
    *,
    invoice_ids: Sequence[UUID],
    business_on: date,
    actor: Actor,
    now: datetime,
) -> list[ItemResult]:
    """Start collecting what is open of invoices through their payers' mandates.

    Shape: one result per id; what is not due, on hold, without mandate or against the rules is
    filtered. The amount is reserved on the invoice, so that nobody else can take it.
    """
    with transaction():
        _, rule_set = load_rule_set(on=business_on)
        rows = fetch(
            f"SELECT {_INVOICE_COLUMNS}, EXISTS (SELECT FROM payments y WHERE y.invoice_id = i.id"
            " AND y.state IN ('scheduled', 'processing', 'requires_action')) AS is_in_payment,"
            " EXISTS (SELECT FROM payments y WHERE y.invoice_id = i.id"
            f" AND {ON_WORKLIST}) AS is_on_worklist, {_DISPUTED},"
            " EXISTS (SELECT FROM payments y WHERE y.invoice_id = i.id AND y.mandate_id = m.id"
            " AND (y.reason_code = %s OR y.refunded_minor + y.disputed_minor > 0)) AS is_stopped"
            f" FROM invoices i{_INVOICE_JOINS} WHERE i.organisation_id = %s AND i.id = ANY(%s)"
            " ORDER BY i.id FOR UPDATE OF i",
            (STOPPED_REASON, current_organisation_id(), list(invoice_ids)),
        )
        results = {
            invoice_id: ItemResult(
                invoice_id, ItemOutcome.FILTERED, "not_found", "There is no such invoice."
            )
            for invoice_id in sorted(invoice_ids)
        }
        starts: list[Start] = []
        for row in rows:
            reason = _reason_not_to_collect(row, rule_set, business_on)
            if reason:
                results[row.invoice_id] = ItemResult(row.invoice_id, ItemOutcome.FILTERED, *reason)
                continue
            start = _plan(row, new_id(), row.open_minor - row.in_payment_minor, 1)
            starts.append(start)
            results[row.invoice_id] = ItemResult(
                row.invoice_id, ItemOutcome.DONE, amount_minor=start.amount_minor
            )
        refused = [row for row in rows if results[row.invoice_id].code in CATALOGUE]
        _trace_refused("invoice", refused, business_on, now)
        if starts:
            _stage(starts)
            _insert_payments(business_on, actor)
            _begin_attempts(business_on, actor=actor, now=now, starts=starts)
        return list(results.values())


def retry_payments(
    *, payment_ids: Sequence[UUID], business_on: date, actor: Actor, now: datetime
) -> list[ItemResult]:
    """Try scheduled payments again, for what is still open of their invoices.

    Shape: one result per id; a payment whose invoice was paid otherwise is cancelled.
    """
    with transaction():
        _, rule_set = load_rule_set(on=business_on)
        rows = fetch(
            f"SELECT y.id AS payment_id, y.state, y.amount_minor, y.attempts_count,"
            f" y.next_attempt_on, {_INVOICE_COLUMNS}, false AS is_in_payment,"
            " y.worklist IS NOT NULL AS is_on_worklist, false AS is_stopped,"
            f" {_DISPUTED}"
            f" FROM payments y JOIN invoices i ON i.id = y.invoice_id{_INVOICE_JOINS}"
            " WHERE y.organisation_id = %s AND y.id = ANY(%s)"
            " ORDER BY i.id FOR UPDATE OF i, y",
            (current_organisation_id(), list(payment_ids)),
        )
        results = {
            payment_id: ItemResult(
                payment_id, ItemOutcome.FILTERED, "not_found", "There is no such payment."
            )
            for payment_id in sorted(payment_ids)
        }
        starts: list[Start] = []
        cancelled: list[UUID] = []
        for row in rows:
            results[row.payment_id], start = _plan_retry(row, rule_set, business_on, cancelled)
            if start is not None:
                starts.append(start)
        refused = [row for row in rows if results[row.payment_id].code in CATALOGUE]
        _trace_refused("payment", refused, business_on, now)
        if cancelled:
            _cancel(cancelled, actor=actor, now=now)
        if starts:
            _stage(starts)
            _resume_payments()
            _begin_attempts(business_on, actor=actor, now=now, starts=starts)
        return list(results.values())


def _plan_retry(
    row: Any, rule_set: CompiledRuleSet, business_on: date, cancelled: list[UUID]
) -> tuple[ItemResult, Start | None]:
    def filtered(code: str, message: str) -> tuple[ItemResult, None]:
        return ItemResult(row.payment_id, ItemOutcome.FILTERED, code, message), None

    is_due = row.next_attempt_on is not None and row.next_attempt_on <= business_on
    if row.state != PaymentState.SCHEDULED or not is_due:
        return filtered("not_scheduled", "The payment is not to be tried on this date.")
    available = row.open_minor - row.in_payment_minor
    if available <= 0 or row.invoice_state != "issued":
        cancelled.append(row.payment_id)
        return filtered("paid_otherwise", "The invoice was paid otherwise; nothing was collected.")
    reason = _reason_not_to_collect(row, rule_set, business_on)
    if reason:
        return filtered(*reason)
    amount_minor = min(row.amount_minor, available)
    start = _plan(row, row.payment_id, amount_minor, row.attempts_count + 1)
    return ItemResult(row.payment_id, ItemOutcome.DONE, amount_minor=amount_minor), start


def _reason_not_to_collect(  # noqa: PLR0911 - the order of the checks is their precedence
    row: Any, rule_set: CompiledRuleSet, business_on: date
) -> tuple[str, str] | None:
    """Say why an invoice is not collected now, as a code and a sentence."""
    if row.invoice_state != "issued" or row.open_minor - row.in_payment_minor <= 0:
        return "nothing_open", "Nothing of this invoice is open."
    if row.is_in_payment:
        return "in_payment", "A payment of this invoice is already under way."
    if row.is_disputed:
        return "disputed", "The payer's bank disputes a payment of this invoice."
    if row.is_on_worklist:
        return "on_worklist", "A failed payment of this invoice waits for a person to look at it."
    if row.is_stopped:
        return "stopped", "A person stopped collecting it through this mandate, or gave money back."
    if row.is_on_hold:
        return "payer_on_hold", "The payer is on hold."
    if row.mandate_id is None:
        return "no_mandate", "The payer has no active mandate in this currency."
    if _months_between(row.mandate_used_on, business_on) >= MANDATE_UNUSED_MONTHS_MAX:
        return "mandate_lapsed", "The mandate was not used for 36 months; ask for a new one."
    if row.due_on > business_on:
        return "not_due", f"The invoice is due on {row.due_on}."
    for finding in _list_against(row, rule_set, business_on):
        return finding.code, finding.message
    return None


def _list_against(row: Any, rule_set: CompiledRuleSet, business_on: date) -> list[Finding]:
    findings = rule_set.collect_findings(_facts(row, business_on))
    return [each for each in findings if each.severity is Severity.BLOCK]


def _trace_refused(
    subject_type: SubjectType, rows: Sequence[Any], business_on: date, now: datetime
) -> None:
    """Record why rules refuse what was to be collected, unless they did so the last time."""
    if not rows:
        return
    version, rule_set = load_rule_set(on=business_on)
    record_traces(
        (
            (
                getattr(row, f"{subject_type}_id"),
                trace_findings(_list_against(row, rule_set, business_on)),
            )
            for row in rows
        ),
        subject_type=subject_type,
        stage=Stage.COLLECT,
        version=version,
        on=business_on,
        now=now,
        only_news=True,
    )


def _facts(row: Any, business_on: date) -> InvoiceFacts:
    return InvoiceFacts(
        str(row.invoice_id),
        row.kind,
        row.currency,
        row.payer_kind,
        row.payer_ref,
        row.is_default,
        row.external_ref,
        row.purchase_order_ref,
        row.document_on,
        business_on,
        False,
        (),
        row.total_minor,
        row.open_minor,
        row.due_on,
        arrangement=arrangement_on(row.arrangement, row.arranged_until, business_on),
    )


def _months_between(earlier: date, later: date) -> int:
    whole = (later.year - earlier.year) * 12 + later.month - earlier.month
    return whole - (later.day < earlier.day)


def _plan(row: Any, payment_id: UUID, amount_minor: int, number: int) -> Start:
    attempt_id = new_id()
    return Start(
        payment_id,
        attempt_id,
        new_id(),
        row.invoice_id,
        row.payer_id,
        row.mandate_id,
        row.gateway_account_id,
        row.currency,
        amount_minor,
        number,
        public_id("attempt", attempt_id),
        f"charge-{attempt_id.hex}",
    )


def _stage(starts: Sequence[Start]) -> None:
    stage_rows("staged_starts", START_COLUMNS, starts)


def _insert_payments(business_on: date, actor: Actor) -> None:
    execute(
        "INSERT INTO payments (organisation_id, id, payer_id, invoice_id, currency, amount_minor,"
        " reserved_minor, method, mandate_id, state, attempts_count, started_on, run_id)"
        " SELECT %s, payment_id, payer_id, invoice_id, currency, amount_minor, amount_minor,"
        " 'mandate', mandate_id, %s, 1, %s, %s FROM pg_temp.staged_starts",
        (
            current_organisation_id(),
            PaymentState.PROCESSING.value,
            business_on,
            actor.id if actor.kind == "run" else None,
        ),
    )


def _resume_payments() -> None:
    execute(
        "UPDATE payments y SET state = %s, amount_minor = s.amount_minor,"
        " reserved_minor = s.amount_minor, attempts_count = s.number, next_attempt_on = NULL,"
        " worklist = NULL, mandate_id = s.mandate_id, version = y.version + 1"
        " FROM pg_temp.staged_starts s WHERE y.organisation_id = %s AND y.id = s.payment_id",
        (
            PAYMENT_MOVES.next(PaymentState.SCHEDULED, "start").value,
            current_organisation_id(),
        ),
    )


def _begin_attempts(
    business_on: date, *, actor: Actor, now: datetime, starts: Sequence[Start]
) -> None:
    """Write the staged attempts with their messages, and reserve their amounts."""
    scope = {
        "o": current_organisation_id(),
        "on": business_on,
        "created": AttemptState.CREATED.value,
        "charge": MessageKind.CHARGE.value,
    }
    execute(
        "INSERT INTO payment_attempts (organisation_id, id, payment_id, number, currency,"
        " amount_minor, state, gateway_account_id, merchant_ref, idempotency_key, business_on)"
        " SELECT %(o)s, attempt_id, payment_id, number, currency, amount_minor, %(created)s,"
        " gateway_account_id, merchant_ref, idempotency_key, %(on)s FROM pg_temp.staged_starts",
        scope,
    )
    execute(
        "INSERT INTO messages (organisation_id, id, aggregate_id, sequence, kind,"
        " gateway_account_id, payload) SELECT %(o)s, message_id, attempt_id, 1, %(charge)s,"
        " gateway_account_id, '{}' FROM pg_temp.staged_starts",
        scope,
    )
    execute(
        "UPDATE invoices i SET in_payment_minor = i.in_payment_minor + s.amount_minor,"
        " version = i.version + 1 FROM pg_temp.staged_starts s"
        " WHERE i.organisation_id = %(o)s AND i.id = s.invoice_id",
        scope,
    )
    execute(
        "UPDATE mandates m SET last_used_on = %(on)s FROM pg_temp.staged_starts s"
        " WHERE m.organisation_id = %(o)s AND m.id = s.mandate_id"
        " AND m.last_used_on IS DISTINCT FROM %(on)s",
        scope,
    )
    record_events((("payment.started", each.payment_id) for each in starts), actor=actor, now=now)
    ring(DELIVERY_BELL, times=2)


def _cancel(payment_ids: Sequence[UUID], *, actor: Actor, now: datetime) -> None:
    execute(
        "UPDATE payments SET state = %s, next_attempt_on = NULL, worklist = NULL,"
        " explanation = %s, version = version + 1 WHERE id = ANY(%s)",
        (
            PAYMENT_MOVES.next(PaymentState.SCHEDULED, "cancel").value,
            PAID_OTHERWISE,
            list(payment_ids),
        ),
    )
    record_events(
        (("payment.cancelled", payment_id) for payment_id in payment_ids), actor=actor, now=now
    )
