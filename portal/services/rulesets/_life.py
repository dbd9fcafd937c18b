"""Putting a version in force, by two people; taking it out again before it was used."""

from datetime import date, datetime
from typing import Any

from portal.db import current_organisation_id, transaction
from portal.domain.errors import Conflict, Forbidden, Invalid
from portal.domain.rulesets import RULE_SET_MOVES, RuleSetState
from portal.domain.users import Actor
from portal.queries.rulesets import RuleSetMissing
from portal.services.calendars import bank_holidays
from portal.services.events import record_event
from portal.services.rulesets._draft import lock_agreements, lock_draft
from portal.sql import execute, fetch_one
from rules.ruleset import compile_rule_set

REASON_CHARACTERS_MAX = 500
# Years beyond which a start is a slip of the pen.
YEARS_AHEAD_MAX = 10


class StartTooEarly(Conflict):
    """The version cannot start on {starts_on}: invoices have been issued on {last_issued_on}.
    Nothing was changed; let it start on that day or later."""

    starts_on: date
    last_issued_on: date


class StartTooLate(Invalid):
    """The version cannot start on {starts_on}, which is more than {years_max} years ahead. Nothing
    was changed; choose another day."""

    starts_on: date
    years_max: int


class ActivationReasonInvalid(Invalid):
    """Nothing was saved: say why in {characters_min} to {characters_max} characters that can be
    shown."""

    characters_min: int
    characters_max: int


class ActivatorIsRequester(Forbidden):
    """You asked for this version, so another person must approve it; it is not in force. Ask
    someone else who may approve rules."""


class ActivationApproverUnknown(Conflict):
    """A version is approved by a person; it is not in force. Say who approves it."""


class RuleSetInUse(Conflict):
    """Version {version} cannot be taken out: {reason}. Nothing was changed; let a later version
    start instead."""

    version: int
    reason: str


def request_activation(
    *, version: int, starts_on: date, note: str, seen: str, actor: Actor, now: datetime
) -> None:
    """Ask that a draft comes into force on a day; from now on it stays as it is.

    Shape: `seen` is the hash of the draft that was looked at; the note says why, or nothing.
    Raises: RuleSetMissing; RuleSetNotDraft; RuleSetChanged; RuleSetInvalid; StartTooEarly;
    StartTooLate; ActivationReasonInvalid.
    """
    said = _checked_reason(note, field="note", characters_min=0)
    if starts_on.year > now.year + YEARS_AHEAD_MAX:
        raise StartTooLate(starts_on=starts_on, years_max=YEARS_AHEAD_MAX, field="starts_on")
    with transaction():
        calendar = lock_agreements()
        draft = lock_draft(version, seen)
        state = RULE_SET_MOVES.next(RuleSetState.DRAFT, "request")
        _check_start(starts_on)
        compile_rule_set(
            draft.definition, holidays=bank_holidays(calendar, starts_on.year, starts_on.year)
        )
        execute(
            "UPDATE rule_sets SET state = %s, starts_on = %s, note = %s, requested_by = %s,"
            " requested_by_id = %s, requested_at = %s WHERE organisation_id = %s AND id = %s",
            (
                state.value,
                starts_on,
                said or None,
                actor.name or actor.kind,
                actor.id,
                now,
                current_organisation_id(),
                draft.id,
            ),
        )
        record_event(
            RULE_SET_MOVES.recorded("request"),
            draft.id,
            actor=actor,
            now=now,
            reason=said or None,
            details={"version": version, "starts_on": starts_on.isoformat()},
        )


def approve_activation(*, version: int, actor: Actor, now: datetime) -> None:
    """Put a version in force that another person has asked for.

    Shape: one with the same first day is retired, since two agreements cannot be in force at once;
    what was issued before, and runs that are under way, keep the version they have.
    Raises: RuleSetMissing; MoveNotAllowed; ActivatorIsRequester; ActivationApproverUnknown;
    StartTooEarly; RuleSetInvalid when the catalogue has changed since it was asked for.
    """
    if actor.kind != "person" or actor.id is None:
        raise ActivationApproverUnknown
    with transaction():
        calendar = lock_agreements()
        row = _lock(version)
        state = RULE_SET_MOVES.next(RuleSetState(row.state), "approve")
        if row.requested_by_id == actor.id:
            raise ActivatorIsRequester
        _check_start(row.starts_on)
        holidays = bank_holidays(calendar, row.starts_on.year, row.starts_on.year)
        compile_rule_set(row.definition, holidays=holidays)
        _retire_same_start(row.starts_on, actor=actor, now=now)
        execute(
            "UPDATE rule_sets SET state = %s, approved_by = %s, approved_by_id = %s,"
            " approved_at = %s WHERE organisation_id = %s AND id = %s",
            (state.value, actor.name, actor.id, now, current_organisation_id(), row.id),
        )
        record_event(
            RULE_SET_MOVES.recorded("approve"),
            row.id,
            actor=actor,
            now=now,
            details={"version": version, "starts_on": row.starts_on.isoformat()},
        )


def decline_activation(*, version: int, reason: str, actor: Actor, now: datetime) -> None:
    """Say no to a version that waits for approval; it is a draft again.

    Raises: ActivationReasonInvalid; RuleSetMissing; MoveNotAllowed.
    """
    said = _checked_reason(reason)
    with transaction():
        row = _lock(version)
        state = RULE_SET_MOVES.next(RuleSetState(row.state), "decline")
        execute(
            "UPDATE rule_sets SET state = %s, requested_by = NULL, requested_by_id = NULL,"
            " requested_at = NULL WHERE organisation_id = %s AND id = %s",
            (state.value, current_organisation_id(), row.id),
        )
        _record("decline", row, actor=actor, now=now, reason=said)


def discard_rule_set(*, version: int, seen: str, actor: Actor, now: datetime) -> None:
    """Give a draft up.

    Raises: RuleSetMissing; RuleSetNotDraft; RuleSetChanged.
    """
    with transaction():
        draft = lock_draft(version, seen)
        _retire(draft, "discard", RuleSetState.DRAFT, actor=actor, now=now, reason=None)


def retire_rule_set(*, version: int, reason: str, actor: Actor, now: datetime) -> None:
    """Take a version out that has not been used yet; the one before it stays in force.

    Raises: ActivationReasonInvalid; RuleSetMissing; MoveNotAllowed; RuleSetInUse.
    """
    said = _checked_reason(reason)
    with transaction():
        lock_agreements()
        row = _lock(version)
        RULE_SET_MOVES.next(RuleSetState(row.state), "retire")
        earlier = fetch_one(
            "SELECT 1 FROM rule_sets WHERE organisation_id = %s AND state = 'active'"
            " AND starts_on < %s",
            (current_organisation_id(), row.starts_on),
        )
        if earlier is None:
            raise RuleSetInUse(version=version, reason="nothing would be agreed without it")
        last_issued_on = _last_issued_on()
        if last_issued_on is not None and row.starts_on <= last_issued_on:
            raise RuleSetInUse(version=version, reason="invoices have been issued since it began")
        _retire(row, "retire", RuleSetState.ACTIVE, actor=actor, now=now, reason=said)


def _lock(version: int) -> Any:
    row = fetch_one(
        "SELECT id, version, state, starts_on, definition, requested_by_id FROM rule_sets"
        " WHERE organisation_id = %s AND version = %s FOR UPDATE",
        (current_organisation_id(), version),
    )
    if row is None:
        raise RuleSetMissing(version=version)
    return row


def _retire_same_start(starts_on: date, *, actor: Actor, now: datetime) -> None:
    row = fetch_one(
        "SELECT id, version FROM rule_sets WHERE organisation_id = %s AND state = 'active'"
        " AND starts_on = %s FOR UPDATE",
        (current_organisation_id(), starts_on),
    )
    if row is not None:
        reason = "Another version starts on the same day."
        _retire(row, "retire", RuleSetState.ACTIVE, actor=actor, now=now, reason=reason)


def _retire(
    row: Any, event: str, state: RuleSetState, *, actor: Actor, now: datetime, reason: str | None
) -> None:
    execute(
        "UPDATE rule_sets SET state = %s WHERE organisation_id = %s AND id = %s",
        (RULE_SET_MOVES.next(state, event).value, current_organisation_id(), row.id),
    )
    _record(event, row, actor=actor, now=now, reason=reason)


def _record(event: str, row: Any, *, actor: Actor, now: datetime, reason: str | None) -> None:
    kind, details = RULE_SET_MOVES.recorded(event), {"version": row.version}
    record_event(kind, row.id, actor=actor, now=now, reason=reason, details=details)


def _check_start(starts_on: date) -> None:
    last_issued_on = _last_issued_on()
    if last_issued_on is not None and starts_on < last_issued_on:
        raise StartTooEarly(starts_on=starts_on, last_issued_on=last_issued_on, field="starts_on")


def _last_issued_on() -> date | None:
    row = fetch_one(
        "SELECT max(last_issued_on) AS day FROM number_series WHERE organisation_id = %s",
        (current_organisation_id(),),
    )
    return row.day if row else None


def _checked_reason(reason: str, *, field: str = "reason", characters_min: int = 1) -> str:
    """Tidy a reason up.

    Raises: ActivationReasonInvalid.
    """
    tidy = " ".join(reason.split())
    if not characters_min <= len(tidy) <= REASON_CHARACTERS_MAX or not tidy.isprintable():
        raise ActivationReasonInvalid(
            characters_min=characters_min, characters_max=REASON_CHARACTERS_MAX, field=field
        )
    return tidy
