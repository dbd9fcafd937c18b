"""Rehearsing a version on many documents: asked for, watched, and read by what differs."""

from datetime import date, timedelta
from functools import partial
from urllib.parse import urlencode
from uuid import UUID

from flask import request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import DateField, HiddenField, RadioField, SelectChoice, SelectField, StringField
from wtforms.validators import InputRequired, Length, Optional

from portal.clock import now_utc, today
from portal.domain.batches import RUN_MOVES, RunState
from portal.domain.errors import Conflict, Invalid, PortalError
from portal.domain.users import Permission
from portal.queries.batches import RunRow, get_run
from portal.queries.rehearsals import (
    RehearsalRow,
    get_rehearsal,
    list_clause_effects,
    list_finding_counts,
    list_largest_differences,
    sum_rehearsal,
)
from portal.queries.rulesets import (
    RuleSetRow,
    find_rule_set_in_force,
    get_rule_set,
    list_rule_sets,
)
from portal.queries.tables import Table, differences_of_rehearsal
from portal.services.rehearsals import RehearsalWish, start_rehearsal
from portal.web.access import require
from portal.web.htmx import is_part_wanted, nothing_new, render_part
from portal.web.once import answer_once, new_request_key
from portal.web.rulesets._blueprint import VERSION, bp
from portal.web.tables import send_csv, show_list
from portal.web.visitors import (
    POLL_ARGUMENT,
    current_actor,
    current_organisation,
    current_visitor,
)

REHEARSAL = '/rules/rehearsals/<public("run"):rehearsal_id>'
BOOKED = "booked"
DAYS_BEFORE = 90
POLL_SECONDS = 2
MOVING_STATES = frozenset({RunState.STARTED, RunState.STOPPING})


class RehearsalForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """On which documents a version is tried, and what it is compared with."""

    request_key = HiddenField(validators=[InputRequired()])
    documents = RadioField(
        "Documents",
        choices=[
            SelectChoice("issued", "Issued between two days"),
            SelectChoice("drafts", "The drafts of today"),
        ],
    )
    from_on = DateField("From", [Optional()])
    to_on = DateField("To", [Optional()])
    currency = StringField("Currency", [Optional(), Length(max=3, message="Three letters.")])
    against = SelectField("Compare with", validate_choice=True)

    def wish(self, version: int) -> RehearsalWish:
        """Say what was asked for."""
        against = None if self.against.data == BOOKED else int(self.against.data)
        days = (self.from_on.data, self.to_on.data)
        if self.documents.data == "drafts":
            days = (None, None)
        currency = (self.currency.data or "").strip().upper() or None
        return RehearsalWish(version, against, *days, currency)


@bp.get(f"{VERSION}/rehearse")
@require(Permission.START_RUNS)
def ask_rehearse(rule_set_version: int) -> ResponseReturnValue:
    """Ask on which documents a version is to be tried."""
    row, on = get_rule_set(rule_set_version), today(current_organisation().zone)
    form = RehearsalForm(
        formdata=None,
        request_key=new_request_key(),
        documents="issued",
        from_on=on - timedelta(days=DAYS_BEFORE),
        to_on=on,
        against=_usual(row, on),
    )
    return _form_page(row, form)


@bp.post(f"{VERSION}/rehearse")
@require(Permission.START_RUNS)
def rehearse(rule_set_version: int) -> ResponseReturnValue:
    """Start a rehearsal."""
    row, form = get_rule_set(rule_set_version), RehearsalForm()
    form.against.choices = _list_others(row)
    if not form.validate_on_submit():
        return _form_page(row, form, status=422)
    if form.documents.data == "issued":
        _require_days(form)
        if form.errors:
            return _form_page(row, form, status=422)

    def work() -> tuple[str, str]:
        run_id = start_rehearsal(
            wish=form.wish(row.version),
            on=today(current_organisation().zone),
            actor=current_actor(),
            now=now_utc(),
        )
        return url_for(".show_rehearsal", rehearsal_id=run_id), "The rehearsal was started."

    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        status = 422 if isinstance(refused, Invalid) else 409
        return _form_page(row, form, refused, status=status)


@bp.get(REHEARSAL)
@require(Permission.VIEW_RULES)
def show_rehearsal(rehearsal_id: UUID) -> ResponseReturnValue:
    """Show what a version would change; a poll gets only what has changed since."""
    rehearsal, run = get_rehearsal(rehearsal_id), get_run(rehearsal_id)
    seen = request.args.get(POLL_ARGUMENT)
    mark = f"{run.state.value}.{run.handled}"
    if seen == mark and is_part_wanted():
        return nothing_new()
    is_moving = run.state in MOVING_STATES
    return render_part(
        "rules/rehearsal.html",
        "rules/_rehearsal.html",
        rehearsal=rehearsal,
        run=run,
        is_live=is_moving and request.args.get("live") != "off",
        is_moving=is_moving,
        poll_address=url_for(".show_rehearsal", rehearsal_id=rehearsal_id, seen=mark),
        poll_seconds=POLL_SECONDS,
        may_stop=_may_stop(run),
        sums=sum_rehearsal(rehearsal_id),
        clauses=list_clause_effects(rehearsal_id),
        findings=list_finding_counts(rehearsal_id),
        largest=list_largest_differences(rehearsal_id),
        differing=partial(differing_address, rehearsal_id),
    )


@bp.get(f"{REHEARSAL}/differences")
@require(Permission.VIEW_RULES)
def differences(rehearsal_id: UUID) -> ResponseReturnValue:
    """List the documents that differ."""
    rehearsal = get_rehearsal(rehearsal_id)
    return show_list(_table(rehearsal), page="rules/differences.html", rehearsal=rehearsal)


@bp.get(f"{REHEARSAL}/differences.csv")
@require(Permission.VIEW_RULES)
def download_differences(rehearsal_id: UUID) -> ResponseReturnValue:
    """Hand out the documents that differ as CSV."""
    return send_csv(_table(get_rehearsal(rehearsal_id)))


def differing_address(rehearsal_id: UUID, *conditions: tuple[str, str]) -> str:
    """Return the address of the documents that differ under conditions."""
    address = url_for("rulesets.differences", rehearsal_id=rehearsal_id)
    return f"{address}?{urlencode(conditions)}" if conditions else address


def _table(rehearsal: RehearsalRow) -> Table:
    clauses = dict.fromkeys(row.clause for row in list_clause_effects(rehearsal.id))
    findings = [row.code for row in list_finding_counts(rehearsal.id)]
    return differences_of_rehearsal(rehearsal.id, clauses=clauses, findings=findings)


def _require_days(form: RehearsalForm) -> None:
    for field in (form.from_on, form.to_on):
        if field.data is None:
            field.errors = ["Enter a day, or choose the drafts."]


def _may_stop(run: RunRow) -> bool:
    may = current_visitor().may(Permission.CONTROL_RUNS)
    return may and "stop" in RUN_MOVES.events_from(run.state)


def _list_others(row: RuleSetRow) -> list[SelectChoice]:
    on = today(current_organisation().zone)
    others = [
        SelectChoice(
            str(one.version),
            f"Version {one.version}{', in force' if one.is_in_force(on) else ''}",
        )
        for one in list_rule_sets()
        if one.version != row.version
    ]
    return [*others, SelectChoice(BOOKED, "What was really booked")]


def _usual(row: RuleSetRow, on: date) -> str:
    in_force = find_rule_set_in_force(on)
    return str(in_force.version) if in_force and in_force.version != row.version else BOOKED


def _form_page(
    row: RuleSetRow, form: RehearsalForm, refused: PortalError | None = None, *, status: int = 200
) -> ResponseReturnValue:
    form.against.choices = _list_others(row)
    field = getattr(refused, "field", None)
    if refused is not None and field in form._fields:
        form[field].errors = [refused.message]
        refused = None
    return render_part(
        "rules/rehearse.html", "rules/_rehearse.html", status=status, version=row, form=form,
        problem=refused.message if refused else None,
    )  # fmt: skip
