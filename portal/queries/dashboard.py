"""The figures of the overview, one statement each; every sum stands with its currency."""

from datetime import date
from typing import NamedTuple

from portal.domain.payments import AttemptState, PaymentState
from portal.sql import fetch_one, fetch_plain


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
    asks = "total_minor - paid_minor - credited_minor - written_off_minor - in_payment_minor"
    invoice = "kind <> 'credit_note' AND state = 'issued'"
    note = "kind = 'credit_note' AND state = 'issued'"
    parts = [
        ("paid", f"{invoice} AND paid_minor > 0", "paid_minor"),
        ("credited", f"{invoice} AND credited_minor > 0", "credited_minor"),
        ("written_off", f"{invoice} AND written_off_minor > 0", "written_off_minor"),
        ("in_payment", f"{invoice} AND in_payment_minor > 0", "in_payment_minor"),
        ("overdue", f"{invoice} AND due_on < %(today)s AND {asks} > 0", asks),
        ("not_due", f"{invoice} AND due_on >= %(today)s AND {asks} > 0", asks),
        ("open", f"{invoice} AND open_minor > 0", "open_minor"),
        ("credit_notes", note, "total_minor"),
    ]
    columns = ", ".join(
        f"count(*) FILTER (WHERE {condition}) AS {name}_count,"
        f" COALESCE(sum({amount}) FILTER (WHERE {condition}), 0)::bigint AS {name}_minor"
        for name, condition, amount in [("issued", invoice, "total_minor"), *parts]
    )
    rows = fetch_plain(
        "SELECT currency, count(*) FILTER (WHERE state = 'draft') AS drafts_count,"
        f" {columns},"
        f" COALESCE(sum(credit_left_minor) FILTER (WHERE {note}), 0)::bigint AS credit_left_minor"
        " FROM invoices GROUP BY currency ORDER BY currency",
        {"today": today},
    )
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
