"""Payers for machines: found, and what they owe."""

from typing import Any
from uuid import UUID

from flask import Response

from portal.api.access import current_day, require
from portal.api.answers import answer, money, shown_id
from portal.api.doors import DoorBlueprint, answers
from portal.api.fields import (
    Strict,
    amount_of_money,
    calendar_day,
    flag,
    many,
    noun_name,
    own_id,
    state_of,
    whole,
    words,
)
from portal.api.lists import answer_list, list_schema, lists
from portal.domain.payers import Arrangement, PayerKind
from portal.domain.users import Permission
from portal.queries.payers import PayerBalance, PayerRow, get_payer, get_payer_balance
from portal.queries.tables import PAYER_TABLE

bp = DoorBlueprint("payers", "Who owes.")


class BalanceSchema(Strict):
    """Where the money between a payer and the organisation stands, in one currency."""

    object = noun_name("balance")
    currency = words()
    invoices = whole(description="How many invoices there are; void ones do not count.")
    invoiced = amount_of_money()
    paid = amount_of_money()
    credited = amount_of_money()
    written_off = amount_of_money()
    in_payment = amount_of_money()
    open = amount_of_money()
    overdue = amount_of_money(description="The part of `open` whose day has passed.")
    credit_left = amount_of_money()
    deposits_held = amount_of_money()


class PayerSchema(Strict):
    """A payer with what it owes today."""

    object = noun_name("payer")
    id = own_id("payer")
    name = words()
    reference = words(description="What the source system calls it.")
    kind = state_of(PayerKind)
    email = words(none=True)
    country = words(none=True)
    is_on_hold = flag(description="Nothing is collected from it.")
    arrangement = state_of(Arrangement, none=True)
    arranged_until = calendar_day(none=True, description="Until then no reminder is sent.")
    number = whole()
    balances = many(BalanceSchema, description="One per currency; none without documents.")


@bp.route("/payers")
@lists(PAYER_TABLE)
@answers(list_schema(PAYER_TABLE))
@require(Permission.VIEW_PAYERS)
def list_payers() -> Response:
    """List payers."""
    return answer_list(PAYER_TABLE)


@bp.route("/payers/<api_id(payer):payer_id>")
@answers(PayerSchema, refuses=(404,))
@require(Permission.VIEW_PAYERS)
def show_payer(payer_id: UUID) -> Response:
    """Show a payer and what it owes."""
    payer = get_payer(payer_id)
    balances = get_payer_balance(payer_id, on=current_day())
    return answer(shown_payer(payer, balances))


def shown_payer(payer: PayerRow, balances: list[PayerBalance]) -> dict[str, Any]:
    """Write a payer."""
    return {
        "object": "payer",
        "id": shown_id("payer", payer.id),
        "name": payer.name,
        "reference": payer.external_ref,
        "kind": payer.kind,
        "email": payer.email,
        "country": payer.country,
        "is_on_hold": payer.is_on_hold,
        "arrangement": payer.arrangement,
        "arranged_until": payer.arranged_until.isoformat() if payer.arranged_until else None,
        "number": payer.number,
        "balances": [_shown_balance(one) for one in balances],
    }


def _shown_balance(balance: PayerBalance) -> dict[str, Any]:
    currency = balance.currency
    return {
        "object": "balance",
        "currency": currency,
        "invoices": balance.invoices_count,
        "invoiced": money(balance.invoiced_minor, currency),
        "paid": money(balance.paid_minor, currency),
        "credited": money(balance.credited_minor, currency),
        "written_off": money(balance.written_off_minor, currency),
        "in_payment": money(balance.in_payment_minor, currency),
        "open": money(balance.open_minor, currency),
        "overdue": money(balance.overdue_minor, currency),
        "credit_left": money(balance.credit_left_minor, currency),
        "deposits_held": money(balance.deposits_held_minor, currency),
    }
