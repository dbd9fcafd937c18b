from datetime import date
from typing import Any
from uuid import UUID

import pytest

from portal.db import transaction
from portal.domain.errors import Invalid
from portal.domain.ledger import AccountKind
from portal.ids import new_id
from portal.queries.populations import POPULATIONS
from portal.services.deposits import (
    BankAccountMissing,
    BankLineUsed,
    DepositInvalid,
    DepositPayerNotFound,
    TaxedAdvanceRefused,
    record_deposit,
)
from portal.services.settlements import record_bank_line
from portal.sql import execute, fetch
from tests import factories
from tests.services.books import assert_books_hold, balance, events_of, rows


def deposit_wanted(**over: Any) -> dict[str, Any]:
    return {
        "payer_id": over.get("payer_id") or factories.make_payer().id,
        "amount_minor": 25_000,
        "currency": "EUR",
        "purpose": "security for the berth",
        "received_on": date(2026, 3, 17),
        "bank_ref": "BANK-1",
        "may_set_off": True,
        "due_back_on": date(2027, 3, 17),
        "actor": factories.CLERK,
        "now": factories.NOW,
    } | over


def record(**over: Any) -> UUID:
    with transaction(factories.home.get()):
        return record_deposit(**deposit_wanted(**over))


def list_payers_to_match() -> list[Any]:
    """List the population of the job that applies deposits."""
    population = POPULATIONS["deposit_matching"](date(2026, 3, 2), {})
    return fetch(f"{population.statement} ORDER BY 1", population.parameters)


def test_a_deposit_is_held_banked_and_owed(organisation: UUID) -> None:
    wanted = deposit_wanted()

    deposit_id = record(**wanted)

    deposit = factories.read_row("deposits", deposit_id)
    assert deposit.state == "held"
    assert (deposit.amount_minor, deposit.left_minor) == (25_000, 25_000)
    assert (deposit.payer_id, deposit.purpose) == (wanted["payer_id"], "security for the berth")
    assert (deposit.received_on, deposit.due_back_on) == (date(2026, 3, 17), date(2027, 3, 17))
    line = factories.read_row("bank_lines", deposit.bank_line_id)
    assert (line.amount_minor, line.bank_ref, line.match_state) == (25_000, "BANK-1", "matched")
    assert balance(AccountKind.BANK) == 25_000
    assert balance(AccountKind.DEPOSITS_HELD) == -25_000
    (entry,) = rows(
        "SELECT kind, effective_on FROM ledger_entries WHERE source_id = %s", deposit_id
    )
    assert entry == ("deposit_received", date(2026, 3, 17))
    assert events_of(deposit_id) == ["deposit.received"]
    assert_books_hold()


def test_a_bank_line_that_waits_is_the_one_that_is_used(organisation: UUID) -> None:
    with transaction(organisation):
        line_id = record_bank_line(
            bank_account_id=factories.bank_account_of().id,
            bank_ref="BANK-1",
            booked_on=date(2026, 3, 17),
            amount_minor=25_000,
            currency="EUR",
            reference="berth 7",
            actor=factories.CLERK,
            now=factories.NOW,
        )

    deposit_id = record()

    assert factories.read_row("deposits", deposit_id).bank_line_id == line_id
    assert rows("SELECT match_state FROM bank_lines") == [("matched",)]
    assert balance(AccountKind.BANK) == 25_000


@pytest.mark.parametrize("over", [{}, {"amount_minor": 24_999}, {"received_on": date(2026, 3, 16)}])
def test_money_that_arrived_once_is_one_deposit(organisation: UUID, over: dict[str, Any]) -> None:
    record()

    with pytest.raises(BankLineUsed):
        record(**over)

    assert rows("SELECT count(*), sum(amount_minor) FROM deposits") == [(1, 25_000)]
    assert balance(AccountKind.BANK) == 25_000


@pytest.mark.parametrize(
    ("over", "error"),
    [
        ({"amount_minor": 0}, DepositInvalid),
        ({"amount_minor": -5}, DepositInvalid),
        ({"amount_minor": 10**17}, Invalid),
        ({"currency": "eur"}, Invalid),
        ({"currency": "USD"}, BankAccountMissing),
        ({"purpose": "  "}, DepositInvalid),
        ({"purpose": "Taxed advance"}, TaxedAdvanceRefused),
        ({"purpose": "taxed_prepayment"}, TaxedAdvanceRefused),
        ({"bank_ref": ""}, DepositInvalid),
        ({"due_back_on": date(2026, 3, 16)}, DepositInvalid),
        ({"payer_id": UUID(int=7)}, DepositPayerNotFound),
    ],
)
def test_what_cannot_be_a_deposit_leaves_nothing_behind(
    organisation: UUID, over: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        record(**over)

    assert rows("SELECT id FROM deposits") == []
    assert rows("SELECT id FROM bank_lines") == []
    assert rows("SELECT id FROM ledger_entries") == []


def test_a_payer_of_another_organisation_cannot_be_named(
    organisation: UUID, other_organisation: UUID
) -> None:
    stranger = factories.make_payer(organisation_id=other_organisation)

    with pytest.raises(DepositPayerNotFound):
        record(payer_id=stranger.id)


def test_payers_to_match_have_something_usable_and_something_open(organisation: UUID) -> None:
    owing = factories.make_issued_invoice()
    factories.make_deposit(payer_id=owing.payer_id, amount_minor=4_000)
    factories.make_credit_note(payer_id=owing.payer_id)
    factories.make_deposit(payer_id=factories.make_payer().id, amount_minor=4_000)
    factories.make_issued_invoice()
    bound = factories.make_issued_invoice()
    factories.make_deposit(payer_id=bound.payer_id, amount_minor=4_000, may_set_off=False)
    in_payment = factories.make_issued_invoice()
    factories.make_deposit(payer_id=in_payment.payer_id, amount_minor=4_000)
    with transaction(organisation):
        execute("UPDATE invoices SET in_payment_minor = 11900 WHERE id = %s", (in_payment.id,))

    with transaction(organisation):
        (found,) = list_payers_to_match()

        assert (found.id, found.amount_minor) == (owing.payer_id, 4_000 + 5_950)


def test_payers_to_match_are_told_apart_by_currency_and_version(organisation: UUID) -> None:
    owing = factories.make_issued_invoice()
    with transaction(organisation):
        factories.insert_row(
            "bank_accounts",
            organisation_id=organisation,
            id=new_id(),
            iban="DE02120300000000202051",
            name="Dollars",
            currency="USD",
        )
    factories.make_deposit(payer_id=owing.payer_id, amount_minor=4_000, currency="USD")
    with transaction(organisation):
        assert list_payers_to_match() == []

    factories.make_deposit(payer_id=owing.payer_id, amount_minor=3_000)

    with transaction(organisation):
        (before,) = list_payers_to_match()
    factories.make_deposit(payer_id=owing.payer_id, amount_minor=1)
    with transaction(organisation):
        (after,) = list_payers_to_match()
    assert before.amount_minor == 3_000
    assert (after.amount_minor, after.version > before.version) == (3_001, True)
