"""Receiving deposits: money of a payer that the organisation holds until it is used or released.

Applying them to invoices is done in allocations.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.deposits import DEPOSIT_MOVES, DepositState
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.money import check_amount, check_currency
from portal.domain.settlements import MatchState
from portal.domain.users import Actor
from portal.ids import new_id
from portal.services.events import record_event
from portal.services.ledger import Account, LedgerBook
from portal.sql import execute, fetch_one

# Tax on a taxed advance falls due when the money arrives, so it needs an invoice of its own.
TAXED_PURPOSES = frozenset({"taxed_advance", "taxed_prepayment"})
PURPOSE_CHARACTERS_MAX = 80


class DepositInvalid(Invalid):
    """The deposit cannot be recorded: {reason}. Nothing was saved; correct it and try again."""

    reason: str


class TaxedAdvanceRefused(Invalid):
    """A taxed advance cannot be held as a deposit, because its tax is due at once. Nothing was
    saved; issue an invoice over the advance instead."""


class DepositPayerNotFound(NotFound):
    """There is no such payer here; the deposit was not saved. Choose a payer from the list."""


class BankAccountMissing(Invalid):
    """There is no bank account in {currency}, so no deposit in it can have arrived. Nothing was
    saved; add the bank account first."""

    currency: str


class BankLineUsed(Conflict):
    """The bank's entry {bank_ref} is booked already or says something else. Nothing was saved;
    look at the entry, and use the reference of the one that brought this deposit."""

    bank_ref: str


def record_deposit(
    *,
    payer_id: UUID,
    amount_minor: int,
    currency: str,
    purpose: str,
    received_on: date,
    bank_ref: str,
    may_set_off: bool,
    due_back_on: date | None,
    actor: Actor,
    now: datetime,
) -> UUID:
    """Record a deposit that arrived at the bank and hold it for the payer.

    Shape: a bank line that was read before and waits for its match is the one that is used.
    Raises: DepositInvalid; TaxedAdvanceRefused; AmountTooLarge; CurrencyUnknown;
    DepositPayerNotFound; BankAccountMissing; BankLineUsed.
    """
    _check(amount_minor, purpose, bank_ref, received_on, due_back_on)
    check_currency(currency)
    deposit_id = new_id()
    with transaction():
        if fetch_one("SELECT id FROM payers WHERE id = %s", (payer_id,)) is None:
            raise DepositPayerNotFound
        bank_line_id = _take_bank_line(
            amount_minor=amount_minor,
            currency=currency,
            bank_ref=bank_ref,
            booked_on=received_on,
            reference=purpose,
        )
        execute(
            "INSERT INTO deposits (organisation_id, id, payer_id, currency, purpose, state,"
            " amount_minor, received_on, due_back_on, may_set_off, bank_line_id)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                current_organisation_id(),
                deposit_id,
                payer_id,
                currency,
                purpose,
                DEPOSIT_MOVES.next(DepositState.EXPECTED, "receive").value,
                amount_minor,
                received_on,
                due_back_on,
                may_set_off,
                bank_line_id,
            ),
        )
        _post(deposit_id, payer_id, amount_minor, currency, received_on)
        record_event(
            "deposit.received",
            deposit_id,
            actor=actor,
            now=now,
            details={"amount_minor": amount_minor, "currency": currency, "bank_ref": bank_ref},
        )
        record_event("bank_line.matched", bank_line_id, actor=actor, now=now)
    return deposit_id


def _check(
    amount_minor: int,
    purpose: str,
    bank_ref: str,
    received_on: date,
    due_back_on: date | None,
) -> None:
    if amount_minor <= 0:
        raise DepositInvalid(reason="its amount is not above zero", field="amount")
    check_amount(amount_minor)
    if not purpose.strip() or len(purpose) > PURPOSE_CHARACTERS_MAX:
        reason = f"its purpose must have 1 to {PURPOSE_CHARACTERS_MAX} characters"
        raise DepositInvalid(reason=reason, field="purpose")
    if "_".join(purpose.lower().replace("-", " ").replace("_", " ").split()) in TAXED_PURPOSES:
        raise TaxedAdvanceRefused(field="purpose")
    if not bank_ref.strip():
        raise DepositInvalid(reason="the bank's reference is missing", field="bank_ref")
    if due_back_on is not None and due_back_on < received_on:
        reason = "it would be due back before it was received"
        raise DepositInvalid(reason=reason, field="due_back_on")


def _take_bank_line(
    *, amount_minor: int, currency: str, bank_ref: str, booked_on: date, reference: str
) -> UUID:
    """Write the bank line of a deposit, or take the one that waits, and mark it matched."""
    account = fetch_one(
        "SELECT id FROM bank_accounts WHERE currency = %s ORDER BY id LIMIT 1", (currency,)
    )
    if account is None:
        raise BankAccountMissing(currency=currency, field="currency")
    key: dict[str, Any] = {
        "o": current_organisation_id(),
        "id": new_id(),
        "account": account.id,
        "ref": bank_ref,
        "on": booked_on,
        "currency": currency,
        "amount": amount_minor,
        "reference": reference,
        "waiting": MatchState.UNMATCHED.value,
        "matched": MatchState.MATCHED.value,
    }
    execute(
        "INSERT INTO bank_lines (organisation_id, id, bank_account_id, bank_ref, booked_on,"
        " currency, amount_minor, reference, match_state) VALUES (%(o)s, %(id)s, %(account)s,"
        " %(ref)s, %(on)s, %(currency)s, %(amount)s, %(reference)s, %(waiting)s)"
        " ON CONFLICT (organisation_id, bank_account_id, bank_ref) DO NOTHING",
        key,
    )
    taken = fetch_one(
        "UPDATE bank_lines SET match_state = %(matched)s WHERE bank_account_id = %(account)s"
        " AND bank_ref = %(ref)s AND match_state = %(waiting)s AND amount_minor = %(amount)s"
        " AND booked_on = %(on)s RETURNING id",
        key,
    )
    if taken is None:
        raise BankLineUsed(bank_ref=bank_ref, field="bank_ref")
    line_id: UUID = taken.id
    return line_id


def _post(
    deposit_id: UUID, payer_id: UUID, amount_minor: int, currency: str, received_on: date
) -> None:
    book = LedgerBook()
    entry_id = book.add_entry(
        EntryKind.DEPOSIT_RECEIVED,
        source_type="deposit",
        source_id=deposit_id,
        effective_on=received_on,
    )
    book.post(
        entry_id,
        Account(AccountKind.BANK, currency),
        Account(AccountKind.DEPOSITS_HELD, currency),
        amount_minor,
        payer_id=payer_id,
    )
    book.write()
