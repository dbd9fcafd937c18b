"""`portal sequence`: jobs that run one after the other, each on a condition."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from portal.cli.context import with_app
from portal.cli.operators import OPERATOR, find_starter, starter_option
from portal.domain.errors import Invalid
from portal.domain.sequences import Step, StepCondition

if TYPE_CHECKING:
    from datetime import datetime

    from portal.queries.sequences import ExecutionRow, SequenceRow, StepRow

EXECUTIONS_SHOWN = 10

_organisation = click.option("--organisation", required=True, help="Code of the organisation.")
_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
_steps = click.option(
    "--step",
    "steps",
    multiple=True,
    help="A job, or JOB:CONDITION about the step before: completed, clean (nothing failed) or"
    " anyway; once for each step, in their order.",
)


class ConditionUnknown(Invalid):
    """There is no condition {text}; nothing was saved. Write JOB:completed, JOB:clean or
    JOB:anyway."""

    text: str


@click.group()
def sequence() -> None:
    """Let jobs run one after the other, each on a condition about the one before."""


@sequence.command("list")
@_organisation
@_json
@with_app
def list_(*, organisation: str, as_json: bool) -> None:
    """List the sequences with their steps."""
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.sequences import list_sequences

    with acting_for(get_organisation_by_code(organisation).id):
        rows = list_sequences()
    _show(rows, as_json=as_json)


@sequence.command()
@click.argument("name")
@_organisation
@_steps
@_json
@with_app
def add(*, name: str, organisation: str, steps: tuple[str, ...], as_json: bool) -> None:
    """Add the sequence NAME."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.sequences import get_sequence
    from portal.services.sequences import SequenceWish, add_sequence

    wish = SequenceWish(name, _read_steps(steps))
    with acting_for(get_organisation_by_code(organisation).id):
        row = get_sequence(add_sequence(wish=wish, actor=OPERATOR, now=now_utc()))
    _show([row], as_json=as_json)


@sequence.command()
@click.argument("name")
@_organisation
@click.option("--name", "new_name", help="Another name.")
@_steps
@_json
@with_app
def change(
    *, name: str, organisation: str, new_name: str | None, steps: tuple[str, ...], as_json: bool
) -> None:
    """Change the sequence NAME; without --step, its steps stay as they are."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.sequences import get_sequence, get_sequence_by_name
    from portal.services.sequences import SequenceWish, change_sequence

    with acting_for(get_organisation_by_code(organisation).id):
        row = get_sequence_by_name(name)
        change_sequence(
            sequence_id=row.id,
            wish=SequenceWish(new_name or row.name, _read_steps(steps) if steps else row.steps),
            version=row.version,
            actor=OPERATOR,
            now=now_utc(),
        )
        row = get_sequence(row.id)
    _show([row], as_json=as_json)


@sequence.command()
@click.argument("name")
@_organisation
@click.option("--date", "on", type=click.DateTime(["%Y-%m-%d"]), help="Business date; today.")
@starter_option
@_json
@with_app
def start(
    *, name: str, organisation: str, on: datetime | None, email: str | None, as_json: bool
) -> None:
    """Start the sequence NAME for a business date."""
    from portal.clock import now_utc, today
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.sequences import get_execution, get_sequence_by_name, list_steps
    from portal.services.sequences import start_sequence

    owner = get_organisation_by_code(organisation)
    with acting_for(owner.id):
        execution = get_execution(
            start_sequence(
                sequence_id=get_sequence_by_name(name).id,
                business_on=on.date() if on else today(owner.zone),
                actor=find_starter(email, owner.id),
                now=now_utc(),
            )
        )
        steps = list_steps(execution)
    _show_execution(execution, steps, as_json=as_json)


@sequence.command()
@click.argument("name")
@_organisation
@_json
@with_app
def show(*, name: str, organisation: str, as_json: bool) -> None:
    """Show the sequence NAME, its last executions, and the steps of the very last."""
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.sequences import get_sequence_by_name, list_executions, list_steps

    with acting_for(get_organisation_by_code(organisation).id):
        row = get_sequence_by_name(name)
        executions = list_executions(row.id, rows_max=EXECUTIONS_SHOWN)
        steps = list_steps(executions[0]) if executions else []
    if as_json:
        past = [_execution_fields(one) for one in executions]
        if past:
            past[0]["steps"] = [_step_fields(step) for step in steps]
        click.echo(json.dumps({**_fields(row), "executions": past}, indent=1))
        return
    _show([row], as_json=False)
    for place, one in enumerate(executions):
        _show_execution(one, steps if place == 0 else [], as_json=False)


def _read_steps(texts: tuple[str, ...]) -> list[Step]:
    steps = []
    for text in texts:
        job, _, condition = text.partition(":")
        if condition and condition not in set(StepCondition):
            raise ConditionUnknown(text=condition[:40])
        steps.append(Step(job, StepCondition(condition or StepCondition.COMPLETED)))
    return steps


def _show(rows: list[SequenceRow], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_fields(row) for row in rows], indent=1))
        return
    for row in rows:
        click.echo(f"{row.name} (version {row.version})")
        for number, step in enumerate(row.steps, start=1):
            when = "" if number == 1 else f"  {step.condition.label.lower()}"
            click.echo(f"  {number}  {step.job}{when}")


def _show_execution(execution: ExecutionRow, steps: list[StepRow], *, as_json: bool) -> None:
    if as_json:
        fields = _execution_fields(execution)
        fields["steps"] = [_step_fields(step) for step in steps]
        click.echo(json.dumps(fields, indent=1))
        return
    reason = f": {execution.reason}" if execution.reason else ""
    click.echo(f"For {execution.business_on}: {execution.state.label.lower()}{reason}")
    for step in steps:
        state = step.run_state.label.lower() if step.run_state else "not begun"
        run = f"run {step.run_number}, " if step.run_number else ""
        click.echo(f"  {step.number}  {step.job}  {run}{state}")


def _fields(row: SequenceRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "version": row.version,
        "steps": [{"job": step.job, "condition": step.condition.value} for step in row.steps],
        "last": _execution_fields(row.last) if row.last else None,
    }


def _execution_fields(execution: ExecutionRow) -> dict[str, Any]:
    return {
        "sequence": execution.name,
        "business_on": execution.business_on.isoformat(),
        "state": execution.state.value,
        "step": execution.step_number,
        "reason": execution.reason,
        "by": execution.started_by,
    }


def _step_fields(step: StepRow) -> dict[str, Any]:
    return {
        "number": step.number,
        "job": step.job,
        "condition": step.condition.value,
        "run": step.run_number,
        "state": step.run_state.value if step.run_state else None,
        "items": step.items_count,
        "done": step.done,
        "failed": step.failed,
    }
