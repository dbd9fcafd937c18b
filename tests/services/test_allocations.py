import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import transaction
from portal.domain.batches import ItemOutcome
from portal.domain.ledger import AccountKind
from portal.ids import new_id
from portal.paths import RULE_SAMPLES
from portal.services.allocations import (
    InvoiceReversal,
    PaymentReversal,
    apply_credits,
    reverse_allocations,
)
from portal.services.outcomes import ItemResult
from portal.sql import execute
from rules.definitions import load_definition
from rules.ruleset import CompiledRuleSet, compile_rule_set
from tests import factories
from tests.recording import Recording
from tests.services.books import (
    assert_books_hold,
    balance,
    events_of,
    make_payer_credit,
    pay,
    post,
    rows,
)

LATER_ON = date(2026, 3, 20)


def agreement(**order: Any) -> CompiledRuleSet:
    """Compile the harbour's agreement with another order of credits."""
    definition = harbour()
    for clause in definition["clause"]:
        if clause["code"] == "P102":
            clause["parameters"] = {**clause["parameters"], **order}
    return compile_rule_set(definition, holidays=frozenset())


def harbour() -> dict[str, Any]:
    text = (RULE_SAMPLES / "harbour.toml").read_text("utf-8")
    return dict(load_definition(text))


def apply(*payer_ids: UUID, rule_set: CompiledRuleSet | None = None) -> list[ItemResult]:
    with transaction(factories.home.get()):
        return apply_credits(
            payer_ids=payer_ids,
            business_on=LATER_ON,
            rule_set=rule_set or agreement(),
            actor=factories.CLERK,
            now=factories.NOW,
        )


def invoice(id: UUID) -> Any:  # noqa: A002
    return factories.read_row("invoices", id)


def test_credit_notes_come_first_then_credits_then_deposits(organisation: UUID) -> None:
    owed = factories.make_issued_invoice(lines=(factories.Line(10_000),))
    payer_id = owed.payer_id
    deposit = factories.make_deposit(payer_id=payer_id, amount_minor=8_000)
    credit = make_payer_credit(payer_id=payer_id, amount_minor=2_000)
    note = factories.make_credit_note(payer_id=payer_id)

    (result,) = apply(payer_id)

    assert result == ItemResult(payer_id, ItemOutcome.DONE, amount_minor=11_900)
    after = invoice(owed.id)
    assert (after.credited_minor, after.paid_minor, after.open_minor) == (5_950, 5_950, 0)
    assert after.payment_status == "paid"
    assert after.version == owed.version + 1
    assert invoice(note.id).credit_left_minor == 0
    assert factories.read_row("payer_credits", credit.id).left_minor == 0
    kept = factories.read_row("deposits", deposit.id)
    assert (kept.state, kept.applied_minor, kept.left_minor) == ("partially_applied", 3_950, 4_050)
    assert kept.version == deposit.version + 1
    found = rows(
        "SELECT credit_note_id, payer_credit_id, deposit_id, amount_minor, applied_on, currency"
        " FROM allocations WHERE invoice_id = %s ORDER BY amount_minor DESC",
        owed.id,
    )
    assert found == [
        (note.id, None, None, 5_950, LATER_ON, "EUR"),
        (None, None, deposit.id, 3_950, LATER_ON, "EUR"),
        (None, credit.id, None, 2_000, LATER_ON, "EUR"),
    ]
    assert balance(AccountKind.RECEIVABLE) == 0
    assert balance(AccountKind.PAYER_CREDITS) == 0
    assert balance(AccountKind.DEPOSITS_HELD) == -4_050
    assert_books_hold()


def test_documents_for_named_revenue_come_first(organisation: UUID) -> None:
    older = factories.make_issued_invoice(lines=(factories.Line(10_000),))
    payer_id = older.payer_id
    fees = factories.make_issued_invoice(
        payer_id=payer_id, lines=(factories.Line(5_000, revenue_code="4300"),)
    )
    make_payer_credit(payer_id=payer_id, amount_minor=6_000)
    definition = harbour()
    others = [each for each in definition["clause"] if each["code"] != "P102"]
    named = {"code": "P111", "parameters": {"revenue_codes": ["4300"]}}
    rule_set = compile_rule_set({**definition, "clause": [*others, named]}, holidays=frozenset())

    apply(payer_id, rule_set=rule_set)

    assert invoice(fees.id).open_minor == 0
    assert invoice(older.id).paid_minor == 6_000 - fees.total_minor
    assert_books_hold()


def test_each_thing_that_happened_is_recorded_once(organisation: UUID) -> None:
    owed = factories.make_issued_invoice()
    deposit = factories.make_deposit(payer_id=owed.payer_id, amount_minor=100)
    credit = make_payer_credit(payer_id=owed.payer_id, amount_minor=100)
    note = factories.make_credit_note(payer_id=owed.payer_id)

    apply(owed.payer_id)

    assert events_of(owed.id)[1:] == [
        "invoice.credited",
        "invoice.paid_from_credit",
        "invoice.paid_from_deposit",
    ]
    assert events_of(deposit.id) == ["deposit.received", "deposit.applied"]
    assert events_of(credit.id) == ["payer_credit.applied"]
    assert events_of(note.id)[1:] == ["invoice.credit_applied"]


def test_the_agreement_decides_the_order_of_sources_and_invoices(organisation: UUID) -> None:
    large = factories.make_issued_invoice(lines=(factories.Line(20_000),))
    payer_id = large.payer_id
    small = factories.make_issued_invoice(lines=(factories.Line(1_000),), payer_id=payer_id)
    note = factories.make_credit_note(payer_id=payer_id)
    deposit = factories.make_deposit(payer_id=payer_id, amount_minor=1_190)
    rule_set = agreement(source_order=["deposit", "credit_note"], invoice_order="smallest")

    apply(payer_id, rule_set=rule_set)

    found = rows("SELECT invoice_id, deposit_id, credit_note_id, amount_minor FROM allocations")
    assert sorted(found, key=lambda row: row.amount_minor) == [
        (small.id, deposit.id, None, 1_190),
        (large.id, None, note.id, 5_950),
    ]
    assert_books_hold()


def test_what_the_agreement_does_not_name_stays_untouched(organisation: UUID) -> None:
    owed = factories.make_issued_invoice()
    credit = make_payer_credit(payer_id=owed.payer_id, amount_minor=2_000)

    (result,) = apply(owed.payer_id, rule_set=agreement(source_order=["credit_note"]))

    assert (result.outcome, result.code) == (ItemOutcome.FILTERED, "nothing_to_apply")
    assert factories.read_row("payer_credits", credit.id).left_minor == 2_000
    assert rows("SELECT id FROM allocations") == []


def test_credits_larger_than_the_invoices_keep_the_rest(organisation: UUID) -> None:
    first = factories.make_issued_invoice(lines=(factories.Line(1_000),))
    payer_id = first.payer_id
    factories.make_issued_invoice(lines=(factories.Line(500),), payer_id=payer_id)
    note = factories.make_credit_note(payer_id=payer_id)
    deposit = factories.make_deposit(payer_id=payer_id, amount_minor=9_000)

    (result,) = apply(payer_id)

    assert result.amount_minor == 1_190 + 595
    assert invoice(note.id).credit_left_minor == 5_950 - 1_785
    assert factories.read_row("deposits", deposit.id).state == "held"
    assert balance(AccountKind.PAYER_CREDITS) == -(5_950 - 1_785)
    assert_books_hold()


def test_a_deposit_that_is_used_up_is_applied(organisation: UUID) -> None:
    owed = factories.make_issued_invoice()
    deposit = factories.make_deposit(payer_id=owed.payer_id, amount_minor=5_000)

    apply(owed.payer_id)

    assert factories.read_row("deposits", deposit.id).state == "applied"
    assert_books_hold()


def test_a_deposit_without_consent_is_not_set_off(organisation: UUID) -> None:
    owed = factories.make_issued_invoice()
    factories.make_deposit(payer_id=owed.payer_id, amount_minor=5_000, may_set_off=False)

    (result,) = apply(owed.payer_id)

    assert result.outcome is ItemOutcome.FILTERED
    assert invoice(owed.id).paid_minor == 0


def test_what_is_in_payment_is_left_to_the_payment(organisation: UUID) -> None:
    owed = factories.make_issued_invoice()
    with transaction(organisation):
        execute("UPDATE invoices SET in_payment_minor = 10000 WHERE id = %s", (owed.id,))
    factories.make_deposit(payer_id=owed.payer_id, amount_minor=50_000)

    (result,) = apply(owed.payer_id)

    assert result.amount_minor == 1_900
    after = invoice(owed.id)
    assert (after.paid_minor, after.in_payment_minor) == (1_900, 10_000)
    assert_books_hold()


def test_drafts_and_credits_of_other_payers_are_left_alone(organisation: UUID) -> None:
    owed = factories.make_issued_invoice()
    factories.make_draft_invoice(payer_id=owed.payer_id, kind="credit_note")
    stranger = factories.make_credit_note()

    results = apply(stranger.payer_id, owed.payer_id, UUID(int=9))

    assert [result.outcome for result in results] == [ItemOutcome.FILTERED] * 3
    assert [result.item_id for result in results] == [stranger.payer_id, owed.payer_id, UUID(int=9)]
    assert rows("SELECT id FROM allocations") == []


def test_a_second_run_finds_nothing_left(organisation: UUID) -> None:
    owed = factories.make_issued_invoice()
    factories.make_credit_note(payer_id=owed.payer_id)

    apply(owed.payer_id)
    (again,) = apply(owed.payer_id)

    assert again.outcome is ItemOutcome.FILTERED
    assert rows("SELECT count(*) FROM allocations") == [(1,)]


@pytest.fixture
def two_currencies(app: Flask) -> UUID:
    """An organisation that agreed on euro and dollars, with a bank account in each."""
    definition = harbour()
    for clause in definition["clause"]:
        if clause["code"] == "V108":
            clause["parameters"] = {"currencies": ["EUR", "USD"]}
    organisation_id = factories.make_organisation("harbour", rule_definition=definition)
    factories.home.set(organisation_id)
    with transaction(organisation_id):
        factories.insert_row(
            "bank_accounts",
            organisation_id=organisation_id,
            id=new_id(),
            iban="DE02120300000000202051",
            name="Dollars",
            currency="USD",
        )
    return organisation_id


def test_nothing_crosses_currencies(two_currencies: UUID) -> None:
    euros = factories.make_issued_invoice(lines=(factories.Line(1_000),))
    payer_id = euros.payer_id
    dollars = factories.make_issued_invoice(
        lines=(factories.Line(2_000),), payer_id=payer_id, currency="USD"
    )
    factories.make_deposit(payer_id=payer_id, amount_minor=90_000)
    dollar_note = factories.make_credit_note(
        payer_id=payer_id, currency="USD", lines=(factories.Line(500),)
    )

    (result,) = apply(payer_id)

    assert result.amount_minor == 1_190 + 595
    assert invoice(euros.id).open_minor == 0
    assert invoice(dollars.id).open_minor == 2_380 - 595
    assert invoice(dollar_note.id).credit_left_minor == 0
    assert balance(AccountKind.DEPOSITS_HELD) == -(90_000 - 1_190)
    assert balance(AccountKind.RECEIVABLE, "USD") == 2_380 - 595
    assert_books_hold(("EUR", "USD"))


def test_two_threads_never_apply_the_same_money_twice(organisation: UUID, app: Flask) -> None:
    owed = [factories.make_issued_invoice(lines=(factories.Line(3_000),))]
    payer_id = owed[0].payer_id
    owed += [
        factories.make_issued_invoice(lines=(factories.Line(3_000 + part),), payer_id=payer_id)
        for part in range(1, 4)
    ]
    factories.make_credit_note(payer_id=payer_id, lines=(factories.Line(2_000),))
    factories.make_deposit(payer_id=payer_id, amount_minor=4_000)
    make_payer_credit(payer_id=payer_id, amount_minor=1_500)
    ready = threading.Barrier(2, timeout=30)
    applied: list[int] = []

    def work() -> None:
        with app.app_context(), transaction(organisation):
            ready.wait()
            (result,) = apply_credits(
                payer_ids=[payer_id],
                business_on=LATER_ON,
                rule_set=agreement(),
                actor=factories.CLERK,
                now=factories.NOW,
            )
            applied.append(result.amount_minor)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(applied) == [0, 2_380 + 4_000 + 1_500]
    assert_books_hold()


def test_the_number_of_statements_does_not_grow_with_the_payers(
    organisation: UUID, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    counts = []
    for size in (1, 6):
        payer_ids = []
        for _ in range(size):
            owed = factories.make_issued_invoice()
            factories.make_credit_note(payer_id=owed.payer_id)
            factories.make_deposit(payer_id=owed.payer_id, amount_minor=100)
            make_payer_credit(payer_id=owed.payer_id, amount_minor=100)
            payer_ids.append(owed.payer_id)
        with statements() as recorded:
            apply(*payer_ids)
        counts.append(recorded.count)

    assert counts[0] == counts[1]
    assert_books_hold()


def test_many_payers_keep_every_minor_unit(organisation: UUID) -> None:
    """Odd amounts of seven kinds of payers: what is applied, open and left adds up to what was."""
    payer_ids = []
    for number in range(1, 8):
        payer_id = factories.make_payer().id
        payer_ids.append(payer_id)
        for part in range(number % 3 + 1):
            factories.make_issued_invoice(
                payer_id=payer_id, lines=(factories.Line(1_001 * number + 13 * part),)
            )
        for part in range(number % 4):
            line = factories.Line(577 * number + 101 * part)
            factories.make_credit_note(payer_id=payer_id, lines=(line,))
        make_payer_credit(payer_id=payer_id, amount_minor=333 * number + 1)
        factories.make_deposit(payer_id=payer_id, amount_minor=77 * number**2 + 3)
    before = _per_payer()

    results = apply(*payer_ids)

    applied = sum(result.amount_minor for result in results)
    after = _per_payer()
    assert applied > 0
    assert sum(row.owed for row in after) == sum(row.owed for row in before) - applied
    assert sum(row.held for row in after) == sum(row.held for row in before) - applied
    assert all(row.owed == 0 or row.held == 0 for row in after)
    assert_books_hold()


def _per_payer() -> list[Any]:
    return rows(
        "SELECT payer_id, sum(open_minor) AS owed, sum(left_minor) AS held FROM ("
        " SELECT payer_id, 0 AS open_minor, credit_left_minor AS left_minor FROM invoices"
        " UNION ALL SELECT payer_id, open_minor, 0 FROM invoices"
        " UNION ALL SELECT payer_id, 0, left_minor FROM payer_credits"
        " UNION ALL SELECT payer_id, 0, left_minor FROM deposits) s GROUP BY payer_id"
    )


def reverse(*payment_ids: UUID) -> list[PaymentReversal]:
    with transaction(factories.home.get()):
        return reverse_allocations(
            payment_ids=payment_ids,
            business_on=LATER_ON,
            actor=factories.CLERK,
            now=factories.NOW,
        )


def post_return(payment: Any, reversal: PaymentReversal) -> None:
    """Post a return as the payments do: by invoice, and what had become the payer's credit."""
    for part in reversal.invoices:
        post(
            AccountKind.RECEIVABLE,
            AccountKind.BANK,
            payment.currency,
            part.amount_minor,
            payer_id=part.payer_id,
            invoice_id=part.invoice_id,
        )
    post(
        AccountKind.PAYER_CREDITS,
        AccountKind.BANK,
        payment.currency,
        reversal.credit_withdrawn_minor,
        payer_id=payment.payer_id,
    )


def test_a_returned_payment_opens_its_invoice_again(organisation: UUID) -> None:
    owed = factories.make_issued_invoice()
    payment = pay(owed)

    (reversal,) = reverse(payment.id)
    post_return(payment, reversal)

    assert reversal == PaymentReversal(
        payment.id, (InvoiceReversal(owed.id, owed.payer_id, 11_900),), 0, ()
    )
    assert invoice(owed.id).open_minor == 11_900
    assert invoice(owed.id).payment_status == "unpaid"
    assert rows(
        "SELECT count(*), count(reverses_id) AS back, sum(amount_minor) FROM allocations"
    ) == [(2, 1, 23_800)]
    assert events_of(owed.id)[-1] == "invoice.reopened"
    assert balance(AccountKind.BANK) == 0
    assert_books_hold()


def test_unused_credit_of_a_returned_payment_is_withdrawn(organisation: UUID) -> None:
    owed = factories.make_issued_invoice()
    payment = pay(owed, excess_minor=700)

    (reversal,) = reverse(payment.id)
    post_return(payment, reversal)

    assert reversal.credit_withdrawn_minor == 700
    (credit,) = rows("SELECT * FROM payer_credits")
    assert (credit.amount_minor, credit.left_minor) == (700, 0)
    assert events_of(credit.id) == ["payer_credit.withdrawn"]
    assert balance(AccountKind.PAYER_CREDITS) == 0
    assert balance(AccountKind.BANK) == 0
    assert_books_hold()


def test_what_the_credit_of_a_returned_payment_had_settled_is_open_again(
    organisation: UUID,
) -> None:
    owed = factories.make_issued_invoice()
    payment = pay(owed, excess_minor=5_000)
    other = factories.make_issued_invoice(payer_id=owed.payer_id, lines=(factories.Line(1_000),))
    apply(owed.payer_id)
    assert invoice(other.id).open_minor == 0

    (reversal,) = reverse(payment.id)
    post_return(payment, reversal)

    assert reversal.reopened == ((other.id, other.payer_id, 1_190),)
    assert reversal.credit_withdrawn_minor == 5_000
    assert invoice(owed.id).open_minor == 11_900
    assert invoice(other.id).open_minor == 1_190
    (credit,) = rows("SELECT left_minor FROM payer_credits")
    assert credit.left_minor == 0
    (entry,) = rows(
        "SELECT reverses_id, source_id FROM ledger_entries WHERE reverses_id IS NOT NULL"
    )
    (reversed_entry,) = rows("SELECT kind FROM ledger_entries WHERE id = %s", entry.reverses_id)
    assert reversed_entry.kind == "credit_applied"
    assert balance(AccountKind.RECEIVABLE) == 11_900 + 1_190
    assert balance(AccountKind.BANK) == 0
    (again,) = apply(owed.payer_id)
    assert again.outcome is ItemOutcome.FILTERED
    assert_books_hold()


def test_reversing_again_finds_nothing_and_other_payments_stay(organisation: UUID) -> None:
    owed = factories.make_issued_invoice()
    payment = pay(owed, excess_minor=100)
    kept = factories.make_issued_invoice(payer_id=owed.payer_id, lines=(factories.Line(900),))
    pay(kept)

    reverse(payment.id)
    (again,) = reverse(payment.id)

    assert again == PaymentReversal(payment.id, (), 0, ())
    assert invoice(kept.id).payment_status == "paid"
    assert rows("SELECT count(*) FROM allocations WHERE reverses_id IS NOT NULL") == [(1,)]


def test_results_of_many_payments_come_in_the_order_given(organisation: UUID) -> None:
    payments = [pay(factories.make_issued_invoice(), excess_minor=n) for n in (3, 0, 5)]
    wanted = [payments[2].id, payments[0].id, UUID(int=5), payments[1].id]

    found = reverse(*wanted)

    assert [each.payment_id for each in found] == wanted
    assert [each.credit_withdrawn_minor for each in found] == [5, 3, 0, 0]
    assert [len(each.invoices) for each in found] == [1, 1, 0, 1]


def test_a_payment_paid_again_after_its_return_can_be_reversed_again(organisation: UUID) -> None:
    """What the first reversal took back must not be taken back a second time."""
    owed = factories.make_issued_invoice()
    payment = pay(owed, excess_minor=100)
    post_return(payment, reverse(payment.id)[0])
    with transaction(organisation):
        factories.insert_row(
            "allocations",
            organisation_id=organisation,
            id=new_id(),
            invoice_id=owed.id,
            payment_id=payment.id,
            currency="EUR",
            amount_minor=11_900,
            applied_on=LATER_ON,
        )
        execute("UPDATE invoices SET paid_minor = 11900 WHERE id = %s", (owed.id,))
        execute(
            "UPDATE payer_credits SET amount_minor = amount_minor + 40 WHERE payment_id = %s",
            (payment.id,),
        )

    (reversal,) = reverse(payment.id)

    assert reversal.invoices == ((owed.id, owed.payer_id, 11_900),)
    assert reversal.credit_withdrawn_minor == 40
    assert invoice(owed.id).open_minor == 11_900
