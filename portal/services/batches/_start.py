"""Starting a run: what there is to do is frozen in chunks, in the database."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from portal.db import transaction
from portal.domain.errors import Invalid
from portal.domain.users import Actor
from portal.queries.populations import POPULATIONS, RunPreview, read_preview
from portal.services.batches._end import finish_run
from portal.services.batches._guards import RunUnfinished, violated
from portal.services.batches._prepare import RunOrder, prepare_run
from portal.sql import fetch_one


class JobUnknown(Invalid):
    """There is no job {job}; choose one of {known}."""


def start_run(*, order: RunOrder, actor: Actor, now: datetime) -> UUID:
    """Freeze what there is to do in chunks and let the workers begin.

    Shape: the same request key yields the same run for ever; a run above the limit of size or sum
    waits for a second person, and nobody works on it before.
    Raises: JobUnknown; RunUnfinished; StarterUnknown.
    """
    _check_job(order.job)
    if order.request_key is not None:
        known = _find_requested(order.request_key)
        if known is not None:
            return known
    try:
        with transaction():
            run_id, _ = prepare_run(order, actor=actor, now=now)
            finish_run(run_id=run_id, now=now)
            return run_id
    except Exception as error:
        constraint = violated(error)
        if constraint == "uq_batch_runs_unfinished":
            raise RunUnfinished(job=order.job, business_on=order.business_on) from error
        if constraint == "uq_batch_runs_organisation_id_request_key":
            known = _find_requested(order.request_key or "")
            if known is not None:
                return known
        raise


def preview_run(*, job: str, on: date, parameters: Mapping[str, Any] | None = None) -> RunPreview:
    """Say what a run would freeze if it were started now, without starting it.

    Raises: JobUnknown.
    """
    _check_job(job)
    return read_preview(job, on, parameters or {})


def _check_job(job: str) -> None:
    if job not in POPULATIONS:
        raise JobUnknown(job=job, known=", ".join(POPULATIONS))


def _find_requested(request_key: str) -> UUID | None:
    with transaction():
        row = fetch_one("SELECT id FROM batch_runs WHERE request_key = %s", (request_key,))
    return row.id if row else None
