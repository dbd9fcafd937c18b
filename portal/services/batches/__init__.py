"""Batch runs: frozen in chunks, leased to workers, worked one transaction a chunk, finished.

A lease carries a fencing token: a worker that lost its lease cannot commit, because the update
that marks its chunk then touches no row.
"""

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
    claim_chunk,
    extend_lease,
    list_working_organisations,
    release_chunk,
)
from portal.services.batches._start import JobUnknown, RunOrder, preview_run, start_run
from portal.services.batches._work import (
    LeaseLost,
    work_chunk,
)

__all__ = [
    "BELL",
    "CHUNK_TRIES_MAX",
    "JobUnknown",
    "Lease",
    "LeaseLost",
    "RunNotFound",
    "RunOrder",
    "RunUnfinished",
    "claim_chunk",
    "extend_lease",
    "find_run_id",
    "finish_run",
    "list_runs_to_finish",
    "list_working_organisations",
    "preview_run",
    "release_chunk",
    "restart_run",
    "start_run",
    "stop_run",
    "work_chunk",
]
