"""The figures of the overview, one statement each; every sum stands with its currency."""

from datetime import date
from typing import NamedTuple

from portal.domain.payments import AttemptState, PaymentState
from portal.sql import fetch_one, fetch_plain

_INVOICE = "kind <> 'credit_note' AND state = 'issued'"
_NOTE = "kind = 'credit_note' AND state = 'issued'"
_ASKED = "total_minor - paid_minor - credited_minor - written_off_minor - in_payment_minor"
# (which documents, which amount), in the order of InvoiceFigures.
_INVOICE_SUMS = (
    (_INVOICE, "total_minor"),
    (f"{_INVOICE} AND paid_minor > 0", "paid_minor"),
    (f"{_INVOICE} AND credited_minor > 0", "credited_minor"),
    (f"{_INVOICE} AND written_off_minor > 0", "written_off_minor"),
    (f"{_INVOICE} AND in_payment_minor > 0", "in_payment_minor"),
    (f"{_INVOICE} AND due_on < %(today)s AND {_ASKED} > 0", _ASKED),
    (f"{_INVOICE} AND due_on >= %(today)s AND {_ASKED} > 0", _ASKED),
    (f"{_INVOICE} AND open_minor > 0", "open_minor"),
    (_NOTE, "total_minor"),
)
_INVOICE_COLUMNS = ", ".join(
    f"count(*) FILTER (WHERE {condition}),"
    f" COALESCE(sum({amount}) FILTER (WHERE {condition}), 0)::bigint"
    for condition, amount in _INVOICE_SUMS
)
_SUM_INVOICES = (
    f"SELECT currency, count(*) FILTER (WHERE state = 'draft'), {_INVOICE_COLUMNS},"
    f" COALESCE(sum(credit_left_minor) FILTER (WHERE {_NOTE}), 0)::bigint"
    " FROM invoices GROUP BY currency ORDER BY currency"
)


class InvoiceFigures(NamedTuple):
    """Where the invoiced money of one currency stands.

    Shape: paid, credited, written off, in payment, overdue and not yet due add up to issued.
    """

    currency: str
    drafts_count: int
    issued_count: int
    issued_minor: int
    paid_count: int
    paid_minor: int
    credited_count: int
    credited_minor: int
    written_off_count: int
    written_off_minor: int
    in_payment_count: int
    in_payment_minor: int
    overdue_count: int
    overdue_minor: int
    not_due_count: int
    not_due_minor: int
    open_count: int
    open_minor: int
    credit_notes_count: int
    credit_notes_minor: int
    credit_left_minor: int


class PaymentFigures(NamedTuple):
    """How many payments of one currency are in a state, and what they come to."""

    currency: str
    state: PaymentState
    payments_count: int
    amount_minor: int


class AttemptFigures(NamedTuple):
    """How many attempts of one currency are in a state that people ask about."""

    currency: str
    state: AttemptState
    attempts_count: int
    amount_minor: int


class WorklistFigures(NamedTuple):
    """How many payments of one currency wait on a worklist for a person."""

    worklist: str
    currency: str
    payments_count: int
    amount_minor: int


class MessageFigures(NamedTuple):
    """How many messages wait to be sent, and how many are parked for a person."""

    waiting: int
    parked: int
    inbox_waiting: int
    inbox_parked: int


def sum_invoices(*, today: date) -> list[InvoiceFigures]:
    """Sum up the invoices and credit notes of the organisation, per currency."""
    rows = fetch_plain(_SUM_INVOICES, {"today": today})
    return [InvoiceFigures(*row) for row in rows]


def sum_payments_by_state() -> list[PaymentFigures]:
    """Sum up the payments of the organisation, per currency and state."""
    rows = fetch_plain(
        "SELECT currency, state, count(*)::int, sum(amount_minor)::bigint FROM payments"
        " GROUP BY currency, state ORDER BY currency, state"
    )
    return [PaymentFigures(row[0], PaymentState(row[1]), row[2], row[3]) for row in rows]


def sum_attempts_in_question() -> list[AttemptFigures]:
    """Sum up the attempts whose outcome is unknown, awaited or was taken back."""
    rows = fetch_plain(
        "SELECT currency, state, count(*)::int, sum(amount_minor)::bigint FROM payment_attempts"
        " WHERE state IN ('unknown', 'pending', 'returned')"
        " GROUP BY currency, state ORDER BY currency, state"
    )
    return [AttemptFigures(row[0], AttemptState(row[1]), row[2], row[3]) for row in rows]


def sum_worklists() -> list[WorklistFigures]:
    """Sum up the payments that wait for a person, per worklist and currency."""
    rows = fetch_plain(
        "SELECT worklist, currency, count(*)::int, sum(amount_minor)::bigint FROM payments"
        " WHERE worklist IS NOT NULL GROUP BY worklist, currency ORDER BY worklist, currency"
    )
    return [WorklistFigures(*row) for row in rows]


def count_messages() -> MessageFigures:
    """Count the messages that wait or are parked, in both directions."""
    row = fetch_one(
        "SELECT waiting, parked, inbox_waiting, inbox_parked FROM"
        " (SELECT (count(*) FILTER (WHERE state = 'ready'))::int AS waiting,"
        " (count(*) FILTER (WHERE state = 'parked'))::int AS parked FROM messages"
        " WHERE state IN ('ready', 'parked')) m,"
        " (SELECT (count(*) FILTER (WHERE state = 'ready'))::int AS inbox_waiting,"
        " (count(*) FILTER (WHERE state = 'parked'))::int AS inbox_parked FROM inbox_messages"
        " WHERE state IN ('ready', 'parked')) i"
    )
    assert row is not None
    return MessageFigures(*row)
