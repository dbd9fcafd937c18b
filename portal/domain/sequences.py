"""Sequences: jobs one after the other, each on a condition about the one before."""

from collections.abc import Sequence
from typing import NamedTuple

from portal.domain.batches import RunState
from portal.domain.states import Moves, State

STEPS_MAX = 12


class StepCondition(State):
    """What must have become of the step before."""

    COMPLETED = "completed", "If the step before completed"
    CLEAN = "clean", "If the step before completed and nothing failed"
    ANYWAY = "anyway", "Whatever happened in the step before"


class SequenceState(State):
    """How far one execution of a sequence has come."""

    RUNNING = "running", "Running"
    STOPPED = "stopped", "Stopped"
    COMPLETED = "completed", "Completed"
    ABANDONED = "abandoned", "Given up"


SEQUENCE_MOVES = Moves(
    {
        (SequenceState.RUNNING, "complete"): SequenceState.COMPLETED,
        (SequenceState.RUNNING, "stop"): SequenceState.STOPPED,
        (SequenceState.STOPPED, "resume"): SequenceState.RUNNING,
        (SequenceState.RUNNING, "abandon"): SequenceState.ABANDONED,
        (SequenceState.STOPPED, "abandon"): SequenceState.ABANDONED,
    }
)


class Step(NamedTuple):
    """One step: a job, and the condition on which it begins; that of the first says nothing."""

    job: str
    condition: StepCondition = StepCondition.COMPLETED


def why_not(condition: StepCondition, state: RunState, failed_count: int) -> str | None:
    """Say why a step does not follow a run that has ended so; None when it does.

    Shape: the end of a sentence. What a person stopped or gave up is followed by nothing.
    """
    if state in {RunState.STOPPED, RunState.ABANDONED}:
        return "was stopped" if state is RunState.STOPPED else "was given up"
    if condition is StepCondition.ANYWAY:
        return None
    if state is not RunState.COMPLETED:
        return "failed"
    if condition is StepCondition.CLEAN and failed_count:
        return f"completed, but {failed_count} of its items failed or were set aside"
    return None


def is_whole(steps: Sequence[Step]) -> bool:
    """Say whether there are as many steps as a sequence may have."""
    return 0 < len(steps) <= STEPS_MAX
