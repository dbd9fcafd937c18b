"""Working again: the items of a run that are left over, and chunks whose workers have died."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import sweeping, transaction
from portal.domain.batches import REPEATED_RUN_STATES, RunState
from portal.domain.errors import Conflict
from portal.domain.users import Actor
from portal.queue import ring
from portal.services.batches._end import RunNotFound, finish_run, list_runs_to_finish
from portal.services.batches._guards import BELL, RunUnfinished, violated
from portal.services.batches._prepare import RunOrder, prepare_run
from portal.services.gateways import settings
from portal.sql import execute, fetch, fetch_one


class RunNotOver(Conflict):
    """Run {number} is not over yet; nothing was started. Wait for its end, restart it, or give it
    up."""

    number: int


class NothingToRepeat(Conflict):
    """No item of run {number} that failed is still to be done; nothing was started."""

    number: int


class RunRepeated(Conflict):
    """What failed in run {number} was run again already, by run {repeat}; nothing was started. What
    failed there as well can be run again from there."""

    number: int
    repeat: int


class Recovery(NamedTuple):
    """What was freed and closed."""

    chunks_count: int
    runs_count: int


def repeat_run(*, run_id: UUID, actor: Actor, now: datetime) -> UUID:
    """Start a run over the items of another that failed or were set aside, and return its id.

    Shape: frozen as every run, for the same job and day, of those items that are still to be done;
    once for each run. A run given up before it began may be repeated anew.
    Raises: RunNotFound; RunNotOver; RunRepeated; NothingToRepeat; RunUnfinished when another run of
    the job is not over for that day.
    """
    try:
        with transaction():
            return _repeat(run_id, actor, now)
    except Exception as error:
        if violated(error) == "uq_batch_runs_unfinished":
            run = _read_run(run_id)
            raise RunUnfinished(job=run.job, business_on=run.business_on) from error
        raise


def _repeat(run_id: UUID, actor: Actor, now: datetime) -> UUID:
    run = _read_run(run_id, lock="FOR UPDATE")
    if RunState(run.state) not in REPEATED_RUN_STATES:
        raise RunNotOver(number=run.number)
    # The index of repeats would refuse a second one as well, but could not name the first.
    repeat = fetch_one(
        "SELECT number FROM batch_runs WHERE repeats_id = %s AND state <> 'abandoned'", (run_id,)
    )
    if repeat is not None:
        raise RunRepeated(number=run.number, repeat=repeat.number)
    config = settings()
    order = RunOrder(
        run.job,
        run.business_on,
        run.parameters,
        chunk_items_max=config.chunk_items_max,
        skip_limit=config.skip_limit,
    )
    repeat_id, items_count = prepare_run(order, actor=actor, now=now, repeats_id=run_id)
    if not items_count:
        raise NothingToRepeat(number=run.number)
    return repeat_id


def _read_run(run_id: UUID, *, lock: str = "") -> Any:
    run = fetch_one(
        f"SELECT number, job, business_on, parameters, state FROM batch_runs WHERE id = %s {lock}",
        (run_id,),
    )
    if run is None:
        raise RunNotFound(number=run_id)
    return run


def recover_runs(*, now: datetime) -> Recovery:
    """Free every chunk whose worker is gone and close every run that has nothing left to work.

    Shape: workers do the same by themselves, when they next look; tries are counted on.
    """
    with sweeping():
        owners = fetch(
            "SELECT DISTINCT organisation_id FROM batch_chunks"
            " WHERE state = 'leased' AND lease_until < clock_timestamp()"
        )
    freed = 0
    for owner in owners:
        with transaction(owner.organisation_id):
            freed += execute(
                "UPDATE batch_chunks SET state = 'ready', lease_token = lease_token + 1,"
                " lease_until = NULL, last_error = 'its worker is gone'"
                " WHERE state = 'leased' AND lease_until < clock_timestamp()"
            )
            ring(BELL)
    closed = 0
    for organisation_id, run_id in list_runs_to_finish():
        with transaction(organisation_id):
            closed += finish_run(run_id=run_id, now=now) is not None
    return Recovery(freed, closed)
