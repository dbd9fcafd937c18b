"""Messages to the gateways as people see them: the list, one with its tries, and decisions."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, TextAreaField
from wtforms.validators import InputRequired, Length

from portal.clock import now_utc
from portal.domain.errors import Conflict, Invalid, PortalError
from portal.domain.messages import MESSAGE_MOVES, MessageKind, MessageState
from portal.domain.payments import ASKABLE_ATTEMPT_STATES
from portal.domain.users import Permission
from portal.queries.messages import Lags, OutboxRow, get_message, list_deliveries, measure_lags
from portal.queries.tables import MESSAGE_TABLE
from portal.services.messages import send_message_again, withdraw_message
from portal.web.access import require, roles_with
from portal.web.formats import duration
from portal.web.htmx import is_part_wanted, render_part
from portal.web.once import answer_once, new_request_key
from portal.web.tables import list_address, send_csv, show_list
from portal.web.visitors import current_actor, current_visitor

REASON_CHARACTERS_MAX = 500
MESSAGE = '/messages/<public("message"):message_id>'

bp = Blueprint("messages", __name__)


class WithdrawForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """Why a message is given up."""

    request_key = HiddenField()
    reason = TextAreaField(
        "Reason",
        [
            InputRequired("Say why the message is withdrawn."),
            Length(
                max=REASON_CHARACTERS_MAX,
                message=f"Say it in at most {REASON_CHARACTERS_MAX} characters.",
            ),
        ],
    )


@bp.get("/messages")
@require(Permission.VIEW_MESSAGES)
def index() -> ResponseReturnValue:
    """List the messages to the gateways, below how late the work is."""
    lags = [] if is_part_wanted() else say_lags(measure_lags())
    return show_list(
        MESSAGE_TABLE,
        page="messages/list.html",
        lags=lags,
        inbox_address=list_address("inbox_messages.index"),
    )


@bp.get("/messages.csv")
@require(Permission.VIEW_MESSAGES)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(MESSAGE_TABLE)


@bp.get(MESSAGE)
@require(Permission.VIEW_MESSAGES)
def show(message_id: UUID) -> ResponseReturnValue:
    """Show one message with every try to deliver it."""
    message = get_message(message_id)
    events = MESSAGE_MOVES.events_from(message.state)
    may_control = current_visitor().may(Permission.CONTROL_MESSAGES)
    return render_part(
        "messages/show.html",
        "messages/_message.html",
        message=message,
        deliveries=list_deliveries(message_id),
        may_send=may_control and (message.state is MessageState.READY or "release" in events),
        may_withdraw=may_control and "withdraw" in events,
        lacks_role=not may_control and bool(events),
        controlling_roles=controlling_roles(),
    )


@bp.get(f"{MESSAGE}/send")
@require(Permission.CONTROL_MESSAGES)
def ask_send(message_id: UUID) -> ResponseReturnValue:
    """Say what sending again does, and ask for it."""
    return _page(get_message(message_id), "send", None)


@bp.post(f"{MESSAGE}/send")
@require(Permission.CONTROL_MESSAGES)
def send(message_id: UUID) -> ResponseReturnValue:
    """Put a message back into the queue."""

    def work() -> tuple[str, str]:
        send_message_again(message_id=message_id, actor=current_actor(), now=now_utc())
        return _home(message_id), "The message is in the queue; it is taken up in a moment."

    return answer(work, lambda refused: _page(get_message(message_id), "send", refused))


@bp.get(f"{MESSAGE}/withdraw")
@require(Permission.CONTROL_MESSAGES)
def ask_withdraw(message_id: UUID) -> ResponseReturnValue:
    """Ask why a message is to be given up, and say what it means."""
    form = WithdrawForm(formdata=None, request_key=new_request_key())
    return _page(get_message(message_id), "withdraw", None, form=form)


@bp.post(f"{MESSAGE}/withdraw")
@require(Permission.CONTROL_MESSAGES)
def withdraw(message_id: UUID) -> ResponseReturnValue:
    """Give a message up."""
    form = WithdrawForm()
    if not form.validate_on_submit():
        return _page(get_message(message_id), "withdraw", None, form=form, status=422)

    def work() -> tuple[str, str]:
        withdraw_message(
            message_id=message_id, reason=form.reason.data, actor=current_actor(), now=now_utc()
        )
        return _home(message_id), "The message is withdrawn; it is not sent."

    return answer(
        work, lambda refused: _page(get_message(message_id), "withdraw", refused, form=form)
    )


def answer(
    work: Callable[[], tuple[str, str]], again: Callable[[PortalError], ResponseReturnValue]
) -> ResponseReturnValue:
    """Do the work once; what is refused is said on the page that asked for it."""
    try:
        return answer_once(work)
    except (Invalid, Conflict) as refused:
        return again(refused)


def controlling_roles() -> str:
    """Name the roles that decide about messages."""
    return " or ".join(role.label.lower() for role in roles_with(Permission.CONTROL_MESSAGES))


def say_lags(lags: Lags) -> list[tuple[str, str | None]]:
    """Say how long the oldest work of each kind has been due.

    Shape: (what, how long); None where nothing waits.
    """
    return [
        (words, None if seconds is None else duration(seconds))
        for words, seconds in (
            ("Oldest message due", lags.message_seconds),
            ("Oldest arrived message", lags.inbox_seconds),
            ("Oldest unknown outcome", lags.unknown_seconds),
            ("Oldest free chunk of a run", lags.chunk_seconds),
        )
    ]


def _page(
    message: OutboxRow,
    name: str,
    refused: PortalError | None,
    *,
    status: int = 200,
    **context: Any,
) -> ResponseReturnValue:
    """Show a page of confirmation; what was refused is said there, with the way back."""
    if refused:
        status = 409 if isinstance(refused, Conflict) else 422
    about = message.about
    is_open_charge = message.kind is MessageKind.CHARGE and about is not None
    return render_part(
        f"messages/{name}.html",
        f"messages/_{name}.html",
        status=status,
        message=message,
        problem=refused.message if refused else None,
        is_unknown=is_open_charge and about and about.attempt_state in ASKABLE_ATTEMPT_STATES,
        hidden={"request_key": new_request_key()},
        back=_home(message.id),
        **context,
    )


def _home(message_id: UUID) -> str:
    return url_for("messages.show", message_id=message_id)
