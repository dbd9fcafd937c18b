"""Reading sequences with their steps, and how far their executions have come."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.batches import RunState
from portal.domain.errors import NotFound
from portal.domain.sequences import SequenceState, Step, StepCondition
from portal.sql import fetch, fetch_one

_EXECUTION = (
    "SELECT e.id, e.sequence_id, s.name, e.version, e.step_number, e.business_on, e.state,"
    " e.reason, e.started_by, e.created_at, e.finished_at, (SELECT count(*)::int"
    " FROM sequence_steps t WHERE (t.organisation_id, t.sequence_id, t.version)"
    " = (e.organisation_id, e.sequence_id, e.version)) AS steps_count"
    " FROM sequence_runs e JOIN sequences s"
    " ON (s.organisation_id, s.id) = (e.organisation_id, e.sequence_id)"
)
_SELECT = (
    "SELECT s.id, s.name, s.version, s.created_at,"
    " array_agg(t.job ORDER BY t.number) AS jobs,"
    " array_agg(t.condition ORDER BY t.number) AS conditions, e.id AS last_id"
    " FROM sequences s JOIN sequence_steps t ON (t.organisation_id, t.sequence_id, t.version)"
    " = (s.organisation_id, s.id, s.version)"
    " LEFT JOIN LATERAL (SELECT id FROM sequence_runs WHERE (organisation_id, sequence_id)"
    " = (s.organisation_id, s.id) ORDER BY id DESC LIMIT 1) e ON true{where}"
    " GROUP BY s.organisation_id, s.id, e.id ORDER BY s.name, s.id"
)


class SequenceMissing(NotFound):
    """There is no such sequence here, or it is another organisation's; nothing was changed. Choose
    one from the list of sequences."""


class SequenceNameUnknown(NotFound):
    """There is no sequence “{name}” here; nothing was changed. `portal sequence list` shows those
    there are."""

    name: str


class ExecutionRow(NamedTuple):
    """One execution of a sequence, and the step at which it is or ended."""

    id: UUID
    sequence_id: UUID
    name: str
    version: int
    step_number: int
    business_on: date
    state: SequenceState
    reason: str | None
    started_by: str
    created_at: datetime
    finished_at: datetime | None
    steps_count: int


class SequenceRow(NamedTuple):
    """A sequence with its steps as they are now, and its last execution."""

    id: UUID
    name: str
    version: int
    created_at: datetime
    steps: Sequence[Step]
    last: ExecutionRow | None


class StepRow(NamedTuple):
    """A step of an execution, with the run it made if it has come so far."""

    number: int
    job: str
    condition: StepCondition
    run_id: UUID | None
    run_number: int | None
    run_state: RunState | None
    items_count: int
    done: int
    failed: int


class StepPlace(NamedTuple):
    """Where a run stands in an execution."""

    execution: ExecutionRow
    number: int


def list_sequences() -> list[SequenceRow]:
    """List the sequences of the organisation in scope, by name."""
    return _read("", ())


def get_sequence(sequence_id: UUID) -> SequenceRow:
    """Return one sequence.

    Raises: SequenceMissing.
    """
    found = _read(" WHERE s.id = %s", (sequence_id,))
    if not found:
        raise SequenceMissing
    return found[0]


def get_sequence_by_name(name: str) -> SequenceRow:
    """Return the sequence with a name.

    Raises: SequenceNameUnknown.
    """
    found = _read(" WHERE s.name = %s", (name.replace("\0", ""),))
    if not found:
        raise SequenceNameUnknown(name=name[:80].replace("\0", ""))
    return found[0]


def list_executions(sequence_id: UUID, *, rows_max: int) -> list[ExecutionRow]:
    """List the executions of a sequence, the latest first."""
    rows = fetch(
        f"{_EXECUTION} WHERE e.sequence_id = %s ORDER BY e.id DESC LIMIT %s",
        (sequence_id, rows_max),
    )
    return [_execution(row) for row in rows]


def get_execution(execution_id: UUID) -> ExecutionRow:
    """Return one execution.

    Raises: SequenceMissing.
    """
    row = fetch_one(f"{_EXECUTION} WHERE e.id = %s", (execution_id,))
    if row is None:
        raise SequenceMissing
    return _execution(row)


def list_steps(execution: ExecutionRow) -> list[StepRow]:
    """List the steps of an execution in their order, also those that have not begun."""
    rows = fetch(
        "SELECT t.number, t.job, t.condition, r.id, r.number AS run_number, r.state,"
        " COALESCE(r.items_count, 0)::int AS items_count, COALESCE(c.done, 0)::int AS done,"
        " COALESCE(c.failed, 0)::int AS failed FROM sequence_steps t"
        " LEFT JOIN batch_runs r ON r.sequence_run_id = %s AND r.step_number = t.number"
        " LEFT JOIN LATERAL (SELECT sum(done_count) AS done,"
        " sum(failed_count + skipped_count) AS failed"
        " FROM batch_chunks WHERE (organisation_id, run_id) = (r.organisation_id, r.id)) c ON true"
        " WHERE t.sequence_id = %s AND t.version = %s ORDER BY t.number",
        (execution.id, execution.sequence_id, execution.version),
    )
    return [
        StepRow(*row)._replace(
            condition=StepCondition(row.condition),
            run_state=RunState(row.state) if row.state else None,
        )
        for row in rows
    ]


def find_step_of_run(run_id: UUID) -> StepPlace | None:
    """Return the execution that a run is a step of; None for a run of its own."""
    row = fetch_one(
        "SELECT sequence_run_id, step_number FROM batch_runs"
        " WHERE id = %s AND sequence_run_id IS NOT NULL",
        (run_id,),
    )
    return StepPlace(get_execution(row.sequence_run_id), row.step_number) if row else None


def _read(where: str, values: tuple[object, ...]) -> list[SequenceRow]:
    rows = fetch(_SELECT.format(where=where), values)
    last_ids = [row.last_id for row in rows if row.last_id]
    last = {
        row.id: _execution(row)
        for row in (fetch(f"{_EXECUTION} WHERE e.id = ANY(%s)", (last_ids,)) if last_ids else ())
    }
    return [
        SequenceRow(
            row.id,
            row.name,
            row.version,
            row.created_at,
            [
                Step(job, StepCondition(condition))
                for job, condition in zip(row.jobs, row.conditions, strict=True)
            ],
            last.get(row.last_id),
        )
        for row in rows
    ]


def _execution(row: Any) -> ExecutionRow:
    return ExecutionRow(*row)._replace(state=SequenceState(row.state))
