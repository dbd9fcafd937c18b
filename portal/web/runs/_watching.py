"""Batch runs as people watch them: the list, one run with live progress and sheet, its items."""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from flask import request, url_for
from flask.typing import ResponseReturnValue

from portal.clock import now_utc
from portal.domain.batches import REPEATED_RUN_STATES, RUN_MOVES, ItemOutcome, RunState
from portal.domain.users import Permission
from portal.queries.batches import (
    CAUSES_MAX,
    RunRow,
    get_run,
    list_causes,
)
from portal.queries.sequences import find_step_of_run
from portal.queries.sheets import RunSheet, get_sheet
from portal.queries.tables import RUN_TABLE, items_of_run
from portal.services.batches import restart_run, stop_run
from portal.web.access import require, roles_with
from portal.web.htmx import is_part_wanted, nothing_new, redirect_part, render_part
from portal.web.once import new_request_key
from portal.web.runs._blueprint import RUN, bp
from portal.web.tables import send_csv, show_list
from portal.web.visitors import POLL_ARGUMENT, current_actor, current_visitor

# An item may be set aside in three ways; a chunk counts them as one.
ASIDE_OUTCOMES = (ItemOutcome.SKIPPED, ItemOutcome.PARKED, ItemOutcome.UNKNOWN)
MOVING_STATES = frozenset({RunState.STARTED, RunState.STOPPING})
POLL_SECONDS = 2
POLL_SECONDS_LATER = 5
LATER_SECONDS = 600.0
ESTIMATE_SECONDS_MIN = 5.0
QUARTERS = 4

_COUNT = re.compile(r"[0-9]{1,9}")


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
    sheet = get_sheet(run_id)
    context: dict[str, Any] = {
        "run": run,
        "now": now,
        "is_moving": run.state in MOVING_STATES,
        "is_live": run.state in MOVING_STATES and request.args.get("live") != "off",
        "address": url_for(".show", run_id=run_id),
        "poll_address": url_for(".show", run_id=run_id, seen=mark_of(run)),
        "poll_seconds": _poll_seconds(run, now),
        "pace": pace_of(run, now),
        "causes": list_causes(run_id),
        "causes_max": CAUSES_MAX,
        "said": _said(run, seen) if is_poll else None,
        "sheet": sheet,
        "place": find_step_of_run(run_id),
        "request_key": new_request_key(),
        "aside": [("outcome", outcome.value) for outcome in ASIDE_OUTCOMES],
        "items_address": partial(items_address, run_id),
        **actions_of(run, sheet),
    }
    return render_part("runs/show.html", "runs/_progress.html", **context)


@bp.get(f"{RUN}/items")
@require(Permission.VIEW_RUNS)
def items(run_id: UUID) -> ResponseReturnValue:
    """List what became of each item of a run."""
    run, sheet = get_run(run_id), get_sheet(run_id)
    return show_list(
        items_of_run(run_id),
        page="runs/items.html",
        run=run,
        sheet=sheet,
        causes=list_causes(run_id),
        causes_max=CAUSES_MAX,
        request_key=new_request_key(),
        address=url_for(".show", run_id=run_id),
        items_address=partial(items_address, run_id),
        **actions_of(run, sheet),
    )


@bp.get(f"{RUN}/items.csv")
@require(Permission.VIEW_RUNS)
def download_items(run_id: UUID) -> ResponseReturnValue:
    """Hand out the items of a run as CSV."""
    get_run(run_id)
    return send_csv(items_of_run(run_id))


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


def items_address(run_id: UUID, *conditions: tuple[str, str]) -> str:
    """Return the address of the items of a run under conditions."""
    address = url_for("runs.items", run_id=run_id)
    return f"{address}?{urlencode(conditions)}" if conditions else address


def actions_of(run: RunRow, sheet: RunSheet | None) -> dict[str, Any]:
    """Say what the person may do with a run now, and who else may."""
    events = RUN_MOVES.events_from(run.state)
    visitor = current_visitor()
    may_control = visitor.may(Permission.CONTROL_RUNS)
    waits = run.state is RunState.AWAITING_APPROVAL
    is_own = sheet is not None and sheet.started_by_id == visitor.id
    left = run.failed + run.skipped if run.state in REPEATED_RUN_STATES else 0
    is_repeated = sheet is not None and sheet.repeated_by is not None
    return {
        "may_stop": may_control and "stop" in events,
        "may_restart": may_control and "restart" in events,
        "may_abandon": may_control and "abandon" in events,
        "waits": waits,
        "is_own": is_own,
        "may_approve": waits and not is_own and visitor.may(Permission.APPROVE_RUNS),
        "repeated_count": left,
        "may_repeat": bool(left) and not is_repeated and visitor.may(Permission.START_RUNS),
        "lacks_role": not may_control and bool({"stop", "restart"} & set(events)),
        "controlling_roles": [role.label for role in roles_with(Permission.CONTROL_RUNS)],
        "approving_roles": [role.label for role in roles_with(Permission.APPROVE_RUNS)],
    }


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
