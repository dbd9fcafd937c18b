"""Due times become runs: once each, one after the other, and what becomes of none is written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.domain.errors import PortalError
from portal.domain.schedules import Misfire, OnHoliday, RuleInvalid
from portal.queries.schedules import ScheduleMissing, get_schedule, list_dues, list_schedules
from portal.services import schedules
from portal.services.batches import JobUnknown
from portal.services.schedules import (
    RETRY_SECONDS,
    WAIT_HOURS_MAX,
    RuleNeverDue,
    ScheduleChanged,
    ScheduleNameInvalid,
    ScheduleNameTaken,
    ScheduleWish,
    add_schedule,
    change_schedule,
    preview_schedule,
    set_schedule_activity,
    start_due_runs,
)
from portal.sql import execute, fetch
from tests import factories
from tests.factories import CLERK, NOW
from tests.recording import Recording
from tests.services.books import rows
from tests.services.running import make_drafts, run_of, work_all

# Wednesday, 18 March 2026, 10:30 in Berlin; the next due time is 11:00 there.
WISH = ScheduleWish("Issue daily", "invoice_issuing", "0 11 * * 1-5")
DUE_AT = datetime(2026, 3, 18, 10, 0, tzinfo=UTC)
EACH = Misfire.EACH_BUSINESS_DATE
DAY = timedelta(days=1)


def add(wish: ScheduleWish = WISH, *, organisation_id: UUID | None = None, **over: Any) -> UUID:
    changed = {name: over.pop(name) for name in list(over) if name in ScheduleWish._fields}
    with acting_for(organisation_id or factories.home.get()):
        return add_schedule(wish=wish._replace(**changed), actor=CLERK, **{"now": NOW, **over})


def of(schedule_id: UUID) -> Any:
    with acting_for(factories.home.get()):
        return get_schedule(schedule_id)


def dues_of(schedule_id: UUID) -> list[tuple[str, str, bool]]:
    """List the due times, the oldest first: business date, state, and whether there is a run."""
    with acting_for(factories.home.get()):
        found = list_dues(schedule_id, rows_max=200)[::-1]
    return [(f"{due.business_on:%d}", due.state.value, due.run_id is not None) for due in found]


def runs() -> list[Any]:
    return rows("SELECT * FROM batch_runs ORDER BY number")


def events() -> list[str]:
    found = rows("SELECT kind FROM events WHERE subject_type = 'schedule' ORDER BY id")
    return [row.kind.removeprefix("schedule.") for row in found]


def test_a_schedule_is_written_with_its_next_due_time(organisation: UUID) -> None:
    schedule = of(add(name="  Issue   daily "))

    assert (schedule.name, schedule.job, schedule.rule) == WISH[:3]
    assert (schedule.next_at, schedule.is_active, schedule.version) == (DUE_AT, True, 1)
    assert (schedule.last, events()) == (None, ["added"])


@pytest.mark.parametrize(
    ("over", "error"),
    [
        ({"name": " "}, ScheduleNameInvalid),
        ({"name": "x" * 81}, ScheduleNameInvalid),
        ({"name": "a\0b"}, ScheduleNameInvalid),
        ({"name": "Issue daily"}, ScheduleNameTaken),
        ({"job": "message_delivery"}, JobUnknown),
        ({"rule": "daily"}, RuleInvalid),
        ({"rule": "0 6 1 1 *"}, RuleNeverDue),
    ],
)
def test_a_wish_that_cannot_be_met_saves_nothing(
    organisation: UUID, over: dict[str, Any], error: type[PortalError]
) -> None:
    add()

    with pytest.raises(error):
        add(**{"name": "Another", **over})
    with pytest.raises(error), acting_for(organisation):
        change_schedule(
            schedule_id=add(name="Second"),
            wish=WISH._replace(**{"name": "Another", **over}),
            actor=CLERK,
            now=NOW,
        )

    with acting_for(organisation):
        assert [row.name for row in list_schedules()] == ["Issue daily", "Second"]
    assert events() == ["added", "added"]


def test_a_due_time_makes_one_run_for_its_date(organisation: UUID) -> None:
    make_drafts(3)
    schedule_id = add()

    assert start_due_runs(now=DUE_AT - timedelta(seconds=1)) == 0
    assert start_due_runs(now=DUE_AT) == 1
    assert start_due_runs(now=DUE_AT) == 0
    assert start_due_runs(now=DUE_AT + timedelta(hours=1)) == 0

    (run,) = runs()
    assert (run.job, run.business_on, run.items_count) == ("invoice_issuing", date(2026, 3, 18), 3)
    assert run.request_key == f"schedule:{schedule_id}:2026-03-18T10:00:00Z"
    assert run.started_by == "Schedule “Issue daily”"
    schedule = of(schedule_id)
    assert (schedule.last.run_id, schedule.last.run_number) == (run.id, run.number)
    assert schedule.next_at == DUE_AT + DAY
    assert events() == ["added", "started"]


def test_nothing_due_costs_one_statement(
    organisation: UUID, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    add()

    with statements() as recorded:
        assert start_due_runs(now=NOW) == 0

    asked = [text for text in recorded.texts if "SET LOCAL ROLE" not in text]
    assert len(asked) == 1, recorded.texts


def test_the_clock_of_the_database_counts_without_an_instant(organisation: UUID) -> None:
    schedule_id = add()
    with transaction(organisation):
        execute("UPDATE schedules SET next_at = now(), wake_at = now() + interval '1 hour'")
    assert start_due_runs() == 0

    with transaction(organisation):
        execute("UPDATE schedules SET wake_at = now() - interval '1 second'")
    start_due_runs()

    (row,) = rows("SELECT next_at > now() AS is_ahead FROM schedules WHERE id = %s", schedule_id)
    assert row.is_ahead


def test_three_clocks_at_once_start_each_run_once(
    organisation: UUID, other_organisation: UUID, app: Flask
) -> None:
    make_drafts(2)
    jobs = ("invoice_issuing", "deposit_matching", "ledger_check")
    for owner in (organisation, other_organisation):
        for job in jobs:
            add(name=job, job=job, organisation_id=owner)
    # By now it is eleven o'clock in London as well.
    later = DUE_AT + timedelta(hours=1)
    gate = threading.Barrier(3)
    counts: list[int] = []

    def tick() -> None:
        with app.app_context():
            gate.wait()
            counts.append(start_due_runs(now=later))
            counts.append(start_due_runs(now=later))

    clocks = [threading.Thread(target=tick) for _ in range(3)]
    for clock in clocks:
        clock.start()
    for clock in clocks:
        clock.join(60)

    assert sum(counts) == 6
    for owner in (organisation, other_organisation):
        with acting_for(owner), transaction():
            made = fetch("SELECT job, count(*) AS times FROM batch_runs GROUP BY job ORDER BY job")
            dues = fetch("SELECT state, run_id FROM schedule_dues")
        assert [tuple(row) for row in made] == [(job, 1) for job in sorted(jobs)]
        assert [row.state for row in dues] == ["started"] * 3
        assert len({row.run_id for row in dues}) == 3


def test_a_clock_that_dies_before_its_commit_loses_and_doubles_nothing(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_drafts(1)
    schedule_id = add()
    killed = []

    def die(*_arguments: Any, **_named: Any) -> None:
        killed.append(1)
        raise KeyboardInterrupt

    for step in ("note_dues", "start_run", "_settle"):
        with monkeypatch.context() as patched:
            patched.setattr(schedules._due, step, die)
            with pytest.raises(KeyboardInterrupt):
                start_due_runs(now=DUE_AT)
        assert (runs(), dues_of(schedule_id)) == ([], [])
    assert len(killed) == 3

    assert start_due_runs(now=DUE_AT) == 1
    assert dues_of(schedule_id) == [("18", "started", True)]


def test_three_days_down_make_one_run_for_each_date(organisation: UUID) -> None:
    make_drafts(1)
    schedule_id = add(misfire=EACH)
    back = DUE_AT + 5 * DAY + timedelta(hours=3)  # Monday; a weekend lies between.

    assert start_due_runs(now=back) == 1
    assert dues_of(schedule_id) == [
        ("18", "started", True), ("19", "waiting", False), ("20", "waiting", False),
        ("23", "waiting", False),
    ]  # fmt: skip
    with acting_for(organisation):
        reasons = [due.reason for due in list_dues(schedule_id, rows_max=4)]
    assert reasons == [None, None, "Run 1 of the same job is still at work.", None]

    for number in range(1, 5):
        work_all(runs()[-1].id)
        start_due_runs(now=back + timedelta(seconds=RETRY_SECONDS * number))
    assert [run.business_on.day for run in runs()] == [18, 19, 20, 23]
    assert {due[1] for due in dues_of(schedule_id)} == {"started"}
    assert of(schedule_id).next_at == DUE_AT + 6 * DAY


def test_three_days_down_make_one_run_in_all(organisation: UUID) -> None:
    schedule_id = add(misfire=Misfire.ONCE)

    assert start_due_runs(now=DUE_AT + 5 * DAY) == 1

    assert dues_of(schedule_id) == [
        ("18", "missed", False), ("19", "missed", False), ("20", "missed", False),
        ("23", "started", True),
    ]  # fmt: skip
    assert [run.business_on.day for run in runs()] == [23]
    assert events() == ["added", "missed", "started"]
    reasons = rows("SELECT DISTINCT reason FROM schedule_dues WHERE state = 'missed'")
    assert [row.reason for row in reasons] == [
        "It was not started in time; a later due time makes it up."
    ]


def test_several_times_a_day_are_made_up_by_the_last_of_it(organisation: UUID) -> None:
    schedule_id = add(rule="0 11,15 * * 1-5", misfire=EACH)

    assert start_due_runs(now=DUE_AT + DAY + timedelta(hours=1)) == 2

    assert dues_of(schedule_id) == [
        ("18", "missed", False), ("18", "started", True), ("19", "started", True)
    ]  # fmt: skip


def test_a_year_down_is_made_up_for_a_month_only(organisation: UUID) -> None:
    schedule_id = add(misfire=EACH, on_holiday=OnHoliday.ANYWAY, rule="0 11 * * *")

    assert start_due_runs(now=DUE_AT + 365 * DAY) == 31

    found = dues_of(schedule_id)
    assert found[0] == ("18", "missed", False)
    assert [due[1] for due in found[1:]] == ["started"] * 31


def test_a_due_time_during_a_run_of_the_job_waits_for_its_end(organisation: UUID) -> None:
    make_drafts(1)
    schedule_id = add()
    start_due_runs(now=DUE_AT)
    tomorrow = DUE_AT + DAY

    assert start_due_runs(now=tomorrow) == 0
    assert dues_of(schedule_id)[1:] == [("19", "waiting", False)]
    assert of(schedule_id).last.reason == "Run 1 of the same job is still at work."
    assert of(schedule_id).next_at == tomorrow + DAY
    assert start_due_runs(now=tomorrow + timedelta(seconds=1)) == 0

    work_all(runs()[0].id)
    assert start_due_runs(now=tomorrow + timedelta(seconds=RETRY_SECONDS)) == 1
    assert dues_of(schedule_id)[1:] == [("19", "started", True)]


def test_a_due_time_whose_date_has_a_stopped_run_is_refused_in_the_end(organisation: UUID) -> None:
    schedule_id = add(rule="0 11 18 * *")
    # The run of the day by hand, stopped by a person.
    make_drafts(1)
    start_due_runs(now=DUE_AT)
    (run,) = runs()
    with transaction(organisation):
        execute("UPDATE schedule_dues SET state = 'waiting', run_id = NULL")
        execute("UPDATE schedules SET wake_at = %s", (DUE_AT,))
        execute("UPDATE batch_runs SET state = 'stopped', request_key = NULL")

    assert start_due_runs(now=DUE_AT + timedelta(hours=1)) == 0
    assert dues_of(schedule_id) == [("18", "waiting", False)]
    assert "is not finished yet" in of(schedule_id).last.reason

    assert start_due_runs(now=DUE_AT + timedelta(hours=WAIT_HOURS_MAX)) == 0
    assert dues_of(schedule_id) == [("18", "refused", False)]
    assert "is not finished yet" in of(schedule_id).last.reason
    assert of(schedule_id).next_at == datetime(2026, 5, 18, 9, 0, tzinfo=UTC)
    assert run_of(run.id).state == "stopped"
    assert events()[-1] == "refused"


def test_one_that_breaks_does_not_stop_the_others(
    organisation: UUID, other_organisation: UUID
) -> None:
    broken, sound = add(), add(name="Sound", job="ledger_check")
    with transaction(organisation):
        execute("UPDATE schedules SET rule = 'broken' WHERE id = %s", (broken,))

    assert start_due_runs(now=DUE_AT) == 1

    assert dues_of(sound) == [("18", "started", True)]
    (row,) = rows("SELECT wake_at FROM schedules WHERE id = %s", broken)
    assert row.wake_at == DUE_AT + timedelta(minutes=1)


def test_a_paused_schedule_is_never_due_and_makes_nothing_up(organisation: UUID) -> None:
    schedule_id = add()
    with acting_for(organisation):
        set_schedule_activity(schedule_id=schedule_id, is_active=False, actor=CLERK, now=NOW)
        set_schedule_activity(schedule_id=schedule_id, is_active=False, actor=CLERK, now=NOW)
    assert (of(schedule_id).next_at, of(schedule_id).version) == (None, 2)
    assert start_due_runs(now=DUE_AT + 3 * DAY) == 0

    with acting_for(organisation):
        set_schedule_activity(
            schedule_id=schedule_id, is_active=True, actor=CLERK, now=DUE_AT + DAY
        )

    assert of(schedule_id).next_at == DUE_AT + 2 * DAY
    assert start_due_runs(now=DUE_AT + 2 * DAY) == 1
    assert dues_of(schedule_id) == [("20", "started", True)]
    assert events() == ["added", "paused", "resumed", "started"]


def test_pausing_says_what_becomes_of_a_due_time_that_was_not_seen_yet(organisation: UUID) -> None:
    schedule_id = add()

    with acting_for(organisation):
        set_schedule_activity(
            schedule_id=schedule_id, is_active=False, actor=CLERK, now=DUE_AT + timedelta(seconds=2)
        )

    assert dues_of(schedule_id) == [("18", "refused", False)]
    assert of(schedule_id).last.reason == "The schedule was paused before the run could start."


def test_a_change_keeps_what_was_due_and_not_seen_yet(organisation: UUID) -> None:
    schedule_id = add()
    changed_at = DUE_AT + timedelta(seconds=2)

    with acting_for(organisation):
        change_schedule(
            schedule_id=schedule_id, wish=WISH._replace(rule="30 22 LW * *"), version=1,
            actor=CLERK, now=changed_at,
        )  # fmt: skip
    assert of(schedule_id).next_at == datetime(2026, 3, 31, 20, 30, tzinfo=UTC)

    assert start_due_runs(now=changed_at) == 1
    assert dues_of(schedule_id) == [("18", "started", True)]
    with pytest.raises(ScheduleChanged), acting_for(organisation):
        change_schedule(schedule_id=schedule_id, wish=WISH, version=1, actor=CLERK, now=NOW)


def test_a_rule_whose_days_have_gone_pauses_itself(organisation: UUID) -> None:
    schedule_id = add(rule="0 11 * * 3")
    with transaction(organisation):
        execute("UPDATE schedules SET rule = '0 11 * * 6'")

    assert start_due_runs(now=DUE_AT) == 0

    assert not of(schedule_id).is_active
    assert events() == ["added", "paused"]


def test_a_preview_says_the_rule_and_its_next_dates(organisation: UUID) -> None:
    with acting_for(organisation):
        found = preview_schedule(
            rule="0 6 * * 1-5", on_holiday=OnHoliday.SKIP, now=datetime(2026, 4, 1, 9, tzinfo=UTC)
        )

    assert (found.words, found.zone, found.calendar) == (
        "every working day at 06:00", "Europe/Berlin", "ECB"
    )  # fmt: skip
    # Good Friday and Easter Monday are no working days.
    assert [f"{due.business_on:%m-%d}" for due in found.dues] == [
        "04-02", "04-07", "04-08", "04-09", "04-10"
    ]  # fmt: skip


def test_another_organisations_schedule_is_not_there(
    organisation: UUID, other_organisation: UUID
) -> None:
    theirs = add(organisation_id=other_organisation)

    with acting_for(organisation):
        assert list_schedules() == []
        with pytest.raises(ScheduleMissing):
            get_schedule(theirs)
        with pytest.raises(ScheduleMissing):
            set_schedule_activity(schedule_id=theirs, is_active=False, actor=CLERK, now=NOW)
