"""What happened to a document, and how it stands, in sentences."""

from collections.abc import Callable
from datetime import date, datetime
from typing import NamedTuple

from markupsafe import Markup

from portal.domain.invoices import AWAITING_INVOICE_STATUSES, InvoiceKind, InvoiceState
from portal.queries.invoices import HistoryRow, InvoiceRow
from portal.web.formats import day, money


class Happening(NamedTuple):
    """A line of the history: what, when, who, and how it is to be seen."""

    words: str
    when: date | datetime
    picture: str
    tone: str
    by: str | None
    note: str | None
    is_planned: bool


class _Saying(NamedTuple):
    words: str
    picture: str = "dash"
    tone: str = "idle"


_ON_HOLD = Markup(
    "The payer is on hold: reminders and collection pause until the hold is taken away."
)
_ARRANGED = Markup(
    "{}: reminders pause until {}; whether something is collected is for the rules to say."
)
# {amount} is with its currency, {attempt} reads "attempt 2".
_SAYINGS = {
    "invoice.drafted": _Saying("Draft written", "edit"),
    "invoice.changed": _Saying("Draft changed", "edit"),
    "invoice.discarded": _Saying("Draft discarded", "close"),
    "invoice.issued": _Saying("Issued over {amount}", "tick", "info"),
    "invoice.voided": _Saying("Voided by a credit note", "close", "bad"),
    "invoice.reminded": _Saying("Payer reminded", "again", "warn"),
    "invoice.credited": _Saying("{amount} credited", "tick", "ok"),
    "invoice.credit_applied": _Saying("{amount} of this credit used", "tick", "ok"),
    "invoice.paid_from_credit": _Saying("{amount} paid from the payer's credit", "tick", "ok"),
    "invoice.paid_from_deposit": _Saying("{amount} paid from a deposit", "tick", "ok"),
    "invoice.reopened": _Saying("{amount} open again", "again", "warn"),
    "payment.started": _Saying("Collection of {amount} started, {attempt}", "half", "info"),
    "payment.retry_requested": _Saying("Another try was ordered, {attempt}", "again", "info"),
    "payment.succeeded": _Saying("{amount} collected, {attempt}", "tick", "ok"),
    "payment.declined": _Saying("Declined, {attempt}", "alert", "bad"),
    "payment.errored": _Saying("Not executed, {attempt}", "alert", "warn"),
    "payment.returned": _Saying("{amount} taken back by the bank, {attempt}", "alert", "bad"),
    "payment.recorded": _Saying("{amount} recorded by hand", "tick", "ok"),
    "payment.cancelled": _Saying("Planned payment cancelled", "close"),
    "payment.stopped": _Saying("Payment stopped", "close", "hold"),
    "payment.resolved": _Saying("Handled by a person", "tick"),
    "payment.reduced": _Saying("Planned payment made smaller, now {amount}", "dash"),
    "payment.contradicted": _Saying("The gateway has said two things", "question", "hold"),
    "payment.mismatched": _Saying("The gateway's answer does not fit", "question", "hold"),
    "payment.query_requested": _Saying("The gateway was asked, {attempt}", "question", "info"),
    "payment.planned": _Saying("Next try, {attempt}", "again", "warn"),
    "attempt.query_planned": _Saying("The gateway is asked again, {attempt}", "question", "hold"),
    "attempt.send_planned": _Saying("To be sent to the gateway, {attempt}", "half", "info"),
}


def say_happening(row: HistoryRow) -> Happening:
    """Say one thing that happened or is planned."""
    saying = _SAYINGS.get(row.kind) or _Saying(row.kind.partition(".")[2].replace("_", " "))
    amount = money(row.amount_minor, row.currency) if row.amount_minor is not None else "An amount"
    attempt = f"attempt {row.attempt_number}" if row.attempt_number else ""
    words = saying.words.format(amount=amount, attempt=attempt).rstrip(", ")
    when = row.happened_at or row.planned_at or row.planned_on
    assert when is not None, "a line of the history has its time"
    notes = [row.reason_text, f"“{row.reason}”" if row.reason else None]
    return Happening(
        words=words[:1].upper() + words[1:],
        when=when,
        picture=saying.picture,
        tone=saying.tone,
        by=row.actor_name if row.actor_kind in {"person", "system", "key"} else None,
        note=" ".join(note for note in notes if note) or None,
        is_planned=row.happened_at is None,
    )


def say_standing(invoice: InvoiceRow, on: date) -> Markup | str:
    """Say in one sentence how a document stands."""
    if invoice.state is not InvoiceState.ISSUED:
        return _STANDINGS[invoice.state](invoice)
    if invoice.due_on is None or invoice.payment_status is None:
        return ""
    open_amount = money(invoice.open_minor, invoice.currency)
    if invoice.open_minor == 0:
        return "Nothing is open."
    if invoice.payment_status.value not in set(AWAITING_INVOICE_STATUSES):
        return f"{open_amount} is being collected."
    late_days = (on - invoice.due_on).days
    if late_days > 0:
        days = "1 day" if late_days == 1 else f"{late_days} days"
        return f"{open_amount} is overdue by {days}."
    return Markup("{} is due on {}.").format(open_amount, day(invoice.due_on))


def say_pause(invoice: InvoiceRow, on: date) -> Markup | None:
    """Say what pauses because of how the payer is dealt with; None where nothing can pause."""
    is_to_come = invoice.state in {InvoiceState.DRAFT, InvoiceState.PENDING_APPROVAL}
    if invoice.kind is InvoiceKind.CREDIT_NOTE or not (is_to_come or invoice.open_minor):
        return None
    terms = invoice.payer_terms
    said = []
    if terms.is_on_hold:
        said.append(_ON_HOLD)
    agreed, until = terms.arrangement_on(on), terms.arranged_until
    if agreed and until:
        said.append(_ARRANGED.format(agreed.label, day(until)))
    return Markup(" ").join(said) or None


def say_untraced(invoice: InvoiceRow) -> str:
    """Say why nothing is on record about how a document came to its amounts."""
    if invoice.issued_on is None:
        return "It is not issued, and no rule has refused it when it was to be."
    if invoice.corrects_number is not None:
        corrected = invoice.corrects_number
        return f"It repeats the amounts of {corrected} as they were issued; look there."
    return (
        "It was issued before decisions were recorded, or came in with its amounts. The agreement"
        " it was issued by says what held."
    )


_STANDINGS: dict[InvoiceState, Callable[[InvoiceRow], Markup | str]] = {
    InvoiceState.DRAFT: lambda _: "A draft: it has no number, and nothing of it is booked.",
    InvoiceState.PENDING_APPROVAL: lambda _: "It waits for a second person before it is issued.",
    InvoiceState.DISCARDED: lambda _: "It was discarded before it was issued.",
    InvoiceState.VOIDED: lambda invoice: f"It is void; {invoice.voided_by_number} takes it back.",
}
