"""Answering a dispute, and accepting its loss."""

from uuid import UUID

from flask import url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, TextAreaField
from wtforms.validators import InputRequired, Length

from portal.clock import now_utc, today
from portal.domain.disputes import DISPUTE_MOVES, RESPONSE_CHARACTERS_MAX
from portal.domain.errors import Conflict, Invalid, PortalError
from portal.domain.users import Permission
from portal.queries.disputes import DisputeRow, get_dispute
from portal.services.disputes import accept_dispute, answer_dispute
from portal.web.access import require
from portal.web.disputes._blueprint import DISPUTE, bp
from portal.web.htmx import render_part
from portal.web.once import answer_once, new_request_key, seen_version
from portal.web.visitors import current_actor, current_organisation


class AnswerForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """What we answer, and which version of the dispute was seen."""

    version = HiddenField()
    request_key = HiddenField()
    text = TextAreaField(
        "Answer",
        [
            InputRequired("Write what the payer's bank should know."),
            Length(
                max=RESPONSE_CHARACTERS_MAX,
                message=f"Say it in at most {RESPONSE_CHARACTERS_MAX} characters.",
            ),
        ],
    )


@bp.get(f"{DISPUTE}/answer")
@require(Permission.ANSWER_DISPUTES)
def ask_answer(dispute_id: UUID) -> ResponseReturnValue:
    """Ask what is to be answered."""
    dispute = get_dispute(dispute_id)
    form = AnswerForm(
        formdata=None,
        version=str(dispute.version),
        request_key=new_request_key(),
        text=dispute.response or "",
    )
    return _page(dispute, "answer", form=form)


@bp.post(f"{DISPUTE}/answer")
@require(Permission.ANSWER_DISPUTES)
def answer(dispute_id: UUID) -> ResponseReturnValue:
    """Answer a dispute."""
    form = AnswerForm()
    if not form.validate_on_submit():
        return _page(get_dispute(dispute_id), "answer", form=form, status=422)

    def work() -> tuple[str, str]:
        answer_dispute(
            dispute_id=dispute_id,
            version=seen_version(),
            text=form.text.data,
            actor=current_actor(),
            now=now_utc(),
        )
        return _home(dispute_id), "The answer is on its way to the gateway."

    try:
        return answer_once(work)
    except Invalid as refused:
        form.text.errors = [refused.message]
        return _page(get_dispute(dispute_id), "answer", form=form, status=422)
    except Conflict as refused:
        return _page(get_dispute(dispute_id), "answer", refused, form=form)


@bp.get(f"{DISPUTE}/accept")
@require(Permission.ANSWER_DISPUTES)
def ask_accept(dispute_id: UUID) -> ResponseReturnValue:
    """Say what accepting the loss means, and ask for it."""
    return _page(get_dispute(dispute_id), "accept")


@bp.post(f"{DISPUTE}/accept")
@require(Permission.ANSWER_DISPUTES)
def accept(dispute_id: UUID) -> ResponseReturnValue:
    """Accept the loss of a dispute."""

    def work() -> tuple[str, str]:
        accept_dispute(
            dispute_id=dispute_id,
            version=seen_version(),
            on=today(current_organisation().zone),
            actor=current_actor(),
            now=now_utc(),
        )
        return _home(dispute_id), "The loss is accepted; the payer owes the invoice again."

    try:
        return answer_once(work)
    except Conflict as refused:
        return _page(get_dispute(dispute_id), "accept", refused)


def _page(
    dispute: DisputeRow,
    name: str,
    refused: PortalError | None = None,
    *,
    form: AnswerForm | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    """Show the page of a decision; where nothing can be decided it says why and leads back."""
    impossible = None
    if not refused and not DISPUTE_MOVES.may(dispute.state, name):
        impossible = f"the dispute is “{dispute.state.label.lower()}”"
    return render_part(
        f"disputes/{name}.html",
        f"disputes/_{name}.html",
        status=409 if impossible or refused else status,
        dispute=dispute,
        form=form,
        problem=refused.message if refused else None,
        impossible=impossible,
        hidden={"version": dispute.version, "request_key": new_request_key()},
        back=_home(dispute.id),
    )


def _home(dispute_id: UUID) -> str:
    return url_for("disputes.show", dispute_id=dispute_id)
