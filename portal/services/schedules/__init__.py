"""Schedules: written, paused and resumed by people; their due times become runs by the clock.

Each due time is a row whose key says that it is one, so any number of clocks may tick at once. The
row and the run that it makes are written in one transaction.
"""

from portal.services.schedules._change import (
    ScheduleChanged,
    ScheduleIsAboutBoth,
    ScheduleNameInvalid,
    ScheduleNameTaken,
    ScheduleWish,
    add_schedule,
    change_schedule,
    set_schedule_activity,
)
from portal.services.schedules._due import (
    RETRY_SECONDS,
    WAIT_HOURS_MAX,
    start_due_runs,
)
from portal.services.schedules._preview import (
    PreviewedDue,
    RuleNeverDue,
    SchedulePreview,
    preview_schedule,
)

__all__ = [
    "RETRY_SECONDS",
    "WAIT_HOURS_MAX",
    "PreviewedDue",
    "RuleNeverDue",
    "ScheduleChanged",
    "ScheduleIsAboutBoth",
    "ScheduleNameInvalid",
    "ScheduleNameTaken",
    "SchedulePreview",
    "ScheduleWish",
    "add_schedule",
    "change_schedule",
    "preview_schedule",
    "set_schedule_activity",
    "start_due_runs",
]
