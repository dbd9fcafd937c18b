"""Sequences for machines: read, started for a day, and how far an execution has come."""

from typing import Any
from uuid import UUID

from flask import Response, url_for
from marshmallow import fields

from portal.api.access import current_actor, current_day, require
from portal.api.answers import answer, shown_id
from portal.api.doors import DoorBlueprint, answers, once, takes
from portal.api.fields import (
    Day,
    Strict,
    calendar_day,
    many,
    moment,
    noun_name,
    own_id,
    state_of,
    whole,
    words,
)
from portal.api.lists import answer_list, list_schema, lists
from portal.api.problems import BodyInvalid, Finding
from portal.clock import now_utc
from portal.domain.batches import RunState
from portal.domain.sequences import SequenceState, StepCondition
from portal.domain.users import Permission
from portal.queries.sequences import get_execution, get_sequence, list_steps
from portal.queries.tables import SEQUENCE_TABLE
from portal.services.sequences import start_sequence

bp = DoorBlueprint("sequences", "Jobs that run one after the other, each on a condition.")


class SequenceStepSchema(Strict):
    """A step, and what must have become of the one before."""

    job = words()
    condition = state_of(StepCondition)


class SequenceSchema(Strict):
    """A sequence with its steps as they are now."""

    object = noun_name("sequence")
    id = own_id("sequence")
    name = words()
    steps = many(SequenceStepSchema)
    last_id = own_id("sequence_run", none=True)
    created = moment()
    version = whole()


class ExecutedStepSchema(SequenceStepSchema):
    """A step of an execution, with its run once it has begun."""

    number = whole()
    run_id = own_id("run", none=True)
    state = state_of(RunState, none=True)
    items = whole()
    done = whole()
    failed = whole(description="How many of its items failed or were set aside.")


class SequenceRunSchema(Strict):
    """An execution of a sequence, with its steps."""

    object = noun_name("sequence_run")
    id = own_id("sequence_run")
    sequence_id = own_id("sequence")
    date = calendar_day(description="The business date.")
    state = state_of(SequenceState)
    reason = words(none=True, description="Why it goes no further.")
    step = whole(description="The number of the step at which it is or ended.")
    steps = many(ExecutedStepSchema)
    by = words(description="Who started it.")
    created = moment()
    finished = moment(none=True)


class SequenceOrderSchema(Strict):
    """For which day a sequence is to be started."""

    date = Day(
        metadata={
            "description": "The business date, not after today; today where the organisation is."
        }
    )
    version = fields.Integer(
        strict=True,
        validate=lambda value: 0 < value < 2**31,
        metadata={"description": "The version that was seen; a newer one is not started."},
    )


@bp.route("/sequences")
@lists(SEQUENCE_TABLE)
@answers(list_schema(SEQUENCE_TABLE))
@require(Permission.VIEW_RUNS)
def list_all_sequences() -> Response:
    """List sequences."""
    return answer_list(SEQUENCE_TABLE)


@bp.route("/sequences/<api_id(sequence):sequence_id>")
@answers(SequenceSchema, refuses=(404,))
@require(Permission.VIEW_RUNS)
def show_sequence(sequence_id: UUID) -> Response:
    """Show a sequence with its steps."""
    row = get_sequence(sequence_id)
    shown = {
        "object": "sequence",
        "id": shown_id("sequence", row.id),
        "name": row.name,
        "steps": [{"job": step.job, "condition": step.condition.value} for step in row.steps],
        "last_id": shown_id("sequence_run", row.last.id if row.last else None),
        "created": row.created_at,
        "version": row.version,
    }
    return answer(shown)


@bp.route("/sequences/<api_id(sequence):sequence_id>/runs", methods=["POST"])
@takes(SequenceOrderSchema)
@once(is_required=True)
@answers(SequenceRunSchema, 202, refuses=(404, 409), says="It is begun; watch it at its Location.")
@require(Permission.START_RUNS)
def begin_sequence(sequence_id: UUID, body: dict[str, Any]) -> Response:
    """Start a sequence with its first run."""
    today = current_day()
    business_on = body.get("date", today)
    if business_on > today:
        said = "the day is in the future; choose today or an earlier day"
        raise BodyInvalid.of([Finding("/date", "invalid", said)])
    execution_id = start_sequence(
        sequence_id=sequence_id,
        business_on=business_on,
        version=body.get("version"),
        actor=current_actor(),
        now=now_utc(),
    )
    address = url_for("api_sequences.show_sequence_run", sequence_run_id=execution_id)
    return answer(shown_execution(execution_id), 202, {"Location": address})


@bp.route("/sequence-runs/<api_id(sequence_run):sequence_run_id>")
@answers(SequenceRunSchema, refuses=(404,))
@require(Permission.VIEW_RUNS)
def show_sequence_run(sequence_run_id: UUID) -> Response:
    """Show an execution with its steps."""
    return answer(shown_execution(sequence_run_id))


def shown_execution(execution_id: UUID) -> dict[str, Any]:
    """Write an execution."""
    execution = get_execution(execution_id)
    return {
        "object": "sequence_run",
        "id": shown_id("sequence_run", execution.id),
        "sequence_id": shown_id("sequence", execution.sequence_id),
        "date": execution.business_on,
        "state": execution.state.value,
        "reason": execution.reason,
        "step": execution.step_number,
        "steps": [
            {
                "number": step.number,
                "job": step.job,
                "condition": step.condition.value,
                "run_id": shown_id("run", step.run_id),
                "state": step.run_state.value if step.run_state else None,
                "items": step.items_count,
                "done": step.done,
                "failed": step.failed,
            }
            for step in list_steps(execution)
        ],
        "by": execution.started_by,
        "created": execution.created_at,
        "finished": execution.finished_at,
    }
