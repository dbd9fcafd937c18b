"""What a rule means for the organisation in scope: in words, and by its next due times."""

from collections.abc import Set as AbstractSet
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from portal.db import current_organisation_id
from portal.domain.errors import Invalid
from portal.domain.schedules import (
    HORIZON_DAYS,
    OnHoliday,
    Rule,
    business_date,
    next_due_times,
    parse_rule,
    rule_in_words,
)
from portal.queries.organisations import get_organisation
from portal.services.calendars import bank_holidays

YEARS_AHEAD = HORIZON_DAYS // 365 + 1


class RuleNeverDue(Invalid):
    """The rule “{text}” is never due: all its days are left out as holidays. Nothing was saved;
    choose other days, or what is done about holidays."""

    text: str
    field = "rule"


class Surroundings(NamedTuple):
    """Where a rule is read: the zone and the holidays of its organisation."""

    zone: ZoneInfo
    calendar: AbstractSet[date]


class PreviewedDue(NamedTuple):
    """A time to come, and the business date it will stand for."""

    due_at: datetime
    business_on: date


class SchedulePreview(NamedTuple):
    """What a rule says, and when it is due next."""

    words: str
    zone: str
    calendar: str
    dues: list[PreviewedDue]


def preview_schedule(
    *, rule: str, on_holiday: OnHoliday, now: datetime, count: int = 5
) -> SchedulePreview:
    """Say a rule in words and when it is due next, without saving anything.

    Raises: RuleInvalid; RuleNeverDue.
    """
    organisation = get_organisation(current_organisation_id())
    read = parse_rule(rule, on_holiday)
    around = load_surroundings(now)
    dues = next_due_times(read, around.zone, around.calendar, now, count)
    if not dues:
        raise RuleNeverDue(text=read.text)
    return SchedulePreview(
        rule_in_words(read),
        organisation.zone,
        organisation.holiday_calendar,
        [PreviewedDue(due_at, business_date(due_at, around.zone)) for due_at in dues],
    )


def load_surroundings(now: datetime) -> Surroundings:
    """Return the zone and the holidays of the organisation in scope, from last year on."""
    organisation = get_organisation(current_organisation_id())
    holidays = bank_holidays(organisation.holiday_calendar, now.year - 1, now.year + YEARS_AHEAD)
    return Surroundings(ZoneInfo(organisation.zone), holidays)


def find_next_due(rule: Rule, around: Surroundings, after: datetime) -> datetime | None:
    """Return when a rule is due next after an instant, or None when it never is."""
    return next(iter(next_due_times(rule, around.zone, around.calendar, after, 1)), None)
