"""Reading schedules: when each is due next, and what became of its last due times."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.batches import RunState
from portal.domain.errors import NotFound
from portal.domain.schedules import DueState, Misfire, OnHoliday
from portal.sql import fetch, fetch_one

_COLUMNS = (
    "s.id, s.name, s.job, s.rule, s.on_holiday, s.misfire, s.is_active, s.next_at, s.version,"
    " s.created_at, s.sequence_id, q.name AS sequence_name"
)
_DUE = (
    "d.due_at, d.business_on, d.state, d.reason, d.run_id, r.number AS run_number,"
    " r.state AS run_state"
)
_RUN = " LEFT JOIN batch_runs r ON (r.organisation_id, r.id) = (d.organisation_id, d.run_id)"
_SELECT = (
    f"SELECT {_COLUMNS}, l.* FROM schedules s LEFT JOIN sequences q"
    " ON (q.organisation_id, q.id) = (s.organisation_id, s.sequence_id)"
    f" LEFT JOIN LATERAL (SELECT {_DUE}"
    f" FROM schedule_dues d{_RUN}"
    " WHERE (d.organisation_id, d.schedule_id) = (s.organisation_id, s.id)"
    " ORDER BY d.due_at DESC LIMIT 1) l ON true"
)
_SCHEDULE_FIELDS = 12


class ScheduleMissing(NotFound):
    """There is no such schedule here, or it is another organisation's; nothing was changed. Choose
    one from the list of schedules."""


class ScheduleNameUnknown(NotFound):
    """There is no schedule “{name}” here; nothing was changed. `portal schedule list` shows those
    there are."""

    name: str


class DueRow(NamedTuple):
    """A due time, with the run it made or why there is none."""

    due_at: datetime
    business_on: date
    state: DueState
    reason: str | None
    run_id: UUID | None
    run_number: int | None
    run_state: RunState | None


class ScheduleRow(NamedTuple):
    """A schedule with what became of its last due time."""

    id: UUID
    name: str
    job: str | None
    rule: str
    on_holiday: OnHoliday
    misfire: Misfire
    is_active: bool
    next_at: datetime | None
    version: int
    created_at: datetime
    # What it starts instead of a job.
    sequence_id: UUID | None
    sequence_name: str | None
    last: DueRow | None


def list_schedules() -> list[ScheduleRow]:
    """List the schedules of the organisation in scope, by name."""
    return [_schedule(row) for row in fetch(f"{_SELECT} ORDER BY s.name, s.id")]


def get_schedule(schedule_id: UUID) -> ScheduleRow:
    """Return one schedule.

    Raises: ScheduleMissing.
    """
    row = fetch_one(f"{_SELECT} WHERE s.id = %s", (schedule_id,))
    if row is None:
        raise ScheduleMissing
    return _schedule(row)


def get_schedule_by_name(name: str) -> ScheduleRow:
    """Return the schedule with a name.

    Raises: ScheduleNameUnknown.
    """
    row = fetch_one(f"{_SELECT} WHERE s.name = %s", (name.replace("\0", ""),))
    if row is None:
        raise ScheduleNameUnknown(name=name[:80].replace("\0", ""))
    return _schedule(row)


def list_dues(schedule_id: UUID, *, rows_max: int) -> list[DueRow]:
    """List the due times of a schedule that have passed, the latest first."""
    rows = fetch(
        f"SELECT {_DUE} FROM schedule_dues d{_RUN} WHERE d.schedule_id = %s"
        " ORDER BY d.due_at DESC LIMIT %s",
        (schedule_id, rows_max),
    )
    return [_due(row) for row in rows]


def _schedule(row: Any) -> ScheduleRow:
    own, last = row[:_SCHEDULE_FIELDS], row[_SCHEDULE_FIELDS:]
    schedule = ScheduleRow._make((*own, _due(last) if last[0] else None))
    return schedule._replace(
        on_holiday=OnHoliday(schedule.on_holiday), misfire=Misfire(schedule.misfire)
    )


def _due(row: Any) -> DueRow:
    due = DueRow(*row)
    return due._replace(
        state=DueState(due.state), run_state=RunState(due.run_state) if due.run_state else None
    )
