"""How a refund stands, and what happened to it, in sentences."""

from collections.abc import Sequence

from markupsafe import Markup

from portal.domain.refunds import RefundState
from portal.queries.refunds import RefundEventRow, RefundRow
from portal.web.formats import day
from portal.web.payments import MACHINES, Happening

_STANDINGS = {
    RefundState.REQUESTED: "It waits for the approval of a second person; nothing was sent.",
    RefundState.APPROVED: "It is about to be sent to the gateway.",
    RefundState.DECLINED: "It was declined; nothing was given back.",
    RefundState.RETURNED: "It was given back, and came back to us.",
}
# What happened: words, picture, tone.
_SAYINGS = {
    "refund.requested": ("Asked for", "back", "info"),
    "refund.approved": ("Approved", "tick", "ok"),
    "refund.declined": ("Declined", "close", "idle"),
    "refund.submitted": ("Sent to the gateway", "right", "info"),
    "refund.succeeded": ("Given back and booked", "tick", "ok"),
    "refund.failed": ("Failed", "alert", "bad"),
    "refund.mismatched": ("The gateway's answer does not fit", "question", "hold"),
    "refund.contradicted": ("The gateway has said two things", "question", "hold"),
}


def say_refund(refund: RefundRow) -> Markup | str:
    """Say in one or two sentences how a refund stands."""
    if refund.worklist is not None:
        return "The gateway's answers leave it in doubt: a person must look at it."
    if refund.state is RefundState.SUCCEEDED:
        return Markup("Given back on {}.").format(day(refund.business_on))
    if refund.state is RefundState.FAILED:
        return f"Nothing was given back. {refund.failure or ''}".strip()
    if refund.state is RefundState.SUBMITTED and refund.gateway_ref:
        return "The gateway has accepted it, and says later what came of it."
    if refund.state is RefundState.SUBMITTED:
        return "It is with the gateway, which is asked until it answers; nothing is sent twice."
    return _STANDINGS[refund.state]


def list_refund_happenings(refund: RefundRow, history: Sequence[RefundEventRow]) -> list[Happening]:
    """Say what is still to come for a refund, and what happened to it, the newest first."""
    plans = []
    if refund.state is RefundState.SUBMITTED and refund.next_query_at is not None:
        words = "The gateway is asked again"
        plans.append(Happening(words, refund.next_query_at, "question", "hold", is_planned=True))
    return plans + [_say(refund, row) for row in history]


def _say(refund: RefundRow, row: RefundEventRow) -> Happening:
    spare = (row.kind.partition(".")[2].replace("_", " ").capitalize(), "dash", "idle")
    words, picture, tone = _SAYINGS.get(row.kind, spare)
    note = f"“{row.reason}”" if row.reason else None
    if row.kind == "refund.failed":
        note = refund.failure
    by = row.actor if row.actor not in MACHINES else None
    return Happening(words, row.happened_at, picture, tone, by=by, note=note)
