"""Works chunks of batch runs: many per ring of the bell, one transaction each, fair to all."""

import os
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import structlog
from flask import current_app

from jobs import JOBS
from portal.clock import now_utc
from portal.db import acting_for
from portal.log import log_context
from portal.queries.organisations import list_organisations
from portal.queue import ring_now
from portal.services.batches import (
    BELL,
    Lease,
    LeaseLost,
    SheetBroken,
    claim_chunk,
    extend_lease,
    fail_by_sheet,
    finish_run,
    list_runs_to_finish,
    list_working_organisations,
    release_chunk,
    work_chunk,
)
from portal.services.gateways import settings

log = structlog.stdlib.get_logger(__name__)


def drain_chunks() -> int:
    """Work free chunks of each organisation in turn until none is left or time is up.

    Shape: returns how many chunks were worked; rings again when time was up. In each round an
    organisation gets as many chunks as its share says, after everybody has had a first one.
    """
    config = settings()
    until = time.monotonic() + config.drain_seconds
    worked = 0
    while time.monotonic() < until:
        organisations = list_working_organisations()
        # Every worker in another order, so that they do not queue for the same chunk.
        random.shuffle(organisations)
        in_this_round = sum(work_one_chunk(each) for each in take_turns(organisations))
        worked += in_this_round
        if not in_this_round:
            break
    else:
        ring_now(BELL)
    return worked


def take_turns(organisations: Sequence[UUID]) -> list[UUID]:
    """List whose turn it is in one round: everybody once, then those with a larger share again."""
    by_code = dict(settings().shares)
    if not by_code:
        return list(organisations)
    shares = {one.id: by_code.get(one.code, 1) for one in list_organisations()}
    most = max((shares.get(each, 1) for each in organisations), default=0)
    return [each for turn in range(most) for each in organisations if turn < shares.get(each, 1)]


def work_one_chunk(organisation_id: UUID) -> bool:
    """Lease and work one chunk of an organisation; False when there is none."""
    config = settings()
    lease = claim_chunk(
        organisation_id=organisation_id,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        lease_seconds=config.chunk_lease_seconds,
    )
    if lease is None:
        close_runs()
        return False
    with log_context(run_id=lease.run_id, organisation_id=organisation_id):
        _work(lease, config.chunk_lease_seconds)
    return True


def _work(lease: Lease, lease_seconds: float) -> None:
    job = JOBS[lease.job]
    now = now_utc()
    try:
        with kept_alive(lease, lease_seconds):
            results = work_chunk(lease=lease, work=lambda ids: job.work(lease, ids, now))
        log.info("chunk.done", job=lease.job, number=lease.number, items=len(results))
    except LeaseLost as lost:
        log.warning("chunk.lost", number=lease.number, reason=lost.message)
    except SheetBroken as broken:
        log.warning("chunk.sheet_broken", number=lease.number, reason=broken.reason)
        fail_by_sheet(lease=lease, reason=broken.reason)
    except Exception as error:
        release_chunk(lease=lease, error=repr(error))
        raise
    close_run(lease.organisation_id, lease.run_id, now_utc())


def close_run(organisation_id: UUID, run_id: UUID, now: datetime) -> None:
    """Close a run if nothing of it is left to work."""
    with acting_for(organisation_id):
        state = finish_run(run_id=run_id, now=now)
    if state is not None:
        log.info("run.finished", run_id=str(run_id), state=state.value)


def close_runs() -> None:
    """Close runs whose last worker died before it could."""
    for organisation_id, run_id in list_runs_to_finish():
        close_run(organisation_id, run_id, now_utc())


@contextmanager
def kept_alive(lease: Lease, lease_seconds: float) -> Iterator[None]:
    """Extend a lease in the background as long as its work goes on."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(lease_seconds / 3):
            with app.app_context():
                if not extend_lease(lease=lease, lease_seconds=lease_seconds):
                    return

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
