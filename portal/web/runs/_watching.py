"""Batch runs as people watch them: the list, one run with live progress, stop and restart."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from flask import request, url_for
from flask.typing import ResponseReturnValue

from portal.clock import now_utc
from portal.domain.batches import RUN_MOVES, ItemOutcome, RunState
from portal.domain.errors import Invalid
from portal.domain.users import Permission
from portal.queries.batches import (
    CAUSES_MAX,
    RunRow,
    get_run,
    list_causes,
    list_items,
)
from portal.queries.tables import RUN_TABLE
from portal.services.batches import restart_run, stop_run
from portal.web.access import require, roles_with
from portal.web.htmx import is_part_wanted, nothing_new, redirect_part, render_part
from portal.web.runs._blueprint import RUN, bp
from portal.web.tables import send_csv, show_list
from portal.web.visitors import POLL_ARGUMENT, current_actor, current_visitor

ITEMS_MAX = 50
# An item may be set aside in three ways; a chunk counts them as one.
ASIDE = "aside"
ASIDE_OUTCOMES = (ItemOutcome.SKIPPED, ItemOutcome.PARKED, ItemOutcome.UNKNOWN)
MOVING_STATES = frozenset({RunState.STARTING, RunState.STARTED, RunState.STOPPING})
POLL_SECONDS = 2
POLL_SECONDS_LATER = 5
LATER_SECONDS = 600.0
ESTIMATE_SECONDS_MIN = 5.0
QUARTERS = 4

_COUNT = re.compile(r"[0-9]{1,9}")


class FilterUnreadable(Invalid):
    """The address asks for {what} in a way that is not understood. Nothing was changed; choose from
    the links of the page."""

    what: str


class ItemFilter(NamedTuple):
    """Which items of a run the address asks for."""

    outcome: str | None
    code: str | None
    after: str | None


class Pace(NamedTuple):
    """How fast a run is; None where it cannot be said yet."""

    seconds: float | None
    per_second: float | None
    seconds_left: float | None


@bp.get("/runs")
@require(Permission.VIEW_RUNS)
def index() -> ResponseReturnValue:
    """List the runs."""
    return show_list(RUN_TABLE, page="runs/list.html")


@bp.get("/runs.csv")
@require(Permission.VIEW_RUNS)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(RUN_TABLE)


@bp.get(RUN)
@require(Permission.VIEW_RUNS)
def show(run_id: UUID) -> ResponseReturnValue:
    """Show a run; a poll gets only what has changed since."""
    run, now = get_run(run_id), now_utc()
    seen = request.args.get(POLL_ARGUMENT)
    if seen is not None and seen == mark_of(run):
        return nothing_new()
    is_poll = seen is not None and is_part_wanted()
    chosen = _filter()
    context: dict[str, Any] = {
        "run": run,
        "now": now,
        "is_moving": run.state in MOVING_STATES,
        "is_live": run.state in MOVING_STATES and request.args.get("live") != "off",
        "address": url_for(".show", run_id=run_id),
        "poll_address": url_for(".show", run_id=run_id, seen=mark_of(run), **chosen._asdict()),
        "poll_seconds": _poll_seconds(run, now),
        "pace": pace_of(run, now),
        "causes": list_causes(run_id),
        "causes_max": CAUSES_MAX,
        "said": _said(run, seen) if is_poll else None,
        "chosen": chosen,
        **_actions(run),
    }
    # The list of items stays still while a run moves, and is brought up to date at its end.
    if not is_poll or run.state not in MOVING_STATES:
        context |= _items(run, chosen)
    return render_part("runs/show.html", "runs/_progress.html", **context)


@bp.post(f"{RUN}/stop")
@require(Permission.CONTROL_RUNS)
def stop(run_id: UUID) -> ResponseReturnValue:
    """Let a run stop after the chunks that are being worked."""
    stop_run(run_id=run_id, actor=current_actor(), now=now_utc())
    return redirect_part(url_for(".show", run_id=run_id))


@bp.post(f"{RUN}/restart")
@require(Permission.CONTROL_RUNS)
def restart(run_id: UUID) -> ResponseReturnValue:
    """Let a stopped or failed run go on where it stood."""
    restart_run(run_id=run_id, actor=current_actor(), now=now_utc())
    return redirect_part(url_for(".show", run_id=run_id))


def mark_of(run: RunRow) -> str:
    """Name what a page shows of a run; equal marks look the same.

    Shape: state, then the counts, joined by dots.
    """
    counts = (run.done, run.filtered, run.skipped, run.failed, run.leased, run.lost, run.given_up)
    return ".".join([run.state.value, *map(str, counts)])


def pace_of(run: RunRow, now: datetime) -> Pace:
    """Work out how long a run has taken, how fast it is and how long it may still take."""
    if run.started_at is None:
        return Pace(None, None, None)
    seconds = max(0.0, ((run.finished_at or now) - run.started_at).total_seconds())
    per_second = run.handled / seconds if seconds > 0 and run.handled else None
    left = None
    if per_second and run.state is RunState.STARTED and seconds >= ESTIMATE_SECONDS_MIN:
        left = (run.items_count - run.handled) / per_second
    return Pace(seconds, per_second, left)


def _actions(run: RunRow) -> dict[str, Any]:
    events = RUN_MOVES.events_from(run.state)
    may_control = current_visitor().may(Permission.CONTROL_RUNS)
    return {
        "may_stop": may_control and "stop" in events,
        "may_restart": may_control and "restart" in events,
        "lacks_role": not may_control and bool({"stop", "restart"} & set(events)),
        "controlling_roles": [role.label for role in roles_with(Permission.CONTROL_RUNS)],
    }


def _items(run: RunRow, chosen: ItemFilter) -> dict[str, Any]:
    items = list_items(
        run.id,
        rows_max=ITEMS_MAX + 1,
        outcomes=_outcomes(chosen.outcome),
        code=chosen.code,
        after=_item_id(chosen.after),
    )
    more = None
    if len(items) > ITEMS_MAX:
        items = items[:ITEMS_MAX]
        next_page = chosen._replace(after=items[-1].item_id.hex)
        more = url_for(".show", run_id=run.id, **next_page._asdict(), _anchor="items")
    return {"items": items, "more": more}


def _filter() -> ItemFilter:
    arguments = request.args
    return ItemFilter(arguments.get("outcome"), arguments.get("code"), arguments.get("after"))


def _outcomes(chosen: str | None) -> tuple[ItemOutcome, ...]:
    if chosen is None:
        return ()
    if chosen == ASIDE:
        return ASIDE_OUTCOMES
    try:
        return (ItemOutcome(chosen),)
    except ValueError:
        raise FilterUnreadable(what="an outcome") from None


def _item_id(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text is not None else None
    except ValueError:
        raise FilterUnreadable(what="a page of items") from None


def _poll_seconds(run: RunRow, now: datetime) -> int:
    seconds = pace_of(run, now).seconds or 0.0
    return POLL_SECONDS if seconds < LATER_SECONDS else POLL_SECONDS_LATER


def _read_counts(written: Sequence[str]) -> list[int]:
    """Read the counts of a mark; what cannot be read was not written by us."""
    return [int(one) for one in written if _COUNT.fullmatch(one)] or [0]


def _said(run: RunRow, seen: str | None) -> str | None:
    """Say aloud what a listener should know: each quarter, the first failure and the end."""
    state, *counts = (seen or "").split(".")
    if state and state != run.state.value:
        return f"Run {run.number}: {run.state.label.lower()}."
    # The outcomes come first in the mark, and failures last among them.
    *_, failed_before = before = _read_counts(counts[:4])
    if not run.items_count:
        return None
    if run.failed and not failed_before:
        return f"The first item has failed; {run.handled} of {run.items_count} items are handled."
    quarter = QUARTERS * run.handled // run.items_count
    if quarter > QUARTERS * sum(before) // run.items_count:
        return f"{100 // QUARTERS * quarter} percent of the items are handled."
    return None
