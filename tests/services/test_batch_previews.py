from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.domain.batches import list_startable_jobs
from portal.queries.populations import RunPreview
from portal.services.batches import JobUnknown, RunOrder, preview_run, start_run
from portal.services.payments import ResultKind
from portal.services.reminders import remind_invoices
from portal.sql import execute
from tests import books, factories
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    NOW,
    Line,
    make_credit_note,
    make_deposit,
    make_draft_invoice,
    make_issued_invoice,
    make_mandate,
    make_payer,
    read_row,
)
from tests.recording import Recording
from tests.services.books import make_payer_credit, rows
from tests.services.collecting import make_case, tell_one
from tests.services.disputing import make_dispute
from tests.services.reminding import REMINDED_ON, make_reminder
from tests.services.running import run_of
from tests.services.test_payments_by_hand import planned, put_on
from tests.services.test_payments_control import stop

NEXT_ON = date(2026, 3, 23)


def preview(job: str, on: date = BUSINESS_ON) -> RunPreview:
    with acting_for(factories.home.get()):
        return preview_run(job=job, on=on)


def make_world(organisation: UUID) -> None:
    """Write a month, and something of each kind that a job may take or leave out."""
    books.write_month(organisation)
    for net_minor in (4_000, 9_000):
        make_draft_invoice(lines=(Line(net_minor),))
    make_draft_invoice(state="pending_approval")
    for _ in range(2):
        make_mandate(payer_id=make_issued_invoice(business_on=NEXT_ON).payer_id)
    payer_id = make_issued_invoice(business_on=NEXT_ON).payer_id
    make_payer_credit(payer_id=payer_id, amount_minor=100)
    make_deposit(payer_id=payer_id)
    make_credit_note(payer_id=payer_id, business_on=NEXT_ON)


@pytest.mark.parametrize("job", [one.name for one in list_startable_jobs()])
@pytest.mark.parametrize("on", [NEXT_ON, date(2026, 6, 30)])
def test_a_preview_counts_what_a_run_then_freezes(organisation: UUID, job: str, on: date) -> None:
    planned()
    planned()
    make_world(organisation)
    found = preview(job, on)
    before = len(rows("SELECT id FROM batch_runs"))

    with acting_for(organisation):
        run_id = start_run(order=RunOrder(job, on, chunk_items_max=2), actor=CLERK, now=NOW)

    run = run_of(run_id)
    assert (found.items_count, found.sum_minor) == (run.items_count, run.sum_minor)
    assert sum(part.sum_minor for part in found.sums) == run.sum_minor
    assert found.items_count > 0 or (job, on) == ("payment_collection", NEXT_ON)
    assert len(found.examples) == min(5, found.items_count)
    assert (found.job, found.business_on) == (job, on)
    assert len(rows("SELECT id FROM batch_runs")) == before + 1


def test_nothing_to_do_is_said_as_well(organisation: UUID) -> None:
    found = preview("payment_retrying")

    assert (found.items_count, found.sum_minor, found.sums) == (0, 0, ())
    assert (found.examples, found.left_out) == ((), ())


def test_examples_are_the_largest_in_words(organisation: UUID) -> None:
    payer = make_payer(name="Elm Road Clinic")
    for net_minor in (1_000, 7_000, 3_000, 2_000, 5_000, 4_000):
        invoice = make_issued_invoice(payer_id=payer.id, lines=(Line(net_minor),))
    make_mandate(payer_id=payer.id)

    found = preview("payment_collection")

    assert [row.amount_minor for row in found.examples] == [8_330, 5_950, 4_760, 3_570, 2_380]
    assert {row.payer for row in found.examples} == {"Elm Road Clinic"}
    assert found.examples[0].subject == "INV-2026-000002"
    assert {row.currency for row in found.examples} == {"EUR"}
    assert invoice.currency == "EUR"


def test_a_payer_with_two_currencies_counts_in_both(organisation: UUID) -> None:
    invoice = make_issued_invoice()
    foreign = make_draft_invoice(payer_id=invoice.payer_id, currency="USD")
    with transaction(organisation):
        execute(
            "UPDATE invoices SET state = 'issued', number = 7, year = 2026,"
            " issued_on = '2026-03-18', due_on = '2026-04-01' WHERE id = %s",
            (foreign.id,),
        )
    for currency, amount_minor in (("EUR", 700), ("USD", 40)):
        make_payer_credit(payer_id=invoice.payer_id, amount_minor=amount_minor, currency=currency)

    found = preview("deposit_matching")

    assert (found.items_count, found.sum_minor) == (1, 740)
    assert found.sums == (("EUR", 1, 700), ("USD", 1, 40))
    assert [(row.currency, row.amount_minor) for row in found.examples] == [
        ("EUR", 700),
        ("USD", 40),
    ]


def collectable(**over: Any) -> Any:
    invoice = make_issued_invoice(**over)
    make_mandate(payer_id=invoice.payer_id)
    return invoice


def test_what_is_not_collected_is_told_by_its_reason(organisation: UUID) -> None:
    collectable()
    collectable(payer_id=make_payer(is_on_hold=True).id)
    make_issued_invoice()
    make_issued_invoice()
    make_case("sending")
    planned()
    put_on("hard_decline", make_case("errored").payment.id)
    stop(planned().payment)
    collectable(business_on=NEXT_ON)

    found = preview("payment_collection")

    told = {row.code: row.items_count for row in found.left_out}
    assert told == {
        "in_payment": 2,
        "no_mandate": 2,
        "on_worklist": 1,
        "payer_on_hold": 1,
        "stopped": 1,
        "not_due": 1,
    }
    assert [row.items_count for row in found.left_out] == sorted(told.values(), reverse=True)
    assert all(row.sentence.endswith(".") for row in found.left_out)
    assert all(
        row.sums == (("EUR", row.items_count, row.items_count * 11_900),) for row in found.left_out
    )
    (waiting,) = rows("SELECT count(*) AS n FROM invoices WHERE open_minor > 0")
    assert found.items_count + sum(told.values()) == waiting.n


def overdue_by_reason() -> dict[str, UUID]:
    """Write an overdue invoice for each reason not to remind of it, and one that nothing keeps."""
    until = {"arranged_until": REMINDED_ON}
    payers: dict[str, dict[str, Any]] = {
        "none": {"arrangement": "hardship", "arranged_until": REMINDED_ON - timedelta(days=1)},
        "payer_on_hold": {"is_on_hold": True, "arrangement": "hardship", **until},
        "arranged": {"arrangement": "instalments", **until},
        "default_payer": {"is_default": True},
        "reminded_today": {},
        "in_payment": {},
    }
    ids = {
        code: make_issued_invoice(payer_id=make_payer(**over).id).id
        for code, over in payers.items()
    }
    dispute = make_dispute()
    (disputed,) = rows("SELECT invoice_id FROM payments WHERE id = %s", dispute.payment_id)
    with transaction(factories.home.get()):
        execute(
            "UPDATE invoices SET in_payment_minor = total_minor WHERE id = %s",
            (ids["in_payment"],),
        )
    make_reminder(read_row("invoices", ids["reminded_today"]))
    return {**ids, "disputed": disputed.invoice_id}


def test_what_is_not_reminded_of_is_told_by_its_reason(organisation: UUID) -> None:
    ids = overdue_by_reason()
    make_issued_invoice(payer_id=make_payer(arrangement="hardship", arranged_until=NEXT_ON).id)
    kept = sorted(set(ids) - {"none"})

    found = preview("reminding", REMINDED_ON)
    early = preview("reminding", NEXT_ON - timedelta(days=30))

    assert (found.items_count, found.sum_minor) == (2, 2 * 11_900)
    assert [row.code for row in found.left_out] == kept
    assert {row.items_count for row in found.left_out} == {1}
    assert {row.sums for row in found.left_out} == {(("EUR", 1, 11_900),)}
    assert (early.items_count, early.left_out) == (0, ())
    # What came to be so after the run was frozen is left alone by the work itself.
    with acting_for(organisation):
        told = remind_invoices(
            invoice_ids=list(ids.values()), business_on=REMINDED_ON, actor=CLERK, now=NOW
        )
    of_item = {each.item_id: each.code for each in told}
    assert {code: of_item[ids[code]] for code in kept} == {code: code for code in kept}
    assert of_item[ids["none"]] is None


def test_what_is_left_out_is_added_up_by_currency(organisation: UUID) -> None:
    payer = make_payer(is_on_hold=True)
    for currency in ("EUR", "EUR", "USD"):
        make_draft_invoice(payer_id=payer.id, currency=currency)
    with transaction(organisation):
        execute(
            "UPDATE invoices SET state = 'issued', number = m.place, year = 2026,"
            " issued_on = '2026-03-18', due_on = '2026-04-01' FROM (SELECT id, row_number()"
            " OVER (ORDER BY id) AS place FROM invoices) m WHERE m.id = invoices.id"
        )

    (held,) = preview("reminding", REMINDED_ON).left_out

    assert (held.code, held.items_count) == ("payer_on_hold", 3)
    assert held.sums == (("EUR", 2, 20_000), ("USD", 1, 10_000))
    assert preview("reminding", REMINDED_ON).items_count == 0


def test_what_is_tried_later_or_by_nobody_is_told(organisation: UUID) -> None:
    planned()
    planned()
    contradicted = planned()
    tell_one(contradicted.attempt, ResultKind.SUCCEED)

    early = preview("payment_retrying", NEXT_ON - timedelta(days=1))
    due = preview("payment_retrying", NEXT_ON)

    assert {row.code: row.items_count for row in early.left_out} == {
        "planned_later": 2,
        "for_a_person": 1,
    }
    assert (due.items_count, due.sum_minor) == (2, 23_800)
    assert {row.code: row.items_count for row in due.left_out} == {"for_a_person": 1}


def test_drafts_that_wait_for_approval_are_left_out(organisation: UUID) -> None:
    make_draft_invoice()
    make_draft_invoice(state="pending_approval")

    found = preview("invoice_issuing")

    assert (found.items_count, found.sums) == (1, (("EUR", 1, 10_000),))
    assert [(row.code, row.items_count) for row in found.left_out] == [("awaits_approval", 1)]


@pytest.mark.parametrize("job", [one.name for one in list_startable_jobs()])
def test_the_number_of_statements_does_not_grow(
    organisation: UUID, job: str, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    counts = []
    for _ in range(2):
        planned()
        make_draft_invoice()
        collectable()
        with acting_for(organisation), statements() as recorded:
            preview_run(job=job, on=NEXT_ON)
        counts.append(recorded.count)

    assert counts[0] == counts[1] <= 3


def test_another_organisations_items_are_not_counted(
    organisation: UUID, other_organisation: UUID
) -> None:
    make_draft_invoice(organisation_id=other_organisation)

    assert preview("invoice_issuing").items_count == 0


def test_an_unknown_job_has_no_preview(organisation: UUID) -> None:
    with pytest.raises(JobUnknown, match="message_delivery"):
        preview("message_delivery")
