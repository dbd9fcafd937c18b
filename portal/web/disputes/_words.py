"""How a dispute stands, and what happened to it, in sentences."""

from collections.abc import Sequence
from datetime import date

from markupsafe import Markup

from portal.domain.disputes import DisputeState
from portal.queries.disputes import DisputeEventRow, DisputeRow
from portal.web.formats import day
from portal.web.payments import MACHINES, Happening

# What happened: words, picture, tone.
_SAYINGS = {
    "dispute.opened": ("The payer's bank took the money back", "alert", "bad"),
    "dispute.answered": ("Answered", "message", "info"),
    "dispute.accepted": ("The loss was accepted", "dash", "idle"),
    "dispute.answer_refused": ("The gateway refused the answer", "alert", "warn"),
    "dispute.won": ("Won: the money is back", "tick", "ok"),
    "dispute.lost": ("Lost: the money stays away", "close", "bad"),
    "dispute.mismatched": ("The gateway's answer does not fit", "question", "hold"),
    "dispute.contradicted": ("The gateway has said two things", "question", "hold"),
}


def say_dispute(dispute: DisputeRow, on: date) -> Markup | str:
    """Say in one or two sentences how a dispute stands on a day."""
    if dispute.worklist is not None:
        return "The gateway's answers leave it in doubt: a person must look at it."
    if dispute.state is DisputeState.WON:
        return "The money came back, and counts towards the invoice again."
    if dispute.state is DisputeState.LOST:
        return "The money stays with the payer, who owes the invoice again."
    if dispute.state is DisputeState.UNDER_REVIEW:
        return "It was answered; the payer's bank decides, and the gateway says what."
    left = (dispute.respond_by - on).days
    if left < 0:
        return Markup(
            "The time to answer ended on {}; the gateway is asked what came of it."
        ).format(day(dispute.respond_by))
    until = {0: "today", 1: "tomorrow"}.get(left, f"in {left} days")
    return Markup("Answer it by {} ({}), or it is lost. {}").format(
        day(dispute.respond_by), until, dispute.reason
    )


def list_dispute_happenings(
    dispute: DisputeRow, history: Sequence[DisputeEventRow]
) -> list[Happening]:
    """Say what is still to come for a dispute, and what happened to it, the newest first."""
    plans = []
    if dispute.state is DisputeState.NEEDS_RESPONSE:
        words = "The time to answer ends"
        plans.append(Happening(words, dispute.respond_by, "clock", "warn", is_planned=True))
    elif dispute.is_open and dispute.next_query_at is not None:
        words = "The gateway is asked"
        plans.append(Happening(words, dispute.next_query_at, "question", "hold", is_planned=True))
    return plans + [_say(row) for row in history]


def _say(row: DisputeEventRow) -> Happening:
    spare = (row.kind.partition(".")[2].replace("_", " ").capitalize(), "dash", "idle")
    words, picture, tone = _SAYINGS.get(row.kind, spare)
    by = row.actor if row.actor not in MACHINES else None
    note = f"“{row.reason}”" if row.reason else None
    return Happening(words, row.happened_at, picture, tone, by=by, note=note)
