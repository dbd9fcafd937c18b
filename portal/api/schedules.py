"""Schedules for machines: written, changed, paused, resumed, and when they are due next."""

from typing import Any
from uuid import UUID

from flask import Response, url_for
from marshmallow import fields, validate

from portal.api.access import current_actor, current_holder, require
from portal.api.answers import answer, check_match, shown_id
from portal.api.doors import DoorBlueprint, answers, matches, once, patches, takes
from portal.api.fields import (
    PublicId,
    Strict,
    Text,
    calendar_day,
    many,
    moment,
    noun_name,
    one_of,
    own_id,
    state_of,
    whole,
    words,
)
from portal.api.lists import answer_list, list_schema, lists
from portal.clock import now_utc
from portal.domain.batches import list_startable_jobs
from portal.domain.schedules import (
    RULE_CHARACTERS_MAX,
    DueState,
    Misfire,
    OnHoliday,
    parse_rule,
    rule_in_words,
)
from portal.domain.users import Permission
from portal.queries.schedules import DueRow, ScheduleRow, get_schedule
from portal.queries.tables import SCHEDULE_TABLE
from portal.services.schedules import (
    PreviewedDue,
    RuleNeverDue,
    ScheduleWish,
    add_schedule,
    change_schedule,
    preview_schedule,
    set_schedule_activity,
)

NAME_CHARACTERS_MAX = 80
ACTIVE, PAUSED = "active", "paused"

bp = DoorBlueprint("schedules", "When jobs start by themselves.")


class ComingDueSchema(Strict):
    """A time to come, and the business date it will stand for."""

    due = moment()
    date = calendar_day()


class PastDueSchema(Strict):
    """A due time that has passed, with the run it made or why there is none."""

    due = moment()
    date = calendar_day(description="The business date it stands for.")
    state = state_of(DueState)
    reason = words(none=True)
    run_id = own_id("run", none=True)


class ScheduleSchema(Strict):
    """A rule by which a job or a sequence starts, with its next dates and its last one."""

    object = noun_name("schedule")
    id = own_id("schedule")
    name = words()
    job = words(none=True, description="The job it starts; null where it starts a sequence.")
    sequence_id = own_id("sequence", none=True)
    rule = words(description="Minute, hour, day of the month, month, day of the week.")
    in_words = words(description="The rule in words.")
    on_holiday = state_of(OnHoliday, description="What becomes of a day on which no bank works.")
    misfire = state_of(Misfire, description="What is made up for after a time without runs.")
    state = one_of(ACTIVE, PAUSED)
    zone = words(description="The time zone in which the rule is read.")
    next = moment(none=True, description="When it is due next; null while it is paused.")
    coming = many(
        ComingDueSchema,
        description="The next five times; of a paused one, if it were resumed now.",
    )
    last = fields.Nested(PastDueSchema, required=True, allow_none=True)
    created = moment()
    version = whole()


class WishSchema(Strict):
    """What a schedule is to be."""

    name = Text(longest=NAME_CHARACTERS_MAX, required=True)
    job = fields.String(
        validate=validate.OneOf([one.name for one in list_startable_jobs()]),
        allow_none=True,
        load_default=None,
        metadata={"description": "The job to start; else name a sequence."},
    )
    sequence_id = PublicId("sequence", allow_none=True, load_default=None)
    rule = Text(longest=RULE_CHARACTERS_MAX, required=True)
    on_holiday = fields.String(
        validate=validate.OneOf([one.value for one in OnHoliday]), load_default=OnHoliday.SKIP.value
    )
    misfire = fields.String(
        validate=validate.OneOf([one.value for one in Misfire]), load_default=Misfire.ONCE.value
    )


class NewScheduleSchema(WishSchema):
    """A new schedule; a paused one starts nothing until it is resumed."""

    state = fields.String(validate=validate.OneOf([ACTIVE, PAUSED]), load_default=ACTIVE)


@bp.route("/schedules")
@lists(SCHEDULE_TABLE)
@answers(list_schema(SCHEDULE_TABLE))
@require(Permission.VIEW_RUNS)
def list_all_schedules() -> Response:
    """List schedules."""
    return answer_list(SCHEDULE_TABLE)


@bp.route("/schedules", methods=["POST"])
@takes(NewScheduleSchema)
@once(is_required=False)
@answers(ScheduleSchema, 201, refuses=(404, 409), says="Saved; found at its Location.")
@require(Permission.CHANGE_SCHEDULES)
def write_schedule(body: dict[str, Any]) -> Response:
    """Write a schedule."""
    is_active = body.pop("state") == ACTIVE
    schedule_id = add_schedule(
        wish=_wish(body), actor=current_actor(), now=now_utc(), is_active=is_active
    )
    address = url_for("api_schedules.show_schedule", schedule_id=schedule_id)
    return answer(shown_schedule(get_schedule(schedule_id)), 201, {"Location": address})


@bp.route("/schedules/<api_id(schedule):schedule_id>")
@answers(ScheduleSchema, refuses=(404,))
@require(Permission.VIEW_RUNS)
def show_schedule(schedule_id: UUID) -> Response:
    """Show a schedule with its next five times."""
    return answer(shown_schedule(get_schedule(schedule_id)))


@bp.route("/schedules/<api_id(schedule):schedule_id>", methods=["PATCH"])
@patches(WishSchema)
@matches(is_required=True)
@answers(ScheduleSchema, refuses=(404, 409))
@require(Permission.CHANGE_SCHEDULES)
def edit_schedule(schedule_id: UUID, patch: dict[str, Any]) -> Response:
    """Change a schedule from now on; due times that have passed stay what they were."""
    row = get_schedule(schedule_id)
    check_match(shown_schedule(row), is_required=True)
    kept = {name: getattr(row, name) for name in ScheduleWish._fields}
    change_schedule(
        schedule_id=schedule_id,
        wish=_wish({**kept, **_either(patch), **patch}),
        version=row.version,
        actor=current_actor(),
        now=now_utc(),
    )
    return answer(shown_schedule(get_schedule(schedule_id)))


@bp.route("/schedules/<api_id(schedule):schedule_id>/pause", methods=["POST"])
@takes(None)
@once(is_required=False)
@matches(is_required=False)
@answers(ScheduleSchema, refuses=(404, 409))
@require(Permission.CHANGE_SCHEDULES)
def pause_schedule(schedule_id: UUID) -> Response:
    """Let a schedule start nothing until it is resumed."""
    return _set_activity(schedule_id, is_active=False)


@bp.route("/schedules/<api_id(schedule):schedule_id>/resume", methods=["POST"])
@takes(None)
@once(is_required=False)
@matches(is_required=False)
@answers(ScheduleSchema, refuses=(404, 409))
@require(Permission.CHANGE_SCHEDULES)
def resume_schedule(schedule_id: UUID) -> Response:
    """Let a schedule start runs again; what was due meanwhile is not made up for."""
    return _set_activity(schedule_id, is_active=True)


def shown_schedule(row: ScheduleRow) -> dict[str, Any]:
    """Write a schedule."""
    return {
        "object": "schedule",
        "id": shown_id("schedule", row.id),
        "name": row.name,
        "job": row.job,
        "sequence_id": shown_id("sequence", row.sequence_id),
        "rule": row.rule,
        "in_words": rule_in_words(parse_rule(row.rule, row.on_holiday)),
        "on_holiday": row.on_holiday.value,
        "misfire": row.misfire.value,
        "state": ACTIVE if row.is_active else PAUSED,
        "zone": current_holder().zone,
        "next": row.next_at,
        "coming": [{"due": one.due_at, "date": one.business_on} for one in _coming(row)],
        "last": _shown_due(row.last) if row.last else None,
        "created": row.created_at,
        "version": row.version,
    }


def _shown_due(due: DueRow) -> dict[str, Any]:
    return {
        "due": due.due_at,
        "date": due.business_on,
        "state": due.state.value,
        "reason": due.reason,
        "run_id": shown_id("run", due.run_id),
    }


def _coming(row: ScheduleRow) -> list[PreviewedDue]:
    try:
        return preview_schedule(rule=row.rule, on_holiday=row.on_holiday, now=now_utc()).dues
    except RuleNeverDue:
        # The calendar may have changed since it was written.
        return []


def _wish(found: dict[str, Any]) -> ScheduleWish:
    on_holiday, misfire = OnHoliday(found["on_holiday"]), Misfire(found["misfire"])
    return ScheduleWish(
        found["name"], found["job"], found["rule"], on_holiday, misfire, found["sequence_id"]
    )


def _either(patch: dict[str, Any]) -> dict[str, Any]:
    """Empty what is put aside by naming the other: a job or a sequence."""
    others = {"job": "sequence_id", "sequence_id": "job"}
    return {other: None for name, other in others.items() if patch.get(name)}


def _set_activity(schedule_id: UUID, *, is_active: bool) -> Response:
    row = get_schedule(schedule_id)
    check_match(shown_schedule(row), is_required=False)
    set_schedule_activity(
        schedule_id=schedule_id,
        is_active=is_active,
        version=row.version,
        actor=current_actor(),
        now=now_utc(),
    )
    return answer(shown_schedule(get_schedule(schedule_id)))
