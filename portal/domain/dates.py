"""Days: half-open periods, business days, due dates and strict reading of dates.

A calendar of holidays is handed in as a set of dates; nothing here asks what day it is.
"""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Literal, Self

from portal.domain.errors import Invalid

Roll = Literal["following", "preceding", "none"]

# Ten years; a longer term of payment is a slip of the keyboard.
TERM_DAYS_MAX = 3660

_ONE_DAY = timedelta(days=1)
_SATURDAY = 5

# Two digits below it are of this century, as POSIX reads them.
_PIVOT_YEAR = 69

_MONTHS = "january february march april may june july august september october november december"
_MONTH_BY_NAME = {
    name[:length]: number
    for number, name in enumerate(_MONTHS.split(), start=1)
    for length in (3, len(name))
}
_DIRECTIVES = {
    "%Y": r"(?P<year>[0-9]{4})",
    "%y": r"(?P<short_year>[0-9]{2})",
    "%m": r"(?P<month>[0-9]{2})",
    "%d": r"(?P<day>[0-9]{2})",
    "%-m": r"(?P<month>[0-9]{1,2})",
    "%-d": r"(?P<day>[0-9]{1,2})",
    "%b": r"(?P<month_name>[A-Za-z]{3})",
    "%B": r"(?P<month_name>[A-Za-z]{3,9})",
}


class DateMalformed(Invalid):
    """“{text}” is not a date: {reason}. Nothing was saved; write it as {example}."""

    text: str
    reason: str
    example: str


class PeriodEmpty(Invalid):
    """The period from {starts_on} to {ends_on} has no day in it. Nothing was saved; the end, which
    is not part of the period, must be later than the start."""

    starts_on: date
    ends_on: date


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """Days from `starts_on` up to, but without, `ends_on`.

    Raises: PeriodEmpty when there is no day in it.
    """

    starts_on: date
    ends_on: date

    def __post_init__(self) -> None:
        """Refuse a period without a day."""
        if self.ends_on <= self.starts_on:
            raise PeriodEmpty(starts_on=self.starts_on, ends_on=self.ends_on)

    @classmethod
    def through(cls, first: date, last: date) -> Self:
        """Make the period whose last day is part of it, as people write it."""
        return cls(first, last + _ONE_DAY)

    @property
    def last_on(self) -> date:
        """The last day that is part of the period."""
        return self.ends_on - _ONE_DAY

    @property
    def days(self) -> int:
        """How many days are in the period."""
        return (self.ends_on - self.starts_on).days

    def __contains__(self, day: date) -> bool:
        """Say whether a day is in the period."""
        return self.starts_on <= day < self.ends_on

    def overlaps(self, other: "Period") -> bool:
        """Say whether the two have a day in common; touching periods have none."""
        return self.starts_on < other.ends_on and other.starts_on < self.ends_on


def is_business_day(day: date, holidays: AbstractSet[date]) -> bool:
    """Say whether banks work: Monday to Friday, and no holiday."""
    return day.weekday() < _SATURDAY and day not in holidays


def next_business_day(day: date, holidays: AbstractSet[date]) -> date:
    """Return the day itself when it is a business day, otherwise the first one after it."""
    while not is_business_day(day, holidays):
        day += _ONE_DAY
    return day


def previous_business_day(day: date, holidays: AbstractSet[date]) -> date:
    """Return the day itself when it is a business day, otherwise the last one before it."""
    while not is_business_day(day, holidays):
        day -= _ONE_DAY
    return day


def add_business_days(day: date, days: int, holidays: AbstractSet[date]) -> date:
    """Go a number of business days forward, or back when the number is negative.

    Shape: zero returns the day itself, business day or not; any other number a business day.
    """
    step = _ONE_DAY if days > 0 else -_ONE_DAY
    left = abs(days)
    while left:
        day += step
        if is_business_day(day, holidays):
            left -= 1
    return day


def due_date(
    issued_on: date, *, days: int, holidays: AbstractSet[date], roll: Roll = "following"
) -> date:
    """Return the day an invoice is due: calendar days after its issue, moved to a business day.

    Shape: never before the day of issue; a preceding roll that would be goes forward instead.
    Raises: ValueError when days is negative or more than ten years.
    """
    if not 0 <= days <= TERM_DAYS_MAX:
        raise ValueError(f"a term of {days} days is not between 0 and {TERM_DAYS_MAX}")
    due_on = issued_on + timedelta(days=days)
    if roll == "none":
        return due_on
    if roll == "preceding":
        rolled = previous_business_day(due_on, holidays)
        if rolled >= issued_on:
            return rolled
    return next_business_day(due_on, holidays)


def parse_date(text: str, date_format: str = "%Y-%m-%d") -> date:
    """Read a date that is written exactly as the format says.

    Shape: %Y %y %m %d have all their digits, %-m and %-d one or two; %b and %B are English names;
    anything else stands for itself. %y is 1969 to 2068.
    Raises: DateMalformed; ValueError when the format does not name a year, a month and a day.
    """
    found = _date_pattern(date_format).fullmatch(text)
    if found is None:
        raise _malformed(text, date_format, "it is not written in the expected way")
    parts = found.groupdict()
    month_name = parts.get("month_name")
    month = _MONTH_BY_NAME.get(month_name.lower()) if month_name else int(parts["month"])
    if month is None:
        raise _malformed(text, date_format, "there is no such month")
    try:
        return date(_year(parts), month, int(parts["day"]))
    except ValueError:
        raise _malformed(text, date_format, "there is no such day in the calendar") from None


def _year(parts: dict[str, str]) -> int:
    """Read the year; two digits follow the POSIX pivot."""
    if "year" in parts:
        return int(parts["year"])
    short = int(parts["short_year"])
    return short + (2000 if short < _PIVOT_YEAR else 1900)


@cache
def _date_pattern(date_format: str) -> re.Pattern[str]:
    """Compile a date format to a pattern that takes ASCII digits only."""
    pieces = re.split(r"(%-?[A-Za-z])", date_format)
    unknown = [piece for piece in pieces[1::2] if piece not in _DIRECTIVES]
    if unknown:
        raise ValueError(f"the date format {date_format!r} has the unknown part {unknown[0]!r}")
    try:
        pattern = re.compile("".join(_DIRECTIVES.get(piece, re.escape(piece)) for piece in pieces))
    except re.error as cause:
        raise ValueError(f"the date format {date_format!r} names a part twice") from cause
    names = pattern.groupindex.keys()
    for wanted in ({"year", "short_year"}, {"month", "month_name"}, {"day"}):
        if len(names & wanted) != 1:
            raise ValueError(f"the date format {date_format!r} must name one year, month and day")
    return pattern


def _malformed(text: str, date_format: str, reason: str) -> DateMalformed:
    plain = date_format.replace("%-", "%")
    return DateMalformed(text=text[:40], reason=reason, example=date(2026, 3, 31).strftime(plain))
