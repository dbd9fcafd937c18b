"""Starting a rehearsal: which version, on which documents, against what."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import transaction
from portal.domain.errors import Conflict, Invalid
from portal.domain.rehearsals import REHEARSAL_JOB
from portal.domain.users import Actor
from portal.queries.rulesets import RuleSetRow, get_rule_set
from portal.services.batches import RunOrder, preview_run, start_run
from portal.services.events import record_event
from portal.services.gateways import settings
from portal.services.rulesets import keeping_rule_set, load_rule_set

_CURRENCY = re.compile(r"[A-Z]{3}")


class RehearsalInvalid(Invalid):
    """Nothing was started: {reason}."""

    reason: str


class RehearsalEmpty(Conflict):
    """There is no such document, so nothing was started. Choose other days, or another
    currency."""


class RehearsalWish(NamedTuple):
    """What somebody wants to know of a version.

    Shape: without days it is about the drafts of today; against no version, against what was
    really booked.
    """

    version: int
    against: int | None
    from_on: date | None = None
    to_on: date | None = None
    currency: str | None = None


def start_rehearsal(*, wish: RehearsalWish, on: date, actor: Actor, now: datetime) -> UUID:
    """Start a run that says what a version would change, and return its id.

    Shape: drafts are met on the business date, issued documents on the day of their issue. The
    versions are tried as they are now: one that is changed meanwhile ends the run.
    Raises: RehearsalInvalid; RehearsalEmpty; RuleSetMissing; RuleSetInvalid; RunUnfinished.
    """
    _check(wish)
    with transaction():
        rehearsed = _read_whole(wish.version, on)
        other = _read_whole(wish.against, on) if wish.against is not None else None
        parameters = _parameters(wish, rehearsed, other)
        if not preview_run(job=REHEARSAL_JOB, on=on, parameters=parameters).items_count:
            raise RehearsalEmpty
        config = settings()
        order = RunOrder(
            REHEARSAL_JOB,
            on,
            parameters,
            chunk_items_max=config.chunk_items_max,
            skip_limit=config.skip_limit,
        )
        run_id = start_run(order=order, actor=actor, now=now)
        told = {"run_id": str(run_id)}
        record_event("rule_set.rehearsed", rehearsed.id, actor=actor, now=now, details=told)
        return run_id


def _check(wish: RehearsalWish) -> None:
    if (wish.from_on is None) != (wish.to_on is None):
        field = "from_on" if wish.from_on is None else "to_on"
        raise RehearsalInvalid(reason="give both the first and the last day", field=field)
    if wish.from_on is not None and wish.to_on is not None and wish.to_on < wish.from_on:
        raise RehearsalInvalid(reason="the last day is before the first one", field="to_on")
    if wish.against is None and wish.from_on is None:
        reason = "drafts are not booked yet; compare them with a version"
        raise RehearsalInvalid(reason=reason, field="against")
    if wish.against == wish.version:
        reason = "a version does not differ from itself; choose another"
        raise RehearsalInvalid(reason=reason, field="against")
    if wish.currency is not None and not _CURRENCY.fullmatch(wish.currency):
        reason = "a currency is three capital letters, such as EUR"
        raise RehearsalInvalid(reason=reason, field="currency")


def _read_whole(version: int, on: date) -> RuleSetRow:
    """Read a version that can be applied.

    Raises: RuleSetMissing; RuleSetInvalid.
    """
    row = get_rule_set(version)
    with keeping_rule_set(version):
        load_rule_set(on=on)
    return row


def _parameters(
    wish: RehearsalWish, rehearsed: RuleSetRow, other: RuleSetRow | None
) -> Mapping[str, Any]:
    return {
        "version": wish.version,
        "version_hash": rehearsed.definition_hash,
        "against": wish.against,
        "against_hash": other.definition_hash if other else None,
        "from_on": wish.from_on.isoformat() if wish.from_on else None,
        "to_on": wish.to_on.isoformat() if wish.to_on else None,
        "currency": wish.currency,
    }
