"""Looking at disputes: the list and one dispute."""

from uuid import UUID

from flask.typing import ResponseReturnValue

from portal.clock import today
from portal.domain.disputes import DISPUTE_MOVES
from portal.domain.users import Permission
from portal.queries.disputes import get_dispute, list_dispute_history
from portal.queries.payments import list_messages_of_attempt
from portal.queries.tables import DISPUTE_TABLE
from portal.web.access import require, roles_with
from portal.web.disputes._blueprint import DISPUTE, bp
from portal.web.disputes._words import list_dispute_happenings, say_dispute
from portal.web.htmx import render_part
from portal.web.tables import send_csv, show_list
from portal.web.visitors import current_organisation, current_visitor


@bp.get("/disputes")
@require(Permission.VIEW_PAYMENTS)
def index() -> ResponseReturnValue:
    """List disputes."""
    return show_list(DISPUTE_TABLE, page="disputes/list.html")


@bp.get("/disputes.csv")
@require(Permission.VIEW_PAYMENTS)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(DISPUTE_TABLE)


@bp.get(DISPUTE)
@require(Permission.VIEW_PAYMENTS)
def show(dispute_id: UUID) -> ResponseReturnValue:
    """Show a dispute: how it stands, until when it can be answered, and what happened."""
    dispute = get_dispute(dispute_id)
    is_answerable = DISPUTE_MOVES.may(dispute.state, "answer")
    may_answer = current_visitor().may(Permission.ANSWER_DISPUTES)
    roles = " or ".join(role.label.lower() for role in roles_with(Permission.ANSWER_DISPUTES))
    return render_part(
        "disputes/show.html",
        "disputes/_dispute.html",
        dispute=dispute,
        standing=say_dispute(dispute, today(current_organisation().zone)),
        # A dispute has messages as an attempt has.
        messages=list_messages_of_attempt(dispute_id),
        happened=list_dispute_happenings(dispute, list_dispute_history(dispute_id)),
        is_answerable=is_answerable,
        why_not=None if may_answer else f"a {roles} answers disputes",
    )
