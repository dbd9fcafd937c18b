"""Sequences as people see them: written, changed, started, and one execution with its steps."""

from datetime import date
from uuid import UUID

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import FieldList, Form, FormField, SelectChoice, SelectField, StringField
from wtforms.validators import DataRequired, Length

from portal.clock import now_utc, today
from portal.domain.batches import list_startable_jobs
from portal.domain.dates import DateMalformed, parse_date
from portal.domain.errors import Conflict, Invalid, PortalError
from portal.domain.sequences import STEPS_MAX, SequenceState, Step, StepCondition
from portal.domain.users import Permission
from portal.queries.sequences import (
    SequenceRow,
    get_execution,
    get_sequence,
    list_executions,
    list_sequences,
    list_steps,
)
from portal.services.batches import RunUnfinished, preview_run
from portal.services.sequences import (
    NAME_CHARACTERS_MAX,
    SequenceWish,
    add_sequence,
    change_sequence,
    start_sequence,
)
from portal.web.access import require, roles_with
from portal.web.formats import job_in_words
from portal.web.htmx import render_part
from portal.web.menu import target
from portal.web.once import answer_once, new_request_key, seen_version
from portal.web.visitors import current_actor, current_organisation

bp = Blueprint("sequences", __name__)

SEQUENCE = '/sequences/<public("sequence"):sequence_id>'
EXECUTIONS_SHOWN = 20
ROWS_MIN, ROWS_FREE = 5, 2


class DayInFuture(Invalid):
    """The day is in the future; nothing was started. Choose today or an earlier day."""

    field = "date"


class StepForm(Form):  # type: ignore[misc]  # it carries no types
    """A row of the form; one without a job is no step."""

    job = SelectField(
        "Job",
        choices=[
            SelectChoice("", "No further step"),
            *(SelectChoice(job.name, job.title) for job in list_startable_jobs()),
        ],
    )
    condition = SelectField(
        "Begins", choices=[SelectChoice(one.value, one.label) for one in StepCondition]
    )


class SequenceForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """What a sequence is to be."""

    name = StringField(
        "Name",
        [
            DataRequired("Give the sequence a name."),
            Length(max=NAME_CHARACTERS_MAX, message="Give it a name of at most 80 characters."),
        ],
    )
    steps = FieldList(FormField(StepForm), "Steps", max_entries=STEPS_MAX)

    def wish(self) -> SequenceWish:
        """Return what was chosen; the form is valid."""
        rows = [row.form for row in self.steps if row.form.job.data]
        steps = [Step(row.job.data, StepCondition(row.condition.data)) for row in rows]
        return SequenceWish(self.name.data or "", steps)


@bp.get("/sequences")
@require(Permission.VIEW_RUNS)
def index() -> ResponseReturnValue:
    """List the sequences."""
    return render_part(
        "sequences/list.html",
        "sequences/_list.html",
        sequences=list_sequences(),
        changing_roles=[role.label for role in roles_with(Permission.CHANGE_SCHEDULES)],
    )


@bp.get("/sequences/new")
@require(Permission.CHANGE_SCHEDULES)
def new() -> ResponseReturnValue:
    """Choose the steps of a new sequence."""
    return _form(SequenceForm(formdata=None), None)


@bp.post("/sequences/new")
@require(Permission.CHANGE_SCHEDULES)
def begin() -> ResponseReturnValue:
    """Save a new sequence."""
    form = SequenceForm()
    if not form.validate_on_submit():
        return _form(form, None, status=422)

    def work() -> tuple[str, str]:
        sequence_id = add_sequence(wish=form.wish(), actor=current_actor(), now=now_utc())
        return url_for(".show", sequence_id=sequence_id), "The sequence was saved."

    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        return _form(form, None, problem=refused)


@bp.get(f"{SEQUENCE}/edit")
@require(Permission.CHANGE_SCHEDULES)
def edit(sequence_id: UUID) -> ResponseReturnValue:
    """Change the steps of a sequence."""
    row = get_sequence(sequence_id)
    fields = {"name": row.name, "steps": [step._asdict() for step in row.steps]}
    return _form(SequenceForm(formdata=None, data=fields), row)


@bp.post(f"{SEQUENCE}/edit")
@require(Permission.CHANGE_SCHEDULES)
def save(sequence_id: UUID) -> ResponseReturnValue:
    """Save a changed sequence."""
    form, row = SequenceForm(), get_sequence(sequence_id)
    if not form.validate_on_submit():
        return _form(form, row, status=422)

    def work() -> tuple[str, str]:
        change_sequence(
            sequence_id=sequence_id, wish=form.wish(), version=seen_version(),
            actor=current_actor(), now=now_utc(),
        )  # fmt: skip
        return url_for(".show", sequence_id=sequence_id), "The sequence was changed."

    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        return _form(form, row, problem=refused)


@bp.get(SEQUENCE)
@require(Permission.VIEW_RUNS)
def show(sequence_id: UUID) -> ResponseReturnValue:
    """Show a sequence with its last executions."""
    return _page(get_sequence(sequence_id))


@bp.post(f"{SEQUENCE}/start")
@require(Permission.START_RUNS)
def start(sequence_id: UUID) -> ResponseReturnValue:
    """Start a sequence for a day; of one that was changed meanwhile, show it first."""

    def work() -> tuple[str, str]:
        execution_id = start_sequence(
            sequence_id=sequence_id, business_on=_day(), version=seen_version(),
            actor=current_actor(), now=now_utc(),
        )  # fmt: skip
        address = url_for(".show_execution", sequence_run_id=execution_id)
        return address, "The sequence was started."

    try:
        return answer_once(work)
    except RunUnfinished:
        row = get_sequence(sequence_id)
        problem = (
            f"The run “{job_in_words(row.steps[0].job)}” for this day is not finished yet; the"
            " sequence was not started. Wait for its end, or stop it and give it up."
        )
        return _page(row, problem=problem, status=409)
    except (Invalid, Conflict) as refused:
        status = 422 if isinstance(refused, Invalid) else 409
        return _page(get_sequence(sequence_id), problem=refused.message, status=status)


@bp.get('/sequences/executions/<public("sequence_run"):sequence_run_id>')
@require(Permission.VIEW_RUNS)
def show_execution(sequence_run_id: UUID) -> ResponseReturnValue:
    """Show one execution with its steps."""
    execution = get_execution(sequence_run_id)
    return render_part(
        "sequences/execution.html",
        "sequences/_execution.html",
        execution=execution,
        steps=list_steps(execution),
        is_running=execution.state is SequenceState.RUNNING,
        address=url_for(".show_execution", sequence_run_id=sequence_run_id),
    )


def _day() -> date:
    now = today(current_organisation().zone)
    text = request.form.get("date")
    day = parse_date(text) if text else now
    if day > now:
        raise DayInFuture
    return day


def _page(
    row: SequenceRow, *, problem: str | None = None, status: int = 200
) -> ResponseReturnValue:
    now = today(current_organisation().zone)
    may_start = target("sequences.start", sequence_id=row.id) is not None
    try:
        wanted = parse_date(request.form.get("date") or now.isoformat())
    except DateMalformed:
        wanted = now
    return render_part(
        "sequences/show.html",
        "sequences/_sequence.html",
        status=status,
        sequence=row,
        executions=list_executions(row.id, rows_max=EXECUTIONS_SHOWN),
        may_start=may_start,
        preview=preview_run(job=row.steps[0].job, on=now) if may_start else None,
        problem=problem,
        wanted=wanted,
        latest=now,
        request_key=new_request_key(),
        changing_roles=[role.label for role in roles_with(Permission.CHANGE_SCHEDULES)],
        starting_roles=[role.label for role in roles_with(Permission.START_RUNS)],
    )


def _form(
    form: SequenceForm,
    row: SequenceRow | None,
    *,
    problem: PortalError | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    if problem is not None:
        status = 422 if isinstance(problem, Invalid) else 409
    rows = min(STEPS_MAX, max(ROWS_MIN, len(form.steps) + ROWS_FREE))
    while len(form.steps) < rows:
        form.steps.append_entry()
    said = problem.message if problem else None
    if problem is not None and getattr(problem, "field", None) == "name":
        form.name.errors, said = [problem.message], None
    return render_part(
        "sequences/edit.html",
        "sequences/_form.html",
        status=status,
        form=form,
        sequence=row,
        problem=said,
        place=url_for(".edit", sequence_id=row.id) if row else url_for(".new"),
        back=url_for(".show", sequence_id=row.id) if row else url_for(".index"),
        # What was seen when the form was opened stays what was seen.
        seen=request.form.get("version") or (row.version if row else ""),
        request_key=new_request_key(),
    )
