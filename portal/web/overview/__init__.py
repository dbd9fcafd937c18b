"""The first page: where the money of a period stands, and what waits for a person."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from portal.clock import now_utc, today
from portal.domain.users import Permission
from portal.queries.batches import list_runs
from portal.queries.cases import count_open_cases
from portal.queries.dashboard import count_messages, find_latest_day
from portal.web.access import require
from portal.web.htmx import render_part
from portal.web.menu import target
from portal.web.overview._figures import due_days, figure_out, read_books
from portal.web.overview._places import Places
from portal.web.overview._spans import LENGTHS, Span, read_span, span_of
from portal.web.overview._waiting import list_waiting
from portal.web.tables import list_address
from portal.web.visitors import current_organisation

LATEST_RUNS_MAX = 5
PERIOD_ARGUMENT, CURRENCY_ARGUMENT = "period", "currency"

bp = Blueprint("overview", __name__)


class Choice(NamedTuple):
    """A way to the same page of another period or currency."""

    words: str
    address: str | None
    is_current: bool = False


class Steps(NamedTuple):
    """The ways from the period that is shown to others; None where there is nothing yet."""

    before: Choice
    after: Choice | None
    lengths: list[Choice]
    currencies: list[Choice]


@bp.get("/")
@require(Permission.VIEW_OVERVIEW)
def show() -> ResponseReturnValue:
    """Show the figures of a period, a statement for each kind."""
    organisation = current_organisation()
    day_now = today(organisation.zone)
    asked = request.args.get(PERIOD_ARGUMENT, "")
    found = read_span(asked)
    span = found or span_of(day_now)
    books = read_books(span, today=day_now)
    currencies = _ordered(books.currencies(), organisation.currency)
    wanted = request.args.get(CURRENCY_ARGUMENT, "")
    currency = wanted if wanted in currencies else currencies[0]
    chosen = books.of(currency)
    has_figures = chosen.has_figures(span.period)
    latest = None if has_figures else find_latest_day(currency=currency)
    messages = count_messages()
    problems = [f"“{asked[:20]}” is no period, such as 2026-11, 2026-Q4 or 2026."] * bool(
        asked and found is None
    ) + [f"There is nothing in “{wanted[:10]}”."] * bool(wanted and wanted != currency)
    return render_part(
        "overview/show.html",
        "overview/_figures.html",
        now=now_utc(),
        today=day_now,
        span=span,
        currency=currency,
        problems=problems,
        steps=_steps(span, currency, currencies, today=day_now),
        address=_address(span, currency if len(currencies) > 1 else ""),
        figures=figure_out(
            chosen,
            span,
            currency,
            places=Places(currency, is_named=len(currencies) > 1),
            today=day_now,
        ),
        due_days=due_days(span, day_now),
        latest=_latest(latest.latest_on, span, currencies, currency) if latest else None,
        is_empty=latest is not None and latest.latest_on is None and not books.currencies(),
        drafts=list_address("invoices.index", ("status", "draft"))
        if latest and latest.has_drafts
        else None,
        waiting=list_waiting(
            books.worklists,
            books.awaited,
            messages,
            cases_count=count_open_cases(),
            currencies=currencies,
        ),
        messages=messages,
        runs=list_runs(rows_max=LATEST_RUNS_MAX),
        status=422 if problems else 200,
    )


def _ordered(found: set[str], own: str) -> list[str]:
    """Order the currencies, the organisation's own first; it is there also without figures."""
    return sorted(found or {own}, key=lambda currency: (currency != own, currency))


def _latest(
    latest_on: date | None, span: Span, currencies: Sequence[str], currency: str
) -> Choice | None:
    """Lead to the last period of this length that has figures."""
    if latest_on is None:
        return None
    last = span_of(latest_on, span.months)
    return Choice(last.name, _address(last, currency if len(currencies) > 1 else ""))


def _steps(span: Span, currency: str, currencies: Sequence[str], *, today: date) -> Steps:
    named = currency if len(currencies) > 1 else ""

    def choice(words: str, wanted: Span, *, is_current: bool = False) -> Choice:
        return Choice(words, _address(wanted, named), is_current)

    # Another length shows the days looked at last: of a year that runs, the month that runs.
    last_on = min(span.period.last_on, max(today, span.period.starts_on))
    return Steps(
        before=choice(span.before.short_name, span.before),
        after=(
            choice(span.after.short_name, span.after)
            if span.after.period.starts_on <= today
            else None
        ),
        lengths=[
            choice(words, span_of(last_on, months), is_current=months == span.months)
            for words, months in LENGTHS.items()
        ],
        currencies=[
            Choice(one, _address(span, one), one == currency)
            for one in currencies
            if len(currencies) > 1
        ],
    )


def _address(span: Span, currency: str) -> str | None:
    named = {CURRENCY_ARGUMENT: currency} if currency else {}
    return target("overview.show", **{PERIOD_ARGUMENT: span.key, **named})
