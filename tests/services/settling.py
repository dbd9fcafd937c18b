"""What the tests of settlements do again and again: record payouts, settle, book the bank."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from portal.db import transaction
from portal.domain.ledger import AccountKind
from portal.gateways.base import ItemKind, PayoutItemReport, PayoutReport
from portal.ids import new_id
from portal.queries.settlements import list_settlements_to_work
from portal.services.outcomes import ItemResult
from portal.services.settlements import match_settlements, record_bank_line, record_payout
from tests import factories
from tests.services.books import post

DAY = date(2026, 3, 18)
REF = "PO-harbour-1"


def make_attempt(state: str = "succeeded", amount_minor: int = 11_900, **over: Any) -> Any:
    """Insert an attempt with its payment, and post what its state means for the clearing."""
    with transaction(factories.home.get()) as _:
        account = factories.gateway_account_of()
        payment = factories.insert_row(
            "payments",
            organisation_id=factories.home.get(),
            id=new_id(),
            payer_id=over.pop("payer_id", None) or factories.make_payer().id,
            currency="EUR",
            amount_minor=amount_minor,
            method="mandate",
            state="processing",
            started_on=DAY,
        )
        attempt_id = new_id()
        attempt = factories.insert_row(
            "payment_attempts",
            **{
                "organisation_id": factories.home.get(),
                "id": attempt_id,
                "payment_id": payment.id,
                "number": 1,
                "currency": "EUR",
                "amount_minor": amount_minor,
                "state": state,
                "gateway_account_id": account.id,
                "merchant_ref": attempt_id.hex,
                "idempotency_key": attempt_id.hex,
                "gateway_ref": f"gw-{attempt_id.hex}",
                "business_on": DAY,
                **over,
            },
        )
        clearing = AccountKind.GATEWAY_CLEARING
        if state in {"succeeded", "returned"}:
            post(clearing, AccountKind.RECEIVABLE, "EUR", amount_minor, code=account.code)
        if state == "returned":
            post(AccountKind.RECEIVABLE, clearing, "EUR", amount_minor, code=account.code)
            fee_minor = attempt.return_fee_minor
            post(AccountKind.RETURN_FEES, clearing, "EUR", fee_minor, code=account.code)
    return attempt


def payment_item(attempt: Any, fee_minor: int = 35, **over: Any) -> PayoutItemReport:
    gross = over.pop("gross_minor", attempt.amount_minor)
    item = PayoutItemReport(
        ItemKind.PAYMENT,
        attempt.gateway_ref,
        attempt.merchant_ref,
        gross,
        fee_minor,
        gross - fee_minor,
    )
    return replace(item, **over)


def return_item(attempt: Any, fee_minor: int = 250) -> PayoutItemReport:
    gross = -attempt.amount_minor
    return PayoutItemReport(
        ItemKind.RETURN,
        attempt.gateway_ref,
        attempt.merchant_ref,
        gross,
        fee_minor,
        gross - fee_minor,
    )


def fee_item(fee_minor: int) -> PayoutItemReport:
    return PayoutItemReport(ItemKind.FEE, "gw-fee", "", 0, fee_minor, -fee_minor)


def report_of(*items: PayoutItemReport, ref: str = REF, **over: Any) -> PayoutReport:
    gross = sum(item.gross_minor for item in items)
    fees = sum(item.fee_minor for item in items)
    return replace(PayoutReport(ref, DAY, "EUR", gross, fees, gross - fees, items), **over)


def record(report: PayoutReport) -> UUID | None:
    with transaction(factories.home.get()):
        return record_payout(
            gateway_account_id=factories.gateway_account_of().id,
            report=report,
            actor=factories.CLERK,
            now=factories.NOW,
        )


def settle(*settlement_ids: UUID) -> list[ItemResult]:
    with transaction(factories.home.get()):
        wanted = settlement_ids or [each.settlement_id for each in list_settlements_to_work()]
        return match_settlements(
            settlement_ids=wanted, actor=factories.CLERK, now=factories.NOW, business_on=DAY
        )


def book_line(amount_minor: int, *, reference: str = REF, **over: Any) -> UUID:
    wanted: dict[str, Any] = {
        "bank_ref": f"BANK-{reference}",
        "booked_on": date(2026, 3, 19),
        "currency": "EUR",
    }
    with transaction(factories.home.get()):
        account_id = over.pop("bank_account_id", None) or factories.bank_account_of().id
        return record_bank_line(
            bank_account_id=account_id,
            amount_minor=amount_minor,
            reference=reference,
            actor=factories.CLERK,
            now=factories.NOW,
            **{**wanted, **over},
        )


def make_payouts() -> dict[str, UUID]:
    """Make payouts that stand at each place of their way; by the state of their booking.

    Shape: what is matching has an item unknown here, what is balanced a bank line of another sum.
    """
    unknown = replace(payment_item(make_attempt()), gateway_ref="gw-other", merchant_ref="other")
    reports = {
        "matching": report_of(payment_item(make_attempt()), unknown, ref="PO-harbour-1"),
        "balanced": report_of(payment_item(make_attempt()), fee_item(10), ref="PO-harbour-2"),
        "closed": report_of(
            payment_item(make_attempt()),
            return_item(make_attempt("returned", amount_minor=5_000, return_fee_minor=250)),
            ref="PO-harbour-3",
        ),
        "open": report_of(payment_item(make_attempt()), ref="PO-harbour-4"),
    }
    found: dict[str, UUID] = {}
    for state, report in reports.items():
        if state == "open":
            book_line(reports["balanced"].net_minor - 1, reference="PO-harbour-2")
            book_line(reports["closed"].net_minor, reference="PO-harbour-3")
            settle()
        payout_id = record(report)
        assert payout_id is not None
        found[state] = payout_id
    return found
