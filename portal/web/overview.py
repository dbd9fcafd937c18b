"""The first page: where the money of the organisation stands, and what waits for a person."""

from collections.abc import Sequence
from typing import NamedTuple

from flask import Blueprint
from flask.typing import ResponseReturnValue

from portal.clock import now_utc, today
from portal.domain.payments import AttemptState, PaymentState
from portal.domain.users import Permission
from portal.queries.batches import list_runs
from portal.queries.dashboard import (
    AttemptFigures,
    InvoiceFigures,
    MessageFigures,
    PaymentFigures,
    WorklistFigures,
    count_messages,
    sum_attempts_in_question,
    sum_invoices,
    sum_payments_by_state,
    sum_worklists,
)
from portal.web.access import require
from portal.web.formats import worklist_in_words
from portal.web.htmx import render_part
from portal.web.visitors import current_organisation

LATEST_RUNS_MAX = 5
BAR_WIDTH = 1000  # Units of the drawing; the page scales it.
HINT = "These payments are not tried again by themselves."
HINTS = {
    "needs_payer": "Ask the payer for another way to pay.",
    "hard_decline": "The bank refuses for good; agree on another way.",
    "retries_exhausted": "All planned tries are used; decide how to go on.",
}
COLLECTED_STATES = (PaymentState.SUCCEEDED, PaymentState.PARTIALLY_REFUNDED)

bp = Blueprint("overview", __name__)


class Part(NamedTuple):
    """One part of the invoiced money, with its place in the bar."""

    label: str
    tone: str
    invoices_count: int
    amount_minor: int
    begins: int = 0
    width: int = 0


class Waiting(NamedTuple):
    """Something that waits for a person."""

    label: str
    hint: str
    number: int
    amount_minor: int | None = None
    currency: str | None = None


class Books(NamedTuple):
    """All figures of one currency."""

    currency: str
    invoices: InvoiceFigures
    parts: list[Part]
    payments: list[PaymentFigures]
    collected: tuple[int, int]
    returned: tuple[int, int]
    awaited: tuple[int, int]


@bp.get("/")
@require(Permission.VIEW_OVERVIEW)
def show() -> ResponseReturnValue:
    """Show the figures, a statement for each kind."""
    organisation = current_organisation()
    attempts = sum_attempts_in_question()
    messages = count_messages()
    return render_part(
        "overview/show.html",
        "overview/_figures.html",
        now=now_utc(),
        books=_books(
            sum_invoices(today=today(organisation.zone)),
            sum_payments_by_state(),
            attempts,
            first=organisation.currency,
        ),
        waiting=_waiting(sum_worklists(), attempts, messages),
        messages=messages,
        runs=list_runs(rows_max=LATEST_RUNS_MAX),
    )


def _books(
    invoices: Sequence[InvoiceFigures],
    payments: Sequence[PaymentFigures],
    attempts: Sequence[AttemptFigures],
    *,
    first: str,
) -> list[Books]:
    """Put the figures of each currency together, the organisation's own first."""
    by_currency = {one.currency: one for one in invoices}
    ordered = sorted(by_currency, key=lambda currency: (currency != first, currency))
    return [
        Books(
            currency=currency,
            invoices=by_currency[currency],
            parts=lay_out(_parts(by_currency[currency])),
            payments=_in_order([one for one in payments if one.currency == currency]),
            collected=_total([one for one in payments if one.state in COLLECTED_STATES], currency),
            returned=_total(
                [one for one in attempts if one.state is AttemptState.RETURNED], currency
            ),
            awaited=_total(
                [one for one in attempts if one.state is AttemptState.PENDING], currency
            ),
        )
        for currency in ordered
    ]


def _in_order(payments: Sequence[PaymentFigures]) -> list[PaymentFigures]:
    """Order states as a payment lives through them, not by their letters."""
    life = list(PaymentState)
    return sorted(payments, key=lambda one: life.index(one.state))


def _parts(figures: InvoiceFigures) -> list[Part]:
    """List the parts that add up to what was invoiced."""
    parts = [
        Part("Paid", "ok", figures.paid_count, figures.paid_minor),
        Part("Credited", "idle", figures.credited_count, figures.credited_minor),
        Part("In payment", "info", figures.in_payment_count, figures.in_payment_minor),
        Part("Not yet due", "plain", figures.not_due_count, figures.not_due_minor),
        Part("Overdue", "bad", figures.overdue_count, figures.overdue_minor),
    ]
    if figures.written_off_minor:
        parts.append(
            Part("Written off", "hold", figures.written_off_count, figures.written_off_minor)
        )
    return parts


def lay_out(parts: Sequence[Part]) -> list[Part]:
    """Give each part its place in the bar; what is there stays visible, however small."""
    total = sum(part.amount_minor for part in parts)
    placed: list[Part] = []
    begins = 0
    for part in parts:
        width = part.amount_minor * BAR_WIDTH // total if total else 0
        width = max(width, 4) if part.amount_minor else 0
        placed.append(part._replace(begins=begins, width=width))
        begins += width
    return placed


def _total(
    figures: Sequence[PaymentFigures] | Sequence[AttemptFigures], currency: str
) -> tuple[int, int]:
    """Add up how many and how much of one currency."""
    chosen = [one for one in figures if one.currency == currency]
    return sum(one[2] for one in chosen), sum(one.amount_minor for one in chosen)


def _waiting(
    worklists: Sequence[WorklistFigures],
    attempts: Sequence[AttemptFigures],
    messages: MessageFigures,
) -> list[Waiting]:
    """List what waits for a person, the most uncertain first."""
    found = [
        Waiting(
            "Outcome unknown", "The gateway is asked until it answers; nothing is sent twice.",
            one.attempts_count, one.amount_minor, one.currency,
        )
        for one in attempts
        if one.state is AttemptState.UNKNOWN
    ]  # fmt: skip
    found += [
        Waiting(
            worklist_in_words(one.worklist), HINTS.get(one.worklist, HINT),
            one.payments_count, one.amount_minor, one.currency,
        )
        for one in worklists
    ]  # fmt: skip
    if messages.parked:
        hint = "Messages to a gateway that could not be delivered."
        found.append(Waiting("Parked messages", hint, messages.parked))
    if messages.inbox_parked:
        hint = "Messages of a gateway that do not fit the books."
        found.append(Waiting("Parked answers", hint, messages.inbox_parked))
    return found
