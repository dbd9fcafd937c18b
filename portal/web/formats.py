"""Figures, dates and states as people read them: the only place where they become text.

Numbers are written as in the organisation's country, times in its zone, words in English.
"""

import re
from collections.abc import Callable
from copy import copy
from datetime import date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import (
    format_compact_decimal,
    format_decimal,
    format_percent,
    get_decimal_symbol,
    get_group_symbol,
)
from flask import Flask
from markupsafe import Markup

from portal.domain.batches import list_jobs
from portal.domain.money import currency_exponent, format_amount, parse_amount, parse_decimal
from portal.queries.tables import WORKLISTS
from portal.web.tones import tone_of
from portal.web.visitors import known_visitor

# The language of the words, and so of the names of months.
LOCALE = "en_GB"
ZONE = "UTC"

# Currencies without a sign of their own stand as letters, `KWD 1.230`.
_LETTER_BEFORE_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)")

# A point with one, two or more than three digits behind it groups nothing.
_POINT_DECIMAL = re.compile(r"[+-]?[0-9]+\.(?:[0-9]{1,2}|[0-9]{4,})")

# Signs between groups of digits, as pages write them and as keyboards have them.
PLAIN_SIGNS = {
    "\N{NARROW NO-BREAK SPACE}": " ",
    "\N{NO-BREAK SPACE}": " ",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
}

JOBS = {job.name: job.title for job in list_jobs()}


def register(app: Flask) -> None:
    """Give the templates their filters."""
    app.jinja_env.filters.update(
        money=money, amount=amount, whole=whole, percent=percent, day=day, instant=instant,
        clock_time=clock_time, duration=duration, job=job_in_words, worklist=worklist_in_words,
        tone=tone_of, plain_decimal=plain_decimal, rate=rate,
    )  # fmt: skip


def money(amount_minor: int, currency: str) -> str:
    """Write an amount with its currency, `£1,904.20`."""
    return money_writer(currency)(amount_minor)


def money_writer(currency: str) -> Callable[[int], str]:
    """Return what writes many amounts of a currency like `money`."""
    return _figure(_locale_code(), currency_exponent(currency), currency).write


def amount(amount_minor: int, currency: str) -> str:
    """Write an amount where the currency stands at the head of the column, `1,904.20`."""
    return _figure(_locale_code(), currency_exponent(currency)).write(amount_minor)


def typed_amount(amount_minor: int, currency: str) -> str:
    """Write an amount as people type it into a field: without groups, so that it reads back."""
    text = format_amount(amount_minor, currency)
    return text.replace(".", get_decimal_symbol(_locale()))


def whole(number: int) -> str:
    """Write a count, `12,480`."""
    return format_decimal(number, locale=_locale())


def plain_decimal(number: Decimal) -> str:
    """Write a quantity or a price with all its digits and no more, `2,5`."""
    text = f"{number.normalize():f}"
    return text.replace(".", get_decimal_symbol(_locale()))


def read_decimal(text: str) -> Decimal:
    """Read a number as people of the organisation write it.

    Raises: NumberMalformed.
    """
    return parse_decimal(*_as_typed(text))


def read_amount(text: str, currency: str) -> int:
    """Read an amount as people of the organisation write it.

    Units: minor units.
    Raises: AmountMalformed; AmountTooLarge.
    """
    shown, decimal, group = _as_typed(text)
    return parse_amount(shown, currency, decimal=decimal, group=group)


def rate(rate_bps: int) -> str:
    """Write a rate, `19 %`."""
    return f"{plain_decimal(Decimal(rate_bps) / 100)}\N{NO-BREAK SPACE}%"


def short(amount_minor: int, currency: str) -> str:
    """Write an amount in a few letters for the axis of a chart, `1.5M`."""
    value = Decimal(amount_minor).scaleb(-currency_exponent(currency))
    return format_compact_decimal(value, locale=_locale(), fraction_digits=1)


def percent(part: int, total: int) -> str:
    """Write a share; it is 100 % only when nothing is left, and 0 % only when there is nothing."""
    if total <= 0:
        return format_percent(Decimal(0), locale=_locale())
    share = Decimal(part) / total
    if 0 < part < total:
        share = min(max(share, Decimal("0.01")), Decimal("0.99"))
    return format_percent(share, locale=_locale())


@lru_cache(maxsize=4096)
def day(value: date) -> Markup:
    """Write a day, `18 Mar 2026`.

    Shape: kept, as a list shows the same few days again and again.
    """
    shown = format_date(value, "d MMM y", locale=LOCALE)
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), shown)


def instant(value: datetime) -> Markup:
    """Write an instant with its zone, `18 Mar 2026, 09:30 GMT`."""
    local = value.astimezone(_zone())
    shown = f"{format_date(local, 'd MMM y', locale=LOCALE)}, {local:%H:%M} {local:%Z}"
    return _time(value, shown)


def clock_time(value: datetime) -> Markup:
    """Write the time of day of an instant with its zone, `09:30 GMT`."""
    local = value.astimezone(_zone())
    return _time(value, f"{local:%H:%M} {local:%Z}")


def duration(seconds: float) -> str:
    """Write a span by its two largest units, `2 min 14 s`."""
    left = max(0, round(seconds))
    if left == 0 and seconds > 0:
        return "under 1 s"
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def job_in_words(job: str) -> str:
    """Say what a job does; one without words of its own is spelt out."""
    return JOBS.get(job, job.replace("_", " ").capitalize())


def worklist_in_words(worklist: str) -> str:
    """Say why payments wait on a worklist."""
    return WORKLISTS.get(worklist, worklist.replace("_", " ").capitalize())


def language() -> str:
    """Name the language of the pages for readers of the screen."""
    return "en"


def _time(value: datetime, shown: str) -> Markup:
    exact = f"{value.astimezone(_zone()):%Y-%m-%d %H:%M:%S %Z}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        value.isoformat(timespec="seconds"), exact, shown
    )


def _as_typed(text: str) -> tuple[str, str, str]:
    """Return a number with its signs: those of the organisation, or a point where that is plain.

    Shape: "12.50" is twelve and a half also where a point groups digits; "1.250" is not changed.
    """
    decimal, group = get_decimal_symbol(_locale()), get_group_symbol(_locale())
    stripped = text.strip()
    if decimal != "." and _POINT_DECIMAL.fullmatch(stripped):
        return stripped, ".", ""
    # The pages write signs that keyboards lack; people type the plain ones.
    for written, typed in PLAIN_SIGNS.items():
        stripped, group = stripped.replace(written, typed), group.replace(written, typed)
    return stripped, decimal, group


def _locale_code() -> str:
    visitor = known_visitor()
    return visitor.organisation.locale if visitor and visitor.organisation else LOCALE


def _zone() -> ZoneInfo:
    visitor = known_visitor()
    return ZoneInfo(visitor.organisation.zone if visitor and visitor.organisation else ZONE)


def _locale() -> Locale:
    return _parsed(_locale_code())


@cache
def _parsed(code: str) -> Locale:
    try:
        return Locale.parse(code)
    except (ValueError, UnknownLocaleError):
        return Locale.parse(LOCALE)


class _Figure(NamedTuple):
    """How a locale writes amounts of a currency.

    Shape: a list shows a hundred of them, and Babel's patterns look all of this up for each.
    """

    before: str
    after: str
    before_negative: str
    after_negative: str
    decimal: str
    group: str
    # The digits of the last group, and of those before it.
    last_group: int
    group_before: int
    exponent: int

    def write(self, amount_minor: int) -> str:
        """Write an amount of minor units."""
        digits = str(abs(amount_minor)).zfill(self.exponent + 1)
        units, parts = digits[: len(digits) - self.exponent], digits[len(digits) - self.exponent :]
        groups = [units[-self.last_group :]]
        units = units[: -self.last_group]
        while units:
            groups.append(units[-self.group_before :])
            units = units[: -self.group_before]
        shown = self.group.join(reversed(groups)) + (self.decimal + parts if parts else "")
        if amount_minor < 0:
            return f"{self.before_negative}{shown}{self.after_negative}"
        return f"{self.before}{shown}{self.after}"


@cache
def _figure(code: str, exponent: int, currency: str | None = None) -> _Figure:
    """Learn from Babel how amounts are written, with the currency where one is given.

    Shape: digits by ISO 4217, which the books use; the locale's tables differ for a few.
    """
    locale = _parsed(code)
    formats = locale.currency_formats["standard"] if currency else locale.decimal_formats[None]
    pattern = copy(formats)
    pattern.frac_prec = (exponent, exponent)
    decimal = get_decimal_symbol(locale)
    one = "1" + (decimal + "0" * exponent if exponent else "")

    def around(sign: int) -> tuple[str, str]:
        shown = pattern.apply(Decimal(sign), locale, currency=currency, currency_digits=False)
        before, _, after = _LETTER_BEFORE_DIGIT.sub("\N{NO-BREAK SPACE}", shown).partition(one)
        return before, after

    last_group, group_before = pattern.grouping
    return _Figure(
        *around(1),
        *around(-1),
        decimal,
        get_group_symbol(locale),
        last_group,
        group_before,
        exponent,
    )
