"""When jobs start by themselves: rules as cron text, the times they are due, rules in words.

A rule speaks of the clock on an organisation's wall. A wall time that does not exist, as at the
beginning of summer time, is due at the first instant after it; one that exists twice, at the first.
The calendar of holidays is handed in as a set of dates.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice, pairwise
from typing import NamedTuple

from portal.domain.dates import is_business_day, previous_business_day
from portal.domain.errors import Invalid
from portal.domain.states import Moves, State

TIMES_A_DAY_MAX = 96
RULE_CHARACTERS_MAX = 200
# Longer than any rule waits: the 29th of February, where only working days count.
HORIZON_DAYS = 12 * 366
# Due times that are further back are not made up for.
CATCH_UP_DAYS = 31

_ONE_DAY = timedelta(days=1)
_ONE_SECOND = timedelta(seconds=1)
_WHOLE_WEEK = frozenset(range(1, 8))
_WORKING_WEEK = frozenset(range(1, 6))
_WHOLE_YEAR = frozenset(range(1, 13))
_WHOLE_MONTH = frozenset(range(1, 32))
_MONTH_DAYS_MAX = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LAST_DAY = "L"
_LAST_WORKING_DAY = "LW"
_MONTHS = "January February March April May June July August September October November December"
_MONTH_NAMES = tuple(_MONTHS.split())
_WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
_WEEKDAY_NAMES = tuple(_WEEKDAYS.split())
_PART = re.compile(
    r"(?:(?P<all>\*)|(?P<low>[0-9]{1,2})(?:-(?P<high>[0-9]{1,2}))?)(?:/(?P<step>[0-9]{1,2}))?"
)
_TIMES_SAID_MAX = 4
_TIMES_LISTED_MAX = 12
_TEENS = range(11, 14)
_HOUR_MINUTES = 60


class RuleInvalid(Invalid):
    """“{text}” is not a rule: {reason}. Nothing was saved; write minute, hour, day of the month,
    month and day of the week, such as 30 6 * * 1-5."""

    text: str
    reason: str
    field = "rule"


class OnHoliday(State):
    """What becomes of a due day on which banks do not work."""

    SKIP = "skip", "Leave that day out"
    NEXT = "next", "Run on the next working day"
    ANYWAY = "anyway", "Run all the same"


class Misfire(State):
    """What is made up for after due times have passed while nothing ran."""

    EACH_BUSINESS_DATE = "each_business_date", "One run for each missed date"
    ONCE = "once", "One run for all of them"


class DueState(State):
    """What became of a due time."""

    WAITING = "waiting", "Waiting"
    STARTED = "started", "Started"
    MISSED = "missed", "Missed"
    REFUSED = "refused", "Not started"


DUE_MOVES = Moves(
    {
        (DueState.WAITING, "start"): DueState.STARTED,
        (DueState.WAITING, "miss"): DueState.MISSED,
        (DueState.WAITING, "refuse"): DueState.REFUSED,
    }
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read: when it is due, by the clock on the wall.

    Shape: weekdays by ISO, Monday is 1; days of the month and weekdays are never both narrowed.
    """

    text: str
    times: tuple[time, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    has_last_day: bool
    is_last_working_day: bool
    on_holiday: OnHoliday


class PlannedDue(NamedTuple):
    """A due time, the business date it stands for, and whether it makes a run."""

    due_at: datetime
    business_on: date
    makes_run: bool


def parse_rule(text: str, on_holiday: OnHoliday = OnHoliday.SKIP) -> Rule:
    """Read a rule of five fields: minute, hour, day of the month, month, day of the week.

    Shape: `*`, `7`, `1-5`, `*/15`, `8-18/2` and lists of them; days of the month know `L`, the last
    day, and `LW`, the last working day; weekdays are 0 to 7 with Sunday as 0 or 7.
    Raises: RuleInvalid.
    """
    fields = text.split()
    if len(fields) != 5 or len(text) > RULE_CHARACTERS_MAX:  # noqa: PLR2004 - as cron has them
        raise _wrong(text, "it does not have five fields")
    minutes = _read_field(text, "minute", fields[0], 0, 59)
    hours = _read_field(text, "hour", fields[1], 0, 23)
    if len(minutes) * len(hours) > TIMES_A_DAY_MAX:
        raise _wrong(text, f"it is due more than {TIMES_A_DAY_MAX} times a day")
    parts = fields[2].upper().split(",")
    is_last_working_day = parts == [_LAST_WORKING_DAY]
    numbered = [] if is_last_working_day else [part for part in parts if part != _LAST_DAY]
    days = _read_field(text, "day of the month", ",".join(numbered), 1, 31) if numbered else ()
    months = frozenset(_read_field(text, "month", fields[3], 1, 12))
    weekdays = frozenset(
        number or 7 for number in _read_field(text, "day of the week", fields[4], 0, 7)
    )
    if frozenset(days) != _WHOLE_MONTH and weekdays != _WHOLE_WEEK:
        raise _wrong(text, "it names days of the month and days of the week; name one of them")
    if days and min(days) > max(_MONTH_DAYS_MAX[month - 1] for month in months):
        raise _wrong(text, "there is no such day in any of its months")
    return Rule(
        text=" ".join(fields).upper(),
        times=tuple(time(hour, minute) for hour in hours for minute in minutes),
        days=frozenset(days),
        months=months,
        weekdays=weekdays,
        has_last_day=_LAST_DAY in parts,
        is_last_working_day=is_last_working_day,
        on_holiday=on_holiday,
    )


def due_times(
    rule: Rule, zone: tzinfo, calendar: AbstractSet[date], after: datetime, until: datetime
) -> list[datetime]:
    """List when a rule is due after one instant, up to another, which is included.

    Shape: in UTC, rising, none twice.
    """
    return list(_due_between(rule, zone, calendar, after, until))


def next_due_times(
    rule: Rule, zone: tzinfo, calendar: AbstractSet[date], after: datetime, count: int
) -> list[datetime]:
    """List the next times a rule is due after an instant.

    Shape: in UTC; fewer than asked for when no more of them come within twelve years.
    """
    until = after + timedelta(days=HORIZON_DAYS)
    return list(islice(_due_between(rule, zone, calendar, after, until), count))


def business_date(due_at: datetime, zone: tzinfo) -> date:
    """Return the business date that a due time stands for: its day in the organisation's zone."""
    return due_at.astimezone(zone).date()


def plan_dues(dues: Sequence[datetime], zone: tzinfo, misfire: Misfire) -> list[PlannedDue]:
    """Say which of the due times that have passed make a run.

    Shape: the last of all, or the last of each business date; the others are made up by those.
    """
    dates = [business_date(due_at, zone) for due_at in dues]
    planned = []
    for place, (due_at, business_on) in enumerate(zip(dues, dates, strict=True)):
        is_last = place == len(dues) - 1
        is_last_of_day = is_last or dates[place + 1] != business_on
        makes_run = is_last if misfire is Misfire.ONCE else is_last_of_day
        planned.append(PlannedDue(due_at, business_on, makes_run))
    return planned


def resolve_wall_time(wall: datetime, zone: tzinfo) -> datetime:
    """Return the instant at which a clock on the wall shows a time.

    Shape: the first of two; the first instant after a time that no clock there shows.
    """
    earlier = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if earlier.astimezone(zone).replace(tzinfo=None) == wall:
        return earlier
    # In a gap the two folds lie on either side of the moment at which the clocks are changed.
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = earlier.astimezone(zone).utcoffset()
    seconds = range(int((earlier - before).total_seconds()))
    return before + _ONE_SECOND * bisect_left(
        seconds,
        True,
        key=lambda second: (before + second * _ONE_SECOND).astimezone(zone).utcoffset() == offset,
    )


def rule_in_words(rule: Rule) -> str:
    """Say a rule as a sentence without its full stop: `every working day at 06:30`."""
    return f"{_days_in_words(rule)} {_times_in_words(rule.times)}"


def _due_between(
    rule: Rule, zone: tzinfo, calendar: AbstractSet[date], after: datetime, until: datetime
) -> Iterator[datetime]:
    # Where clocks are put forward past midnight, a time of the day before is due on the next.
    day = after.astimezone(zone).date() - 2 * _ONE_DAY
    last_day = until.astimezone(zone).date()
    last = after
    while day <= last_day:
        if _is_due_day(rule, day, calendar):
            for wall in rule.times:
                due_at = resolve_wall_time(datetime.combine(day, wall), zone)
                if last < due_at <= until:
                    last = due_at
                    yield due_at
        day += _ONE_DAY


def _is_due_day(rule: Rule, day: date, calendar: AbstractSet[date]) -> bool:
    """Say whether a rule is due on a day, after what it says about holidays."""
    if rule.is_last_working_day or rule.on_holiday is OnHoliday.ANYWAY:
        return _is_named(rule, day, calendar)
    if not is_business_day(day, calendar):
        return False
    if _is_named(rule, day, calendar):
        return True
    if rule.on_holiday is OnHoliday.NEXT:
        while not is_business_day(day := day - _ONE_DAY, calendar):
            if _is_named(rule, day, calendar):
                return True
    return False


def _is_named(rule: Rule, day: date, calendar: AbstractSet[date]) -> bool:
    """Say whether a rule names a day, whatever is done there."""
    if day.month not in rule.months:
        return False
    if rule.is_last_working_day:
        return day == previous_business_day(_last_of_month(day), calendar)
    if rule.has_last_day and day == _last_of_month(day):
        return True
    return day.day in rule.days and day.isoweekday() in rule.weekdays


def _last_of_month(day: date) -> date:
    return (day.replace(day=28) + 4 * _ONE_DAY).replace(day=1) - _ONE_DAY


def _read_field(text: str, name: str, field: str, low: int, high: int) -> tuple[int, ...]:
    """List the numbers that a field names, rising."""
    found: set[int] = set()
    for part in field.split(","):
        read = _PART.fullmatch(part)
        if read is None:
            raise _wrong(text, f"the {name} “{part[:20]}” cannot be read")
        if read["all"]:
            first, last = low, high
        else:
            first = int(read["low"])
            last = int(read["high"] or first)
        if read["step"] and not (read["all"] or read["high"]):
            raise _wrong(text, f"the {name} “{part}” has a step but no range")
        step = int(read["step"] or 1)
        if not low <= first <= last <= high or not 1 <= step <= high:
            raise _wrong(text, f"the {name} “{part}” is not between {low} and {high}")
        found.update(range(first, last + 1, step))
    return tuple(sorted(found))


def _wrong(text: str, reason: str) -> RuleInvalid:
    return RuleInvalid(text=text[:60], reason=reason)


def _days_in_words(rule: Rule) -> str:
    is_week = rule.weekdays in (_WHOLE_WEEK, _WORKING_WEEK)
    is_monthly = rule.days != _WHOLE_MONTH
    if not is_monthly and is_week and rule.on_holiday is not OnHoliday.ANYWAY:
        return f"every working day{_months_in_words(rule, ' in ')}"
    if is_monthly:
        days = f"on {_month_days_in_words(rule)}{_months_in_words(rule, ' of ') or ' of the month'}"
    else:
        days = f"{_weekdays_in_words(rule.weekdays)}{_months_in_words(rule, ' in ')}"
    if rule.is_last_working_day:
        return days
    if rule.on_holiday is OnHoliday.NEXT:
        return f"{days}, or the next working day,"
    if rule.on_holiday is OnHoliday.SKIP:
        return f"{days}, if it is a working day,"
    return days


def _month_days_in_words(rule: Rule) -> str:
    if rule.is_last_working_day:
        return "the last working day"
    days = [f"the {_ordinal(day)}" for day in sorted(rule.days)]
    return _listed([*days, *(["the last day"] if rule.has_last_day else [])])


def _weekdays_in_words(weekdays: AbstractSet[int]) -> str:
    if weekdays == _WHOLE_WEEK:
        return "every day"
    if weekdays == _WORKING_WEEK:
        return "every day from Monday to Friday"
    return f"every {_listed(_WEEKDAY_NAMES[weekday - 1] for weekday in sorted(weekdays))}"


def _months_in_words(rule: Rule, before: str) -> str:
    if rule.months == _WHOLE_YEAR:
        return ""
    return before + _listed(_MONTH_NAMES[month - 1] for month in sorted(rule.months))


def _times_in_words(times: Sequence[time]) -> str:
    said = [f"{one:%H:%M}" for one in times]
    if len(said) <= _TIMES_SAID_MAX:
        return f"at {_listed(said)}"
    minutes = [one.hour * _HOUR_MINUTES + one.minute for one in times]
    steps = {later - earlier for earlier, later in pairwise(minutes)}
    if len(steps) == 1:
        return f"{_step_in_words(steps.pop())} from {said[0]} to {said[-1]}"
    if len(said) <= _TIMES_LISTED_MAX:
        return f"at {_listed(said)}"
    return f"{len(said)} times from {said[0]} to {said[-1]}"


def _step_in_words(minutes: int) -> str:
    hours, left = divmod(minutes, _HOUR_MINUTES)
    if left:
        return f"every {minutes} minutes"
    return "every hour" if hours == 1 else f"every {hours} hours"


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number in _TEENS else ending}"


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
