"""Values of a range as people and machines write them: days, spans of days, amounts, counts."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from portal.domain.dates import DateMalformed, parse_date
from portal.domain.errors import Invalid
from portal.domain.money import format_amount, parse_amount
from portal.queries.tables._shape import Kind

COUNT_DIGITS_MAX = 9
MONTHS_OF_QUARTER = 3
YEAR_MAX = 9998

WORDS = {"gte": "from {}", "gt": "after {}", "lte": "up to {}", "lt": "before {}", "": "{}"}
MONEY_WORDS = {"gte": "at least {}", "gt": "more than {}", "lte": "at most {}", "lt": "below {}",
               "": "{}"}  # fmt: skip


class ValueUnreadable(Exception):
    """A value cannot be read; `wanted` says what it should be."""

    def __init__(self, wanted: str) -> None:
        """Keep what is wanted."""
        super().__init__(wanted)
        self.wanted = wanted


class Bounds(NamedTuple):
    """From the least value on, up to but without the end; None is no bound."""

    least: Any
    end: Any
    # Amounts of other currencies are not compared.
    currency: str = ""


def read_bounds(
    kind: Kind, text: str, operator: str, *, today: date, currency: str
) -> tuple[Bounds, str]:
    """Read a value of a range with its comparison.

    Shape: half-open bounds and their words; `this-month` and its like move with the day.
    Raises: ValueUnreadable.
    """
    if kind is Kind.DAY:
        return _read_days(text, operator, today)
    if kind is Kind.INSTANT:
        return _read_instant(text, operator)
    if kind is Kind.MONEY:
        try:
            amount_minor = parse_amount(text, currency)
        except Invalid:
            raise ValueUnreadable(f"an amount in {currency} such as 1250.00") from None
        shown = f"{format_amount(amount_minor, currency)} {currency}"
        bounds = _bounds(amount_minor, operator, 1)._replace(currency=currency)
        return bounds, MONEY_WORDS[operator].format(shown)
    if not (text.isascii() and text.isdigit() and len(text) <= COUNT_DIGITS_MAX):
        raise ValueUnreadable("a number")
    return _bounds(int(text), operator, 1), MONEY_WORDS[operator].format(text)


def _read_days(text: str, operator: str, today: date) -> tuple[Bounds, str]:
    span = SPANS.get(text)
    if span is not None:
        if operator:
            raise ValueUnreadable("a day: a span of days cannot be compared")
        first, end = span[1](today)
        return Bounds(first, end), span[0]
    try:
        day = parse_date(text)
    except DateMalformed:
        raise ValueUnreadable(f"a day such as 2026-01-31, or one of {', '.join(SPANS)}") from None
    if day.year > YEAR_MAX:
        raise ValueUnreadable(f"a day up to the year {YEAR_MAX}")
    shown = f"{day.day} {day:%b %Y}"
    return _bounds(day, operator, timedelta(days=1)), WORDS[operator].format(shown)


def _read_instant(text: str, operator: str) -> tuple[Bounds, str]:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueUnreadable("an instant such as 2026-01-31T09:30:00Z") from None
    if instant.tzinfo is None or not 1 < instant.year <= YEAR_MAX:
        raise ValueUnreadable("an instant with its zone, such as 2026-01-31T09:30:00Z")
    least = timedelta(microseconds=1)
    return _bounds(instant, operator, least), WORDS[operator].format(f"{instant:%d %b %Y %H:%M %Z}")


def _bounds(value: Any, operator: str, least: Any) -> Bounds:
    if operator == "gte":
        return Bounds(value, None)
    if operator == "gt":
        return Bounds(value + least, None)
    if operator == "lt":
        return Bounds(None, value)
    if operator == "lte":
        return Bounds(None, value + least)
    return Bounds(value, value + least)


def _month(today: date, back: int, months: int = 1) -> tuple[date, date]:
    """Return the first day of some months and the day after them."""
    first = today.year * 12 + today.month - 1 - back
    end = first + months
    return date(first // 12, first % 12 + 1, 1), date(end // 12, end % 12 + 1, 1)


def _quarter(today: date, back: int) -> tuple[date, date]:
    into = (today.month - 1) % MONTHS_OF_QUARTER
    return _month(today, into + back * MONTHS_OF_QUARTER, MONTHS_OF_QUARTER)


def _days(today: date, first: int, end: int) -> tuple[date, date]:
    return today + timedelta(days=first), today + timedelta(days=end)


def _week(today: date, later: int) -> tuple[date, date]:
    return _days(today, -today.weekday() + 7 * later, 7 - today.weekday() + 7 * later)


SPANS: dict[str, tuple[str, Callable[[date], tuple[date, date]]]] = {
    "today": ("today", lambda today: _days(today, 0, 1)),
    "this-week": ("this week", lambda today: _week(today, 0)),
    "next-week": ("next week", lambda today: _week(today, 1)),
    "this-month": ("this month", lambda today: _month(today, 0)),
    "last-month": ("last month", lambda today: _month(today, 1)),
    "next-month": ("next month", lambda today: _month(today, -1)),
    "this-quarter": ("this quarter", lambda today: _quarter(today, 0)),
    "last-quarter": ("last quarter", lambda today: _quarter(today, 1)),
    "this-year": ("this year", lambda today: _month(today, today.month - 1, 12)),
    "last-year": ("last year", lambda today: _month(today, today.month + 11, 12)),
}
