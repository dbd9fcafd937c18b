"""Emergency brakes: pulled with a reason for a while, and released; both take effect at once."""

from datetime import datetime
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.batches import list_startable_jobs
from portal.domain.brakes import (
    BRAKE_MOVES,
    HOLD_SECONDS_MAX,
    HOLD_SECONDS_MIN,
    REASON_CHARACTERS_MAX,
    BrakeState,
)
from portal.domain.errors import Conflict, Invalid
from portal.domain.users import PORTAL, Actor
from portal.ids import new_id
from portal.queries.brakes import HOLDS, BrakeMissing
from portal.queue import ring
from portal.services.batches import BELL
from portal.services.events import record_event
from portal.services.messages import DELIVERY_BELL
from portal.sql import execute, fetch, fetch_one


class BrakeHolds(Conflict):
    """A brake on the same holds already, until {expires_at:%Y-%m-%d %H:%M} UTC, because:
    {reason} No second one was pulled. Release that one first if this is to hold for longer."""

    expires_at: datetime
    reason: str


class BrakeReasonInvalid(Invalid):
    """The brake was not pulled: say why in 1 to {characters_max} characters that can be shown."""

    characters_max: int


class BrakeTimeInvalid(Invalid):
    """The brake was not pulled: it holds for a minute at least and for 31 days at most."""


class BrakeScopeInvalid(Invalid):
    """The brake was not pulled: {reason}."""

    reason: str


def pull_brake(
    *,
    reason: str,
    hold_seconds: int,
    gateway_account_id: UUID | None = None,
    job: str | None = None,
    actor: Actor,
    now: datetime,
) -> UUID:
    """Let nothing more be begun of the organisation, or of one gateway account or job of it.

    Shape: what is already under way ends by itself; asking for outcomes goes on.
    Units: seconds by the clock of the database.
    Raises: BrakeReasonInvalid; BrakeTimeInvalid; BrakeScopeInvalid; BrakeHolds.
    """
    reason = _checked_reason(reason)
    if not HOLD_SECONDS_MIN <= hold_seconds <= HOLD_SECONDS_MAX:
        raise BrakeTimeInvalid(field="hours")
    brake_id = new_id()
    with transaction():
        _check_scope(gateway_account_id, job)
        _close_expired(now)
        scope = {
            "o": current_organisation_id(),
            "id": brake_id,
            "account": gateway_account_id,
            "job": job,
            "reason": reason,
            "by": actor.name or actor.kind,
            "seconds": hold_seconds,
        }
        # Two people may pull at once: the index lets one of them in.
        is_new = execute(
            "INSERT INTO brakes (organisation_id, id, gateway_account_id, job, reason, pulled_by,"
            " pulled_at, expires_at) SELECT %(o)s, %(id)s, %(account)s, %(job)s, %(reason)s,"
            " %(by)s, t.at, t.at + make_interval(secs => %(seconds)s)"
            " FROM (SELECT clock_timestamp() AS at) t ON CONFLICT DO NOTHING",
            scope,
        )
        if not is_new:
            held = fetch_one(
                "SELECT expires_at, reason FROM brakes"
                " WHERE gateway_account_id IS NOT DISTINCT FROM %(account)s"
                " AND job IS NOT DISTINCT FROM %(job)s ORDER BY pulled_at DESC LIMIT 1",
                scope,
            )
            assert held is not None
            raise BrakeHolds(expires_at=held.expires_at, reason=held.reason)
        details = {
            "gateway_account_id": str(gateway_account_id) if gateway_account_id else None,
            "job": job,
            "hold_seconds": hold_seconds,
        }
        record_event("brake.pulled", brake_id, actor=actor, now=now, reason=reason, details=details)
    return brake_id


def release_brake(*, brake_id: UUID, actor: Actor, now: datetime) -> None:
    """Let go on what a brake holds back.

    Raises: BrakeMissing; MoveNotAllowed when it holds no more.
    """
    with transaction():
        _close_expired(now)
        row = fetch_one(
            "SELECT state FROM brakes WHERE organisation_id = %s AND id = %s FOR UPDATE",
            (current_organisation_id(), brake_id),
        )
        if row is None:
            raise BrakeMissing
        state = BRAKE_MOVES.next(BrakeState(row.state), "release")
        execute(
            "UPDATE brakes SET state = %s, released_by = %s, released_at = clock_timestamp()"
            " WHERE organisation_id = %s AND id = %s",
            (state.value, actor.name or actor.kind, current_organisation_id(), brake_id),
        )
        record_event(BRAKE_MOVES.recorded("release"), brake_id, actor=actor, now=now)
        ring(BELL)
        ring(DELIVERY_BELL)


def _close_expired(now: datetime) -> None:
    """Write down which brakes have run out; they have not held since."""
    state = BRAKE_MOVES.next(BrakeState.ACTIVE, "expire")
    rows = fetch(
        "UPDATE brakes b SET state = %s, released_by = %s, released_at = b.expires_at"
        f" WHERE b.organisation_id = %s AND b.state = 'active' AND NOT ({HOLDS}) RETURNING b.id",
        (state.value, PORTAL.name, current_organisation_id()),
    )
    for row in rows:
        record_event(BRAKE_MOVES.recorded("expire"), row.id, actor=PORTAL, now=now)


def _checked_reason(reason: str) -> str:
    """Tidy the reason up.

    Raises: BrakeReasonInvalid.
    """
    tidy = " ".join(reason.split())
    if not 1 <= len(tidy) <= REASON_CHARACTERS_MAX or not tidy.isprintable():
        raise BrakeReasonInvalid(characters_max=REASON_CHARACTERS_MAX, field="reason")
    return tidy


def _check_scope(gateway_account_id: UUID | None, job: str | None) -> None:
    """Refuse a scope that does not exist, or two at once.

    Raises: BrakeScopeInvalid.
    """
    if gateway_account_id is not None and job is not None:
        reason = "it holds a gateway account or a job; pull two for both"
        raise BrakeScopeInvalid(reason=reason, field="scope")
    if job is not None and job not in {one.name for one in list_startable_jobs()}:
        known = ", ".join(one.name for one in list_startable_jobs())
        raise BrakeScopeInvalid(reason=f"there is no job {job[:40]}, only {known}", field="scope")
    if gateway_account_id is not None and not fetch_one(
        "SELECT id FROM gateway_accounts WHERE organisation_id = %s AND id = %s",
        (current_organisation_id(), gateway_account_id),
    ):
        raise BrakeScopeInvalid(reason="there is no such gateway account here", field="scope")
