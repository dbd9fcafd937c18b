"""Rehearsals: what they say is what a real run does, and they change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for
from portal.domain.batches import RunState
from portal.domain.rehearsals import RehearsalChange
from portal.models import metadata
from portal.queries.populations import RehearsalUnasked
from portal.queries.rehearsals import (
    RehearsalMissing,
    get_rehearsal,
    list_clause_effects,
    list_finding_counts,
    list_largest_differences,
    list_rehearsals,
    sum_rehearsal,
)
from portal.queries.rulesets import RuleSetMissing, get_rule_set
from portal.services.batches import RunUnfinished, SheetBroken, work_chunk
from portal.services.invoices import issue_invoices
from portal.services.rehearsals import (
    RehearsalEmpty,
    RehearsalInvalid,
    RehearsalWish,
    rehearse_documents,
    start_rehearsal,
)
from portal.services.rulesets import copy_rule_set, import_rule_set, remove_clause
from rules.compiling import RuleSetInvalid
from rules.definitions import dump_definition
from tests import factories
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    EARLIER_ON,
    NOW,
    Line,
    activate_rule_set,
    agree,
    make_draft_invoice,
    make_issued_invoice,
    make_payer,
)
from tests.services.books import events_of, rows
from tests.services.running import begin, finish, lease, must_lease, outcomes_of, run_of, stop

SURCHARGE = {
    "code": "C306",
    "parameters": {"rate_bps": 500, "revenue_code": "4900", "text": "Energy"},
    "when": {"field": "payer_kind", "op": "eq", "value": "company"},
}
KEPT = ("rehearsal_", "batch_", "events")


@pytest.fixture(autouse=True)
def _acting(organisation: UUID) -> Iterator[None]:
    with acting_for(organisation):
        yield


def definition(*clauses: Mapping[str, Any], **parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Write the agreement in force with other parameters, and with further clauses."""
    agreed = get_rule_set(1).definition
    changed = [
        {**entry, "parameters": {**entry.get("parameters", {}), **parameters[entry["code"]]}}
        if entry["code"] in parameters
        else entry
        for entry in agreed["clause"]
    ]
    return {**agreed, "clause": [*changed, *clauses]}


def write_version(*clauses: Mapping[str, Any], **parameters: Mapping[str, Any]) -> int:
    """Begin a draft that says so."""
    text = dump_definition(definition(*clauses, **parameters))
    return import_rule_set(text=text, actor=CLERK, now=NOW)


def wish(version: int, **over: Any) -> RehearsalWish:
    """Ask about the drafts, against the version in force."""
    return RehearsalWish(version, 1)._replace(**over)


def start(version: int, **over: Any) -> UUID:
    """Start a rehearsal."""
    return start_rehearsal(wish=wish(version, **over), on=BUSINESS_ON, actor=CLERK, now=NOW)


def play(run_id: UUID) -> None:
    """Work all of it."""
    while found := lease():
        held = found
        work_chunk(lease=held, work=lambda ids: rehearse_documents(invoice_ids=ids, lease=held))  # noqa: B023
    assert finish(run_id) is RunState.COMPLETED


def rehearse(version: int, **over: Any) -> UUID:
    """Start a rehearsal and work it."""
    run_id = start(version, **over)
    play(run_id)
    return run_id


def issued(*lines: Line, **over: Any) -> Any:
    """Issue an invoice of 100.00 two weeks ago."""
    return make_issued_invoice(lines=lines or (Line(10_000),), **over)


def business_rows() -> dict[str, str]:
    """Name what each table holds, but for what rehearsals and runs write."""
    return {
        table: rows(
            f"SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) AS hash FROM {table} t"
        )[0].hash
        for table in metadata.tables
        if not table.startswith(KEPT)
    }


def difference_of(run_id: UUID, invoice_id: UUID) -> Any:
    """Return what was written of a document that differs."""
    (row,) = rows(
        "SELECT * FROM rehearsal_differences WHERE run_id = %s AND invoice_id = %s",
        run_id,
        invoice_id,
    )
    return row


def test_a_rehearsal_says_what_a_real_run_then_does() -> None:
    payers = [make_payer(kind=kind).id for kind in ("person", "company", "public_body")]
    for place in range(300):
        make_draft_invoice(
            payer_id=payers[place % 3],
            lines=(Line(450 + 37 * place), Line(200, tax_code="R" if place % 2 else "E")),
            currency="USD" if place % 50 == 0 else "EUR",
            purchase_order_ref="PO-1",
        )
    changed = definition(SURCHARGE, C102={"rates": {"S": 2100, "R": 700, "E": 0}},
                         V101={"minimum_minor": 900})  # fmt: skip
    version = import_rule_set(text=dump_definition(changed), actor=CLERK, now=NOW)
    before = business_rows()

    run_id = rehearse(version)

    assert business_rows() == before
    activate_rule_set(definition=changed, starts_on=BUSINESS_ON)
    real_id = begin(chunk_items_max=100)
    issue_all(real_id)
    assert outcomes_of(run_id) == outcomes_of(real_id)
    real = {
        row.currency: row
        for row in rows(
            "SELECT currency, count(*) AS priced, sum(net_minor) AS net, sum(tax_minor) AS tax,"
            " sum(total_minor) AS total FROM invoices WHERE state = 'issued' GROUP BY currency"
        )
    }
    told = {row.currency: row for row in sum_rehearsal(run_id) if row.payer_kind is None}
    assert {
        currency: (row.priced_after_count, row.net_after_minor, row.tax_after_minor,
                   row.total_after_minor)
        for currency, row in told.items() if row.priced_after_count
    } == {
        currency: (row.priced, row.net, row.tax, row.total) for currency, row in real.items()
    }  # fmt: skip
    assert sum(row.documents_count for row in told.values()) == 300
    filtered = rows(
        "SELECT code, count(*) AS number FROM batch_items WHERE run_id = %s"
        " AND outcome = 'filtered' GROUP BY code",
        real_id,
    )
    found = {row.code: row.after_count for row in list_finding_counts(run_id)}
    # An item tells the first of what was found.
    assert {row.code for row in filtered} == {"V101", "V108"}
    assert all(row.number <= found[row.code] for row in filtered)


def issue_all(run_id: UUID) -> None:
    """Issue for real what a run is about."""
    while found := lease():
        work_chunk(
            lease=found,
            work=lambda ids: issue_invoices(
                invoice_ids=ids, business_on=BUSINESS_ON, actor=CLERK, now=NOW
            ),
        )
    assert finish(run_id) is RunState.COMPLETED


def test_what_differs_is_told_by_clause_payer_and_finding() -> None:
    company = make_payer(kind="company").id
    dear = make_draft_invoice(payer_id=company)
    person = make_payer(kind="person").id
    small = make_draft_invoice(payer_id=person, lines=(Line(600),))
    same = make_draft_invoice(payer_id=person, lines=(Line(20_000),))

    run_id = rehearse(write_version(SURCHARGE, V101={"minimum_minor": 900}))

    differs = difference_of(run_id, dear.id)
    assert (differs.change, differs.clauses, differs.appeared) == ("differs", ["C306"], [])
    assert (differs.net_before_minor, differs.net_after_minor) == (10_000, 10_500)
    assert (differs.total_after_minor, differs.difference_minor) == (12_495, 595)
    stopped = difference_of(run_id, small.id)
    assert (stopped.change, stopped.clauses) == ("newly_blocked", ["V101"])
    assert (stopped.appeared, stopped.total_after_minor, stopped.difference_minor) == (
        ["V101"], None, -714
    )  # fmt: skip
    whole, *parts = sum_rehearsal(run_id)
    assert (whole.documents_count, whole.differing_count, whole.difference_minor) == (3, 2, -119)
    assert (whole.stopped_before_count, whole.stopped_after_count) == (0, 1)
    assert sum(part.documents_count for part in parts) == 3
    effects = [one[:1] + one[2:] for one in list_clause_effects(run_id)]
    assert effects == [("C306", 1, 595), ("V101", 1, -714)]
    (finding,) = [one for one in list_finding_counts(run_id) if one.code == "V101"]
    assert finding[1:] == (0, 1, 1, 0)
    largest = list_largest_differences(run_id)
    assert [one.invoice_id for one in largest] == [small.id, dear.id]
    assert largest[0].change is RehearsalChange.NEWLY_BLOCKED
    assert outcomes_of(run_id)[same.id][0] == "done"


def test_what_issuing_added_and_turned_is_taken_back_before_it_is_tried_again() -> None:
    agree(
        SURCHARGE,
        {"code": "C110", "parameters": {"tax_codes": ["S"], "reverse_code": "AE"}},
        {"code": "C111", "parameters": {"step_minor": 5, "revenue_code": "4999", "tax_code": "X"}},
        on=EARLIER_ON,
    )
    payer = make_payer(kind="company", vat_id="DE136695976").id
    invoice = issued(Line(10_001), payer_id=payer, due_on=EARLIER_ON + timedelta(days=42))

    again = rehearse(copy_rule_set(version=2, actor=CLERK, now=NOW),
                     against=None, from_on=EARLIER_ON, to_on=EARLIER_ON)  # fmt: skip
    old = rehearse(copy_rule_set(version=1, actor=CLERK, now=NOW),
                   against=None, from_on=EARLIER_ON, to_on=EARLIER_ON)  # fmt: skip

    assert rows("SELECT * FROM rehearsal_differences WHERE run_id = %s", again) == []
    differs = difference_of(old, invoice.id)
    assert (differs.total_before_minor, differs.net_after_minor) == (invoice.total_minor, 10_001)
    assert differs.tax_after_minor == 1_900
    assert differs.due_before_on == differs.due_after_on == invoice.due_on
    assert set(differs.clauses) >= {"C306", "C110"}


def test_fees_of_what_is_open_are_compared_on_the_business_date() -> None:
    on = BUSINESS_ON + timedelta(days=60)
    invoice = issued()
    booked = {"from_on": EARLIER_ON, "to_on": EARLIER_ON}

    asked = wish(write_version(C201={"rate_bps": 125}), **booked)
    run_id = start_rehearsal(wish=asked, on=on, actor=CLERK, now=NOW)
    play(run_id)

    differs = difference_of(run_id, invoice.id)
    assert differs.clauses == ["C201"]
    assert differs.charges_after_minor - differs.charges_before_minor == 60  # 0.5 % of 119.00
    assert (differs.total_before_minor, differs.total_after_minor) == (11_900, 11_900)
    whole, *_ = sum_rehearsal(run_id)
    assert whole.difference_minor == differs.difference_minor == 60


def test_documents_of_other_days_and_currencies_are_left_out() -> None:
    issued()
    later = issued(business_on=BUSINESS_ON)
    version = write_version(C102={"rates": {"S": 2000, "R": 700, "E": 0}})

    run_id = rehearse(version, against=None, from_on=BUSINESS_ON, to_on=BUSINESS_ON, currency="EUR")

    assert list(outcomes_of(run_id)) == [later.id]
    with pytest.raises(RehearsalEmpty):
        start(version, from_on=BUSINESS_ON, to_on=BUSINESS_ON, currency="USD")


def test_a_version_that_is_changed_meanwhile_ends_the_run() -> None:
    make_draft_invoice()
    version = write_version(SURCHARGE)
    start(version)
    seen = get_rule_set(version).definition_hash
    remove_clause(version=version, place=0, seen=seen, actor=CLERK, now=NOW)
    held = must_lease()

    with pytest.raises(SheetBroken, match=f"version {version} was changed meanwhile"):
        work_chunk(lease=held, work=lambda ids: rehearse_documents(invoice_ids=ids, lease=held))

    assert rows("SELECT * FROM rehearsal_totals") == []


def test_a_chunk_that_is_worked_in_parts_is_added_up_once() -> None:
    drafts = [make_draft_invoice().id for _ in range(4)]
    run_id = start(write_version(SURCHARGE))
    held = must_lease()

    def work(ids: Any) -> Any:
        done = rehearse_documents(invoice_ids=ids, lease=held)
        if drafts[0] in ids:
            raise ValueError("broken")
        return done

    work_chunk(lease=held, work=work)

    assert finish(run_id) is RunState.COMPLETED
    assert [row.documents_count for row in sum_rehearsal(run_id) if row.payer_kind is None] == [3]


def test_a_draft_that_was_issued_meanwhile_is_left_out() -> None:
    draft = make_draft_invoice()
    run_id = start(write_version(SURCHARGE))
    issue_invoices(invoice_ids=[draft.id], business_on=BUSINESS_ON, actor=CLERK, now=NOW)

    play(run_id)

    assert outcomes_of(run_id)[draft.id] == (
        "filtered", "not_a_draft", "The document is issued by now."
    )  # fmt: skip
    assert sum_rehearsal(run_id) == []


def test_a_rehearsal_stops_and_waits_for_nobody(organisation: UUID) -> None:
    factories.agree({"code": "P115", "parameters": {"documents_max": 1}}, on=EARLIER_ON)
    for _ in range(3):
        make_draft_invoice()
    run_id = start(write_version(SURCHARGE))

    assert (run_of(run_id).state, run_of(run_id).needs_approval) == ("started", False)
    stop(organisation, run_id)
    assert run_of(run_id).state == "stopped"


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"from_on": EARLIER_ON}, "to_on"),
        ({"to_on": EARLIER_ON}, "from_on"),
        ({"from_on": BUSINESS_ON, "to_on": EARLIER_ON}, "to_on"),
        ({"against": None}, "against"),
        ({"against": 2}, "against"),
        ({"currency": "eur"}, "currency"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(over: dict[str, Any], field: str) -> None:
    make_draft_invoice()
    version = write_version(SURCHARGE)

    with pytest.raises(RehearsalInvalid) as refused:
        start(version, **over)

    assert refused.value.field == field
    assert rows("SELECT * FROM batch_runs") == []
    assert "rule_set.rehearsed" not in events_of(get_rule_set(version).id)


def test_other_wrong_wishes_start_nothing(other_organisation: UUID) -> None:
    make_draft_invoice()
    version = write_version(SURCHARGE)
    seen = get_rule_set(version).definition_hash
    with pytest.raises(RuleSetMissing):
        start(99)
    with pytest.raises(RuleSetMissing):
        start(version, against=98)
    with pytest.raises(RehearsalUnasked):
        begin(job="rule_rehearsal")
    with acting_for(other_organisation), pytest.raises(RuleSetMissing):
        start(version)
    remove_clause(version=version, place=0, seen=seen, actor=CLERK, now=NOW)
    with pytest.raises(RuleSetInvalid):
        start(version)
    assert rows("SELECT * FROM batch_runs") == []


def test_the_same_twice_at_once_is_refused_and_both_are_listed(other_organisation: UUID) -> None:
    make_draft_invoice()
    version = write_version(SURCHARGE)
    first = start(version)
    with pytest.raises(RunUnfinished):
        start(version)
    play(first)
    second = start(version)

    assert [row.id for row in list_rehearsals(version)] == [second, first]
    assert get_rehearsal(first).version == version
    assert events_of(get_rule_set(version).id).count("rule_set.rehearsed") == 2
    with acting_for(other_organisation), pytest.raises(RehearsalMissing):
        get_rehearsal(first)
