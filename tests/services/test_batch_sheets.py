"""The run sheet: what is frozen with a run, and what stops a run that is no longer like it."""

from uuid import UUID

import pytest
from flask import Flask

from jobs.engine import drain_chunks, work_one_chunk
from portal.db import acting_for, transaction
from portal.queries.sheets import RunSheet, changed_max, get_sheet
from portal.services.batches import SheetBroken, work_chunk
from portal.sql import execute
from tests.factories import (
    BUSINESS_ON,
    EARLIER_ON,
    Line,
    make_credit_note,
    make_issued_invoice,
    make_mandate,
    make_payer,
)
from tests.services.books import events_of, rows
from tests.services.running import (
    begin,
    chunks_of,
    done,
    expire_leases,
    make_drafts,
    must_lease,
    outcomes_of,
    refuse,
    restart,
    run_of,
    work_all,
)


def sheet_of(organisation: UUID, run_id: UUID) -> RunSheet:
    with acting_for(organisation):
        found = get_sheet(run_id)
    assert found is not None
    return found


def change(organisation: UUID, *ids: UUID, **values: object) -> None:
    """Change documents as a person would, with their versions."""
    columns = "".join(f", {name} = %({name})s" for name in values)
    with transaction(organisation):
        execute(
            f"UPDATE invoices SET version = version + 1{columns} WHERE id = ANY(%(ids)s)",
            {"ids": list(ids), **values},
        )


def raise_price(organisation: UUID, item: UUID, amount_minor: int) -> None:
    with transaction(organisation):
        execute(
            "UPDATE invoices SET version = version + 1, net_minor = net_minor + %(more)s,"
            " total_minor = total_minor + %(more)s WHERE id = %(id)s",
            {"more": amount_minor, "id": item},
        )


def test_a_sheet_adds_up_what_was_frozen_by_currency_kind_and_month(organisation: UUID) -> None:
    payer = make_payer()
    make_mandate(payer_id=payer.id)
    for business_on, price in ((EARLIER_ON, 1_000), (EARLIER_ON, 2_000), (BUSINESS_ON, 5_000)):
        make_issued_invoice(business_on=business_on, payer_id=payer.id, lines=(Line(price),))
    make_credit_note()

    run_id = begin(job="payment_collection", business_on=BUSINESS_ON.replace(month=12))

    run, sheet = run_of(run_id), sheet_of(organisation, run_id)
    (whole,) = sheet.totals_by("currency")
    assert (whole.value, whole.items_count, whole.sum_minor) == ("EUR", 3, run.sum_minor)
    (kind,) = sheet.totals_by("kind")
    assert (kind.words, kind.items_count, kind.sum_minor) == (
        "Collected by mandate", 3, run.sum_minor,
    )  # fmt: skip
    due = rows(
        "SELECT to_char(due_on, 'YYYY-MM') AS month, count(*) AS items, sum(open_minor) AS amount"
        " FROM invoices WHERE payer_id = %s GROUP BY 1 ORDER BY 1",
        payer.id,
    )
    assert [(t.value, t.items_count, t.sum_minor) for t in sheet.totals_by("month")] == [
        (row.month, row.items, row.amount) for row in due
    ]
    assert sheet.population_hash == run.population_hash.hex()
    assert (sheet.previous, sheet.count_percent, sheet.needs_approval) == (None, None, False)


def test_a_sheet_is_compared_with_the_run_before(organisation: UUID) -> None:
    make_drafts(2)
    first = begin()
    drain_chunks()
    assert run_of(first).state == "completed"
    make_drafts(6)

    sheet = sheet_of(organisation, begin())

    assert sheet.previous is not None
    assert (sheet.previous.number, sheet.previous.items_count) == (1, 2)
    assert sheet.count_percent == 200.0
    assert {one.code for one in sheet.warnings} == {"count_differs", "sum_differs"}


def test_old_months_are_one_line(organisation: UUID) -> None:
    ids = make_drafts(30)
    with transaction(organisation):
        for place, item in enumerate(ids):
            execute(
                "UPDATE invoices SET due_on = date '2026-03-31' - make_interval(months => %s)"
                " WHERE id = %s",
                (place, item),
            )

    sheet = sheet_of(organisation, begin())

    months = sheet.totals_by("month")
    assert (months[0].value, months[-1].value, len(months)) == ("earlier", "2026-03", 25)
    assert sum(total.items_count for total in months) == 30
    assert sum(total.sum_minor for total in months) == sheet.sum_minor
    assert "long_due" in {one.code for one in sheet.warnings}


@pytest.mark.parametrize(
    ("items", "bps", "allowed"),
    [(1, 1_000, 1), (10, 1_000, 1), (11, 1_000, 2), (1_000, 1_000, 100), (50, 0, 0)],
)
def test_a_share_of_the_items_may_change(items: int, bps: int, allowed: int) -> None:
    assert changed_max(items, bps) == allowed
    assert changed_max(items, None) is None


def test_a_few_changes_are_counted_and_worked(organisation: UUID) -> None:
    ids = make_drafts(20)
    run_id = begin(chunk_items_max=20)
    change(organisation, *ids[:2])

    assert work_all(run_id) == "completed"

    (chunk,) = chunks_of(run_id)
    assert (chunk.done_count, chunk.changed_count) == (20, 2)
    assert sheet_of(organisation, run_id).changed_count == 2


def test_too_many_changes_stop_the_run_before_the_chunk_is_worked(organisation: UUID) -> None:
    ids = make_drafts(20)
    run_id = begin(chunk_items_max=10)
    change(organisation, *ids[10:13])

    assert drain_chunks() == 2

    run = run_of(run_id)
    assert run.state == "failed"
    assert run.exit_message == (
        "chunk 2 is no longer what the run sheet says: 3 of its 10 items changed since they were"
        " frozen; 2 of the run may. Nothing of it was done; abandon this run and start a new one"
        " over what there is now"
    )
    assert [chunk.state for chunk in chunks_of(run_id)] == ["done", "failed"]
    assert set(outcomes_of(run_id)) == set(ids[:10])
    states = rows("SELECT state, count(*) AS many FROM invoices GROUP BY 1 ORDER BY 1")
    assert [(row.state, row.many) for row in states] == [("draft", 10), ("issued", 10)]
    assert "run.failed" in events_of(run_id)

    restart(organisation, run_id)
    drain_chunks()
    assert run_of(run_id).state == "failed", "a restart does not get around the sheet"
    assert set(outcomes_of(run_id)) == set(ids[:10])


def test_changes_of_all_chunks_count_together(organisation: UUID) -> None:
    ids = make_drafts(20)
    run_id = begin(chunk_items_max=10)
    change(organisation, *ids[:2])
    change(organisation, ids[10])
    work_chunk(lease=must_lease(), work=done)

    with pytest.raises(SheetBroken, match="after 2 in other chunks"):
        work_chunk(lease=must_lease(), work=done)

    assert set(outcomes_of(run_id)) == set(ids[:10])


def test_what_is_no_longer_to_be_done_is_no_change(organisation: UUID) -> None:
    ids = make_drafts(4)
    run_id = begin(chunk_items_max=4)
    change(organisation, *ids[:3], state="discarded")

    drain_chunks()

    assert run_of(run_id).state == "completed"
    assert chunks_of(run_id)[0].changed_count == 0
    assert outcomes_of(run_id)[ids[3]][0] == "done"


def test_more_money_than_was_frozen_stops_the_run_however_few_items_changed(
    organisation: UUID,
) -> None:
    ids = make_drafts(4)
    run_id = begin(chunk_items_max=4)
    raise_price(organisation, ids[0], 400_000)

    assert work_one_chunk(organisation)

    run = run_of(run_id)
    assert run.state == "failed"
    assert "more money" in run.exit_message
    assert outcomes_of(run_id) == {}


def test_no_tolerance_allows_no_change(organisation: UUID, app: Flask) -> None:
    app.config["PORTAL"] = app.config["PORTAL"].changed(sheet_tolerance=0.0)
    ids = make_drafts(30)
    run_id = begin(chunk_items_max=30)
    change(organisation, ids[0])

    assert work_one_chunk(organisation)

    assert run_of(run_id).state == "failed"


def test_a_lost_lease_is_not_taken_for_a_change(organisation: UUID) -> None:
    make_drafts(2)
    begin()
    old = must_lease()
    expire_leases()
    work_chunk(lease=must_lease(), work=refuse([]))

    with pytest.raises(Exception, match="Another worker has taken over"):
        work_chunk(lease=old, work=done)


def test_jobs_that_follow_what_others_change_are_not_compared(organisation: UUID) -> None:
    run_id = begin(job="ledger_check")

    assert run_of(run_id).tolerance_bps is None
    assert sheet_of(organisation, run_id).changed_max is None
    drain_chunks()
    assert run_of(run_id).state == "completed"
