"""Attempts as people see them: the retry monitor, the list and one attempt."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from portal.clock import today
from portal.domain.payments import AttemptState
from portal.domain.users import Permission
from portal.queries.dashboard import MessageFigures, count_messages
from portal.queries.payments import (
    ComingRetries,
    CurrencySum,
    RetryCause,
    count_attempts_by_state,
    get_attempt,
    list_coming_retries,
    list_messages_of_attempt,
    list_retry_causes,
)
from portal.queries.tables import ATTEMPT_TABLE, WORKLISTS
from portal.services.payments import list_attempts_max
from portal.web.access import require
from portal.web.charts import Chart, Series, bar_chart
from portal.web.formats import whole
from portal.web.htmx import is_part_wanted, nothing_new, render_part
from portal.web.payments import say_attempt
from portal.web.tables import list_address, send_csv, show_list
from portal.web.visitors import POLL_ARGUMENT, current_organisation

CAUSES_MAX = 12
COMING_DAYS = 14
POLL_SECONDS = 5
MARK_LETTERS = 16
UNRESOLVED = ("state", "unresolved")

bp = Blueprint("attempts", __name__)


class Counter(NamedTuple):
    """How many attempts are in a state, and the list of them."""

    state: AttemptState
    number: int
    address: str | None


class Cause(NamedTuple):
    """Why payments are to be tried again or decided, and the list of them."""

    row: RetryCause
    address: str | None

    @property
    def is_code(self) -> bool:
        """Whether it has the code of a bank or gateway, and not only the name of a worklist."""
        return bool(self.row.code) and self.row.code not in WORKLISTS


class Monitor(NamedTuple):
    """What stands above the list of attempts; equal marks look the same."""

    counters: list[Counter]
    causes: list[Cause]
    coming: Chart | None
    coming_count: int
    coming_sums: list[CurrencySum]
    coming_address: str | None
    messages: MessageFigures
    parked_address: str | None
    mark: str

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been sent to a gateway, and nothing is planned."""
        return not (any(one.number for one in self.counters) or self.causes or self.coming_count)


@bp.get("/attempts")
@require(Permission.VIEW_PAYMENTS)
def index() -> ResponseReturnValue:
    """List attempts below what is to be tried again; a poll gets only what stands above."""
    seen = request.args.get(POLL_ARGUMENT)
    if seen is not None:
        return _answer_poll(seen)
    if is_part_wanted():
        return show_list(ATTEMPT_TABLE, page="attempts/list.html")
    return show_list(
        ATTEMPT_TABLE,
        page="attempts/list.html",
        is_live=request.args.get("live") != "off",
        **_monitor_context(read_monitor()),
    )


@bp.get("/attempts.csv")
@require(Permission.VIEW_PAYMENTS)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(ATTEMPT_TABLE)


@bp.get('/attempts/<public("attempt"):attempt_id>')
@require(Permission.VIEW_PAYMENTS)
def show(attempt_id: UUID) -> ResponseReturnValue:
    """Show one attempt: what the gateway was told, what it said, and when."""
    attempt = get_attempt(attempt_id)
    planned = list_attempts_max(
        payment_ids=[attempt.payment_id], on=today(current_organisation().zone)
    )
    return render_part(
        "attempts/show.html",
        "attempts/_attempt.html",
        attempt=attempt,
        standing=say_attempt(attempt),
        attempts_max=planned.get(attempt.payment_id, 0),
        messages=list_messages_of_attempt(attempt_id),
    )


def read_monitor() -> Monitor:
    """Read what is to be tried again, why and when, in a fixed number of statements."""
    on = today(current_organisation().zone)
    counts = count_attempts_by_state()
    causes = list_retry_causes(CAUSES_MAX)
    coming = list_coming_retries(on, COMING_DAYS)
    messages = count_messages()
    seen = repr((counts, causes, coming, messages)).encode()
    coming_count = sum(one.payments_count for one in coming)
    return Monitor(
        counters=[
            Counter(state, number, list_address("attempts.index", ("state", state.value)))
            for state, number in counts.items()
        ],
        causes=[Cause(one, address_of_cause(one)) for one in causes],
        coming=_draw(coming) if coming_count else None,
        coming_count=coming_count,
        coming_sums=_add_up(one.amounts for one in coming),
        coming_address=_address_of_days("next[lte]", coming[-1].on),
        messages=messages,
        parked_address=list_address("attempts.index", ("message", "parked")),
        mark=hashlib.sha256(seen).hexdigest()[:MARK_LETTERS],
    )


def address_of_cause(cause: RetryCause) -> str | None:
    """Return the list of exactly the payments that a cause counts, if the person may see it."""
    reason = [("reason", cause.code)]
    if not cause.code or cause.code in WORKLISTS:
        reason = [("reason", "none"), ("worklist", cause.code or "none")]
    return list_address("payments.index", UNRESOLVED, *reason)


def _answer_poll(seen: str) -> ResponseReturnValue:
    if not is_part_wanted():
        return redirect(url_for(".index"), 303)
    monitor = read_monitor()
    if monitor.mark == seen:
        return nothing_new()
    return render_part(
        "attempts/list.html",
        "attempts/_monitor.html",
        is_live=True,
        **_monitor_context(monitor),
    )


def _monitor_context(monitor: Monitor) -> dict[str, Any]:
    return {
        "monitor": monitor,
        "causes_max": CAUSES_MAX,
        "coming_days": COMING_DAYS,
        "poll_seconds": POLL_SECONDS,
        "poll_address": f"{url_for('.index')}?{POLL_ARGUMENT}={monitor.mark}",
    }


def _draw(coming: Sequence[ComingRetries]) -> Chart:
    """Draw how many payments are tried again on each day, each bar with its list."""
    # What should have been tried before stands on the first day.
    addresses = [_address_of_days("next[lte]", coming[0].on)]
    addresses += [_address_of_days("next", one.on) for one in coming[1:]]
    counts = [one.payments_count for one in coming]
    return bar_chart(
        [f"{one.on:%a} {one.on.day}" for one in coming],
        [Series("Payments", counts, addresses)],
        say=whole,
    )


def _address_of_days(argument: str, on: date) -> str | None:
    return list_address("payments.index", ("state", "scheduled"), (argument, on.isoformat()))


def _add_up(each: Iterable[Sequence[CurrencySum]]) -> list[CurrencySum]:
    found: dict[str, int] = {}
    for amounts in each:
        for currency, amount_minor in amounts:
            found[currency] = found.get(currency, 0) + amount_minor
    return [CurrencySum(currency, found[currency]) for currency in sorted(found)]
