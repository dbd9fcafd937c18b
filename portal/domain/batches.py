"""The lives of a run and its chunks, and the outcomes an item can have."""

from typing import NamedTuple

from portal.domain.rehearsals import REHEARSAL_JOB
from portal.domain.states import Moves, State


class StartableJob(NamedTuple):
    """A job that people may start, in words."""

    name: str
    title: str
    sentence: str


STARTABLE_JOBS = (
    StartableJob(
        "invoice_issuing",
        "Issue invoices",
        "Checks every draft by the agreement, prices it, posts it and gives it its number.",
    ),
    StartableJob(
        "deposit_matching",
        "Apply credits and deposits",
        "Settles what payers owe from their credit notes, credits and deposits.",
    ),
    StartableJob(
        "payment_collection",
        "Collect payments",
        "Collects through the gateway what is due and may be collected by mandate.",
    ),
    StartableJob(
        "payment_retrying",
        "Try payments again",
        "Tries declined or returned payments again whose planned date has come.",
    ),
    StartableJob(
        "reminding",
        "Remind of overdue invoices",
        "Reminds payers of what is overdue, level by level, and charges the agreed fees.",
    ),
    StartableJob(
        "settlement_closing",
        "Settle payouts",
        "Asks the gateways for their payouts, matches them and closes what the bank confirms.",
    ),
    StartableJob(
        "ledger_check",
        "Prove the books",
        "Counts the books again and says whether every account holds what the documents say.",
    ),
)


def list_startable_jobs() -> tuple[StartableJob, ...]:
    """List the jobs that people may start, in the order of a billing day."""
    return STARTABLE_JOBS


REHEARSAL = StartableJob(
    REHEARSAL_JOB,
    "Rehearse a rule set",
    "Says what a version of the rules would change, and changes nothing itself.",
)


def list_jobs() -> tuple[StartableJob, ...]:
    """List every job, also that which is started from the page of what it is about."""
    return (*STARTABLE_JOBS, REHEARSAL)


class RunState(State):
    """How far a run has come.

    There is no state between prepared and started: a run is frozen and begins in one transaction,
    so nobody could ever see one.
    """

    PREPARED = "prepared", "Prepared"
    AWAITING_APPROVAL = "awaiting_approval", "Waiting for approval"
    STARTED = "started", "Running"
    STOPPING = "stopping", "Stopping"
    STOPPED = "stopped", "Stopped"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    ABANDONED = "abandoned", "Abandoned"


class ChunkState(State):
    """How far a chunk has come."""

    READY = "ready", "Ready"
    LEASED = "leased", "Being worked"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class ItemOutcome(State):
    """What became of one item of a run."""

    DONE = "done", "Done"
    FILTERED = "filtered", "Filtered by a rule"
    SKIPPED = "skipped", "Skipped after an error"
    FAILED = "failed", "Failed"
    UNKNOWN = "unknown", "Outcome unknown"
    PARKED = "parked", "Parked"


RUN_MOVES = Moves(
    {
        (RunState.PREPARED, "submit"): RunState.AWAITING_APPROVAL,
        (RunState.PREPARED, "start"): RunState.STARTED,
        (RunState.AWAITING_APPROVAL, "approve"): RunState.STARTED,
        (RunState.STARTED, "stop"): RunState.STOPPING,
        (RunState.STOPPING, "rest"): RunState.STOPPED,
        (RunState.STARTED, "complete"): RunState.COMPLETED,
        (RunState.STOPPING, "complete"): RunState.COMPLETED,
        (RunState.STARTED, "fail"): RunState.FAILED,
        (RunState.STOPPING, "fail"): RunState.FAILED,
        (RunState.STOPPED, "restart"): RunState.STARTED,
        (RunState.FAILED, "restart"): RunState.STARTED,
        (RunState.PREPARED, "abandon"): RunState.ABANDONED,
        (RunState.AWAITING_APPROVAL, "abandon"): RunState.ABANDONED,
        (RunState.STOPPED, "abandon"): RunState.ABANDONED,
        (RunState.FAILED, "abandon"): RunState.ABANDONED,
    }
)

CHUNK_MOVES = Moves(
    {
        (ChunkState.READY, "lease"): ChunkState.LEASED,
        (ChunkState.LEASED, "lease"): ChunkState.LEASED,
        (ChunkState.LEASED, "release"): ChunkState.READY,
        (ChunkState.LEASED, "finish"): ChunkState.DONE,
        (ChunkState.LEASED, "fail"): ChunkState.FAILED,
        (ChunkState.FAILED, "restart"): ChunkState.READY,
    }
)

UNFINISHED_RUN_STATES = (
    RunState.PREPARED,
    RunState.AWAITING_APPROVAL,
    RunState.STARTED,
    RunState.STOPPING,
    RunState.STOPPED,
)
# An item with one of these outcomes may be worked again by a run that repeats its run.
REPEATED_OUTCOMES = (
    ItemOutcome.FAILED,
    ItemOutcome.SKIPPED,
    ItemOutcome.PARKED,
    ItemOutcome.UNKNOWN,
)
# Before these ends nobody can say which items are left over.
REPEATED_RUN_STATES = (RunState.COMPLETED, RunState.FAILED, RunState.ABANDONED)
