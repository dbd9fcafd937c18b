"""Batch runs for machines: started, watched, stopped, restarted."""

from typing import Any
from uuid import UUID

from flask import Response, url_for
from marshmallow import fields, validate

from portal.api.access import current_actor, current_day, require
from portal.api.answers import answer, check_match, money, shown_id
from portal.api.doors import DoorBlueprint, answers, matches, once, takes
from portal.api.fields import (
    Day,
    Strict,
    amount_of_money,
    calendar_day,
    flag,
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
from portal.api.problems import BodyInvalid, Finding
from portal.clock import now_utc
from portal.domain.batches import RunState, list_startable_jobs
from portal.domain.users import Permission
from portal.queries.batches import get_run
from portal.queries.sheets import RunSheet, get_sheet
from portal.queries.tables import ITEM_TABLE, RUN_TABLE, items_of_run
from portal.services.batches import RunOrder, restart_run, start_run, stop_run
from portal.services.gateways import settings

bp = DoorBlueprint("runs", "Batch runs: what is done for many documents at once.")


class SheetTotalSchema(Strict):
    """The items of one currency, or those among them of one kind or due month."""

    by = one_of("currency", "kind", "month")
    value = words(none=True)
    items = whole()
    amount = amount_of_money()


class SheetWarningSchema(Strict):
    """What a person should look at."""

    code = words()
    message = words()
    items = whole()


class PreviousRunSchema(Strict):
    """The last completed run of the same job, for comparison."""

    number = whole()
    items = whole()


class RunSheetSchema(Strict):
    """What the run was about when it was prepared."""

    items = whole()
    population_hash = words(description="SHA-256 over the chunks' items and their versions.")
    totals = many(SheetTotalSchema)
    warnings = many(SheetWarningSchema)
    previous = fields.Nested(PreviousRunSchema, required=True, allow_none=True)
    changed = whole(description="Items that were worked although they had changed since.")
    changed_max = whole(none=True, description="How many may; null where nothing is compared.")


class RunSchema(Strict):
    """A run with how many of its items have which outcome."""

    object = noun_name("run")
    id = own_id("run")
    number = whole()
    job = words()
    date = calendar_day(description="The business date.")
    state = state_of(RunState)
    message = words(none=True, description="Why it ended as it did.")
    items = whole(description="How many items it is about.")
    done = whole()
    filtered = whole()
    skipped = whole()
    failed = whole()
    repeats = whole(none=True, description="The number of the run it repeats.")
    by = words(description="Who started it.")
    created = moment()
    started = moment(none=True)
    finished = moment(none=True)
    needs_approval = flag(description="Whether a second person must approve it.")
    approved_by = words(none=True)
    approved = moment(none=True)
    repeated_by = whole(none=True, description="The number of the run that repeats it.")
    sheet = fields.Nested(RunSheetSchema, required=True)


class RunOrderSchema(Strict):
    """What is asked to be run."""

    job = fields.String(
        required=True,
        validate=validate.OneOf([one.name for one in list_startable_jobs()]),
    )
    date = Day(
        metadata={
            "description": "The business date, not after today; today where the organisation is."
        }
    )


@bp.route("/runs")
@lists(RUN_TABLE)
@answers(list_schema(RUN_TABLE))
@require(Permission.VIEW_RUNS)
def list_runs() -> Response:
    """List runs."""
    return answer_list(RUN_TABLE)


@bp.route("/runs", methods=["POST"])
@takes(RunOrderSchema)
@once(is_required=True)
@answers(RunSchema, 202, refuses=(409,), says="The run is begun; watch it at its Location.")
@require(Permission.START_RUNS)
def begin_run(body: dict[str, Any]) -> Response:
    """Start a run over what there is to do."""
    today = current_day()
    business_on = body.get("date", today)
    if business_on > today:
        said = "the day is in the future; choose today or an earlier day"
        raise BodyInvalid.of([Finding("/date", "invalid", said)])
    config = settings()
    run_id = start_run(
        order=RunOrder(
            job=body["job"],
            business_on=business_on,
            chunk_items_max=config.chunk_items_max,
            skip_limit=config.skip_limit,
        ),
        actor=current_actor(),
        now=now_utc(),
    )
    address = url_for("api_runs.show_run", run_id=run_id)
    return answer(shown_run(run_id), 202, {"Location": address})


@bp.route("/runs/<api_id(run):run_id>")
@answers(RunSchema, refuses=(404,))
@require(Permission.VIEW_RUNS)
def show_run(run_id: UUID) -> Response:
    """Show a run."""
    return answer(shown_run(run_id))


@bp.route("/runs/<api_id(run):run_id>/items")
@lists(ITEM_TABLE)
@answers(list_schema(ITEM_TABLE), refuses=(404,))
@require(Permission.VIEW_RUNS)
def list_run_items(run_id: UUID) -> Response:
    """List what became of the items of a run."""
    get_run(run_id)
    return answer_list(items_of_run(run_id))


@bp.route("/runs/<api_id(run):run_id>/stop", methods=["POST"])
@takes(None)
@once(is_required=False)
@matches(is_required=False)
@answers(RunSchema, refuses=(404, 409))
@require(Permission.CONTROL_RUNS)
def halt_run(run_id: UUID) -> Response:
    """Let a run stop once the chunks that are being worked are done."""
    check_match(shown_run(run_id), is_required=False)
    stop_run(run_id=run_id, actor=current_actor(), now=now_utc())
    return answer(shown_run(run_id))


@bp.route("/runs/<api_id(run):run_id>/restart", methods=["POST"])
@takes(None)
@once(is_required=False)
@matches(is_required=False)
@answers(RunSchema, refuses=(404, 409))
@require(Permission.CONTROL_RUNS)
def resume_run(run_id: UUID) -> Response:
    """Let a stopped or failed run go on where it stood."""
    check_match(shown_run(run_id), is_required=False)
    restart_run(run_id=run_id, actor=current_actor(), now=now_utc())
    return answer(shown_run(run_id))


def shown_run(run_id: UUID) -> dict[str, Any]:
    """Write a run with its sheet."""
    run, sheet = get_run(run_id), get_sheet(run_id)
    assert sheet is not None
    return {
        "object": "run",
        "id": shown_id("run", run.id),
        "number": run.number,
        "job": run.job,
        "date": run.business_on,
        "state": run.state.value,
        "message": run.exit_message,
        "items": run.items_count,
        "done": run.done,
        "filtered": run.filtered,
        "skipped": run.skipped,
        "failed": run.failed,
        "repeats": run.repeats,
        "by": run.started_by,
        "created": run.created_at,
        "started": run.started_at,
        "finished": run.finished_at,
        "needs_approval": sheet.needs_approval,
        "approved_by": sheet.approved_by,
        "approved": sheet.approved_at,
        "repeated_by": sheet.repeated_by,
        "sheet": _shown_sheet(sheet),
    }


def _shown_sheet(sheet: RunSheet) -> dict[str, Any]:
    previous = sheet.previous
    return {
        "items": sheet.items_count,
        "population_hash": sheet.population_hash,
        "totals": [
            {
                "by": total.by,
                "value": total.value,
                "items": total.items_count,
                "amount": money(total.sum_minor, total.currency),
            }
            for total in sheet.totals
        ],
        "warnings": [
            {"code": one.code, "message": one.sentence, "items": one.items_count}
            for one in sheet.warnings
        ],
        "previous": {"number": previous.number, "items": previous.items_count}
        if previous
        else None,
        "changed": sheet.changed_count,
        "changed_max": sheet.changed_max,
    }
