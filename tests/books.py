"""A small month in the books of an organisation, written by the services: a bit of everything."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome
from portal.gateways.base import ItemKind, PayoutItemReport, PayoutReport
from portal.services.allocations import apply_credits
from portal.services.batches import RunOrder, claim_chunk, finish_run, start_run, work_chunk
from portal.services.invoices import issue_invoices
from portal.services.messages import DeliveryOutcome, claim_messages, finish_deliveries
from portal.services.payments import ResultKind
from portal.services.rulesets import load_rule_set
from portal.services.settlements import match_settlements, record_bank_line, record_payout
from portal.sql import execute, fetch
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    EARLIER_ON,
    NOW,
    Line,
    answer_attempt,
    attempt_of,
    bank_account_of,
    gateway_account_of,
    home,
    make_credit_note,
    make_deposit,
    make_draft_invoice,
    make_issued_invoice,
    make_payer,
    make_payment,
)

RETURN_FEE_MINOR = 350
FEE_MINOR = 35


def write_month(organisation_id: UUID) -> None:
    """Issue by a run, apply credits and deposits, collect, return, pay out and settle."""
    former = home.set(organisation_id)
    with acting_for(organisation_id):
        _issue_by_a_run()
        with transaction(organisation_id):
            _apply_what_payers_have()
            _return_what_was_credited()
            collected = _collect()
            _settle(collected)
            _deliver()
    home.reset(former)


def _issue_by_a_run() -> None:
    for net_minor in (10_000, 20_000, 30_000):
        make_draft_invoice(lines=(Line(net_minor), Line(-500), Line(2_500, "4100", "R")))
    order = RunOrder("invoice_issuing", EARLIER_ON, chunk_items_max=2)
    run_id = start_run(order=order, actor=CLERK, now=NOW)
    while lease := _claim():
        work_chunk(
            lease=lease,
            work=lambda ids: issue_invoices(
                invoice_ids=ids, business_on=EARLIER_ON, actor=CLERK, now=NOW
            ),
        )
    assert finish_run(run_id=run_id, now=NOW) == "completed"


def _claim() -> Any:
    organisation_id = fetch("SELECT organisation_id FROM batch_runs LIMIT 1")[0].organisation_id
    return claim_chunk(organisation_id=organisation_id, worker="test", lease_seconds=30)


def apply_what_is_there(payer_id: UUID, *, business_on: date = BUSINESS_ON) -> int:
    """Let a payer's credits and deposits settle what they owe, and return how much did."""
    _, rule_set = load_rule_set(on=business_on)
    (result,) = apply_credits(
        payer_ids=[payer_id], business_on=business_on, rule_set=rule_set, actor=CLERK, now=NOW
    )
    return result.amount_minor


def _apply_what_payers_have() -> None:
    payer = make_payer()
    make_issued_invoice(payer_id=payer.id)
    make_credit_note(payer_id=payer.id)
    make_deposit(payer_id=payer.id, amount_minor=2_000, received_on=EARLIER_ON)
    assert apply_what_is_there(payer.id) > 0
    make_deposit(payer_id=make_payer().id)
    make_credit_note(lines=(Line(1_000, "4100", "R"),))


def _return_what_was_credited() -> None:
    """A payment comes for an invoice that is paid already; its credit is used, then taken back."""
    payment = make_payment()
    # As if a person had let the invoice go while the outcome was still unknown.
    execute("UPDATE invoices SET in_payment_minor = 0 WHERE id = %s", (payment.invoice_id,))
    execute("UPDATE payments SET reserved_minor = 0 WHERE id = %s", (payment.id,))
    make_credit_note(payer_id=payment.payer_id, lines=(Line(4_000),))
    assert apply_what_is_there(payment.payer_id) == 4_760
    answer_attempt(attempt_of(payment), ResultKind.SUCCEED)
    make_issued_invoice(payer_id=payment.payer_id, lines=(Line(3_000),))
    assert apply_what_is_there(payment.payer_id) == 3_570
    answer_attempt(
        attempt_of(payment), ResultKind.RETURN, reason_code="AM04", fee_minor=RETURN_FEE_MINOR
    )


def _collect() -> dict[str, Any]:
    """Have one payment of each fate and return the attempts that moved money."""
    make_payment(lines=(Line(7_000),))
    answer_attempt(attempt_of(make_payment()), ResultKind.ACCEPT)
    answer_attempt(attempt_of(make_payment()), ResultKind.DECLINE, reason_code="AM04")
    answer_attempt(attempt_of(make_payment()), ResultKind.LOSE)
    returned = answer_attempt(
        attempt_of(make_payment()),
        ResultKind.SUCCEED,
        ResultKind.RETURN,
        fee_minor=RETURN_FEE_MINOR,
        reason_code="MD01",
    )
    succeeded = [answer_attempt(attempt_of(make_payment()), ResultKind.SUCCEED) for _ in range(4)]
    return {"returned": returned, "succeeded": succeeded}


def _settle(collected: dict[str, Any]) -> None:
    """Pay out three times: closed with its bank line, waiting for it, and not explained yet."""
    first, second, third, _ = collected["succeeded"]
    account = gateway_account_of()
    returned = collected["returned"]
    _pay_out(
        "payout-1",
        [
            _item(first),
            _item(returned),
            _item(returned, kind=ItemKind.RETURN, fee_minor=RETURN_FEE_MINOR),
            PayoutItemReport(ItemKind.FEE, "", "", 0, 100, -100),
        ],
    )
    _pay_out("payout-2", [_item(second)])
    _pay_out("payout-3", [_item(third), _item(third._replace(merchant_ref="nobody's"))])
    net_minor = fetch("SELECT net_minor FROM payouts WHERE gateway_ref = 'payout-1'")[0].net_minor
    record_bank_line(
        bank_account_id=bank_account_of().id,
        bank_ref="bank-of-payout-1",
        booked_on=BUSINESS_ON,
        amount_minor=net_minor,
        currency=account.currency,
        reference="payout-1",
        actor=CLERK,
        now=NOW,
    )
    results = match_settlements(
        settlement_ids=[row.id for row in fetch("SELECT id FROM settlements ORDER BY id")],
        actor=CLERK,
        now=NOW,
        business_on=BUSINESS_ON,
    )
    assert [each.outcome for each in results] == [
        ItemOutcome.DONE,
        ItemOutcome.PARKED,
        ItemOutcome.PARKED,
    ]


def _item(
    attempt: Any, *, kind: ItemKind = ItemKind.PAYMENT, fee_minor: int = FEE_MINOR
) -> PayoutItemReport:
    gross = attempt.amount_minor if kind is ItemKind.PAYMENT else -attempt.amount_minor
    references = f"gw-{attempt.merchant_ref}", attempt.merchant_ref
    return PayoutItemReport(kind, *references, gross, fee_minor, gross - fee_minor)


def _pay_out(gateway_ref: str, items: list[PayoutItemReport]) -> None:
    account = gateway_account_of()
    report = PayoutReport(
        gateway_ref=gateway_ref,
        business_date=BUSINESS_ON,
        currency=account.currency,
        gross_minor=sum(item.gross_minor for item in items),
        fee_minor=sum(item.fee_minor for item in items),
        net_minor=sum(item.net_minor for item in items),
        items=tuple(items),
    )
    assert record_payout(gateway_account_id=account.id, report=report, actor=CLERK, now=NOW)


def _deliver() -> None:
    """Deliver some of the orders, and fail to deliver one."""
    claimed = claim_messages(gateway_account_id=gateway_account_of().id, limit=5, lease_seconds=30)
    outcomes = [DeliveryOutcome(message, "successful", http_status=202) for message in claimed[1:]]
    outcomes.append(DeliveryOutcome(claimed[0], "failed", 5.0, error="connection refused"))
    assert len(finish_deliveries(outcomes, now=NOW)) == len(claimed)
