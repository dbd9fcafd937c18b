"""Payouts for machines: what gateways have paid out, listed and read with what it is made of."""

from typing import Any
from uuid import UUID

from flask import Response

from portal.api.access import require
from portal.api.answers import answer, money, shown_id
from portal.api.doors import DoorBlueprint, answers
from portal.api.fields import (
    Strict,
    amount_of_money,
    calendar_day,
    many,
    moment,
    noun_name,
    own_id,
    state_of,
    whole,
    words,
)
from portal.api.lists import answer_list, list_schema, lists
from portal.domain.settlements import MatchState, PayoutItemKind, PayoutState, SettlementState
from portal.domain.users import Permission
from portal.queries.settlements import (
    PayoutRow,
    get_payout,
    list_bank_lines_of_payout,
    list_payout_parts,
)
from portal.queries.tables import PAYOUT_ITEM_TABLE, PAYOUT_TABLE, items_of_payout

bp = DoorBlueprint("payouts", "What gateways have paid out to the bank, and how far it is booked.")


class PayoutPartSchema(Strict):
    """The items of one kind in a payout."""

    kind = state_of(PayoutItemKind)
    items = whole()
    left = whole(description="How many of them were not found here.")
    gross = amount_of_money()
    fee = amount_of_money()
    net = amount_of_money()


class BankLineSchema(Strict):
    """A line of the bank that names a payout."""

    reference = words(description="The reference of the bank.")
    booked = calendar_day()
    amount = amount_of_money()
    state = state_of(MatchState)


class PayoutSchema(Strict):
    """A payout with how far its booking is."""

    object = noun_name("payout")
    id = own_id("payout")
    reference = words(description="The gateway's reference.")
    account = words(description="The code of the gateway account.")
    day = calendar_day(description="Its business date.")
    state = state_of(SettlementState, description="How far its booking is.")
    gateway_state = state_of(PayoutState, description="How far it is at the gateway.")
    gross = amount_of_money()
    fee = amount_of_money()
    net = amount_of_money(description="What was paid out.")
    residual = amount_of_money(description="What was not explained by what was found here.")
    tolerated = amount_of_money(description="What the bank showed beyond it, as far as agreed.")
    currency = words()
    parts = many(PayoutPartSchema, description="Its items by kind.")
    bank_lines = many(BankLineSchema, description="The lines of the bank that name it.")
    closed = moment(none=True)
    created = moment()
    version = whole()


@bp.route("/payouts")
@lists(PAYOUT_TABLE)
@answers(list_schema(PAYOUT_TABLE))
@require(Permission.VIEW_SETTLEMENTS)
def list_payouts() -> Response:
    """List payouts."""
    return answer_list(PAYOUT_TABLE)


@bp.route("/payouts/<api_id(payout):payout_id>")
@answers(PayoutSchema, refuses=(404,))
@require(Permission.VIEW_SETTLEMENTS)
def show_payout(payout_id: UUID) -> Response:
    """Show a payout."""
    return answer(shown_payout(get_payout(payout_id)))


@bp.route("/payouts/<api_id(payout):payout_id>/items")
@lists(PAYOUT_ITEM_TABLE)
@answers(list_schema(PAYOUT_ITEM_TABLE), refuses=(404,))
@require(Permission.VIEW_SETTLEMENTS)
def list_payout_items(payout_id: UUID) -> Response:
    """List the parts of a payout, and what was found here for each."""
    get_payout(payout_id)
    return answer_list(items_of_payout(payout_id))


def shown_payout(payout: PayoutRow) -> dict[str, Any]:
    """Write a payout with what it is made of."""
    currency = payout.currency
    return {
        "object": "payout",
        "id": shown_id("payout", payout.id),
        "reference": payout.gateway_ref,
        "account": payout.account_code,
        "day": payout.business_on,
        "state": payout.settlement_state,
        "gateway_state": payout.payout_state,
        "gross": money(payout.gross_minor, currency),
        "fee": money(payout.fee_minor, currency),
        "net": money(payout.net_minor, currency),
        "residual": money(payout.residual_minor, currency),
        "tolerated": money(payout.tolerated_minor, currency),
        "currency": currency,
        "parts": [
            {
                "kind": part.kind,
                "items": part.items_count,
                "left": part.left_count,
                "gross": money(part.gross_minor, currency),
                "fee": money(part.fee_minor, currency),
                "net": money(part.net_minor, currency),
            }
            for part in list_payout_parts(payout.id)
        ],
        "bank_lines": [
            {
                "reference": line.bank_ref,
                "booked": line.booked_on,
                "amount": money(line.amount_minor, line.currency),
                "state": line.match_state,
            }
            for line in list_bank_lines_of_payout(payout)
        ],
        "closed": payout.closed_at,
        "created": payout.created_at,
        "version": payout.version,
    }
