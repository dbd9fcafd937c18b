"""Batch runs: frozen in chunks, leased to workers, worked one transaction a chunk, finished.

A lease carries a fencing token: a worker that lost its lease cannot commit, because the update
that marks its chunk then touches no row.
"""

from portal.services.batches._again import (
    NothingToRepeat,
    Recovery,
    RunNotOver,
    RunRepeated,
    recover_runs,
    repeat_run,
)
from portal.services.batches._decide import (
    REASON_CHARACTERS_MAX,
    AbandonReasonInvalid,
    ApproverIsStarter,
    ApproverUnknown,
    abandon_run,
    approve_run,
)
from portal.services.batches._end import (
    RunNotFound,
    find_run_id,
    finish_run,
    list_runs_to_finish,
    restart_run,
    stop_run,
)
from portal.services.batches._guards import BELL, RunUnfinished
from portal.services.batches._lease import (
    CHUNK_TRIES_MAX,
    Lease,
    LeaseLost,
    claim_chunk,
    extend_lease,
    list_working_organisations,
    release_chunk,
)
from portal.services.batches._prepare import RunOrder, StarterUnknown
from portal.services.batches._sheet import SheetBroken, fail_by_sheet, is_over_limit
from portal.services.batches._start import JobUnknown, preview_run, start_run
from portal.services.batches._steps import SequenceUnfinished, begin_step
from portal.services.batches._work import work_chunk

__all__ = [
    "BELL",
    "CHUNK_TRIES_MAX",
    "REASON_CHARACTERS_MAX",
    "AbandonReasonInvalid",
    "ApproverIsStarter",
    "ApproverUnknown",
    "JobUnknown",
    "Lease",
    "LeaseLost",
    "NothingToRepeat",
    "Recovery",
    "RunNotFound",
    "RunNotOver",
    "RunOrder",
    "RunRepeated",
    "RunUnfinished",
    "SequenceUnfinished",
    "SheetBroken",
    "StarterUnknown",
    "abandon_run",
    "approve_run",
    "begin_step",
    "claim_chunk",
    "extend_lease",
    "fail_by_sheet",
    "find_run_id",
    "finish_run",
    "is_over_limit",
    "list_runs_to_finish",
    "list_working_organisations",
    "preview_run",
    "recover_runs",
    "release_chunk",
    "repeat_run",
    "restart_run",
    "start_run",
    "stop_run",
    "work_chunk",
]
