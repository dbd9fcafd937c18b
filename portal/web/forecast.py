"""The forecast of retries: what is planned to be tried again, each number with its payments."""

import csv
import io
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import NamedTuple, TypeVar

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from portal.clock import today
from portal.domain.money import format_amount
from portal.domain.users import Permission
from portal.queries.forecast import FORECAST_DAYS, ForecastSum, forecast_retries
from portal.queries.tables import REASON_CLASSES
from portal.web.access import require
from portal.web.charts import Chart, Series, bar_chart
from portal.web.formats import whole
from portal.web.htmx import render_part
from portal.web.tables import list_address
from portal.web.visitors import current_organisation

COLUMNS = ("day", "method", "why", "currency", "payments", "amount")
Condition = tuple[str, str]
Key = TypeVar("Key")

bp = Blueprint("forecast", __name__)


class Sum(NamedTuple):
    """An amount of one currency, and the payments that add up to it."""

    currency: str
    amount_minor: int
    address: str | None


class Part(NamedTuple):
    """Payments that belong together: how many, how much, and the list of them."""

    payments_count: int
    sums: list[Sum]
    address: str | None


class DayLine(NamedTuple):
    """What is tried again on a day; the first day has also what should have been tried before."""

    on: date
    is_first: bool
    part: Part


class CauseLine(NamedTuple):
    """What is tried again of one method and for one kind of reason."""

    method: str
    why: str
    part: Part


@bp.get("/forecast")
@require(Permission.VIEW_PAYMENTS)
def show() -> ResponseReturnValue:
    """Show what is planned to be tried again: by day, drawn, and by method and reason."""
    on = today(current_organisation().zone)
    found = forecast_retries(on)
    last = ("next[lte]", (on + timedelta(days=FORECAST_DAYS - 1)).isoformat())
    return render_part(
        "forecast/show.html",
        "forecast/_forecast.html",
        days=FORECAST_DAYS,
        lines=_by_day(found, on),
        causes=_by_cause(found, last),
        total=_part(found, last),
        drawn=_draw(found, on) if found else None,
    )


@bp.get("/forecast.csv")
@require(Permission.VIEW_PAYMENTS)
def download() -> ResponseReturnValue:
    """Hand out the forecast as CSV."""
    on = today(current_organisation().zone)
    kept = io.StringIO()
    writer = csv.writer(kept, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in forecast_retries(on):
        amount = format_amount(one.amount_minor, one.currency)
        day = one.day.isoformat()
        writer.writerow([day, one.method, one.why, one.currency, one.payments_count, amount])
    name = f'attachment; filename="forecast-{on.isoformat()}.csv"'
    return Response(kept.getvalue(), mimetype="text/csv", headers={"Content-Disposition": name})


def _by_day(found: list[ForecastSum], on: date) -> list[DayLine]:
    return [
        DayLine(day, day == on, _part(some, _of_day(day, on)))
        for day, some in _grouped(found, lambda one: one.day).items()
    ]


def _by_cause(found: list[ForecastSum], last: Condition) -> list[CauseLine]:
    grouped = _grouped(found, lambda one: (one.method, one.why))
    lines = [
        CauseLine(
            method.label,
            REASON_CLASSES[why],
            _part(some, last, ("method", method.value), ("why", why)),
        )
        for (method, why), some in grouped.items()
    ]
    return sorted(lines, key=lambda one: -one.part.payments_count)


def _part(found: Iterable[ForecastSum], *conditions: Condition) -> Part:
    """Add up what belongs together, with the lists of exactly those payments."""
    some = list(found)
    by_currency = _grouped(some, lambda one: one.currency)
    return Part(
        sum(one.payments_count for one in some),
        [
            Sum(
                currency,
                sum(one.amount_minor for one in by_currency[currency]),
                _address(*conditions, ("currency", currency)),
            )
            for currency in sorted(by_currency)
        ],
        _address(*conditions),
    )


def _draw(found: list[ForecastSum], on: date) -> Chart:
    """Draw how many payments are tried again on each day, also those with none."""
    grouped = _grouped(found, lambda one: one.day)
    counts = {day: sum(one.payments_count for one in some) for day, some in grouped.items()}
    every_day = [on + timedelta(days=place) for place in range(FORECAST_DAYS)]
    return bar_chart(
        [f"{day:%a} {day.day}" for day in every_day],
        [
            Series(
                "Payments",
                [counts.get(day, 0) for day in every_day],
                [_address(_of_day(day, on)) for day in every_day],
            )
        ],
        say=whole,
    )


def _of_day(day: date, on: date) -> Condition:
    return "next[lte]" if day == on else "next", day.isoformat()


def _address(*conditions: Condition) -> str | None:
    return list_address("payments.index", ("state", "scheduled"), *conditions)


def _grouped(
    found: Iterable[ForecastSum], key: Callable[[ForecastSum], Key]
) -> dict[Key, list[ForecastSum]]:
    grouped: dict[Key, list[ForecastSum]] = {}
    for one in found:
        grouped.setdefault(key(one), []).append(one)
    return grouped
