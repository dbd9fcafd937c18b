"""The life of a rule set: copied, changed, asked for, approved by another, never changed after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from portal.db import acting_for, transaction
from portal.domain.rulesets import RuleSetState
from portal.domain.states import MoveNotAllowed
from portal.domain.users import PORTAL, Actor
from portal.queries.rulesets import (
    RuleSetMissing,
    RuleSetRow,
    find_rule_set_in_force,
    get_rule_set,
    list_rule_set_history,
    list_rule_sets,
)
from portal.services.batches import finish_run, work_chunk
from portal.services.invoices import issue_invoices
from portal.services.rulesets import (
    ActivationApproverUnknown,
    ActivationReasonInvalid,
    ActivatorIsRequester,
    ClauseInvalid,
    ClauseMissing,
    DocumentMissing,
    RuleSetChanged,
    RuleSetInUse,
    RuleSetNotDraft,
    StartTooEarly,
    add_clause,
    approve_activation,
    change_clause,
    change_rule_set_head,
    copy_rule_set,
    decline_activation,
    discard_rule_set,
    facts_of_document,
    import_rule_set,
    load_rule_set,
    remove_clause,
    request_activation,
    retire_rule_set,
    try_rule_set,
)
from portal.services.rulesets._draft import RuleSetHeadInvalid
from portal.services.rulesets._life import StartTooLate
from portal.sql import execute, fetch_plain
from rules.definitions import dump_definition
from rules.inheritance import BaseInvalid
from rules.ruleset import RuleSetInvalid
from rules.types import Stage
from tests.factories import (
    BUSINESS_ON,
    CLERK,
    EARLIER_ON,
    NOW,
    Line,
    make_draft_invoice,
    make_issued_invoice,
    read_row,
)
from tests.services.running import begin, make_drafts, must_lease

ADA = Actor("person", UUID(int=11), "Ada Clerk")
MAX = Actor("person", UUID(int=12), "Max Manager")
NEXT_MONTH = date(2026, 4, 1)


@pytest.fixture(autouse=True)
def _acting(organisation: UUID) -> Iterator[None]:
    with acting_for(organisation):
        yield


def copied() -> RuleSetRow:
    return get_rule_set(copy_rule_set(version=1, actor=ADA, now=NOW))


def place_of(code: str, row: RuleSetRow) -> int:
    return next(at for at, one in enumerate(row.definition["clause"]) if one["code"] == code)


def change(row: RuleSetRow, code: str, **changes: Any) -> RuleSetRow:
    place = place_of(code, row)
    entry = {**row.definition["clause"][place], **changes}
    change_clause(
        version=row.version, place=place, entry=entry, seen=row.definition_hash, actor=ADA, now=NOW
    )
    return get_rule_set(row.version)


def ask(row: RuleSetRow, *, starts_on: date = NEXT_MONTH, note: str = "") -> None:
    request_activation(
        version=row.version, starts_on=starts_on, note=note, seen=row.definition_hash,
        actor=ADA, now=NOW,
    )  # fmt: skip


def activate(row: RuleSetRow, *, starts_on: date = NEXT_MONTH) -> None:
    ask(row, starts_on=starts_on)
    approve_activation(version=row.version, actor=MAX, now=NOW)


def with_blocking_limit(row: RuleSetRow) -> RuleSetRow:
    """Refuse every document above one minor unit."""
    entry = {"code": "V115", "parameters": {"maximum_minor": 1}}
    add_clause(version=row.version, entry=entry, seen=row.definition_hash, actor=ADA, now=NOW)
    return get_rule_set(row.version)


def test_a_version_is_copied_changed_asked_for_and_approved() -> None:
    row = change(copied(), "C104", parameters={"days": 21})
    assert (row.version, row.state, row.based_on) == (2, RuleSetState.DRAFT, 1)
    ask(row, note="Longer terms")
    approve_activation(version=2, actor=MAX, now=NOW)

    new, old = list_rule_sets()
    assert (new.state, new.starts_on, new.ends_on) == (RuleSetState.ACTIVE, NEXT_MONTH, None)
    assert (old.state, old.ends_on) == (RuleSetState.ACTIVE, NEXT_MONTH)
    assert (new.requested_by, new.approved_by, new.note) == (ADA.name, MAX.name, "Longer terms")
    assert load_rule_set(on=NEXT_MONTH - timedelta(days=1))[0] == 1
    assert load_rule_set(on=NEXT_MONTH)[0] == 2
    in_force = find_rule_set_in_force(NEXT_MONTH)
    assert in_force is not None
    assert in_force.version == 2
    assert [one.kind for one in list_rule_set_history(row.id)] == [
        "rule_set.activated", "rule_set.requested", "rule_set.clause_changed", "rule_set.copied"
    ]  # fmt: skip


def test_what_is_no_draft_any_more_is_not_changed() -> None:
    row = copied()
    ask(row)
    entry = {"code": "V102"}
    seen = row.definition_hash
    with pytest.raises(RuleSetNotDraft, match="Waits for approval"):
        change_clause(version=2, place=0, entry=entry, seen=seen, actor=ADA, now=NOW)
    with pytest.raises(RuleSetNotDraft):
        add_clause(version=2, entry=entry, seen=seen, actor=ADA, now=NOW)
    with pytest.raises(RuleSetNotDraft):
        remove_clause(version=1, place=0, seen=seen, actor=ADA, now=NOW)
    with pytest.raises(RuleSetNotDraft):
        ask(row)
    assert get_rule_set(2).definition == row.definition


@pytest.mark.parametrize(
    "change",
    ["definition = '{}'", "definition_hash = 'x'", "starts_on = '2031-01-01'", "version = 9",
     "source = '{}'"],
)  # fmt: skip
@pytest.mark.parametrize("state", ["requested", "active", "retired"])
def test_the_database_refuses_it_too(organisation: UUID, change: str, state: str) -> None:
    row = copied()
    if state == "active":
        activate(row)
    elif state == "requested":
        ask(row)
    else:
        discard_rule_set(version=2, seen=row.definition_hash, actor=ADA, now=NOW)
    with pytest.raises(psycopg.IntegrityError) as caught, transaction(organisation):
        execute(f"UPDATE rule_sets SET {change} WHERE version = 2")
    assert caught.value.diag.constraint_name == "rule_set_is_immutable"


def test_nobody_approves_what_they_asked_for() -> None:
    ask(copied())
    with pytest.raises(ActivatorIsRequester):
        approve_activation(version=2, actor=ADA, now=NOW)
    for nobody in (PORTAL, CLERK, Actor("person", None, "command line")):
        with pytest.raises(ActivationApproverUnknown):
            approve_activation(version=2, actor=nobody, now=NOW)
    assert get_rule_set(2).state is RuleSetState.REQUESTED


def test_twice_is_once() -> None:
    activate(copied())
    with pytest.raises(MoveNotAllowed):
        approve_activation(version=2, actor=MAX, now=NOW)
    with pytest.raises(MoveNotAllowed):
        decline_activation(version=2, reason="No.", actor=MAX, now=NOW)


def test_a_declined_version_is_a_draft_again() -> None:
    row = copied()
    ask(row)
    with pytest.raises(ActivationReasonInvalid):
        decline_activation(version=2, reason=" \n", actor=MAX, now=NOW)
    decline_activation(version=2, reason="The fee is too high.", actor=MAX, now=NOW)
    again = get_rule_set(2)
    assert (again.state, again.requested_by) == (RuleSetState.DRAFT, None)
    assert list_rule_set_history(row.id)[0].reason == "The fee is too high."
    activate(change(again, "C104", parameters={"days": 10}))
    assert get_rule_set(2).state is RuleSetState.ACTIVE


def test_a_version_does_not_start_before_what_was_issued() -> None:
    make_issued_invoice(business_on=BUSINESS_ON)
    row = copied()
    with pytest.raises(StartTooEarly, match="2026-03-18"):
        ask(row, starts_on=BUSINESS_ON - timedelta(days=1))
    with pytest.raises(StartTooLate):
        ask(row, starts_on=date(2999, 1, 1))
    with pytest.raises(ActivationReasonInvalid):
        ask(row, note="x" * 501)
    assert get_rule_set(2).state is RuleSetState.DRAFT
    ask(row, starts_on=NEXT_MONTH)
    make_issued_invoice(business_on=NEXT_MONTH + timedelta(days=1))
    with pytest.raises(StartTooEarly):
        approve_activation(version=2, actor=MAX, now=NOW)
    assert get_rule_set(2).state is RuleSetState.REQUESTED


def test_the_same_first_day_retires_the_former() -> None:
    for _ in range(2):
        activate(copied())
    assert [row.state.value for row in list_rule_sets()] == ["active", "retired", "active"]
    assert load_rule_set(on=NEXT_MONTH)[0] == 3


def test_a_version_is_taken_out_only_while_unused() -> None:
    activate(copied())
    retire_rule_set(version=2, reason="Decided otherwise.", actor=MAX, now=NOW)
    assert load_rule_set(on=NEXT_MONTH)[0] == 1
    with pytest.raises(RuleSetInUse, match="nothing would be agreed"):
        retire_rule_set(version=1, reason="No more.", actor=MAX, now=NOW)
    activate(copied())
    make_issued_invoice(business_on=NEXT_MONTH)
    with pytest.raises(RuleSetInUse, match="have been issued"):
        retire_rule_set(version=3, reason="Too late.", actor=MAX, now=NOW)
    assert load_rule_set(on=NEXT_MONTH)[0] == 3


def test_a_stale_page_overwrites_nothing() -> None:
    before = copied()
    after = change(before, "C104", parameters={"days": 21})
    with pytest.raises(RuleSetChanged):
        change(before, "C104", parameters={"days": 7})
    with pytest.raises(RuleSetChanged):
        discard_rule_set(version=2, seen=before.definition_hash, actor=ADA, now=NOW)
    with pytest.raises(RuleSetChanged):
        ask(before)
    assert get_rule_set(2) == after


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"code": "V999"}, "no clause with this code"),
        ({"code": "C104", "parameters": {"days": -1}}, "must lie between"),
        ({"code": "C104", "parameters": {"days": 10**30}}, "must lie between"),
        ({"code": "C104", "parameters": {}}, "is missing"),
        ({"code": "V101", "parameters": {"minimum_minor": "1"}}, "whole number"),
        ({"code": "V102", "when": {"field": "organisation_id", "op": "present"}}, "no field"),
    ],
)
def test_a_wrong_clause_is_refused_and_nothing_saved(entry: dict[str, Any], words: str) -> None:
    row = copied()
    with pytest.raises(ClauseInvalid, match=words):
        change_clause(version=2, place=0, entry=entry, seen=row.definition_hash, actor=ADA, now=NOW)
    with pytest.raises(ClauseInvalid, match=words):
        add_clause(version=2, entry=entry, seen=row.definition_hash, actor=ADA, now=NOW)
    assert get_rule_set(2) == row


def test_what_is_not_there_is_missed(other_organisation: UUID) -> None:
    row = copied()
    for place in (-1, 999):
        with pytest.raises(ClauseMissing):
            remove_clause(version=2, place=place, seen=row.definition_hash, actor=ADA, now=NOW)
    with pytest.raises(RuleSetMissing):
        copy_rule_set(version=77, actor=ADA, now=NOW)
    with acting_for(other_organisation), pytest.raises(RuleSetMissing):
        get_rule_set(2)
    with acting_for(other_organisation), pytest.raises(RuleSetMissing):
        remove_clause(version=2, place=0, seen=row.definition_hash, actor=ADA, now=NOW)


def test_the_whole_is_asked_before_it_is_put_in_force() -> None:
    row = copied()
    remove_clause(
        version=2, place=place_of("C102", row), seen=row.definition_hash, actor=ADA, now=NOW
    )
    broken = get_rule_set(2)
    with pytest.raises(RuleSetInvalid, match="how tax is rounded"):
        ask(broken)
    assert get_rule_set(2).state is RuleSetState.DRAFT


def test_a_new_clause_stands_where_it_is_reached() -> None:
    row = copied()
    entry = {
        "code": "C104",
        "parameters": {"days": 90},
        "when": {"field": "payer_kind", "op": "eq", "value": "person"},
    }
    add_clause(version=2, entry=entry, seen=row.definition_hash, actor=ADA, now=NOW)
    clauses = get_rule_set(2).definition["clause"]
    dues = [one for one in clauses if one["code"] == "C104"]
    assert dues.index(entry) < next(at for at, one in enumerate(dues) if "when" not in one)


def test_a_title_is_plain_and_short() -> None:
    row = copied()
    for title in ("x" * 201, "a\0b"):
        with pytest.raises(RuleSetHeadInvalid):
            change_rule_set_head(
                version=2, title=title, description="", seen=row.definition_hash,
                actor=ADA, now=NOW,
            )  # fmt: skip
    change_rule_set_head(
        version=2, title=" Harbour  2027 ", description="New.", seen=row.definition_hash,
        actor=ADA, now=NOW,
    )  # fmt: skip
    assert get_rule_set(2).title == "Harbour 2027"


def test_a_rule_set_travels_as_toml() -> None:
    original = get_rule_set(1)
    version = import_rule_set(text=dump_definition(original.written), actor=ADA, now=NOW)
    assert get_rule_set(version).definition_hash == original.definition_hash
    for text in ("clause = 5", "[[clause]]\ncode = 'V102'"):
        with pytest.raises(RuleSetInvalid):
            import_rule_set(text=text, actor=ADA, now=NOW)
    assert len(list_rule_sets()) == 2


def test_a_rule_set_builds_on_another_and_says_only_what_differs() -> None:
    text = (
        'base = "version 1"\n[[clause]]\ncode = "V102"\nremove = true\n'
        '[[clause]]\ncode = "C104"\nparameters = { days = 60 }\n'
    )
    version = import_rule_set(text=text, actor=ADA, now=NOW)
    row = get_rule_set(version)
    codes = [one["code"] for one in row.definition["clause"]]
    assert "V102" not in codes
    assert "V103" in codes
    assert [one for one in row.definition["clause"] if one["code"] == "C104"] == [
        {"code": "C104", "parameters": {"days": 60}}
    ]
    row = change(row, "V103", severity="warn")
    assert row.source is not None
    assert {one["code"] for one in row.source["clause"]} == {"V102", "C104", "V103"}
    activate(row)
    assert load_rule_set(on=NEXT_MONTH)[0] == version

    for base, words in (("atlantis", "neither"), ("version 9", "no such version")):
        with pytest.raises(BaseInvalid, match=words):
            import_rule_set(text=f'base = "{base}"\nclause = []', actor=ADA, now=NOW)
    draft = copied()
    with pytest.raises(BaseInvalid, match="may still change"):
        import_rule_set(text=f'base = "version {draft.version}"', actor=ADA, now=NOW)


def test_next_month_s_version_does_not_touch_this_month_s_run(organisation: UUID) -> None:
    activate(with_blocking_limit(copied()))
    made = make_draft_invoice()
    (result,) = issue_invoices(invoice_ids=[made.id], business_on=BUSINESS_ON, actor=ADA, now=NOW)
    assert result.outcome.value == "done"
    assert read_row("invoices", made.id).rule_set_version == 1
    later = make_draft_invoice()
    (result,) = issue_invoices(invoice_ids=[later.id], business_on=NEXT_MONTH, actor=ADA, now=NOW)
    assert (result.outcome.value, result.code) == ("filtered", "V115")


def test_a_run_keeps_the_version_it_was_prepared_with() -> None:
    drafts = make_drafts(4)
    run_id = begin(chunk_items_max=2)
    lease = must_lease()

    def work(ids: Any) -> Any:
        return issue_invoices(invoice_ids=ids, business_on=BUSINESS_ON, actor=ADA, now=NOW)

    work_chunk(lease=lease, work=work)
    # From the very day of the run: what has begun goes on as it was agreed.
    activate(with_blocking_limit(copied()), starts_on=BUSINESS_ON)
    assert load_rule_set(on=BUSINESS_ON)[0] == 2
    work_chunk(lease=must_lease(), work=work)

    versions = fetch_plain(
        "SELECT rule_set_version, state FROM invoices WHERE id = ANY(%s)", (drafts,)
    )
    assert versions == [(1, "issued")] * 4
    assert read_row("batch_runs", run_id).rule_set_version == 1
    finish_run(run_id=run_id, now=NOW)
    make_drafts(1)
    again = read_row("batch_runs", begin(request_key="again"))
    assert again.rule_set_version == 2


def test_a_trial_says_what_each_clause_makes_of_a_document_and_writes_nothing() -> None:
    invoice = make_issued_invoice(business_on=EARLIER_ON, lines=(Line(10_000),))
    number = f"{invoice.series}-{invoice.year}-{invoice.number}"
    facts = facts_of_document(reference=number, on=date(2026, 6, 1))
    assert (facts.total_minor, facts.open_minor) == (11_900, 11_900)
    events = fetch_plain("SELECT count(*) FROM events")
    late = try_rule_set(version=1, stage=Stage.REMIND, facts=facts)
    assert [each.code for each in late.charges] == ["C201"]
    assert "C201" in late.sentence_of("C201")
    issued = try_rule_set(version=1, stage=Stage.ISSUE, facts=facts)
    assert issued.price is not None
    assert issued.price.total_minor == 11_900
    assert {"C102", "C104"} <= {each.code for each in issued.said}
    assert fetch_plain("SELECT count(*) FROM events") == events
    for unknown in ("INV-2026-999999", "\0", ""):
        with pytest.raises(DocumentMissing):
            facts_of_document(reference=unknown, on=BUSINESS_ON)
