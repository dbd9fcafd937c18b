"""Batch runs for machines: started, watched, stopped, restarted."""

from typing import Any
from uuid import UUID

from flask import Response, url_for
from marshmallow import fields, validate

from portal.api.access import current_actor, current_day, require
from portal.api.answers import answer, answer_page, check_match, money, shown_id
from portal.api.doors import DoorBlueprint, answers, asks, matches, once, takes
from portal.api.fields import (
    Day,
    Digits,
    Strict,
    amount_of_money,
    calendar_day,
    moment,
    noun_name,
    own_id,
    state_of,
    whole,
    words,
)
from portal.api.lists import answer_list, list_schema, lists, page_schema
from portal.api.problems import BodyInvalid, Finding
from portal.clock import now_utc
from portal.domain.batches import ItemOutcome, RunState, list_startable_jobs
from portal.domain.users import Permission
from portal.queries.batches import ItemRow, RunRow, get_run, list_items
from portal.queries.tables import ROWS_DEFAULT, ROWS_MAX, RUN_TABLE
from portal.services.batches import RunOrder, restart_run, start_run, stop_run
from portal.services.gateways import settings

bp = DoorBlueprint("runs", "Batch runs: what is done for many documents at once.")


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


class RunItemSchema(Strict):
    """What became of one item of a run."""

    object = noun_name("run_item")
    id = words(description="The UUID of the document, payment, payer or payout it is about.")
    outcome = state_of(ItemOutcome)
    code = words(none=True)
    message = words(none=True)
    amount = amount_of_money(none=True)
    subject = words(none=True)
    payer = words(none=True)


class ItemQuerySchema(Strict):
    """Which items of a run are asked for."""

    outcome = fields.List(
        fields.String(validate=validate.OneOf([one.value for one in ItemOutcome])),
        metadata={"is_repeated": True},
    )
    code = fields.String(
        validate=validate.Regexp(r"[!-~]{1,60}\Z"), metadata={"pattern": "^[!-~]{1,60}$"}
    )
    limit = Digits(load_default=ROWS_DEFAULT, validate=validate.Range(1, ROWS_MAX))
    cursor = fields.String(
        validate=validate.Regexp(
            r"[0-9a-f]{32}\Z",
            error="the place in the list cannot be read; begin at its first page",
        ),
        metadata={
            "description": "The `next_cursor` of an answer.",
            "pattern": "^[0-9a-f]{32}$",
        },
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
    return answer(shown_run(get_run(run_id)), 202, {"Location": address})


@bp.route("/runs/<api_id(run):run_id>")
@answers(RunSchema, refuses=(404,))
@require(Permission.VIEW_RUNS)
def show_run(run_id: UUID) -> Response:
    """Show a run."""
    return answer(shown_run(get_run(run_id)))


@bp.route("/runs/<api_id(run):run_id>/items")
@asks(ItemQuerySchema)
@answers(page_schema("item", RunItemSchema), refuses=(404,))
@require(Permission.VIEW_RUNS)
def list_run_items(run_id: UUID, query: dict[str, Any]) -> Response:
    """List what became of the items of a run, in the order of their ids."""
    run = get_run(run_id)
    cursor = query.get("cursor")
    items = list_items(
        run.id,
        rows_max=query["limit"] + 1,
        outcomes=tuple(ItemOutcome(one) for one in query.get("outcome", ())),
        code=query.get("code"),
        after=UUID(hex=cursor) if cursor is not None else None,
    )
    has_more = len(items) > query["limit"]
    items = items[: query["limit"]]
    older = items[-1].item_id.hex if has_more else None
    return answer_page([_shown_item(item) for item in items], newer=None, older=older)


@bp.route("/runs/<api_id(run):run_id>/stop", methods=["POST"])
@takes(None)
@once(is_required=False)
@matches(is_required=False)
@answers(RunSchema, refuses=(404, 409))
@require(Permission.CONTROL_RUNS)
def halt_run(run_id: UUID) -> Response:
    """Let a run stop once the chunks that are being worked are done."""
    check_match(shown_run(get_run(run_id)), is_required=False)
    stop_run(run_id=run_id, actor=current_actor(), now=now_utc())
    return answer(shown_run(get_run(run_id)))


@bp.route("/runs/<api_id(run):run_id>/restart", methods=["POST"])
@takes(None)
@once(is_required=False)
@matches(is_required=False)
@answers(RunSchema, refuses=(404, 409))
@require(Permission.CONTROL_RUNS)
def resume_run(run_id: UUID) -> Response:
    """Let a stopped or failed run go on where it stood."""
    check_match(shown_run(get_run(run_id)), is_required=False)
    restart_run(run_id=run_id, actor=current_actor(), now=now_utc())
    return answer(shown_run(get_run(run_id)))


def shown_run(run: RunRow) -> dict[str, Any]:
    """Write a run."""
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
    }


def _shown_item(item: ItemRow) -> dict[str, Any]:
    return {
        "object": "run_item",
        "id": str(item.item_id),
        "outcome": item.outcome.value,
        "code": item.code,
        "message": item.message,
        "amount": money(item.amount_minor, item.currency) if item.currency else None,
        "subject": item.subject,
        "payer": item.payer,
    }
