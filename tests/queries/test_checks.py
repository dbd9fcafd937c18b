"""The proofs of `portal check`: silent on a clean book, and each kind of damage found and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest

from portal.db import acting_for, transaction
from portal.queries.checks import (
    CHECKS,
    Broken,
    CheckResult,
    DifferenceKind,
    OurAttempt,
    compare_with_gateway,
    list_our_attempts,
    run_checks,
)
from portal.sql import execute
from tests import books
from tests.factories import (
    attempt_of,
    gateway_account_of,
    make_issued_invoice,
    make_organisation,
    make_succeeded_payment,
)
from tests.services.disputing import make_dispute, pay_out_dispute
from tests.services.refunding import make_refund, pay_out_refund


def broken_checks(organisation: UUID) -> dict[str, CheckResult]:
    with acting_for(organisation):
        return {result.check: result for result in run_checks() if result.rows}


def test_clean_books_of_two_organisations_break_no_proof(organisation: UUID) -> None:
    neighbour = make_organisation("harbour", code="haven")
    books.write_month(organisation)
    books.write_month(neighbour)

    assert broken_checks(organisation) == {}
    assert broken_checks(neighbour) == {}


def test_an_empty_book_breaks_no_proof(organisation: UUID) -> None:
    with acting_for(organisation):
        results = run_checks()

    assert [result.check for result in results] == [check.name for check in CHECKS]
    assert [result.rows for result in results if result.rows] == []


def test_each_proof_is_one_statement(organisation: UUID, statements: Callable[[], Any]) -> None:
    with acting_for(organisation), statements() as recorded:
        run_checks()

    assert recorded.texts[0].startswith("SET LOCAL")
    assert recorded.count == 1 + len(CHECKS)


def test_each_proof_has_a_name_and_a_sentence_of_its_own() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert len({check.sentence for check in CHECKS}) == len(CHECKS)
    assert all(check.sentence.endswith(".") for check in CHECKS)


class Damage(NamedTuple):
    """What is done to a book, and the proofs that must name it."""

    statement: str
    named: set[str]


DAMAGE = {
    "a posting is dropped": Damage(
        "DELETE FROM postings WHERE (entry_id, line) = (SELECT entry_id, line FROM postings"
        " JOIN ledger_entries e ON e.id = entry_id WHERE e.kind = 'invoice_issued' LIMIT 1)",
        {"receivable_per_invoice", "receivable_per_payer", "entries_of_documents"},
    ),
    "a revenue account is swapped": Damage(
        "UPDATE postings SET credit_account_id = (SELECT id FROM ledger_accounts"
        " WHERE kind = 'revenue' AND code = '4100') WHERE credit_account_id ="
        " (SELECT id FROM ledger_accounts WHERE kind = 'revenue' AND code = '4000')"
        " AND invoice_id = (SELECT id FROM invoices WHERE kind = 'invoice' ORDER BY id LIMIT 1)",
        {"revenue"},
    ),
    "the payer of a posting is swapped": Damage(
        "UPDATE postings SET payer_id = (SELECT id FROM payers ORDER BY id DESC LIMIT 1)"
        " WHERE invoice_id = (SELECT id FROM invoices WHERE kind = 'invoice' AND open_minor > 0"
        " ORDER BY id LIMIT 1)",
        {"receivable_per_payer"},
    ),
    "the account of a tax is swapped for suspense": Damage(
        "WITH opened AS (INSERT INTO ledger_accounts (organisation_id, id, kind, currency)"
        " SELECT organisation_id, gen_random_uuid(), 'suspense', currency FROM ledger_accounts"
        " LIMIT 1 RETURNING id) UPDATE postings SET credit_account_id = (SELECT id FROM opened)"
        " WHERE credit_account_id = (SELECT id FROM ledger_accounts WHERE kind = 'tax_payable'"
        " AND code = 'S')",
        {"tax_payable", "quiet_accounts"},
    ),
    "the amount of a posting is changed": Damage(
        "UPDATE postings SET amount_minor = amount_minor + 1 WHERE entry_id ="
        " (SELECT id FROM ledger_entries WHERE kind = 'payment_succeeded' LIMIT 1)",
        {"gateway_clearing", "entries_of_attempts"},
    ),
    "an entry is dropped with its postings": Damage(
        "WITH gone AS (DELETE FROM ledger_entries WHERE kind = 'payment_returned' RETURNING id)"
        " DELETE FROM postings USING gone WHERE entry_id = gone.id",
        {"entries_of_attempts", "gateway_clearing", "return_fees"},
    ),
    "an entry is written for nothing": Damage(
        "INSERT INTO ledger_entries (organisation_id, id, kind, source_type, source_id,"
        " effective_on) SELECT organisation_id, gen_random_uuid(), 'deposit_received', 'deposit',"
        " gen_random_uuid(), effective_on FROM ledger_entries LIMIT 1",
        {"entries_of_deposits"},
    ),
    "the account of a posting is dropped": Damage(
        "DELETE FROM ledger_accounts WHERE kind = 'return_fees'",
        {"whole_postings", "return_fees"},
    ),
    "an allocation of a payment is dropped": Damage(
        "DELETE FROM allocations WHERE id = (SELECT a.id FROM allocations a JOIN payments y"
        " ON y.id = a.payment_id WHERE y.state = 'succeeded' LIMIT 1)",
        {"paid_amounts", "allocated_payments"},
    ),
    "an allocation of a credit note is dropped": Damage(
        "DELETE FROM allocations WHERE credit_note_id IS NOT NULL",
        {"credited_amounts", "applied_sources", "entries_of_allocations"},
    ),
    "an allocation of a deposit is made larger": Damage(
        "UPDATE allocations SET amount_minor = amount_minor + 7 WHERE deposit_id IS NOT NULL",
        {"paid_amounts", "applied_sources", "entries_of_allocations"},
    ),
    "a reversal takes back too little": Damage(
        "UPDATE allocations SET amount_minor = amount_minor - 1 WHERE reverses_id IS NOT NULL",
        {"reversed_allocations", "paid_amounts", "allocated_payments"},
    ),
    "a deposit is worth more": Damage(
        "UPDATE deposits SET amount_minor = amount_minor + 100",
        {"deposits_held", "entries_of_deposits"},
    ),
    "a credit note counts as unused": Damage(
        "UPDATE invoices SET applied_minor = 0 WHERE kind = 'credit_note'",
        {"payer_credits", "applied_sources"},
    ),
    "an attempt is dropped": Damage(
        "DELETE FROM payment_attempts WHERE id = (SELECT id FROM payment_attempts"
        " WHERE state = 'succeeded' LIMIT 1)",
        {"entries_of_attempts", "states_of_payments", "counted_attempts", "gateway_clearing"},
    ),
    "an attempt succeeds unnoticed": Damage(
        "UPDATE payment_attempts SET state = 'succeeded' WHERE state = 'created'",
        {"states_of_payments", "entries_of_attempts", "gateway_clearing"},
    ),
    "an attempt is over another amount": Damage(
        "UPDATE payment_attempts SET amount_minor = amount_minor + 1 WHERE state = 'created'",
        {"attempts_of_payments"},
    ),
    "an attempt is charged twice": Damage(
        "INSERT INTO payment_attempts (organisation_id, id, payment_id, number, currency,"
        " amount_minor, state, gateway_account_id, merchant_ref, idempotency_key, business_on)"
        " SELECT organisation_id, gen_random_uuid(), payment_id, 2, currency, amount_minor, state,"
        " gateway_account_id, 'again', 'again', business_on FROM payment_attempts"
        " WHERE state = 'succeeded' LIMIT 1",
        {"one_live_attempt", "charged_within_total", "states_of_payments", "orders_of_attempts"},
    ),
    "a gateway's reference is used twice": Damage(
        "UPDATE payment_attempts SET gateway_ref = 'the same'",
        {"gateway_references"},
    ),
    "the order of an attempt is dropped": Damage(
        "DELETE FROM messages WHERE kind = 'gateway.charge'",
        {"orders_of_attempts"},
    ),
    "a message is done without a delivery": Damage(
        "UPDATE messages SET state = 'done'",
        {"delivered_messages"},
    ),
    "a payment is recorded by hand without its entry": Damage(
        "INSERT INTO payments (organisation_id, id, payer_id, currency, amount_minor, method,"
        " state, started_on) SELECT organisation_id, gen_random_uuid(), payer_id, currency, 5000,"
        " 'by_hand', 'succeeded', started_on FROM payments LIMIT 1",
        {"entries_of_recorded_payments", "allocated_payments", "bank"},
    ),
    "a reservation is forgotten": Damage(
        "UPDATE invoices SET in_payment_minor = 0 WHERE in_payment_minor > 0",
        {"reserved_amounts"},
    ),
    "a finished payment goes on reserving": Damage(
        "UPDATE payments SET reserved_minor = 1 WHERE state = 'succeeded'",
        {"reserved_by_open_payments", "reserved_amounts"},
    ),
    "a line is dropped": Damage(
        "DELETE FROM invoice_lines WHERE (invoice_id, position) = (SELECT invoice_id, position"
        " FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id WHERE i.number = 1 LIMIT 1)",
        {"lines_of_documents", "revenue"},
    ),
    "a tax is made smaller": Damage(
        "UPDATE invoice_taxes SET tax_minor = tax_minor - 1 WHERE invoice_id ="
        " (SELECT id FROM invoices WHERE series = 'INV' AND number = 1)",
        {"taxes_of_documents", "tax_payable"},
    ),
    "a number is left out": Damage(
        "UPDATE invoices SET number = number + 1 WHERE series = 'INV'"
        " AND number = (SELECT max(number) FROM invoices WHERE series = 'INV')",
        {"numbers_without_gaps", "numbers_given_out"},
    ),
    "a document is dated back": Damage(
        "UPDATE invoices SET issued_on = issued_on - 30 WHERE series = 'INV'"
        " AND number = (SELECT max(number) FROM invoices WHERE series = 'INV')",
        {"numbers_in_order_of_days"},
    ),
    "a reference of the client comes twice": Damage(
        "UPDATE invoices SET external_ref = 'the same'",
        {"external_references"},
    ),
    "an outcome is dropped": Damage(
        "DELETE FROM batch_items WHERE item_id = (SELECT item_id FROM batch_items LIMIT 1)",
        {"worked_chunks", "counted_outcomes", "completed_runs"},
    ),
    "an outcome is that of a stranger": Damage(
        "UPDATE batch_items SET item_id = gen_random_uuid()",
        {"items_of_chunks"},
    ),
    "a chunk loses an item": Damage(
        "UPDATE batch_chunks SET item_ids = item_ids[2:]",
        {"chunks_of_runs", "worked_chunks", "items_of_chunks"},
    ),
    "a chunk is dropped": Damage(
        "DELETE FROM batch_chunks",
        {"chunks_of_runs", "sums_of_runs", "counted_chunks", "worked_chunks"},
    ),
    "a bank line is not matched any more": Damage(
        "UPDATE bank_lines SET match_state = 'unmatched' WHERE id = (SELECT id FROM bank_lines"
        " ORDER BY id LIMIT 1)",
        {"bank"},
    ),
    "a settlement says that more came than did": Damage(
        "UPDATE settlements SET tolerated_minor = 1 WHERE id = (SELECT id FROM settlements"
        " WHERE state = 'closed' ORDER BY id LIMIT 1)",
        {"rounding", "entries_of_settlements"},
    ),
    "revenue is called late fee": Damage(
        "UPDATE invoice_lines SET revenue_code = 'late_fee' WHERE revenue_code = '4000'",
        {"revenue", "income_of_late_fee"},
    ),
    "revenue is called interest": Damage(
        "UPDATE invoice_lines SET revenue_code = 'interest' WHERE revenue_code = '4000'",
        {"revenue", "income_of_interest"},
    ),
    "a settlement is closed without its money": Damage(
        "UPDATE settlements SET state = 'closed' WHERE state = 'balanced'",
        {"payouts_in_transit", "entries_of_settlements"},
    ),
    "an item of a payout is dropped": Damage(
        "DELETE FROM payout_items WHERE (payout_id, position) = (SELECT payout_id, position"
        " FROM payout_items WHERE kind = 'payment' AND fee_minor > 0 ORDER BY payout_id LIMIT 1)",
        {"items_of_payouts", "fees", "gateway_clearing"},
    ),
    "a paid out item is over another amount": Damage(
        "UPDATE payout_items SET gross_minor = gross_minor + 1, net_minor = net_minor + 1"
        " WHERE kind = 'payment' AND match_state = 'matched'",
        {"paid_out_attempts", "items_of_payouts"},
    ),
    "a refund is forgotten": Damage(
        "UPDATE refunds SET state = 'failed' WHERE state = 'succeeded'",
        {"refunded_amounts", "entries_of_refunds", "gateway_clearing", "applied_sources"},
    ),
    "a payment reserves for no refund": Damage(
        "UPDATE payments SET refunding_minor = 1"
        " WHERE id = (SELECT id FROM payments WHERE state = 'succeeded' LIMIT 1)",
        {"refunding_amounts"},
    ),
    "a payment does not know what was given back": Damage(
        "UPDATE payments SET state = 'succeeded' WHERE state = 'partially_refunded'",
        {"states_of_refunded_payments"},
    ),
    "a refund is of another payment's attempt": Damage(
        "UPDATE refunds SET attempt_id = (SELECT id FROM payment_attempts"
        " WHERE state = 'declined' LIMIT 1)",
        {"attempts_of_refunds"},
    ),
    "a refund has no order": Damage(
        "DELETE FROM messages WHERE kind = 'refund.create'", {"orders_of_refunds"}
    ),
    "a refund is over another amount": Damage(
        "UPDATE refunds SET amount_minor = amount_minor + 1",
        {"paid_out_refunds", "refunded_amounts", "entries_of_refunds"},
    ),
    "a reminder has an invoice for its charge": Damage(
        "INSERT INTO reminders (organisation_id, id, invoice_id, payer_id, level, reminded_on,"
        " currency, open_minor, fee_minor, interest_minor, charge_invoice_id, clause_codes,"
        " rule_set_version) SELECT organisation_id, gen_random_uuid(), id, payer_id, 1, due_on,"
        " currency, total_minor, net_minor, 0, id, '{C204}', 1 FROM invoices"
        " WHERE kind = 'invoice' AND state = 'issued' LIMIT 1",
        {"charges_of_reminders"},
    ),
    "a payment does not know what is disputed": Damage(
        "UPDATE payments SET disputed_minor = disputed_minor - 1 WHERE disputed_minor > 0",
        {"disputed_amounts"},
    ),
    "a dispute is of another payment's attempt": Damage(
        "UPDATE disputes SET attempt_id = (SELECT id FROM payment_attempts"
        " WHERE state = 'declined' LIMIT 1)",
        {"attempts_of_disputes"},
    ),
    "a dispute is over another amount": Damage(
        "UPDATE disputes SET amount_minor = amount_minor - 1",
        {"paid_out_disputes", "disputed_amounts", "entries_of_disputes"},
    ),
}


def spoil(organisation: UUID, statement: str) -> dict[str, CheckResult]:
    """Do some damage, see what it breaks, and take it back."""
    with transaction(organisation) as session:
        assert execute(statement) > 0
        broken = broken_checks(organisation)
        session.rollback()
    return broken


def test_each_damage_is_found_and_named(
    organisation: UUID, unguarded: None, subtests: pytest.Subtests
) -> None:
    books.write_month(organisation)
    pay_out_refund(make_refund("succeeded"), 5_000)
    pay_out_dispute(make_dispute(), ref="payout-of-dispute", is_reversed=False, with_payment=True)
    assert broken_checks(organisation) == {}
    ever_broken: set[str] = set()

    for damage, (statement, named) in DAMAGE.items():
        with subtests.test(damage):
            broken = spoil(organisation, statement)
            ever_broken |= broken.keys()
            assert named <= broken.keys()
            assert all(result.sample for result in broken.values())

    assert ever_broken == {check.name for check in CHECKS}


def test_a_broken_proof_names_the_row_and_both_amounts(organisation: UUID, unguarded: None) -> None:
    invoice = make_issued_invoice()
    with transaction(organisation):
        execute("UPDATE postings SET amount_minor = amount_minor - 1 WHERE amount_minor = 10000")

    broken = broken_checks(organisation)

    assert broken["receivable_per_invoice"].rows == 1
    assert broken["receivable_per_invoice"].sample == (
        Broken(str(invoice.id), "EUR", invoice.open_minor, invoice.open_minor - 1),
    )


def test_a_sample_is_short_and_the_count_is_whole(organisation: UUID, unguarded: None) -> None:
    for _ in range(21):
        make_issued_invoice()
    with transaction(organisation):
        execute("DELETE FROM postings")

    result = broken_checks(organisation)["receivable_per_invoice"]

    assert result.rows == 21
    assert len(result.sample) == 20


class Effect(NamedTuple):
    """A charge in a gateway's record, as far as the comparison looks."""

    merchant_ref: str = "att_1"
    payment_ref: str = "pay_1"
    amount_minor: int = 11_900
    currency: str = "EUR"
    state: str = "succeeded"
    refunded_minor: int = 0
    disputed_minor: int = 0


ATTEMPT = OurAttempt(
    id=uuid4(),
    merchant_ref="att_1",
    payment_id=uuid4(),
    invoice_id=uuid4(),
    invoice_total_minor=11_900,
    amount_minor=11_900,
    currency="EUR",
    state="succeeded",
)


@pytest.mark.parametrize(
    ("effects", "attempts", "kinds"),
    [
        ([Effect()], [ATTEMPT], []),
        ([], [ATTEMPT._replace(state="declined")], []),
        ([Effect(state="returned")], [ATTEMPT._replace(state="returned")], []),
        ([Effect()], [ATTEMPT._replace(state="unknown")], []),
        ([], [ATTEMPT._replace(state="pending")], []),
        ([Effect()], [], ["missing_here"]),
        ([], [ATTEMPT], ["missing_there"]),
        ([Effect(amount_minor=11_899)], [ATTEMPT], ["amount_differs"]),
        ([Effect(currency="GBP")], [ATTEMPT], ["amount_differs"]),
        ([Effect(state="returned")], [ATTEMPT], ["status_differs"]),
        ([Effect()], [ATTEMPT._replace(state="declined")], ["status_differs"]),
        ([Effect()], [ATTEMPT._replace(state="created")], ["status_differs"]),
        ([Effect()] * 2, [ATTEMPT], ["duplicate", "duplicate", "overcharged"]),
        (
            [Effect(), Effect("att_2")],
            [ATTEMPT, ATTEMPT._replace(merchant_ref="att_2")],
            ["duplicate", "overcharged"],
        ),
        (
            [Effect(), Effect("att_2", "pay_2")],
            [ATTEMPT, ATTEMPT._replace(merchant_ref="att_2", payment_id=uuid4())],
            ["overcharged"],
        ),
        (
            [Effect(state="returned"), Effect("att_2")],
            [ATTEMPT._replace(state="returned"), ATTEMPT._replace(merchant_ref="att_2")],
            [],
        ),
    ],
)
def test_the_gateways_record_is_compared_with_our_attempts(
    effects: list[Effect], attempts: list[OurAttempt], kinds: list[str]
) -> None:
    found = compare_with_gateway(effects, attempts)

    assert [difference.kind for difference in found] == [DifferenceKind(kind) for kind in kinds]


def test_our_attempts_are_listed_with_what_the_gateway_could_know(organisation: UUID) -> None:
    payment = make_succeeded_payment()
    account = gateway_account_of()
    attempt = attempt_of(payment)

    with acting_for(organisation):
        found = list_our_attempts(account.id)

    expected = (attempt.id, attempt.merchant_ref, payment.id, payment.invoice_id, 11_900, 11_900)
    assert found == [OurAttempt(*expected, "EUR", "succeeded")]
