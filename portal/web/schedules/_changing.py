"""Writing a schedule: chosen, looked at with its next dates, and only then saved; pausing it."""

from typing import Any
from uuid import UUID

from flask import request, url_for
from flask.typing import ResponseReturnValue

from portal.clock import now_utc
from portal.domain.errors import Conflict, Invalid, PortalError
from portal.domain.users import Permission
from portal.queries.schedules import ScheduleRow, get_schedule
from portal.services.schedules import (
    SchedulePreview,
    add_schedule,
    change_schedule,
    preview_schedule,
    set_schedule_activity,
)
from portal.web.access import require
from portal.web.htmx import redirect_part, render_part
from portal.web.once import answer_once, new_request_key, seen_version
from portal.web.schedules._blueprint import SCHEDULE, bp
from portal.web.schedules._form import ScheduleForm, fields_of, list_choices
from portal.web.visitors import current_actor, current_organisation

# They belong to one showing of the form, not to what is chosen in it.
UNSHOWN = ("csrf_token", "version", "request_key")


@bp.get("/schedules/new")
@require(Permission.CHANGE_SCHEDULES)
def new() -> ResponseReturnValue:
    """Choose what is to start by itself, and see when that would be."""
    return _look(None)


@bp.post("/schedules/new")
@require(Permission.CHANGE_SCHEDULES)
def begin() -> ResponseReturnValue:
    """Save a new schedule."""
    form = ScheduleForm()
    if not form.validate_on_submit():
        return _page(form, None, status=422)

    def work() -> tuple[str, str]:
        schedule_id = add_schedule(wish=form.wish(), actor=current_actor(), now=now_utc())
        return url_for(".show", schedule_id=schedule_id), "The schedule was saved."

    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        return _page(form, None, problem=refused)


@bp.get(f"{SCHEDULE}/edit")
@require(Permission.CHANGE_SCHEDULES)
def edit(schedule_id: UUID) -> ResponseReturnValue:
    """Change what was chosen, and see when it would be due then."""
    return _look(get_schedule(schedule_id))


@bp.post(f"{SCHEDULE}/edit")
@require(Permission.CHANGE_SCHEDULES)
def save(schedule_id: UUID) -> ResponseReturnValue:
    """Save a changed schedule."""
    form, row = ScheduleForm(), get_schedule(schedule_id)
    if not form.validate_on_submit():
        return _page(form, row, status=422)

    def work() -> tuple[str, str]:
        change_schedule(
            schedule_id=schedule_id, wish=form.wish(), version=seen_version(),
            actor=current_actor(), now=now_utc(),
        )  # fmt: skip
        return url_for(".show", schedule_id=schedule_id), "The schedule was changed."

    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        return _page(form, row, problem=refused)


@bp.post(f"{SCHEDULE}/pause")
@require(Permission.CHANGE_SCHEDULES)
def pause(schedule_id: UUID) -> ResponseReturnValue:
    """Let a schedule start nothing until it is resumed."""
    return _set_activity(schedule_id, is_active=False)


@bp.post(f"{SCHEDULE}/resume")
@require(Permission.CHANGE_SCHEDULES)
def resume(schedule_id: UUID) -> ResponseReturnValue:
    """Let a schedule start runs again."""
    return _set_activity(schedule_id, is_active=True)


def _set_activity(schedule_id: UUID, *, is_active: bool) -> ResponseReturnValue:
    set_schedule_activity(
        schedule_id=schedule_id, is_active=is_active, actor=current_actor(), now=now_utc()
    )
    return redirect_part(url_for(".show", schedule_id=schedule_id))


def _look(row: ScheduleRow | None) -> ResponseReturnValue:
    """Show the form as the address fills it, with a preview once something was chosen."""
    if request.args:
        form = ScheduleForm(formdata=request.args, meta={"csrf": False})
        is_sound = form.validate()
        return _page(form, row, status=200 if is_sound else 422)
    form = ScheduleForm(formdata=None, data=fields_of(row) if row else None)
    return _page(form, row, is_untouched=row is None)


def _page(
    form: ScheduleForm,
    row: ScheduleRow | None,
    *,
    problem: PortalError | None = None,
    status: int = 200,
    is_untouched: bool = False,
) -> ResponseReturnValue:
    preview: SchedulePreview | None = None
    # A schedule without a name cannot be saved, but its dates can be seen.
    if not is_untouched and not form.errors.keys() - {"name"}:
        try:
            preview = _preview(form)
        except Invalid as refused:
            problem = problem or refused
    if problem is not None:
        status = 422 if isinstance(problem, Invalid) else 409
    place = url_for(".edit", schedule_id=row.id) if row else url_for(".new")
    return render_part(
        "schedules/edit.html",
        "schedules/_preview.html",
        status=status,
        form=form,
        schedule=row,
        place=place,
        preview=preview,
        problem=_placed(form, problem),
        hidden=_hidden(form, row),
        about=next((str(one.label) for one in list_choices() if one.value == form.job.data), ""),
        zone=current_organisation().zone,
    )


def _preview(form: ScheduleForm) -> SchedulePreview:
    wish = form.wish()
    return preview_schedule(rule=wish.rule, on_holiday=wish.on_holiday, now=now_utc())


def _placed(form: ScheduleForm, problem: PortalError | None) -> str | None:
    """Put what is wrong with a field beside it; return what belongs to none."""
    if problem is None:
        return None
    field = form._fields.get(getattr(problem, "field", None) or "")
    if field is None:
        return problem.message
    field.errors = [problem.message]
    return None


def _hidden(form: ScheduleForm, row: ScheduleRow | None) -> dict[str, Any]:
    """Return what the preview sends when it is saved: the choices it was made from."""
    chosen = {name: field.data for name, field in form._fields.items() if name not in UNSHOWN}
    seen = form.version.data or (str(row.version) if row else "")
    return {**chosen, "version": seen, "request_key": new_request_key()}
