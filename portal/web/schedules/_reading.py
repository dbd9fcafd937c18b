"""The list of schedules, and one of them with its next dates and what became of the last ones."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from flask.typing import ResponseReturnValue

from portal.clock import now_utc
from portal.domain.schedules import parse_rule, rule_in_words
from portal.domain.users import Permission
from portal.queries.schedules import ScheduleRow, get_schedule, list_dues, list_schedules
from portal.services.schedules import preview_schedule
from portal.web.access import require, roles_with
from portal.web.formats import job_in_words
from portal.web.htmx import render_part
from portal.web.schedules._blueprint import SCHEDULE, bp
from portal.web.visitors import current_organisation

DUES_SHOWN = 20
# A clock ticks every few seconds; what is later than this was seen by none.
LATE = timedelta(minutes=2)


class ScheduleLine(NamedTuple):
    """A schedule as the list shows it."""

    schedule: ScheduleRow
    words: str


@bp.get("/schedules")
@require(Permission.VIEW_RUNS)
def index() -> ResponseReturnValue:
    """List the schedules."""
    rows, now = list_schedules(), now_utc()
    return render_part(
        "schedules/list.html",
        "schedules/_list.html",
        lines=[ScheduleLine(row, say_rule(row)) for row in rows],
        zone=current_organisation().zone,
        is_clock_late=any(row.next_at and row.next_at < now - LATE for row in rows),
        changing_roles=[role.label for role in roles_with(Permission.CHANGE_SCHEDULES)],
    )


@bp.get(SCHEDULE)
@require(Permission.VIEW_RUNS)
def show(schedule_id: UUID) -> ResponseReturnValue:
    """Show one schedule."""
    row, now = get_schedule(schedule_id), now_utc()
    return render_part(
        "schedules/show.html",
        "schedules/_schedule.html",
        schedule=row,
        words=say_rule(row),
        about=job_in_words(row.job) if row.job else row.sequence_name,
        preview=preview_schedule(rule=row.rule, on_holiday=row.on_holiday, now=now),
        dues=list_dues(row.id, rows_max=DUES_SHOWN),
        changing_roles=[role.label for role in roles_with(Permission.CHANGE_SCHEDULES)],
    )


def say_rule(row: ScheduleRow) -> str:
    """Say when a schedule is due, as the beginning of a sentence."""
    words = rule_in_words(parse_rule(row.rule, row.on_holiday))
    return words[:1].upper() + words[1:]
