"""How a payment stands, and what happened to it, in sentences."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from markupsafe import Markup

from portal.domain.payments import STOPPED_REASON, AttemptState, PaymentMethod, PaymentState
from portal.queries.payments import AttemptRow, HistoryRow, PaymentRow
from portal.web.formats import day, money, worklist_in_words

ORDINALS = (
    "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth",
)  # fmt: skip
# Names of actors that are no person's.
MACHINES = frozenset({"gateway", "portal", "run"})
# What an attempt says better, and what the payment says better.
SAID_OTHERWISE = frozenset(
    {"payment.declined", "payment.errored", "payment.returned", "attempt.succeeded"}
)

LOOK_AT_IT = "a person must look at it"

# {attempt} is "Third attempt", {day} its business date.
_ATTEMPTS = {
    AttemptState.CREATED: Markup("{attempt} of {day} is about to be sent to the gateway."),
    AttemptState.SENDING: Markup("{attempt} of {day} is being sent to the gateway."),
    AttemptState.PENDING: Markup(
        "{attempt} of {day} was accepted; the bank says later what came of it."
    ),
    AttemptState.UNKNOWN: Markup(
        "{attempt} of {day}: the outcome is unknown. The gateway is asked until it answers;"
        " nothing is sent twice."
    ),
    AttemptState.SUCCEEDED: Markup("{attempt} of {day} succeeded."),
    AttemptState.DECLINED: Markup("{attempt} declined on {day}"),
    AttemptState.ERRORED: Markup("{attempt} not executed on {day}"),
    AttemptState.ABORTED: Markup("{attempt} of {day} was not sent: a rule stopped it."),
    AttemptState.RETURNED: Markup("{attempt} of {day} succeeded, but the bank took the money back"),
}
_WITH_REASON = (AttemptState.DECLINED, AttemptState.ERRORED, AttemptState.RETURNED)


class Happening(NamedTuple):
    """A line of the history: what, when, who, and how it is to be seen."""

    words: str
    when: date | datetime
    picture: str
    tone: str
    by: str | None = None
    note: str | None = None
    is_planned: bool = False


class _Saying(NamedTuple):
    words: str
    picture: str = "dash"
    tone: str = "idle"


_SAYINGS = {
    "payment.started": _Saying("Collection started", "half", "info"),
    "payment.retry_requested": _Saying("Another try was ordered", "again", "info"),
    "payment.moved": _Saying("The next try was moved", "calendar", "info"),
    "payment.succeeded": _Saying("Collected and booked", "tick", "ok"),
    "payment.recorded": _Saying("Recorded by hand", "tick", "ok"),
    "payment.cancelled": _Saying("Cancelled", "close"),
    "payment.stopped": _Saying("Stopped", "stop", "hold"),
    "payment.resolved": _Saying("Handled by a person", "tick"),
    "payment.reduced": _Saying("Made smaller: part of the invoice was paid otherwise"),
    "payment.contradicted": _Saying("The gateway has said two things", "question", "hold"),
    "payment.mismatched": _Saying("The gateway's answer does not fit", "question", "hold"),
    "payment.refund_requested": _Saying("A refund was asked for", "back", "info"),
    "payment.refunded": _Saying("Given back to the payer", "back", "ok"),
    "payment.partly_refunded": _Saying("Partly given back to the payer", "back", "ok"),
    "payment.disputed": _Saying("Disputed: the payer's bank took the money back", "dispute", "bad"),
    "payment.dispute_won": _Saying("The dispute was won", "tick", "ok"),
    "payment.dispute_lost": _Saying("The dispute was lost", "dispute", "bad"),
    "payment.query_requested": _Saying("The gateway was asked", "question", "info"),
    "attempt.sent": _Saying("Sent to the gateway", "right", "info"),
    "attempt.pending": _Saying("Accepted by the gateway", "half", "info"),
    "attempt.unknown": _Saying("Outcome unknown", "question", "hold"),
    "attempt.declined": _Saying("Declined", "alert", "bad"),
    "attempt.errored": _Saying("Not executed", "alert", "warn"),
    "attempt.aborted": _Saying("Stopped by a rule", "dash"),
    "attempt.returned": _Saying("Taken back by the bank", "alert", "bad"),
}


def say_ordinal(number: int) -> str:
    """Write which attempt it is, `Third`."""
    if number <= len(ORDINALS):
        return ORDINALS[number - 1]
    endings = {1: "st", 2: "nd", 3: "rd"}
    is_teen = number % 100 // 10 == 1
    return f"{number}{'th' if is_teen else endings.get(number % 10, 'th')}"


def say_attempt(attempt: AttemptRow) -> Markup:
    """Say in one sentence what came of an attempt."""
    said = _ATTEMPTS[attempt.state].format(
        attempt=f"{say_ordinal(attempt.number)} attempt", day=day(attempt.business_on)
    )
    if attempt.state not in _WITH_REASON:
        return said
    reason = attempt.reason_text or attempt.reason
    return Markup("{}: {}").format(said, _sentence(reason)) if reason else said + "."


def say_standing(payment: PaymentRow, attempts: Sequence[AttemptRow], on: date) -> Markup:
    """Say how a payment stands: what came of the last attempt, and what follows.

    Shape: attempts with the last one first.
    """
    if payment.method is not PaymentMethod.MANDATE:
        said = Markup("{} of {}, recorded by hand.").format(
            payment.method.label, day(payment.started_on)
        )
    else:
        said = say_attempt(attempts[0]) if attempts else Markup("Nothing has been sent yet.")
    follows = _say_what_follows(payment, on)
    return Markup("{} {}").format(said, follows) if follows else said


def list_happenings(history: Sequence[HistoryRow]) -> list[Happening]:
    """Say what happened to a payment and its attempts, each thing once."""
    return [say_happening(row) for row in history if row.kind not in SAID_OTHERWISE]


def say_happening(row: HistoryRow) -> Happening:
    """Say one thing that happened to a payment or an attempt of it."""
    saying = _SAYINGS.get(row.kind) or _Saying(row.kind.partition(".")[2].replace("_", " "))
    words = saying.words[:1].upper() + saying.words[1:]
    if row.attempt_number:
        words = f"{say_ordinal(row.attempt_number)} attempt {saying.words[:1].lower()}"
        words += saying.words[1:]
    notes = [row.reason_text]
    if row.reason and row.reason != row.reason_text:
        # What a gateway says is quoted beside what its code means; a person is quoted as well.
        notes.append(f"“{row.reason}”")
    if row.kind == "payment.moved":
        notes.insert(0, _say_move(row))
    return Happening(
        words=words,
        when=row.happened_at,
        picture=saying.picture,
        tone=saying.tone,
        by=row.actor if row.actor and row.actor not in MACHINES else None,
        note=Markup(" ").join(note for note in notes if note) or None,
    )


def list_plans(payment: PaymentRow) -> list[Happening]:
    """List what is still to come for a payment."""
    plans = []
    if payment.next_attempt_on is not None:
        words = f"{say_ordinal(payment.attempts_count + 1)} attempt"
        note = f"Moved by {payment.moved_by}" if payment.moved_by else None
        plans.append(
            Happening(words, payment.next_attempt_on, "again", "warn", note=note, is_planned=True)
        )
    if payment.is_askable and payment.next_query_at is not None:
        words = "The gateway is asked again"
        plans.append(Happening(words, payment.next_query_at, "question", "hold", is_planned=True))
    return plans


def _say_move(row: HistoryRow) -> str:
    before, after = (day(date.fromisoformat(row.details[name])) for name in ("from", "to"))
    return Markup("From {} to {}.").format(before, after)


def _say_what_follows(payment: PaymentRow, on: date) -> Markup | str:
    waits = worklist_in_words(payment.worklist) if payment.worklist else None
    if payment.state is PaymentState.SCHEDULED:
        return f"{waits}: a person must decide." if waits else _say_next_try(payment, on)
    if waits:
        is_over = payment.state is PaymentState.FAILED
        return f"{waits}: {'it is not tried again by itself' if is_over else LOOK_AT_IT}."
    if payment.state is PaymentState.REQUIRES_ACTION:
        return "The payer must confirm it."
    if payment.state in (PaymentState.FAILED, PaymentState.CANCELLED):
        is_stopped = payment.reason_code == STOPPED_REASON
        said = payment.explanation or "Nothing more is tried."
        return f"A person has stopped it: “{said}”" if is_stopped else said
    return _say_what_became_of_it(payment)


def _say_what_became_of_it(payment: PaymentRow) -> str:
    if payment.disputed_minor:
        disputed = money(payment.disputed_minor, payment.currency)
        return f"The payer's bank took {disputed} of it back."
    if payment.refunded_minor:
        return f"{money(payment.refunded_minor, payment.currency)} of it was paid back."
    if payment.credit_minor:
        kept = money(payment.credit_minor, payment.currency)
        return f"{kept} of it is kept as the payer's credit."
    return ""


def _say_next_try(payment: PaymentRow, on: date) -> Markup | str:
    next_on = payment.next_attempt_on
    if next_on is None:
        return ""
    if next_on > on:
        return Markup("Next try {}.").format(day(next_on))
    if next_on == on:
        return "Next try today."
    said = Markup("The next try was planned for {}; the next run of retries takes it.")
    return said.format(day(next_on))


def _sentence(reason: str) -> str:
    """Let a sentence go on behind a colon."""
    said = _low(reason) if reason.partition(" ")[0] in {"The", "There", "A", "An"} else reason
    return said if said.endswith((".", "!", "?")) else f"{said}."


def _low(words: str) -> str:
    return words[:1].lower() + words[1:]
