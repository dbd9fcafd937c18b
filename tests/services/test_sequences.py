"""Sequences: written whole or not at all; each step begins once, or it is said why it did not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for, transaction
from portal.domain.errors import PortalError
from portal.domain.sequences import STEPS_MAX, Step, StepCondition
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.sequences import (
    SequenceMissing,
    find_step_of_run,
    get_execution,
    get_sequence,
    list_steps,
)
from portal.services.batches import (
    JobUnknown,
    RunUnfinished,
    SequenceUnfinished,
    StarterUnknown,
    abandon_run,
    approve_run,
    stop_run,
    work_chunk,
)
from portal.services.schedules import ScheduleWish, add_schedule, start_due_runs
from portal.services.sequences import (
    SequenceChanged,
    SequenceNameInvalid,
    SequenceNameTaken,
    SequenceStepsInvalid,
    SequenceWish,
    add_sequence,
    change_sequence,
    start_sequence,
)
from portal.sql import execute
from tests import factories
from tests.factories import BUSINESS_ON, CLERK, NOW
from tests.services.books import rows
from tests.services.running import (
    done,
    finish,
    lease,
    make_drafts,
    must_lease,
    refuse,
    restart,
    run_of,
    work_all,
)

TWO = (Step("invoice_issuing"), Step("ledger_check"))
WISH = SequenceWish("Month end", TWO)
MANAGER = Actor("person", new_id(), "Mia Manager")


def write(*steps: Step, name: str = "Month end") -> UUID:
    with acting_for(factories.home.get()):
        return add_sequence(wish=SequenceWish(name, steps or TWO), actor=CLERK, now=NOW)


def start(sequence_id: UUID, **over: Any) -> UUID:
    asked = {"business_on": BUSINESS_ON, "actor": CLERK, "now": NOW, **over}
    with acting_for(factories.home.get()):
        return start_sequence(sequence_id=sequence_id, **asked)


def steps_of(execution_id: UUID) -> list[Any]:
    with acting_for(factories.home.get()):
        return list_steps(get_execution(execution_id))


def of(execution_id: UUID) -> Any:
    with acting_for(factories.home.get()):
        return get_execution(execution_id)


def states(execution_id: UUID) -> list[str | None]:
    """Name the states of the execution and of the run of each step."""
    shown = [step.run_state and step.run_state.value for step in steps_of(execution_id)]
    return [of(execution_id).state.value, *shown]


def run_at(execution_id: UUID, number: int) -> UUID:
    run_id = steps_of(execution_id)[number - 1].run_id
    assert run_id is not None
    return UUID(str(run_id))


def events() -> list[str]:
    found = rows("SELECT kind FROM events WHERE subject_type = 'sequence' ORDER BY id")
    return [row.kind.removeprefix("sequence.") for row in found]


def count(table: str) -> int:
    return int(rows(f"SELECT count(*) FROM {table}")[0].count)


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (SequenceWish(" ", TWO), SequenceNameInvalid),
        (SequenceWish("x" * 81, TWO), SequenceNameInvalid),
        (SequenceWish("a\0b", TWO), SequenceNameInvalid),
        (SequenceWish("Month  end", TWO), SequenceNameTaken),
        (SequenceWish("Other", ()), SequenceStepsInvalid),
        (SequenceWish("Other", TWO * STEPS_MAX), SequenceStepsInvalid),
        (SequenceWish("Other", (Step("message_delivery"),)), JobUnknown),
    ],
)
def test_a_wish_that_cannot_be_met_saves_nothing(
    organisation: UUID, wish: SequenceWish, error: type[PortalError]
) -> None:
    write()
    other = write(name="Second")

    with acting_for(organisation), pytest.raises(error):
        add_sequence(wish=wish, actor=CLERK, now=NOW)
    with acting_for(organisation), pytest.raises(error):
        change_sequence(sequence_id=other, wish=wish, actor=CLERK, now=NOW)

    assert (count("sequences"), count("sequence_steps"), events()) == (2, 4, ["added", "added"])


def test_what_is_at_work_keeps_the_steps_it_began_with(organisation: UUID) -> None:
    make_drafts(1)
    sequence_id = write()
    execution_id = start(sequence_id)

    with acting_for(organisation):
        wish = SequenceWish("Month end", (Step("ledger_check"),))
        change_sequence(sequence_id=sequence_id, wish=wish, actor=CLERK, now=NOW, version=1)
        assert (get_sequence(sequence_id).version, get_sequence(sequence_id).steps) == (
            2,
            list(wish.steps),
        )
        with pytest.raises(SequenceChanged):
            change_sequence(sequence_id=sequence_id, wish=WISH, actor=CLERK, now=NOW, version=1)
    with pytest.raises(SequenceChanged):
        start(sequence_id, version=1)

    work_all(run_at(execution_id, 1))
    assert states(execution_id) == ["running", "completed", "started"]


def test_a_sequence_runs_through_and_each_run_says_of_what_it_is_a_step(
    organisation: UUID,
) -> None:
    make_drafts(3)
    execution_id = start(write())
    assert states(execution_id) == ["running", "started", None]

    work_all(run_at(execution_id, 1))
    assert states(execution_id) == ["running", "completed", "started"]
    second = run_at(execution_id, 2)
    assert (run_of(second).job, run_of(second).business_on) == ("ledger_check", BUSINESS_ON)
    assert (run_of(second).started_by_id, run_of(second).started_by) == (CLERK.id, CLERK.name)

    work_all(second)
    assert states(execution_id) == ["completed", "completed", "completed"]
    with acting_for(organisation):
        place = find_step_of_run(second)
    assert place is not None
    assert (place.number, place.execution.id) == (2, execution_id)
    assert events() == ["added", "started", "step_started", "completed"]


def test_steps_with_nothing_to_do_are_passed_in_one_go(organisation: UUID) -> None:
    execution_id = start(write(Step("invoice_issuing"), Step("payment_retrying")))

    assert states(execution_id) == ["completed", "completed", "completed"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (StepCondition.COMPLETED, ["running", "completed", "started"]),
        (StepCondition.CLEAN, ["stopped", "completed", None]),
        (StepCondition.ANYWAY, ["running", "completed", "started"]),
    ],
)
def test_an_item_that_failed_stops_only_what_asks_for_none(
    organisation: UUID, condition: StepCondition, expected: list[str | None]
) -> None:
    bad, *_ = make_drafts(2)
    execution_id = start(write(TWO[0], Step("ledger_check", condition)))

    work_chunk(lease=must_lease(), work=refuse([bad]))
    finish(run_at(execution_id, 1))

    assert states(execution_id) == expected
    if condition is StepCondition.CLEAN:
        assert of(execution_id).reason == (
            "Run 1 completed, but 1 of its items failed or were set aside;"
            " step 2 (prove the books) was not started."
        )


def fail(execution_id: UUID) -> UUID:
    """Let the first run of an execution fail with its chunk given up."""
    run_id = run_at(execution_id, 1)
    with transaction(factories.home.get()):
        execute("UPDATE batch_chunks SET state = 'failed' WHERE run_id = %s", (run_id,))
    finish(run_id)
    assert run_of(run_id).state == "failed"
    return run_id


def test_a_failed_run_stops_the_sequence_and_its_restart_lets_it_go_on(organisation: UUID) -> None:
    make_drafts(1)
    execution_id = start(write())

    run_id = fail(execution_id)
    assert states(execution_id) == ["stopped", "failed", None]
    assert of(execution_id).reason.startswith("Run 1 failed; step 2 (prove the books)")

    restart(organisation, run_id)
    assert (of(execution_id).state, of(execution_id).reason) == ("running", None)
    work_all(run_id)
    assert states(execution_id) == ["running", "completed", "started"]
    assert events() == ["added", "started", "stopped", "resumed", "step_started"]


def test_whatever_happened_follows_a_failure_and_not_twice_after_its_restart(
    organisation: UUID,
) -> None:
    make_drafts(1)
    execution_id = start(write(TWO[0], Step("ledger_check", StepCondition.ANYWAY)))

    run_id = fail(execution_id)
    assert states(execution_id) == ["running", "failed", "started"]

    second = run_at(execution_id, 2)
    restart(organisation, run_id)
    while found := lease():
        work_chunk(lease=found, work=done)
    finish(run_id)
    finish(second)

    assert states(execution_id) == ["completed", "completed", "completed"]
    assert count("batch_runs") == 2


@pytest.mark.parametrize("condition", list(StepCondition))
def test_a_run_that_is_stopped_stops_it_and_one_that_is_given_up_ends_it(
    organisation: UUID, condition: StepCondition
) -> None:
    make_drafts(3)
    execution_id = start(write(TWO[0], Step("ledger_check", condition)))
    run_id = run_at(execution_id, 1)

    with acting_for(organisation):
        stop_run(run_id=run_id, actor=CLERK, now=NOW)
        assert states(execution_id) == ["stopped", "stopped", None]
        abandon_run(run_id=run_id, reason="Not today.", actor=CLERK, now=NOW)

    assert states(execution_id) == ["abandoned", "abandoned", None]
    assert "was given up" in of(execution_id).reason
    assert of(execution_id).finished_at == NOW


def test_a_stopped_sequence_started_anew_is_not_resumed_beside_it(organisation: UUID) -> None:
    make_drafts(1)
    sequence_id = write(Step("ledger_check"), Step("invoice_issuing"))
    execution_id = start(sequence_id)
    run_id = fail(execution_id)
    start(sequence_id)
    second = rows("SELECT id FROM batch_runs WHERE state = 'started'")[0].id
    work_chunk(lease=must_lease(), work=done)
    finish(second)

    with pytest.raises(SequenceUnfinished):
        restart(organisation, run_id)

    assert states(execution_id) == ["stopped", "failed", None]


def in_threads(app: Flask, organisation: UUID, work: Callable[[], object], times: int) -> None:
    """Do something several times at once."""
    barrier = threading.Barrier(times)

    def one() -> None:
        factories.home.set(organisation)
        with app.app_context():
            barrier.wait()
            work()

    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_workers_that_end_a_step_at_once_begin_the_next_once(
    organisation: UUID, app: Flask
) -> None:
    make_drafts(1)
    execution_id = start(write())
    run_id = run_at(execution_id, 1)
    work_chunk(lease=must_lease(), work=done)

    in_threads(app, organisation, lambda: finish(run_id), 4)

    assert states(execution_id) == ["running", "completed", "started"]
    assert count("batch_runs") == 2
    assert events().count("step_started") == 1


def test_what_breaks_between_two_steps_undoes_the_end_of_the_first(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_drafts(1)
    execution_id = start(write())
    run_id = run_at(execution_id, 1)
    work_chunk(lease=must_lease(), work=done)

    def die(*_: object, **__: object) -> None:
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr("portal.services.batches._steps.prepare_run", die)
        with pytest.raises(SystemExit):
            finish(run_id)
    assert states(execution_id) == ["running", "started", None]

    finish(run_id)
    assert states(execution_id) == ["running", "completed", "started"]


def test_a_step_whose_job_is_at_work_already_stops_the_sequence(organisation: UUID) -> None:
    make_drafts(1)
    execution_id = start(write())
    start(write(Step("ledger_check"), name="Books"))
    held = [must_lease(), must_lease()]
    (issuing,) = (each for each in held if each.job == "invoice_issuing")

    work_chunk(lease=issuing, work=done)
    finish(run_at(execution_id, 1))

    assert states(execution_id) == ["stopped", "completed", None]
    assert "is not finished yet" in of(execution_id).reason


def test_a_sequence_is_at_work_once_for_a_day_and_its_first_job_too(organisation: UUID) -> None:
    make_drafts(1)
    sequence_id = write()
    start(sequence_id)

    with pytest.raises(SequenceUnfinished):
        start(sequence_id)
    with pytest.raises(RunUnfinished):
        start(write(TWO[0], name="Another"))

    assert (count("sequence_runs"), count("batch_runs")) == (1, 1)


def test_the_same_request_is_one_execution_whoever_asks_at_once(
    organisation: UUID, app: Flask
) -> None:
    make_drafts(1)
    sequence_id = write()

    in_threads(app, organisation, lambda: start(sequence_id, request_key="once"), 4)

    assert (count("sequence_runs"), count("batch_runs")) == (1, 1)


def test_another_organisations_sequence_is_none(
    organisation: UUID, other_organisation: UUID
) -> None:
    sequence_id = write()

    with acting_for(other_organisation):
        with pytest.raises(SequenceMissing):
            start_sequence(sequence_id=sequence_id, business_on=BUSINESS_ON, actor=CLERK, now=NOW)
        with pytest.raises(SequenceMissing):
            change_sequence(sequence_id=sequence_id, wish=WISH, actor=CLERK, now=NOW)

    assert count("sequence_runs") == 0


def limit_to(app: Flask, items: int) -> None:
    app.config["PORTAL"] = app.config["PORTAL"].changed(approval_items_min=items)


def test_a_large_step_waits_for_another_than_who_started_the_sequence(
    organisation: UUID, app: Flask
) -> None:
    make_drafts(3)
    limit_to(app, 3)
    execution_id = start(write(Step("ledger_check"), Step("invoice_issuing")))
    work_all(run_at(execution_id, 1))
    assert states(execution_id) == ["running", "completed", "awaiting_approval"]
    second = run_at(execution_id, 2)

    with acting_for(organisation):
        with pytest.raises(PortalError, match="another person must approve"):
            approve_run(run_id=second, actor=CLERK._replace(kind="person"), now=NOW)
        approve_run(run_id=second, actor=MANAGER, now=NOW)

    work_all(second)
    assert states(execution_id) == ["completed", "completed", "completed"]


def test_a_large_step_that_is_declined_ends_the_sequence(organisation: UUID, app: Flask) -> None:
    make_drafts(3)
    limit_to(app, 3)
    execution_id = start(write())

    with acting_for(organisation):
        reason = "Not this month."
        abandon_run(run_id=run_at(execution_id, 1), reason=reason, actor=MANAGER, now=NOW)

    assert states(execution_id) == ["abandoned", "abandoned", None]


def test_a_large_first_step_of_nobody_is_not_started_and_a_later_one_stops_it(
    organisation: UUID, app: Flask
) -> None:
    make_drafts(3)
    limit_to(app, 3)
    nobody = Actor("operator", None, "command line")
    with pytest.raises(StarterUnknown):
        start(write(), actor=nobody)
    assert (count("sequence_runs"), count("batch_runs")) == (0, 0)

    later = start(write(Step("ledger_check"), TWO[0], name="Later"), actor=nobody)
    work_all(run_at(later, 1))

    assert states(later) == ["stopped", "completed", None]
    assert "Say who starts it" in of(later).reason


def test_a_schedule_starts_a_sequence_once_for_each_due_time_with_three_clocks(
    organisation: UUID, app: Flask
) -> None:
    make_drafts(1)
    sequence_id = write()
    due_at = datetime(2026, 3, 18, 10, 0, tzinfo=UTC)
    with acting_for(organisation):
        wish = ScheduleWish("Nightly", None, "0 11 * * 1-5", sequence_id=sequence_id)
        add_schedule(wish=wish, actor=CLERK, now=NOW)

    in_threads(app, organisation, lambda: start_due_runs(now=due_at), 3)

    (execution,) = rows("SELECT * FROM sequence_runs")
    (run,) = rows("SELECT * FROM batch_runs")
    (due,) = rows("SELECT * FROM schedule_dues")
    assert (due.state, due.run_id, run.sequence_run_id) == ("started", run.id, execution.id)
    assert execution.started_by == "Schedule “Nightly”"

    # The next day it waits for the end of the one before.
    start_due_runs(now=due_at + timedelta(days=1))
    (waiting,) = rows("SELECT * FROM schedule_dues WHERE state = 'waiting'")
    assert "is still at work" in waiting.reason


@pytest.mark.parametrize("job", [None, "invoice_issuing"])
def test_a_schedule_names_a_job_or_a_sequence(organisation: UUID, job: str | None) -> None:
    sequence_id = write() if job else None
    wish = ScheduleWish("Nightly", job, "0 11 * * 1-5", sequence_id=sequence_id)
    with acting_for(organisation), pytest.raises(PortalError, match="either a job or a sequence"):
        add_schedule(wish=wish, actor=CLERK, now=NOW)
    assert count("schedules") == 0
