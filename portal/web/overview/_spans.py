"""The month, quarter or year that the overview is about: read from the address, written to it."""

import re
from datetime import date
from typing import NamedTuple

from portal.domain.dates import Period

MONTHS_OF_YEAR = 12
# Months of each length of time that can be looked at, by its name.
LENGTHS = {"Month": 1, "Quarter": 3, "Year": 12}
YEAR_MIN, YEAR_MAX = 1990, 9000

_KEY = re.compile(r"([0-9]{4})(?:-(?:Q([1-4])|(0[1-9]|1[0-2])))?", re.ASCII)


class Span(NamedTuple):
    """Whole months that begin where their length divides the year; `first` counts from year 0."""

    first: int
    months: int

    @property
    def period(self) -> Period:
        """The days in it."""
        return Period(_day_of(self.first), _day_of(self.first + self.months))

    @property
    def key(self) -> str:
        """How it is written in an address: `2026-11`, `2026-Q4` or `2026`."""
        year, month = divmod(self.first, MONTHS_OF_YEAR)
        if self.months == 1:
            return f"{year}-{month + 1:02}"
        return f"{year}-Q{month // 3 + 1}" if self.months == LENGTHS["Quarter"] else str(year)

    @property
    def name(self) -> str:
        """How it is written as a heading: `November 2026`, `Q4 2026` or `2026`."""
        starts_on = self.period.starts_on
        return f"{starts_on:%B %Y}" if self.months == 1 else self.short_name

    @property
    def short_name(self) -> str:
        """How it is written in a sentence: `Nov 2026`, `Q4 2026` or `2026`."""
        if self.months == 1:
            return f"{self.period.starts_on:%b %Y}"
        return " ".join(reversed(self.key.split("-")))

    @property
    def before(self) -> "Span":
        """The one just before it."""
        return Span(self.first - self.months, self.months)

    @property
    def after(self) -> "Span":
        """The one just after it."""
        return Span(self.first + self.months, self.months)

    def months_until_its_end(self, number: int) -> list["Span"]:
        """List so many single months, of which the last is its own last one."""
        end = self.first + self.months
        return [Span(first, 1) for first in range(end - number, end)]


def span_of(day: date, months: int = 1) -> Span:
    """Return the month, quarter or year in which a day lies."""
    first = day.year * MONTHS_OF_YEAR + day.month - 1
    return Span(first - first % months, months)


def read_span(text: str) -> Span | None:
    """Read a span from an address; None when it is none."""
    found = _KEY.fullmatch(text)
    if found is None or not YEAR_MIN <= int(found[1]) <= YEAR_MAX:
        return None
    first = int(found[1]) * MONTHS_OF_YEAR
    if found[2]:
        return Span(first + (int(found[2]) - 1) * LENGTHS["Quarter"], LENGTHS["Quarter"])
    if found[3]:
        return Span(first + int(found[3]) - 1, 1)
    return Span(first, LENGTHS["Year"])


def _day_of(month: int) -> date:
    year, place = divmod(month, MONTHS_OF_YEAR)
    return date(year, place + 1, 1)
