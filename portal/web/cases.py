"""Cases as people see them: the list, one with its history, and closing it."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, TextAreaField
from wtforms.validators import InputRequired, Length

from portal.clock import now_utc
from portal.domain.cases import (
    CASE_MOVES,
    CASE_REASON_CHARACTERS_MAX,
    CASE_TEXTS,
    CaseSubject,
)
from portal.domain.errors import Conflict, Invalid, PortalError
from portal.domain.payments import AttemptState
from portal.domain.users import Permission
from portal.queries.cases import CaseRow, get_case, list_case_history
from portal.queries.tables import CASE_TABLE
from portal.services.cases import close_case
from portal.web.access import require, roles_with
from portal.web.htmx import render_part
from portal.web.menu import target
from portal.web.once import answer_once, new_request_key
from portal.web.tables import list_address, send_csv, show_list
from portal.web.visitors import current_actor, current_visitor

CASE = '/cases/<public("case"):case_id>'
# Where a subject has a page: its endpoint, and the name of its id there.
PAGES: Mapping[CaseSubject, tuple[str, str]] = {
    CaseSubject.ATTEMPT: ("attempts.show", "attempt_id"),
    CaseSubject.INBOX_MESSAGE: ("inbox_messages.show", "inbox_message_id"),
    CaseSubject.RUN: ("runs.show", "run_id"),
    CaseSubject.PAYOUT: ("payouts.show", "payout_id"),
    CaseSubject.REFUND: ("refunds.show", "refund_id"),
    CaseSubject.DISPUTE: ("disputes.show", "dispute_id"),
    CaseSubject.PAYMENT: ("payments.show", "payment_id"),
    CaseSubject.INVOICE: ("invoices.show", "invoice_id"),
}
HAPPENED = {
    "case.opened": ("Opened", "alert", "warn"),
    "case.resolved": ("Resolved itself", "tick", "ok"),
    "case.closed": ("Closed", "dash", "idle"),
}

bp = Blueprint("cases", __name__)


class CloseForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """Why a case is settled."""

    request_key = HiddenField()
    reason = TextAreaField(
        "Reason",
        [
            InputRequired("Say why the case is closed."),
            Length(
                max=CASE_REASON_CHARACTERS_MAX,
                message=f"Say it in at most {CASE_REASON_CHARACTERS_MAX} characters.",
            ),
        ],
    )


class Happened(NamedTuple):
    """One line of a case's history."""

    words: str
    picture: str
    tone: str


@bp.get("/cases")
@require(Permission.VIEW_CASES)
def index() -> ResponseReturnValue:
    """List the cases."""
    return show_list(CASE_TABLE, page="cases/list.html")


@bp.get("/cases.csv")
@require(Permission.VIEW_CASES)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(CASE_TABLE)


@bp.get(CASE)
@require(Permission.VIEW_CASES)
def show(case_id: UUID) -> ResponseReturnValue:
    """Show one case: what is wrong, what was done, what to do, and what happened to it."""
    case = get_case(case_id)
    may_close = current_visitor().may(Permission.CLOSE_CASES)
    is_closable = CASE_MOVES.may(case.state, "close")
    return render_part(
        "cases/show.html",
        "cases/_case.html",
        case=case,
        text=CASE_TEXTS[case.kind],
        subject_address=subject_address(case),
        history=[
            (one, Happened(*HAPPENED.get(one.kind, (one.kind, "dash", "idle"))))
            for one in list_case_history(case_id)
        ],
        may_close=may_close and is_closable,
        lacks_role=not may_close and is_closable,
        closing_roles=" or ".join(
            role.label.lower() for role in roles_with(Permission.CLOSE_CASES)
        ),
    )


@bp.get(f"{CASE}/close")
@require(Permission.CLOSE_CASES)
def ask_close(case_id: UUID) -> ResponseReturnValue:
    """Ask why a case is settled, and say what closing means."""
    return _page(get_case(case_id), CloseForm(formdata=None, request_key=new_request_key()))


@bp.post(f"{CASE}/close")
@require(Permission.CLOSE_CASES)
def close(case_id: UUID) -> ResponseReturnValue:
    """Close a case."""
    form = CloseForm()
    if not form.validate_on_submit():
        return _page(get_case(case_id), form)

    def work() -> tuple[str, str]:
        close_case(case_id=case_id, reason=form.reason.data, actor=current_actor(), now=now_utc())
        return url_for(".show", case_id=case_id), "The case is closed."

    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        return _page(get_case(case_id), form, refused)


def subject_address(case: CaseRow) -> str | None:
    """Return where what the case is about can be seen, if that is a page the person may see."""
    if case.subject_type is CaseSubject.COLLECTED_DAY:
        return list_address(
            "attempts.index",
            ("state", AttemptState.SUCCEEDED.value),
            ("day", str(case.details.get("business_on"))),
        )
    endpoint, argument = PAGES.get(case.subject_type, ("", ""))
    return target(endpoint, **{argument: case.subject_id}) if endpoint else None


def _page(
    case: CaseRow, form: CloseForm, refused: PortalError | None = None
) -> ResponseReturnValue:
    is_over = not CASE_MOVES.may(case.state, "close")
    status = 422 if refused or form.errors else 200
    if is_over or isinstance(refused, Conflict):
        status = 409
    return render_part(
        "cases/close.html",
        "cases/_close.html",
        status=status,
        case=case,
        form=form,
        is_over=is_over,
        problem=refused.message if refused else None,
        back=url_for(".show", case_id=case.id),
    )
