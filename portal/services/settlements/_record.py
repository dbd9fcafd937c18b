"""Recording payouts and bank lines as they are reported; the same report again changes nothing."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.money import check_amount
from portal.domain.settlements import PayoutState, SettlementState
from portal.domain.users import Actor
from portal.gateways.base import PayoutReport
from portal.ids import new_id
from portal.services.events import record_event
from portal.sql import execute, fetch_one, fetch_plain, stage_rows

ITEM_COLUMNS = {
    "position": "int",
    "kind": "text",
    "gateway_ref": "text",
    "merchant_ref": "text",
    "gross_minor": "bigint",
    "fee_minor": "bigint",
    "net_minor": "bigint",
}


class GatewayAccountUnknown(NotFound):
    """There is no such gateway account here; the payout was not recorded."""


class PayoutInvalid(Invalid):
    """The report of payout {gateway_ref} cannot be right: {reason}. Nothing was recorded; ask the
    gateway for it again."""

    gateway_ref: str
    reason: str


class PayoutDiffers(Conflict):
    """The gateway reports payout {gateway_ref} with another content than before. The first report
    was kept and nothing was changed; ask the gateway which one holds."""

    gateway_ref: str


class BankAccountUnknown(NotFound):
    """There is no such bank account in {currency} here; the bank line was not recorded."""

    currency: str


class BankLineInvalid(Invalid):
    """The bank line {bank_ref} has no amount. Nothing was recorded; correct it and try again."""

    bank_ref: str


class BankLineDiffers(Conflict):
    """The bank line {bank_ref} is known with another content. The first one was kept and nothing
    was changed; ask the bank which one holds."""

    bank_ref: str


def record_payout(
    *, gateway_account_id: UUID, report: PayoutReport, actor: Actor, now: datetime
) -> UUID | None:
    """Record a gateway's payout with its items and open its settlement.

    Shape: the payout's id; None when the same report was recorded before.
    Raises: GatewayAccountUnknown; PayoutInvalid; PayoutDiffers when an earlier report said
    something else.
    """
    payout_id = new_id()
    with transaction():
        account = fetch_one(
            "SELECT currency FROM gateway_accounts WHERE id = %s", (gateway_account_id,)
        )
        if account is None:
            raise GatewayAccountUnknown
        _check(report, account.currency)
        inserted = execute(
            "INSERT INTO payouts (organisation_id, id, gateway_account_id, gateway_ref, currency,"
            " business_on, state, gross_minor, fee_minor, net_minor)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (organisation_id, gateway_account_id, gateway_ref) DO NOTHING",
            (
                current_organisation_id(),
                payout_id,
                gateway_account_id,
                report.gateway_ref,
                report.currency,
                report.business_date,
                PayoutState.IN_TRANSIT.value,
                report.gross_minor,
                report.fee_minor,
                report.net_minor,
            ),
        )
        if not inserted:
            _compare(gateway_account_id, report)
            return None
        _write_items(payout_id, report)
        _open_settlement(payout_id, report.net_minor)
        record_event(
            "payout.recorded",
            payout_id,
            actor=actor,
            now=now,
            details={"gateway_ref": report.gateway_ref, "items": len(report.items)},
        )
    return payout_id


def record_bank_line(
    *,
    bank_account_id: UUID,
    bank_ref: str,
    booked_on: date,
    amount_minor: int,
    currency: str,
    reference: str,
    actor: Actor,
    now: datetime,
) -> UUID:
    """Record an entry on our bank account, to be matched later.

    Shape: the line's id, also when the bank tells the same again.
    Raises: BankAccountUnknown; BankLineInvalid; AmountTooLarge; BankLineDiffers when the bank's
    reference was used for something else.
    """
    if amount_minor == 0:
        raise BankLineInvalid(bank_ref=bank_ref, field="amount")
    check_amount(amount_minor)
    line_id = new_id()
    key: dict[str, Any] = {
        "o": current_organisation_id(),
        "id": line_id,
        "account": bank_account_id,
        "ref": bank_ref,
        "on": booked_on,
        "currency": currency,
        "amount": amount_minor,
        "reference": reference,
    }
    with transaction():
        account = fetch_one(
            "SELECT id FROM bank_accounts WHERE id = %(account)s AND currency = %(currency)s", key
        )
        if account is None:
            raise BankAccountUnknown(currency=currency)
        inserted = execute(
            "INSERT INTO bank_lines (organisation_id, id, bank_account_id, bank_ref, booked_on,"
            " currency, amount_minor, reference) VALUES (%(o)s, %(id)s, %(account)s, %(ref)s,"
            " %(on)s, %(currency)s, %(amount)s, %(reference)s)"
            " ON CONFLICT (organisation_id, bank_account_id, bank_ref) DO NOTHING",
            key,
        )
        if inserted:
            record_event("bank_line.recorded", line_id, actor=actor, now=now)
            return line_id
        known = fetch_one(
            "SELECT id FROM bank_lines WHERE bank_account_id = %(account)s AND bank_ref = %(ref)s"
            " AND booked_on = %(on)s AND amount_minor = %(amount)s AND reference = %(reference)s",
            key,
        )
        if known is None:
            raise BankLineDiffers(bank_ref=bank_ref)
        known_id: UUID = known.id
    return known_id


def _check(report: PayoutReport, currency: str) -> None:
    """Refuse a report that contradicts itself or speaks of another currency."""
    reason = None
    if report.currency != currency:
        reason = f"it is in {report.currency}, the account in {currency}"
    elif report.net_minor != report.gross_minor - report.fee_minor:
        reason = "its net amount is not its gross amount less its fees"
    elif any(each.net_minor != each.gross_minor - each.fee_minor for each in report.items):
        reason = "the net amount of an item is not its gross amount less its fee"
    if reason is not None:
        raise PayoutInvalid(gateway_ref=report.gateway_ref, reason=reason)
    check_amount(report.gross_minor)
    check_amount(report.net_minor)


def _items(report: PayoutReport) -> list[tuple[Any, ...]]:
    return [
        (
            each.kind.value,
            each.gateway_ref or None,
            each.merchant_ref or None,
            each.gross_minor,
            each.fee_minor,
            each.net_minor,
        )
        for each in report.items
    ]


def _compare(gateway_account_id: UUID, report: PayoutReport) -> None:
    """Make sure that a repeat says what the first report said, in whatever order.

    Raises: PayoutDiffers.
    """
    known = fetch_plain(
        "SELECT id, business_on, currency, gross_minor, fee_minor, net_minor FROM payouts"
        " WHERE gateway_account_id = %s AND gateway_ref = %s",
        (gateway_account_id, report.gateway_ref),
    )
    items = fetch_plain(
        "SELECT kind, gateway_ref, merchant_ref, gross_minor, fee_minor, net_minor"
        " FROM payout_items WHERE payout_id = %s",
        (known[0][0],),
    )
    head = (
        report.business_date,
        report.currency,
        report.gross_minor,
        report.fee_minor,
        report.net_minor,
    )
    if known[0][1:] != head or _sorted(items) != _sorted(_items(report)):
        raise PayoutDiffers(gateway_ref=report.gateway_ref)


def _sorted(items: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(items, key=lambda item: tuple(str(each or "") for each in item))


def _write_items(payout_id: UUID, report: PayoutReport) -> None:
    stage_rows(
        "staged_payout_items",
        ITEM_COLUMNS,
        ((position, *item) for position, item in enumerate(_items(report), start=1)),
    )
    execute(
        "INSERT INTO payout_items (organisation_id, payout_id, currency, position, kind,"
        " gateway_ref, merchant_ref, gross_minor, fee_minor, net_minor)"
        " SELECT %s, %s, %s, s.* FROM pg_temp.staged_payout_items s",
        (current_organisation_id(), payout_id, report.currency),
    )


def _open_settlement(payout_id: UUID, net_minor: int) -> None:
    execute(
        "INSERT INTO settlements (organisation_id, id, payout_id, state, residual_minor)"
        " VALUES (%s, %s, %s, %s, %s)",
        (current_organisation_id(), new_id(), payout_id, SettlementState.OPEN.value, net_minor),
    )
