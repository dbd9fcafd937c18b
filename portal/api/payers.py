"""Payers for machines: found, what they owe, and how they are dealt with."""

from typing import Any
from uuid import UUID

from flask import Response
from marshmallow import fields, validate

from portal.api.access import current_actor, current_day, require
from portal.api.answers import answer, check_match, money, shown_id
from portal.api.doors import DoorBlueprint, answers, matches, takes
from portal.api.fields import (
    Day,
    Flag,
    Strict,
    Text,
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
from portal.clock import now_utc
from portal.domain.payers import Arrangement, PayerKind, PayerTerms
from portal.domain.users import Permission
from portal.queries.payers import PayerBalance, PayerRow, get_payer, get_payer_balance
from portal.queries.tables import PAYER_TABLE
from portal.services.payer_terms import TERMS_REASON_MAX, change_payer_terms

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


class TermsSchema(Strict):
    """How a payer is to be dealt with, all of it, and why; null where nothing is agreed."""

    is_on_hold = Flag(required=True)
    arrangement = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([one.value for one in Arrangement]),
    )
    arranged_until = Day(
        required=True, allow_none=True, metadata={"description": "Its last day is part of it."}
    )
    reason = Text(longest=TERMS_REASON_MAX, required=True)


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
    return answer(_shown_today(get_payer(payer_id)))


@bp.route("/payers/<api_id(payer):payer_id>/terms", methods=["PUT"])
@takes(TermsSchema)
@matches(is_required=True)
@answers(PayerSchema, refuses=(404, 409), says="The payer is dealt with so from now on.")
@require(Permission.CHANGE_PAYERS)
def set_payer_terms(payer_id: UUID, body: dict[str, Any]) -> Response:
    """Put a payer on hold or take the hold away, and agree on more time or end it."""
    payer = get_payer(payer_id)
    check_match(_shown_today(payer), is_required=True)
    agreed = Arrangement(body["arrangement"]) if body["arrangement"] else None
    change_payer_terms(
        payer_id=payer_id,
        terms=PayerTerms(body["is_on_hold"], agreed, body["arranged_until"]),
        reason=body["reason"],
        on=current_day(),
        actor=current_actor(),
        now=now_utc(),
        version=payer.version,
    )
    return answer(_shown_today(get_payer(payer_id)))


def _shown_today(payer: PayerRow) -> dict[str, Any]:
    return shown_payer(payer, get_payer_balance(payer.id, on=current_day()))


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
