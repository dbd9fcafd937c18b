"""Looking at refunds: the list and one refund."""

from uuid import UUID

from flask.typing import ResponseReturnValue

from portal.domain.refunds import REFUND_MOVES
from portal.domain.users import Permission
from portal.queries.payments import list_messages_of_attempt
from portal.queries.refunds import get_refund, list_refund_history
from portal.queries.tables import REFUND_TABLE
from portal.web.access import require
from portal.web.htmx import render_part
from portal.web.refunds._acting import why_undecidable
from portal.web.refunds._blueprint import REFUND, bp
from portal.web.refunds._words import list_refund_happenings, say_refund
from portal.web.tables import send_csv, show_list


@bp.get("/refunds")
@require(Permission.VIEW_PAYMENTS)
def index() -> ResponseReturnValue:
    """List refunds."""
    return show_list(REFUND_TABLE, page="refunds/list.html")


@bp.get("/refunds.csv")
@require(Permission.VIEW_PAYMENTS)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(REFUND_TABLE)


@bp.get(REFUND)
@require(Permission.VIEW_PAYMENTS)
def show(refund_id: UUID) -> ResponseReturnValue:
    """Show a refund: how it stands, what happened, what can be decided."""
    refund = get_refund(refund_id)
    may_decide = REFUND_MOVES.may(refund.state, "approve")
    return render_part(
        "refunds/show.html",
        "refunds/_refund.html",
        refund=refund,
        standing=say_refund(refund),
        # A refund has messages as an attempt has.
        messages=list_messages_of_attempt(refund_id),
        happened=list_refund_happenings(refund, list_refund_history(refund_id)),
        may_decide=may_decide,
        why_not=why_undecidable(refund) if may_decide else None,
    )
