from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from typing import Any
from uuid import UUID

from portal.db import acting_for, transaction
from portal.domain.deposits import DepositState
from portal.ids import new_id
from portal.queries.payers import (
    PayerBalance,
    get_payer_balance,
    list_payer_credits,
    list_payer_deposits,
)
from portal.sql import execute
from tests import factories
from tests.factories import (
    BUSINESS_ON,
    Line,
    make_credit_note,
    make_deposit,
    make_draft_invoice,
    make_issued_invoice,
    make_mandate,
    make_payer,
    make_payment,
)
from tests.recording import Recording
from tests.services.collecting import apply_money
from tests.services.test_payments_by_hand import record


def balances_of(payer_id: UUID, on: date = BUSINESS_ON) -> list[PayerBalance]:
    with acting_for(factories.home.get()):
        return get_payer_balance(payer_id, on=on)


def test_a_balance_says_where_the_money_stands(
    organisation: UUID, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    payer_id = make_payer().id
    overdue = make_issued_invoice(payer_id=payer_id)
    collected = make_issued_invoice(payer_id=payer_id)
    make_draft_invoice(payer_id=payer_id)
    make_credit_note(payer_id=payer_id, lines=(Line(1_000),))
    apply_money(payer_id)
    record(overdue.id, 1_000)
    make_payment(invoice=collected)
    later = make_issued_invoice(payer_id=payer_id, business_on=date(2026, 3, 18))
    make_credit_note(payer_id=payer_id, business_on=date(2026, 3, 18))
    make_deposit(payer_id=payer_id)
    record(make_paid(payer_id), 500)
    make_issued_invoice(business_on=date(2026, 3, 18))

    (found,) = balances_of(payer_id)

    assert found.currency == "EUR"
    assert (found.invoices_count, found.invoiced_minor) == (4, 47_600)
    assert (found.paid_minor, found.credited_minor) == (12_900, 1_190)
    assert (found.open_count, found.open_minor) == (3, 33_510)
    assert found.invoiced_minor == (
        found.paid_minor + found.credited_minor + found.written_off_minor + found.open_minor
    )
    assert (found.overdue_count, found.overdue_minor) == (2, 21_610)
    assert found.in_payment_minor == 11_900
    assert (found.credit_left_minor, found.deposits_held_minor) == (5_950 + 500, 8_000)
    (on_time,) = balances_of(payer_id, overdue.due_on)
    assert (on_time.overdue_count, on_time.overdue_minor) == (0, 0)
    assert later.due_on > BUSINESS_ON
    with acting_for(organisation), statements() as recorded:
        get_payer_balance(payer_id, on=BUSINESS_ON)
    assert recorded.count == 1


def make_paid(payer_id: UUID) -> UUID:
    """Make an invoice of the payer that is paid already."""
    invoice_id: UUID = make_issued_invoice(payer_id=payer_id, business_on=date(2026, 3, 18)).id
    record(invoice_id)
    return invoice_id


def test_each_currency_stands_by_itself(organisation: UUID) -> None:
    payer_id = make_issued_invoice().payer_id
    other = make_draft_invoice(payer_id=payer_id, currency="USD")
    with transaction(organisation):
        execute(
            "UPDATE invoices SET state = 'issued', number = 7, year = 2026,"
            " issued_on = '2026-03-18', due_on = '2026-04-01' WHERE id = %s",
            (other.id,),
        )

    found = balances_of(payer_id)

    assert [(row.currency, row.open_minor) for row in found] == [("EUR", 11_900), ("USD", 10_000)]


def test_nobody_and_another_organisations_payer_have_nothing(
    organisation: UUID, other_organisation: UUID
) -> None:
    theirs = make_issued_invoice(organisation_id=other_organisation).payer_id

    for payer_id in (make_payer().id, theirs, new_id()):
        assert balances_of(payer_id) == []
        with acting_for(organisation):
            assert list_payer_credits(payer_id) == []
            assert list_payer_deposits(payer_id) == []


def test_credits_and_deposits_are_listed(organisation: UUID) -> None:
    invoice = make_issued_invoice()
    make_mandate(payer_id=invoice.payer_id)
    payment_id = record(invoice.id, 12_000)
    deposit: Any = make_deposit(payer_id=invoice.payer_id)

    with acting_for(organisation):
        (credit,) = list_payer_credits(invoice.payer_id)
        (held,) = list_payer_deposits(invoice.payer_id)

    assert (credit.payment_id, credit.amount_minor, credit.left_minor) == (payment_id, 100, 100)
    assert (credit.currency, credit.since_on) == ("EUR", BUSINESS_ON)
    assert (held.id, held.state, held.left_minor) == (deposit.id, DepositState.HELD, 8_000)
