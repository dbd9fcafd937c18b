"""Starting a run: a job and a day, what that would be about, and only then the start."""

from datetime import date
from typing import NamedTuple

from flask import current_app, request, url_for
from flask.typing import ResponseReturnValue

from portal.clock import now_utc, today
from portal.domain.batches import RunState, list_startable_jobs
from portal.domain.dates import DateMalformed, parse_date
from portal.domain.errors import Conflict, Invalid
from portal.domain.users import Permission
from portal.queries.batches import get_run
from portal.queries.populations import RunPreview
from portal.services.batches import (
    RunOrder,
    RunUnfinished,
    is_over_limit,
    preview_run,
    start_run,
)
from portal.web.access import require
from portal.web.formats import job_in_words
from portal.web.htmx import render_part
from portal.web.once import answer_once, new_request_key
from portal.web.runs._blueprint import bp
from portal.web.visitors import current_actor, current_organisation


class PreviewOutdated(Conflict):
    """What there is to do has changed since you looked; nothing was started. Look again, and start
    what you see now."""


class Wish(NamedTuple):
    """What was chosen so far; the problems say what cannot be used of it."""

    job: str | None
    business_on: date
    problems: list[str]


@bp.get("/runs/new")
@require(Permission.START_RUNS)
def new() -> ResponseReturnValue:
    """Choose a job and a day, and see what a run would be about."""
    wish = _wish(request.args.get("job"), request.args.get("date"))
    return _page(wish, status=422 if wish.problems else 200)


@bp.post("/runs/new")
@require(Permission.START_RUNS)
def begin() -> ResponseReturnValue:
    """Start the run that was previewed; if it would be another one by now, show that first."""
    wish = _wish(request.form.get("job"), request.form.get("date"))
    if wish.job is None or wish.problems:
        return _page(wish, status=422)
    config = current_app.config["PORTAL"]
    order = RunOrder(
        wish.job,
        wish.business_on,
        chunk_items_max=config.chunk_items_max,
        skip_limit=config.skip_limit,
    )

    def work() -> tuple[str, str]:
        run_id = start_run(order=order, actor=current_actor(), now=now_utc())
        # What was frozen is compared, not another preview: nothing can come in between.
        run = get_run(run_id)
        if request.form.get("seen") != seen_mark(run.items_count, run.sum_minor):
            raise PreviewOutdated
        waits = run.state is RunState.AWAITING_APPROVAL
        words = "The run waits for approval." if waits else "The run was started."
        return url_for(".show", run_id=run_id), words

    try:
        return answer_once(work)
    except RunUnfinished:
        problem = (
            f"The run “{job_in_words(wish.job)}” for this day is not finished yet; no second one"
            " was started. Wait for its end, or stop it."
        )
        return _refuse(wish, problem, status=409)
    except (Invalid, Conflict) as refused:
        status = 422 if isinstance(refused, Invalid) else 409
        return _refuse(wish, refused.message, status=status)


def seen_mark(items_count: int, sum_minor: int) -> str:
    """Name what a preview says; equal marks are about the same count and sum."""
    return f"{items_count}.{sum_minor}"


def _refuse(wish: Wish, problem: str, *, status: int) -> ResponseReturnValue:
    """Show beside the problem what a run would be about now."""
    assert wish.job is not None, "a wish without a job is refused before"
    preview = preview_run(job=wish.job, on=wish.business_on)
    return _page(wish._replace(problems=[problem]), preview=preview, status=status)


def _wish(job: str | None, day: str | None) -> Wish:
    now = today(current_organisation().zone)
    problems = []
    if job is not None and job not in {one.name for one in list_startable_jobs()}:
        problems.append("There is no such job; choose one of the list.")
        job = None
    business_on = now
    if day:
        try:
            business_on = parse_date(day)
        except DateMalformed as refused:
            problems.append(refused.message)
    if business_on > now:
        problems.append("The day is in the future; choose today or an earlier day.")
        business_on = now
    return Wish(job, business_on, problems)


def _page(
    wish: Wish, *, preview: RunPreview | None = None, status: int = 200
) -> ResponseReturnValue:
    if preview is None and wish.job is not None and not wish.problems:
        preview = preview_run(job=wish.job, on=wish.business_on)
    return render_part(
        "runs/new.html", "runs/_preview.html", status=status, wish=wish,
        jobs=list_startable_jobs(), preview=preview, request_key=new_request_key(),
        seen=seen_mark(preview.items_count, preview.sum_minor) if preview else None,
        needs_approval=preview is not None
        and is_over_limit(
            items_count=preview.items_count, sum_minor=preview.sum_minor, on=wish.business_on
        ),
        chosen=next((one for one in list_startable_jobs() if one.name == wish.job), None),
    )  # fmt: skip
