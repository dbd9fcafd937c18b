"""The lives of a run and its chunks, and the outcomes an item can have."""

from portal.domain.states import Moves, State


class RunState(State):
    """How far a run has come."""

    PREPARED = "prepared", "Prepared"
    AWAITING_APPROVAL = "awaiting_approval", "Waiting for approval"
    STARTING = "starting", "Starting"
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
        (RunState.PREPARED, "start"): RunState.STARTING,
        (RunState.AWAITING_APPROVAL, "start"): RunState.STARTING,
        (RunState.STARTING, "begin"): RunState.STARTED,
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
    RunState.STARTING,
    RunState.STARTED,
    RunState.STOPPING,
    RunState.STOPPED,
)
