"""Opening a dispute: the money is gone at once, so the invoice is open again."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.disputes import OPEN_DISPUTE_STATES, DisputeState
from portal.domain.errors import Conflict
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.payments import AttemptState
from portal.domain.refunds import CHARGE_DISPUTED
from portal.domain.users import Actor
from portal.ids import new_id
from portal.services.allocations import take_back_money
from portal.services.disputes._asking import asking_from
from portal.services.disputes._locking import PAYMENT_COLUMNS
from portal.services.events import record_event
from portal.services.ledger import Account, LedgerBook
from portal.services.payments import Verdict, end_refunds
from portal.sql import execute, fetch_one


class DisputeDiffers(Conflict):
    """The gateway speaks of the dispute {gateway_ref} with another payment, amount or currency than
    before. The first report was kept and nothing was changed; ask the gateway which one holds."""

    gateway_ref: str


class DisputeTooLarge(Conflict):
    """The dispute {gateway_ref} is about more than is left of its payment. Nothing was booked; ask
    the gateway what it has taken, and what was given back before."""

    gateway_ref: str


class DisputeAlreadyOpen(Conflict):
    """The dispute {gateway_ref} is about a payment that another dispute is open for. Nothing was
    booked; it is taken up when the other one is decided and the message is handled again."""

    gateway_ref: str


class DisputeReport(NamedTuple):
    """A dispute as a gateway reports it; the money was taken by the attempt named."""

    attempt_id: UUID
    gateway_ref: str
    amount_minor: int
    currency: str
    fee_minor: int
    reason_code: str | None
    opened_on: date | None
    respond_by: date | None


def open_dispute(*, report: DisputeReport, actor: Actor, now: datetime) -> Verdict:
    """Book that money of a payment was taken back, with the fee, and open its invoice again.

    Shape: illegal while the success of the attempt is not booked, or when it was returned.
    Raises: DisputeDiffers; DisputeTooLarge; DisputeAlreadyOpen.
    """
    with transaction():
        row = _lock(report.attempt_id)
        if _is_known(row, report):
            return Verdict.REPEATED
        if row.currency != report.currency:
            raise DisputeDiffers(gateway_ref=report.gateway_ref)
        if row.attempt_state != AttemptState.SUCCEEDED:
            return Verdict.ILLEGAL
        if report.amount_minor > row.payment_minor - row.refunded_minor - row.disputed_minor:
            raise DisputeTooLarge(gateway_ref=report.gateway_ref)
        _refuse_second(row.payment_id, report)
        dispute_id = new_id()
        on = report.opened_on or row.business_on
        _insert(dispute_id, row, report, on)
        end_refunds(
            [row.payment_id],
            reason_code=CHARGE_DISPUTED,
            keeps_sent=True,
            actor=actor,
            now=now,
        )
        _book(dispute_id, row, report, on, actor=actor, now=now)
        details = {"amount_minor": report.amount_minor, "currency": report.currency}
        for kind, subject in (
            ("dispute.opened", dispute_id),
            ("payment.disputed", row.payment_id),
        ):
            record_event(kind, subject, actor=actor, now=now, details=details)
    return Verdict.APPLIED


def _lock(attempt_id: UUID) -> Any:
    return fetch_one(
        f"SELECT {PAYMENT_COLUMNS} FROM payment_attempts a JOIN payments y ON y.id = a.payment_id"
        " JOIN invoices i ON i.id = y.invoice_id"
        " JOIN gateway_accounts g ON g.id = a.gateway_account_id"
        " WHERE a.organisation_id = %s AND a.id = %s FOR UPDATE OF i, y, a",
        (current_organisation_id(), attempt_id),
    )


def _is_known(row: Any, report: DisputeReport) -> bool:
    known = fetch_one(
        "SELECT attempt_id, amount_minor, currency FROM disputes WHERE organisation_id = %s"
        " AND gateway_account_id = %s AND gateway_ref = %s",
        (current_organisation_id(), row.gateway_account_id, report.gateway_ref),
    )
    if known is None:
        return False
    if tuple(known) != (report.attempt_id, report.amount_minor, report.currency):
        raise DisputeDiffers(gateway_ref=report.gateway_ref)
    return True


def _refuse_second(payment_id: UUID, report: DisputeReport) -> None:
    rival = fetch_one(
        "SELECT id FROM disputes WHERE organisation_id = %s AND payment_id = %s"
        " AND state = ANY(%s)",
        (current_organisation_id(), payment_id, [state.value for state in OPEN_DISPUTE_STATES]),
    )
    if rival is not None:
        raise DisputeAlreadyOpen(gateway_ref=report.gateway_ref)


def _insert(dispute_id: UUID, row: Any, report: DisputeReport, on: date) -> None:
    respond_by = report.respond_by or on
    execute(
        "INSERT INTO disputes (organisation_id, id, payment_id, attempt_id, gateway_account_id,"
        " currency, amount_minor, fee_minor, reason_code, state, gateway_ref, opened_on,"
        " respond_by, next_query_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            current_organisation_id(),
            dispute_id,
            row.payment_id,
            row.attempt_id,
            row.gateway_account_id,
            report.currency,
            report.amount_minor,
            report.fee_minor,
            report.reason_code,
            DisputeState.NEEDS_RESPONSE.value,
            report.gateway_ref,
            on,
            respond_by,
            asking_from(respond_by),
        ),
    )
    execute(
        "UPDATE payments SET disputed_minor = disputed_minor + %s, version = version + 1"
        " WHERE organisation_id = %s AND id = %s",
        (report.amount_minor, current_organisation_id(), row.payment_id),
    )


def _book(
    dispute_id: UUID, row: Any, report: DisputeReport, on: date, *, actor: Actor, now: datetime
) -> None:
    """Take the money back from what it paid, and post that it and the fee are gone."""
    taken = take_back_money(
        payment_id=row.payment_id,
        amount_minor=report.amount_minor,
        business_on=on,
        actor=actor,
        now=now,
    )
    clearing = Account(AccountKind.GATEWAY_CLEARING, row.currency, row.account_code)
    book = LedgerBook()
    entry_id = book.add_entry(
        EntryKind.DISPUTE_OPENED, source_type="dispute", source_id=dispute_id, effective_on=on
    )
    for part in taken.invoices:
        book.post(
            entry_id,
            Account(AccountKind.RECEIVABLE, row.currency),
            clearing,
            part.amount_minor,
            payer_id=part.payer_id,
            invoice_id=part.invoice_id,
        )
    # What its credit had settled elsewhere is credit again, by an entry of its own.
    from_credit = report.amount_minor - sum(part.amount_minor for part in taken.invoices)
    book.post(
        entry_id,
        Account(AccountKind.PAYER_CREDITS, row.currency),
        clearing,
        from_credit,
        payer_id=row.payer_id,
    )
    fees = Account(AccountKind.RETURN_FEES, row.currency)
    book.post(entry_id, fees, clearing, report.fee_minor)
    book.write()
