from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.domain.batches import list_startable_jobs
from portal.queries.populations import POPULATIONS, read_preview
from portal.services.payments import ResultKind, retry_payments
from portal.sql import execute, fetch
from tests import books, factories
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    NOW,
    Line,
    gateway_account_of,
    make_credit_note,
    make_deposit,
    make_draft_invoice,
    make_issued_invoice,
    make_mandate,
    make_payer,
    make_run,
    make_succeeded_payment,
)
from tests.services.books import make_payer_credit
from tests.services.collecting import case_of, make_case, tell_one

NEXT_ON = date(2026, 3, 23)  # Three days after the decline, moved past a weekend.


def population(job: str, on: date = BUSINESS_ON) -> dict[UUID, int]:
    """Return ids and amounts, each id once."""
    with transaction(factories.home.get()):
        made = POPULATIONS[job](on, {})
        found = fetch(made.statement, made.parameters)
    amounts = {row.id: row.amount_minor for row in found}
    assert len(amounts) == len(found), "an item is there twice"
    assert all(row.version >= 1 for row in found)
    return amounts


def collectable(**over: Any) -> Any:
    invoice = make_issued_invoice(**over)
    make_mandate(payer_id=invoice.payer_id)
    return invoice


def change(statement: str, *parameters: Any) -> None:
    with transaction(factories.home.get()):
        assert execute(statement, parameters)


def test_drafts_are_issued_and_nothing_else(organisation: UUID, other_organisation: UUID) -> None:
    draft = make_draft_invoice(lines=(Line(1_234),))
    note = make_draft_invoice(kind="credit_note")
    make_issued_invoice()
    make_draft_invoice(state="discarded")
    make_draft_invoice(state="pending_approval")
    make_draft_invoice(organisation_id=other_organisation)

    assert population("invoice_issuing") == {draft.id: 1_234, note.id: 10_000}


def test_due_open_invoices_with_a_mandate_are_collected(organisation: UUID) -> None:
    due = collectable()
    make_issued_invoice()
    collectable(payer_id=make_payer(is_on_hold=True).id)
    cancelled = make_issued_invoice()
    make_mandate(payer_id=cancelled.payer_id, state="cancelled")
    elsewhere = make_issued_invoice()
    replaced = collectable()
    make_mandate(payer_id=replaced.payer_id, state="expired")
    make_succeeded_payment()
    make_case("sending")
    note = make_credit_note()
    make_mandate(payer_id=note.payer_id)
    make_draft_invoice(payer_id=due.payer_id)

    assert population("payment_collection", due.due_on) == {due.id: 11_900, replaced.id: 11_900}
    assert population("payment_collection", due.due_on - timedelta(days=1)) == {}
    assert elsewhere.id not in population("payment_collection", date(2027, 1, 1))


@pytest.mark.parametrize(
    ("state", "worklist", "is_there"),
    [
        ("failed", None, True),
        ("failed", "hard_decline", False),
        ("cancelled", None, True),
        ("scheduled", None, False),
        ("requires_action", None, False),
    ],
)
def test_an_invoice_whose_payment_did_not_happen_waits_for_what_is_decided(
    organisation: UUID, state: str, worklist: str | None, *, is_there: bool
) -> None:
    case = make_case("declined")
    change(
        "UPDATE payments SET state = %s, worklist = %s, next_attempt_on = NULL WHERE id = %s",
        state,
        worklist,
        case.payment.id,
    )

    assert (case.invoice.id in population("payment_collection")) is is_there


def test_what_is_left_of_a_partly_paid_invoice_is_the_amount(organisation: UUID) -> None:
    invoice = collectable()
    change("UPDATE invoices SET paid_minor = 1900 WHERE id = %s", invoice.id)

    assert population("payment_collection") == {invoice.id: 10_000}


def test_declined_payments_are_tried_again_on_their_date(organisation: UUID) -> None:
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    make_case("sending")

    assert population("payment_retrying", NEXT_ON - timedelta(days=1)) == {}
    assert population("payment_retrying", NEXT_ON) == {case.payment.id: 11_900}
    tell_one(case.attempt, ResultKind.SUCCEED)
    assert case_of(case.payment.id).payment.worklist == "conflicting_outcome"
    assert population("payment_retrying", NEXT_ON) == {}


def test_a_planned_retry_that_waits_for_a_person_is_left_out(organisation: UUID) -> None:
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    change("UPDATE payments SET worklist = 'mismatch' WHERE id = %s", case.payment.id)

    assert population("payment_retrying", NEXT_ON) == {}
    with acting_for(organisation):
        left_out = read_preview("payment_retrying", NEXT_ON, {}).left_out
        assert [(one.code, one.items_count) for one in left_out] == [("on_worklist", 1)]
        # Put there after the run was frozen, it is not tried either.
        (result,) = retry_payments(
            payment_ids=[case.payment.id], business_on=NEXT_ON, actor=CLERK, now=NOW
        )
    assert result.code == "on_worklist"
    assert case_of(case.payment.id).payment.state == "scheduled"


@pytest.mark.parametrize(
    ("give", "amount_minor"),
    [
        (lambda payer_id: make_credit_note(payer_id=payer_id), 5_950),
        (lambda payer_id: make_payer_credit(payer_id=payer_id, amount_minor=700), 700),
        (lambda payer_id: make_deposit(payer_id=payer_id), 8_000),
    ],
)
def test_payers_with_money_here_and_something_open_are_matched(
    organisation: UUID, give: Callable[[UUID], Any], amount_minor: int
) -> None:
    payer_id = make_issued_invoice().payer_id
    give(make_payer().id)
    make_issued_invoice()
    reserved = make_case("sending").invoice.payer_id
    give(reserved)

    give(payer_id)

    assert population("deposit_matching") == {payer_id: amount_minor}
    give(payer_id)
    assert population("deposit_matching") == {payer_id: 2 * amount_minor}


def test_money_that_is_used_up_or_may_not_be_set_off_matches_nobody(organisation: UUID) -> None:
    payer_id = make_issued_invoice().payer_id
    make_deposit(payer_id=payer_id, may_set_off=False)
    make_deposit(payer_id=payer_id)
    change("UPDATE deposits SET state = 'released' WHERE may_set_off")
    note = make_credit_note(payer_id=payer_id)
    change("UPDATE invoices SET applied_minor = total_minor WHERE id = %s", note.id)

    assert population("deposit_matching") == {}


def test_accounts_are_asked_and_open_settlements_closed(organisation: UUID) -> None:
    books.write_month(organisation)
    account = gateway_account_of()

    with transaction(organisation):
        still_open = {
            row.id
            for row in fetch(
                "SELECT id FROM settlements WHERE state IN ('open', 'matching', 'balanced')"
            )
        }
    assert set(population("settlement_closing")) == {account.id} | still_open
    change("UPDATE gateway_accounts SET is_active = false")
    assert set(population("settlement_closing")) == still_open


def test_the_books_are_proved_as_one_item(organisation: UUID, other_organisation: UUID) -> None:
    make_run()

    assert population("ledger_check") == {organisation: 0}


@pytest.mark.parametrize("job", [one.name for one in list_startable_jobs()])
def test_nobody_is_in_a_population_without_an_organisation(organisation: UUID, job: str) -> None:
    make_draft_invoice()
    collectable()
    case = make_case("declined")
    make_deposit(payer_id=case.invoice.payer_id)

    with transaction():
        made = POPULATIONS[job](date(2027, 1, 1), {})
        assert fetch(made.statement, made.parameters) == []


@pytest.mark.parametrize(
    ("job", "index"),
    [
        ("invoice_issuing", "ix_invoices_draft"),
        ("payment_collection", "ix_invoices_open"),
        ("payment_retrying", "ix_payments_scheduled"),
    ],
)
def test_what_is_due_is_found_by_its_index(organisation: UUID, job: str, index: str) -> None:
    with transaction(organisation):
        # Small tables are read whole; here only the index that fits can be used at all.
        execute("SET LOCAL enable_seqscan = off")
        execute("SET LOCAL enable_bitmapscan = off")
        made = POPULATIONS[job](BUSINESS_ON, {})
        plan = "\n".join(row[0] for row in fetch(f"EXPLAIN {made.statement}", made.parameters))

    assert index in plan, plan
