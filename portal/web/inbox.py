"""Messages from the gateways as people see them: the list, and one that can be handled again."""

from datetime import datetime
from uuid import UUID

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue

from portal.clock import now_utc
from portal.domain.errors import PortalError
from portal.domain.messages import INBOX_MOVES
from portal.domain.users import Permission
from portal.queries.messages import get_inbox_message
from portal.queries.tables import INBOX_TABLE
from portal.queries.tables.messages import ARRIVED_KINDS
from portal.services.messages import handle_message_again
from portal.web.access import require
from portal.web.htmx import render_part
from portal.web.messages import answer, controlling_roles
from portal.web.once import new_request_key
from portal.web.tables import list_address, send_csv, show_list
from portal.web.visitors import current_actor, current_visitor

INBOX_MESSAGE = '/inbox/<public("inbox_message"):inbox_message_id>'
KINDS = {one.value: one.words for one in ARRIVED_KINDS}

bp = Blueprint("inbox_messages", __name__)


@bp.get("/inbox")
@require(Permission.VIEW_MESSAGES)
def index() -> ResponseReturnValue:
    """List the messages that came from the gateways."""
    return show_list(
        INBOX_TABLE, page="inbox/list.html", outbox_address=list_address("messages.index")
    )


@bp.get("/inbox.csv")
@require(Permission.VIEW_MESSAGES)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(INBOX_TABLE)


@bp.get(INBOX_MESSAGE)
@require(Permission.VIEW_MESSAGES)
def show(inbox_message_id: UUID) -> ResponseReturnValue:
    """Show one message that arrived."""
    message = get_inbox_message(inbox_message_id)
    may_control = current_visitor().may(Permission.CONTROL_MESSAGES)
    is_movable = INBOX_MOVES.may(message.state, "release")
    return render_part(
        "inbox/show.html",
        "inbox/_message.html",
        message=message,
        words=KINDS.get(message.kind, message.kind),
        happened_at=_read_instant(message.content.get("occurred_at")),
        may_handle=may_control and is_movable,
        lacks_role=not may_control and is_movable,
        controlling_roles=controlling_roles(),
    )


@bp.get(f"{INBOX_MESSAGE}/handle")
@require(Permission.CONTROL_MESSAGES)
def ask_handle(inbox_message_id: UUID) -> ResponseReturnValue:
    """Say what handling again does, and ask for it."""
    return _page(inbox_message_id, None)


@bp.post(f"{INBOX_MESSAGE}/handle")
@require(Permission.CONTROL_MESSAGES)
def handle(inbox_message_id: UUID) -> ResponseReturnValue:
    """Let a parked message be handled once more."""

    def work() -> tuple[str, str]:
        handle_message_again(
            inbox_message_id=inbox_message_id, actor=current_actor(), now=now_utc()
        )
        return _home(inbox_message_id), "The message is handled again in a moment."

    return answer(work, lambda refused: _page(inbox_message_id, refused))


def _read_instant(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _page(inbox_message_id: UUID, refused: PortalError | None) -> ResponseReturnValue:
    message = get_inbox_message(inbox_message_id)
    is_impossible = refused is not None or not INBOX_MOVES.may(message.state, "release")
    return render_part(
        "inbox/handle.html",
        "inbox/_handle.html",
        status=409 if is_impossible else 200,
        message=message,
        is_impossible=is_impossible,
        problem=refused.message if refused else None,
        hidden={"request_key": new_request_key()},
        back=_home(inbox_message_id),
    )


def _home(inbox_message_id: UUID) -> str:
    return url_for("inbox_messages.show", inbox_message_id=inbox_message_id)
