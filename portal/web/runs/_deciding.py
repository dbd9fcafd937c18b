"""Deciding about a run: a second person approves it, it is given up, what failed is run again."""

from uuid import UUID

from flask import flash, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import TextAreaField
from wtforms.validators import InputRequired, Length

from portal.clock import now_utc
from portal.domain.batches import RUN_MOVES, RunState
from portal.domain.users import Permission
from portal.queries.batches import RunRow, get_run
from portal.services.batches import (
    REASON_CHARACTERS_MAX,
    AbandonReasonInvalid,
    abandon_run,
    approve_run,
    repeat_run,
)
from portal.web.access import require
from portal.web.htmx import redirect_part, render_part
from portal.web.once import answer_once
from portal.web.runs._blueprint import RUN, bp
from portal.web.visitors import current_actor


class AbandonForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """Why a run is given up."""

    reason = TextAreaField(
        "Reason",
        [
            InputRequired("Say why the run is given up."),
            Length(
                max=REASON_CHARACTERS_MAX,
                message=f"Say it in at most {REASON_CHARACTERS_MAX} characters.",
            ),
        ],
    )


@bp.post(f"{RUN}/approve")
@require(Permission.APPROVE_RUNS)
def approve(run_id: UUID) -> ResponseReturnValue:
    """Let a run begin that another person has prepared."""
    approve_run(run_id=run_id, actor=current_actor(), now=now_utc())
    flash("The run is approved and begins.", "ok")
    return redirect_part(url_for(".show", run_id=run_id))


@bp.get(f"{RUN}/abandon")
@require(Permission.CONTROL_RUNS)
def ask_abandon(run_id: UUID) -> ResponseReturnValue:
    """Ask why a run is given up, and say what it means."""
    return _page(get_run(run_id), AbandonForm(formdata=None))


@bp.post(f"{RUN}/abandon")
@require(Permission.CONTROL_RUNS)
def abandon(run_id: UUID) -> ResponseReturnValue:
    """Give up a run for good."""
    form = AbandonForm()
    if not form.validate_on_submit():
        return _page(get_run(run_id), form, status=422)
    try:
        abandon_run(run_id=run_id, reason=form.reason.data, actor=current_actor(), now=now_utc())
    except AbandonReasonInvalid as refused:
        form.reason.errors = [refused.message]
        return _page(get_run(run_id), form, status=422)
    flash("The run is given up.", "ok")
    return redirect_part(url_for(".show", run_id=run_id))


@bp.post(f"{RUN}/repeat")
@require(Permission.START_RUNS)
def repeat(run_id: UUID) -> ResponseReturnValue:
    """Start a run over the items that failed."""

    def work() -> tuple[str, str]:
        repeat_id = repeat_run(run_id=run_id, actor=current_actor(), now=now_utc())
        return url_for(".show", run_id=repeat_id), "This run is about the items that failed."

    return answer_once(work)


def _page(run: RunRow, form: AbandonForm, *, status: int = 200) -> ResponseReturnValue:
    is_possible = RUN_MOVES.may(run.state, "abandon")
    return render_part(
        "runs/abandon.html", "runs/_abandon.html", status=status if is_possible else 409,
        run=run, form=form, is_possible=is_possible,
        waits=run.state is RunState.AWAITING_APPROVAL, back=url_for(".show", run_id=run.id),
    )  # fmt: skip
