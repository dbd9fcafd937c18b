"""Payouts as people see them: the list, one with its booking, what it is made of, the bank."""

from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import urlencode
from uuid import UUID

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from portal.domain.settlements import MatchState, SettlementState
from portal.domain.users import Permission
from portal.queries.settlements import (
    LEFT_MATCHES,
    BankLineRow,
    PayoutPart,
    PayoutRow,
    SettlementEventRow,
    get_payout,
    list_bank_lines_of_payout,
    list_payout_parts,
    list_settlement_history,
)
from portal.queries.tables import PAYOUT_TABLE, items_of_payout
from portal.web.access import require
from portal.web.formats import day, money, whole
from portal.web.htmx import render_part
from portal.web.menu import target
from portal.web.payments import MACHINES, Happening
from portal.web.tables import send_csv, show_list

PAYOUT = '/payouts/<public("payout"):payout_id>'
# What happened: words, picture, tone.
HAPPENED: Mapping[str, tuple[str, str, str]] = {
    "payout.recorded": ("Reported by the gateway", "settlements", "info"),
    "settlement.matching": ("Not all of it was found here", "question", "hold"),
    "settlement.balanced": ("All of it was found here, and booked", "tick", "info"),
    "settlement.closed": ("Shown by the bank, and closed", "tick", "ok"),
    "settlement.closed_with_exceptions": ("Closed with exceptions", "tick", "warn"),
}

bp = Blueprint("payouts", __name__)


@bp.get("/payouts")
@require(Permission.VIEW_SETTLEMENTS)
def index() -> ResponseReturnValue:
    """List the payouts."""
    return show_list(PAYOUT_TABLE, page="payouts/list.html")


@bp.get("/payouts.csv")
@require(Permission.VIEW_SETTLEMENTS)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(PAYOUT_TABLE)


@bp.get(PAYOUT)
@require(Permission.VIEW_SETTLEMENTS)
def show(payout_id: UUID) -> ResponseReturnValue:
    """Show a payout: how far its booking is, what it is made of, what the bank has shown."""
    payout = get_payout(payout_id)
    parts, bank_lines = list_payout_parts(payout_id), list_bank_lines_of_payout(payout)
    is_closed = payout.closed_at is not None
    return render_part(
        "payouts/show.html",
        "payouts/_payout.html",
        payout=payout,
        standing=_say_standing(payout, parts, bank_lines),
        parts=parts,
        items_address=partial(_items_address, payout_id),
        left=[("match", state.value) for state in LEFT_MATCHES],
        bank_lines=bank_lines,
        happened=[_say(one) for one in list_settlement_history(payout)],
        settle_address=None if is_closed else target("runs.new", job="settlement_closing"),
    )


@bp.get(f"{PAYOUT}/items")
@require(Permission.VIEW_SETTLEMENTS)
def items(payout_id: UUID) -> ResponseReturnValue:
    """List the parts of a payout, and what was found here for each."""
    return show_list(
        items_of_payout(payout_id), page="payouts/items.html", payout=get_payout(payout_id)
    )


@bp.get(f"{PAYOUT}/items.csv")
@require(Permission.VIEW_SETTLEMENTS)
def download_items(payout_id: UUID) -> ResponseReturnValue:
    """Hand out the parts of a payout as CSV."""
    get_payout(payout_id)
    return send_csv(items_of_payout(payout_id))


def _items_address(payout_id: UUID, conditions: Sequence[tuple[str, str]] = ()) -> str:
    address = url_for(".items", payout_id=payout_id)
    return f"{address}?{urlencode(conditions)}" if conditions else address


def _say_standing(
    payout: PayoutRow, parts: Sequence[PayoutPart], bank_lines: Sequence[BankLineRow]
) -> Markup | str:
    """Say in a sentence or two how far the booking is, and what it waits for."""
    match payout.settlement_state:
        case SettlementState.OPEN:
            return "Reported by the gateway; the next run compares it with what is known here."
        case SettlementState.MATCHING:
            return _say_left(payout, sum(part.left_count for part in parts))
        case SettlementState.BALANCED:
            return _say_awaited(payout, bank_lines)
        case SettlementState.CLOSED:
            return _say_closed(payout, bank_lines)
        case SettlementState.CLOSED_WITH_EXCEPTIONS:
            return "A person has closed it with exceptions."


def _say_left(payout: PayoutRow, left_count: int) -> str:
    residual = money(payout.residual_minor, payout.currency)
    if not left_count:
        why = "The items do not add up to it"
    elif left_count == 1:
        why = "One of its items was not found here as the gateway reports it"
    else:
        why = f"{whole(left_count)} of its items were not found here as the gateway reports them"
    return f"{why}; {residual} is not explained, so nothing of it is booked yet."


def _say_awaited(payout: PayoutRow, bank_lines: Sequence[BankLineRow]) -> str:
    booked = "All of it was found here and is booked"
    differing = [one for one in bank_lines if one.match_state is MatchState.UNMATCHED]
    if not differing:
        return f"{booked}; the bank has not shown it yet."
    shown = money(differing[-1].amount_minor, payout.currency)
    return (
        f"{booked}; the bank shows {shown} instead of {money(payout.net_minor, payout.currency)}."
    )


def _say_closed(payout: PayoutRow, bank_lines: Sequence[BankLineRow]) -> Markup | str:
    taken = [one for one in bank_lines if one.match_state is MatchState.MATCHED]
    if not taken:
        return "All of it was found here, and there was nothing to be paid out."
    difference = ""
    if payout.tolerated_minor:
        tolerated = money(payout.tolerated_minor, payout.currency)
        difference = f", with a difference of {tolerated} that the rules tolerate"
    sentence = Markup("All of it was found here, and the bank showed it on {}{}.")
    return sentence.format(day(taken[0].booked_on), difference)


def _say(row: SettlementEventRow) -> Happening:
    spare = (row.kind.partition(".")[2].replace("_", " ").capitalize(), "dash", "idle")
    words, picture, tone = HAPPENED.get(row.kind, spare)
    by = row.actor if row.actor not in MACHINES else None
    return Happening(words, row.happened_at, picture, tone, by=by)
