"""Emergency brakes as people see them: on every page while one holds, pulled, and released."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Blueprint, g, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, SelectChoice, SelectField, TextAreaField
from wtforms.validators import InputRequired, Length

from portal.clock import now_utc
from portal.domain.batches import list_startable_jobs
from portal.domain.brakes import REASON_CHARACTERS_MAX, BrakeState
from portal.domain.errors import Conflict, Invalid, PortalError
from portal.domain.users import Permission
from portal.queries.brakes import (
    BRAKES_MAX,
    BrakeRow,
    get_brake,
    list_brakes,
    list_holding_brakes,
)
from portal.queries.organisations import list_gateway_accounts
from portal.services.brakes import pull_brake, release_brake
from portal.web.access import require, roles_with
from portal.web.formats import job_in_words
from portal.web.htmx import render_part
from portal.web.once import answer_once, new_request_key
from portal.web.visitors import current_actor, current_visitor, known_visitor

HOUR_SECONDS = 3600
HOLDS = (("1", "1 hour"), ("4", "4 hours"), ("24", "1 day"), ("72", "3 days"), ("168", "1 week"))
EVERYTHING = "everything"
ACCOUNT, JOB = "account", "job"

bp = Blueprint("brakes", __name__)


class PullForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """What a brake is on, why, and for how long."""

    request_key = HiddenField()
    scope = SelectField("What is held")
    hours = SelectField("For how long", choices=[SelectChoice(*one) for one in HOLDS])
    reason = TextAreaField(
        "Reason",
        [
            InputRequired("Say why the brake is pulled."),
            Length(
                max=REASON_CHARACTERS_MAX,
                message=f"Say it in at most {REASON_CHARACTERS_MAX} characters.",
            ),
        ],
    )


@bp.get("/brakes")
@require(Permission.VIEW_MESSAGES)
def index() -> ResponseReturnValue:
    """List the brakes, those that hold first."""
    return render_part(
        "brakes/list.html",
        "brakes/list.html",
        brakes=list_brakes(),
        brakes_max=BRAKES_MAX,
        may_pull=current_visitor().may(Permission.PULL_BRAKES),
        pulling_roles=[role.label.lower() for role in roles_with(Permission.PULL_BRAKES)],
    )


@bp.get("/brakes/new")
@require(Permission.PULL_BRAKES)
def new() -> ResponseReturnValue:
    """Ask what is to be held, why and for how long."""
    return _pull_page(PullForm(formdata=None, request_key=new_request_key()))


@bp.post("/brakes/new")
@require(Permission.PULL_BRAKES)
def pull() -> ResponseReturnValue:
    """Pull a brake."""
    form = PullForm()
    form.scope.choices = _scopes()
    if not form.validate_on_submit():
        return _pull_page(form, status=422)
    kind, _, name = form.scope.data.partition(":")

    def work() -> tuple[str, str]:
        pull_brake(
            reason=form.reason.data,
            hold_seconds=int(form.hours.data) * HOUR_SECONDS,
            gateway_account_id=UUID(name) if kind == ACCOUNT else None,
            job=name if kind == JOB else None,
            actor=current_actor(),
            now=now_utc(),
        )
        return url_for(".index"), "The brake is pulled; nothing more of this is begun."

    def again(refused: PortalError) -> ResponseReturnValue:
        status = 409 if isinstance(refused, Conflict) else 422
        return _pull_page(form, refused, status=status)

    return _answer(work, again)


@bp.get('/brakes/<public("brake"):brake_id>/release')
@require(Permission.PULL_BRAKES)
def ask_release(brake_id: UUID) -> ResponseReturnValue:
    """Say what releasing means, and ask for it."""
    return _release_page(get_brake(brake_id))


@bp.post('/brakes/<public("brake"):brake_id>/release')
@require(Permission.PULL_BRAKES)
def release(brake_id: UUID) -> ResponseReturnValue:
    """Release a brake."""

    def work() -> tuple[str, str]:
        release_brake(brake_id=brake_id, actor=current_actor(), now=now_utc())
        return url_for(".index"), "The brake is released; what waited goes on."

    return _answer(work, lambda refused: _release_page(get_brake(brake_id), refused))


def holding_brakes() -> list[BrakeRow]:
    """List the brakes of the person's organisation that hold, for every page; asks once."""
    visitor = known_visitor()
    if visitor is None or visitor.organisation is None:
        return []
    if "holding_brakes" not in g:
        g.holding_brakes = list_holding_brakes()
    found: list[BrakeRow] = g.holding_brakes
    return found


def brake_scope_in_words(brake: BrakeRow) -> str:
    """Say what a brake is on, as it stands in a sentence."""
    if brake.account_code is not None:
        return f"the gateway account {brake.account_code}"
    if brake.job is not None:
        return f"the job “{job_in_words(brake.job)}”"
    return "the whole organisation"


def _answer(
    work: Callable[[], tuple[str, str]], again: Callable[[PortalError], ResponseReturnValue]
) -> ResponseReturnValue:
    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        return again(refused)


def _scopes() -> list[Any]:
    accounts = [(f"{ACCOUNT}:{one.id}", one.code) for one in list_gateway_accounts()]
    jobs = [(f"{JOB}:{one.name}", one.title) for one in list_startable_jobs()]
    return [
        SelectChoice(EVERYTHING, "The whole organisation: every job, every order to a gateway"),
        *(SelectChoice(value, f"Orders to the gateway account {code}") for value, code in accounts),
        *(SelectChoice(value, f"The job “{title}”") for value, title in jobs),
    ]


def _pull_page(
    form: PullForm, refused: PortalError | None = None, *, status: int = 200
) -> ResponseReturnValue:
    form.scope.choices = _scopes()
    return render_part(
        "brakes/new.html",
        "brakes/_new.html",
        status=status,
        form=form,
        problem=refused.message if refused else None,
        back=url_for(".index"),
    )


def _release_page(brake: BrakeRow, refused: PortalError | None = None) -> ResponseReturnValue:
    is_over = brake.state is not BrakeState.ACTIVE
    return render_part(
        "brakes/release.html",
        "brakes/_release.html",
        status=409 if refused or is_over else 200,
        brake=brake,
        is_over=is_over,
        problem=refused.message if refused else None,
        hidden={"request_key": new_request_key()},
        back=url_for(".index"),
    )
