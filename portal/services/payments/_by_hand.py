"""Recording money that reached the organisation beside the gateway: by transfer or over a desk."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.invoices import InvoiceKind, InvoiceState
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.money import check_amount
from portal.domain.payments import (
    CONTESTED_WORKLISTS,
    PAYMENT_MOVES,
    RECORDED_METHODS,
    PaymentState,
)
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.payments import PaymentRow, find_similar_payment
from portal.services.events import record_event, record_events
from portal.services.ledger import Account, LedgerBook
from portal.services.payments._start import PAID_OTHERWISE
from portal.sql import execute, fetch, fetch_one

REFERENCE_CHARACTERS_MAX = 100
# Money that comes much before its invoice belongs to another one; the year is often the slip.
EARLIER_DAYS_MAX = 366


class PaymentInvalid(Invalid):
    """The payment cannot be recorded: {reason}. Nothing was saved; correct it and try again."""

    reason: str


class PaidInvoiceMissing(NotFound):
    """There is no such invoice here, so the payment was not saved. Choose an invoice from the
    list."""


class InvoiceNotPayable(Conflict):
    """The payment was not saved: {reason}. {advice}."""

    reason: str
    advice: str


class GatewayIsCollecting(Conflict):
    """The gateway is collecting this invoice at this moment, so the same money could be taken
    twice. The payment was not saved; ask the gateway for the outcome, and record it then."""


class SimilarPayment(Conflict):
    """A payment of the same amount on the same day is there already. Nothing was recorded yet; look
    at that payment, and record this one again if it is another."""

    payment: PaymentRow


class SecondLook(NamedTuple):
    """A person is asked before a payment is recorded that resembles one they have not seen.

    Shape: the id of the similar one they have seen and know to be another; None before they did.
    """

    seen_id: UUID | None = None


def record_payment(
    *,
    invoice_id: UUID,
    amount_minor: int,
    paid_on: date,
    method: str,
    reference: str,
    actor: Actor,
    now: datetime,
    second_look: SecondLook | None = None,
) -> UUID:
    """Record money that a payer paid beside the gateway, and settle the invoice with it.

    Shape: what exceeds the open amount is kept as the payer's credit; a planned retry is cancelled
    when nothing is left for it, and otherwise made smaller. Without a second look, as for a machine
    that names each of its payments by a key, what resembles another payment is recorded as well.
    Raises: PaymentInvalid; AmountTooLarge; PaidInvoiceMissing; InvoiceNotPayable;
    GatewayIsCollecting; SimilarPayment.
    """
    reference = reference.strip()
    _check(amount_minor, method, reference)
    with transaction():
        invoice = _lock_invoice(invoice_id, paid_on, now)
        if second_look is not None:
            _look_again(invoice, amount_minor, paid_on, second_look)
        others = _lock_waiting(invoice_id)
        allocated = min(amount_minor, invoice.open_minor)
        excess = amount_minor - allocated
        payment_id = _insert_payment(invoice, amount_minor, paid_on, method)
        _settle(invoice, payment_id, allocated, excess, paid_on)
        _post(invoice, payment_id, allocated, excess, paid_on)
        record_event(
            "payment.recorded",
            payment_id,
            actor=actor,
            now=now,
            details={
                "amount_minor": amount_minor,
                "currency": invoice.currency,
                "method": method,
                "reference": reference,
                "allocated_minor": allocated,
                "credit_minor": excess,
            },
        )
        _relieve(others, invoice.open_minor - allocated, actor=actor, now=now)
    return payment_id


def _check(amount_minor: int, method: str, reference: str) -> None:
    if amount_minor <= 0:
        raise PaymentInvalid(reason="its amount is not above zero", field="amount")
    check_amount(amount_minor)
    if method not in RECORDED_METHODS:
        known = " or ".join(each.value for each in RECORDED_METHODS)
        raise PaymentInvalid(reason=f"its method must be {known}", field="method")
    if len(reference) > REFERENCE_CHARACTERS_MAX:
        reason = f"its reference has more than {REFERENCE_CHARACTERS_MAX} characters"
        raise PaymentInvalid(reason=reason, field="reference")
    if not reference.isprintable():
        reason = "its reference has characters that cannot be shown"
        raise PaymentInvalid(reason=reason, field="reference")


def _lock_invoice(invoice_id: UUID, paid_on: date, now: datetime) -> Any:
    """Lock the invoice that is paid, and refuse one that cannot be or a day that cannot be right.

    Raises: PaidInvoiceMissing; InvoiceNotPayable; PaymentInvalid.
    """
    invoice = fetch_one(
        "SELECT i.id, i.state, i.kind, i.payer_id, i.currency, i.open_minor, i.issued_on,"
        " (%(now)s::timestamptz AT TIME ZONE o.zone)::date AS today FROM invoices i"
        " JOIN organisations o ON o.id = i.organisation_id"
        " WHERE i.organisation_id = %(o)s AND i.id = %(id)s FOR UPDATE OF i",
        {"now": now, "o": current_organisation_id(), "id": invoice_id},
    )
    if invoice is None:
        raise PaidInvoiceMissing
    if invoice.kind == InvoiceKind.CREDIT_NOTE:
        advice = "Choose the invoice that the payer meant"
        raise InvoiceNotPayable(reason="a credit note is not paid by its payer", advice=advice)
    if invoice.state not in (InvoiceState.ISSUED, InvoiceState.VOIDED):
        advice = "Issue it first"
        raise InvoiceNotPayable(reason="the invoice is not issued", advice=advice)
    if paid_on > invoice.today:
        raise PaymentInvalid(reason="its day is in the future", field="paid_on")
    if paid_on < invoice.issued_on - timedelta(days=EARLIER_DAYS_MAX):
        reason = "its day is more than a year before the invoice was issued"
        raise PaymentInvalid(reason=reason, field="paid_on")
    return invoice


def _look_again(invoice: Any, amount_minor: int, paid_on: date, second_look: SecondLook) -> None:
    """Refuse a payment that resembles one which nobody has said to be another.

    Raises: SimilarPayment.
    """
    # The similar one may be of another invoice: all that is recorded for a payer comes in turn.
    execute(
        "SELECT 1 FROM payers WHERE organisation_id = %s AND id = %s FOR NO KEY UPDATE",
        (current_organisation_id(), invoice.payer_id),
    )
    similar = find_similar_payment(invoice.id, amount_minor, paid_on)
    if similar is not None and similar.id != second_look.seen_id:
        raise SimilarPayment(payment=similar)


def _lock_waiting(invoice_id: UUID) -> list[Any]:
    """Lock the other payments of an invoice that are planned or wait for a person.

    Raises: GatewayIsCollecting.
    """
    # Apart from the lock on the invoice: this statement sees what was committed before it.
    rows = fetch(
        "SELECT id, state, amount_minor, worklist FROM payments"
        " WHERE organisation_id = %(o)s AND invoice_id = %(id)s AND (state = ANY(%(open)s)"
        " OR state = %(failed)s AND worklist IS NOT NULL) ORDER BY id FOR UPDATE",
        {
            "o": current_organisation_id(),
            "id": invoice_id,
            "open": [
                PaymentState.SCHEDULED.value,
                PaymentState.PROCESSING.value,
                PaymentState.REQUIRES_ACTION.value,
            ],
            "failed": PaymentState.FAILED.value,
        },
    )
    if any(row.state in (PaymentState.PROCESSING, PaymentState.REQUIRES_ACTION) for row in rows):
        raise GatewayIsCollecting
    # Whether the gateway has that money is for a person to find out, whatever else came in.
    return [row for row in rows if row.worklist not in CONTESTED_WORKLISTS]


def _insert_payment(invoice: Any, amount_minor: int, paid_on: date, method: str) -> UUID:
    payment_id = new_id()
    execute(
        "INSERT INTO payments (organisation_id, id, payer_id, invoice_id, currency, amount_minor,"
        " method, state, started_on) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            current_organisation_id(),
            payment_id,
            invoice.payer_id,
            invoice.id,
            invoice.currency,
            amount_minor,
            method,
            PaymentState.SUCCEEDED.value,
            paid_on,
        ),
    )
    return payment_id


def _settle(invoice: Any, payment_id: UUID, allocated: int, excess: int, paid_on: date) -> None:
    """Allocate to the invoice what is open of it, and keep the rest for the payer."""
    organisation_id = current_organisation_id()
    if allocated:
        execute(
            "INSERT INTO allocations (organisation_id, id, invoice_id, payment_id, currency,"
            " amount_minor, applied_on) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (organisation_id, new_id(), invoice.id, payment_id, invoice.currency, allocated,
             paid_on),
        )  # fmt: skip
        execute(
            "UPDATE invoices SET paid_minor = paid_minor + %s, version = version + 1"
            " WHERE organisation_id = %s AND id = %s",
            (allocated, organisation_id, invoice.id),
        )
    if excess:
        execute(
            "INSERT INTO payer_credits (organisation_id, id, payer_id, payment_id, currency,"
            " amount_minor, since_on) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (organisation_id, new_id(), invoice.payer_id, payment_id, invoice.currency, excess,
             paid_on),
        )  # fmt: skip


def _post(invoice: Any, payment_id: UUID, allocated: int, excess: int, paid_on: date) -> None:
    # There is no account for a till: what is paid over the desk is banked.
    bank = Account(AccountKind.BANK, invoice.currency)
    book = LedgerBook()
    entry_id = book.add_entry(
        EntryKind.PAYMENT_RECORDED,
        source_type="payment",
        source_id=payment_id,
        effective_on=paid_on,
    )
    book.post(
        entry_id,
        bank,
        Account(AccountKind.RECEIVABLE, invoice.currency),
        allocated,
        payer_id=invoice.payer_id,
        invoice_id=invoice.id,
    )
    book.post(
        entry_id,
        bank,
        Account(AccountKind.PAYER_CREDITS, invoice.currency),
        excess,
        payer_id=invoice.payer_id,
    )
    book.write()


def _relieve(others: Sequence[Any], left_minor: int, *, actor: Actor, now: datetime) -> None:
    """Leave to planned retries only what is still open, and end those for which nothing is."""
    happened: list[tuple[str, UUID]] = []
    for row in others:
        state = PaymentState(row.state)
        changed = {"state": state.value, "amount": row.amount_minor, "worklist": row.worklist}
        if not left_minor:
            changed["worklist"] = None
            happened.append(("payment.resolved", row.id))
            if state is PaymentState.SCHEDULED:
                changed["state"] = PAYMENT_MOVES.next(state, "cancel").value
                happened[-1] = ("payment.cancelled", row.id)
        elif state is PaymentState.SCHEDULED and row.amount_minor > left_minor:
            changed["amount"] = left_minor
            happened.append(("payment.reduced", row.id))
        else:
            continue
        execute(
            "UPDATE payments SET state = %(state)s, amount_minor = %(amount)s,"
            " worklist = %(worklist)s, version = version + 1,"
            " next_attempt_on = CASE WHEN %(state)s = 'scheduled' THEN next_attempt_on END,"
            " explanation = CASE WHEN %(over)s THEN %(otherwise)s ELSE explanation END"
            " WHERE organisation_id = %(o)s AND id = %(id)s",
            changed
            | {
                "over": not left_minor,
                "otherwise": PAID_OTHERWISE,
                "o": current_organisation_id(),
                "id": row.id,
            },
        )
    record_events(happened, actor=actor, now=now, reason=PAID_OTHERWISE)
