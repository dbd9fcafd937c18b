"""Moving a planned retry: to another day on which banks work, with a reason."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.dates import is_business_day, next_business_day
from portal.domain.errors import Conflict, Invalid
from portal.domain.payments import PaymentState
from portal.domain.users import Actor
from portal.queries.organisations import get_organisation
from portal.services.calendars import bank_holidays
from portal.services.events import record_event
from portal.services.payments._control import (
    REASON_CHARACTERS_MAX,
    PaymentChanged,
    PaymentUnderWay,
    lock_payment,
)
from portal.sql import execute

MOVE_DAYS_MAX = 90


class RetryNotMovable(Conflict):
    """There is no planned try to move: {reason}. Nothing was changed; look at the payment again."""

    reason: str


class RetryDayInvalid(Invalid):
    """The try was not moved: {reason}."""

    reason: str


class MoveReasonInvalid(Invalid):
    """The try was not moved: say why in 1 to {characters_max} characters that can be shown."""

    characters_max: int


def move_retry(
    *,
    payment_id: UUID,
    version: int,
    day: date,
    reason: str,
    on: date,
    actor: Actor,
    now: datetime,
) -> None:
    """Plan the next try of a payment for another day on which banks work.

    Shape: from today on, at most 90 days ahead, by the calendar of the organisation.
    Raises: MoveReasonInvalid; RetryDayInvalid; PaymentMissing; PaymentUnderWay; RetryNotMovable;
    PaymentChanged.
    """
    reason = _checked_reason(reason)
    with transaction():
        row = lock_payment(payment_id)
        _check_move(row)
        if row.version != version:
            raise PaymentChanged
        _check_day(day, on)
        if row.next_attempt_on == day:
            raise RetryNotMovable(reason=f"it is planned for {day} already")
        execute(
            "UPDATE payments SET next_attempt_on = %s, version = version + 1"
            " WHERE organisation_id = %s AND id = %s",
            (day, current_organisation_id(), payment_id),
        )
        record_event(
            "payment.moved",
            payment_id,
            actor=actor,
            now=now,
            reason=reason,
            # How often it was tried by then tells this plan from a later one for the same day.
            details={
                "from": row.next_attempt_on.isoformat(),
                "to": day.isoformat(),
                "attempts": row.attempts_count,
            },
        )


def _check_move(row: Any) -> None:
    """Refuse what is under way, and what is not planned for a day.

    Raises: PaymentUnderWay; RetryNotMovable.
    """
    state = PaymentState(row.state)
    if row.is_live or state in (PaymentState.PROCESSING, PaymentState.REQUIRES_ACTION):
        raise PaymentUnderWay(verb="moved")
    if row.worklist is not None:
        raise RetryNotMovable(reason="it waits for a person to decide about it")
    if state is not PaymentState.SCHEDULED or row.next_attempt_on is None:
        raise RetryNotMovable(reason=f"the payment is “{state.label}”")


def _check_day(day: date, on: date) -> None:
    """Refuse a day that is past, far away, or one on which banks do not work.

    Raises: RetryDayInvalid.
    """
    last_on = on + timedelta(days=MOVE_DAYS_MAX)
    if day < on:
        raise RetryDayInvalid(
            reason=f"{day} is in the past; choose today or a later day", field="day"
        )
    if day > last_on:
        far = f"{day} is more than {MOVE_DAYS_MAX} days away; choose a day up to {last_on}"
        raise RetryDayInvalid(reason=far, field="day")
    calendar = get_organisation(current_organisation_id()).holiday_calendar
    holidays = bank_holidays(calendar, on.year, on.year + 1)
    if not is_business_day(day, holidays):
        working = next_business_day(day, holidays)
        closed = f"banks do not work on {day:%A}, {day}; the next working day is {working:%A}"
        raise RetryDayInvalid(reason=f"{closed}, {working}", field="day")


def _checked_reason(reason: str) -> str:
    """Tidy the reason up.

    Raises: MoveReasonInvalid.
    """
    tidy = " ".join(reason.split())
    if not 1 <= len(tidy) <= REASON_CHARACTERS_MAX or not tidy.isprintable():
        raise MoveReasonInvalid(characters_max=REASON_CHARACTERS_MAX, field="reason")
    return tidy
