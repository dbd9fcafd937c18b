"""Payers as people see them: the list and one payer with balance, mandates and latest business."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from flask import Blueprint
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from portal.clock import today
from portal.domain.payers import Arrangement, MandateState, PayerKind
from portal.domain.users import Permission
from portal.ids import public_id
from portal.queries.payers import (
    PayerBalance,
    TermsChangeRow,
    get_payer,
    get_payer_balance,
    list_mandates,
    list_payer_credits,
    list_payer_deposits,
    list_terms_changes,
)
from portal.queries.tables import (
    INVOICE_TABLE,
    PAYER_TABLE,
    PAYMENT_TABLE,
    Table,
    TableRequest,
    Term,
    read_page,
)
from portal.web.access import require
from portal.web.formats import day
from portal.web.htmx import render_part
from portal.web.tables import list_address, send_csv, show_list
from portal.web.visitors import current_organisation, current_visitor

LATEST_MAX = 5
# What counts as invoiced: issued, not void, and no credit note.
INVOICED_STATUSES = ("unpaid", "partially_paid", "in_payment", "paid")
MOVING_STATES = ("processing", "requires_action")
ALWAYS_SHOWN = frozenset({"Invoiced", "Paid", "Open", "Overdue"})

bp = Blueprint("payers", __name__)


class Figure(NamedTuple):
    """One amount of a balance with what adds up to it; without an address it is plain text."""

    label: str
    amount_minor: int
    address: str | None = None
    note: str | None = None
    tone: str | None = None


class Balance(NamedTuple):
    """The figures of one currency."""

    currency: str
    figures: list[Figure]


@bp.get("/payers")
@require(Permission.VIEW_PAYERS)
def index() -> ResponseReturnValue:
    """List payers."""
    return show_list(PAYER_TABLE, page="payers/list.html")


@bp.get("/payers.csv")
@require(Permission.VIEW_PAYERS)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(PAYER_TABLE)


@bp.get('/payers/<public("payer"):payer_id>')
@require(Permission.VIEW_PAYERS)
def show(payer_id: UUID) -> ResponseReturnValue:
    """Show a payer: what is owed, how it is collected, and the latest documents and payments."""
    payer = get_payer(payer_id)
    on = today(current_organisation().zone)
    balances = get_payer_balance(payer_id, on=on)
    mandates = list_mandates(payer_id)
    credits_left = list_payer_credits(payer_id)
    noted_minor = sum(one.credit_left_minor for one in balances)
    has_credit_notes = noted_minor > sum(one.left_minor for one in credits_left)
    first = current_organisation().currency
    terms = payer.terms
    return render_part(
        "payers/show.html",
        "payers/_payer.html",
        payer=payer,
        terms=terms,
        is_arranged=terms.arrangement_on(on) is not None,
        may_change=current_visitor().may(Permission.CHANGE_PAYERS),
        changes=[(_words_of(one), one) for one in list_terms_changes(payer_id, LATEST_MAX)],
        kind=PayerKind(payer.kind),
        balances=[
            Balance(one.currency, figures_of(payer_id, one, on))
            for one in sorted(balances, key=lambda one: (one.currency != first, one.currency))
        ],
        mandates=[(one, MandateState(one.state)) for one in mandates],
        credits=credits_left,
        deposits=list_payer_deposits(payer_id),
        has_credit_notes=has_credit_notes,
        credit_notes_address=_of_payer("invoices.index", payer_id, ("status", "credit_left")),
        invoices=_latest(INVOICE_TABLE, payer_id, on),
        invoices_address=_of_payer("invoices.index", payer_id),
        payments=_latest(PAYMENT_TABLE, payer_id, on),
        payments_address=_of_payer("payments.index", payer_id),
    )


def figures_of(payer_id: UUID, balance: PayerBalance, on: date) -> list[Figure]:
    """List the figures of a balance, each with the list that adds up to it where there is one."""
    currency = ("currency", balance.currency)
    is_open = (("status", "open"), currency)
    invoiced = [*(("status", status) for status in INVOICED_STATUSES), currency]
    moving = [*(("state", state) for state in MOVING_STATES), currency]
    figures = [
        Figure(
            "Invoiced",
            balance.invoiced_minor,
            _of_payer("invoices.index", payer_id, *invoiced),
            _counted(balance.invoices_count, "invoice"),
        ),
        Figure("Paid", balance.paid_minor),
        Figure("Credited", balance.credited_minor + balance.written_off_minor),
        Figure(
            "Open",
            balance.open_minor,
            _of_payer("invoices.index", payer_id, *is_open),
            _counted(balance.open_count, "invoice"),
        ),
        Figure(
            "Overdue",
            balance.overdue_minor,
            _of_payer("invoices.index", payer_id, *is_open, ("due[lt]", on.isoformat())),
            _counted(balance.overdue_count, "invoice"),
            "bad" if balance.overdue_minor else None,
        ),
        Figure(
            "In payment",
            balance.in_payment_minor,
            _of_payer("payments.index", payer_id, *moving),
        ),
        Figure("Credit left", balance.credit_left_minor, "#held"),
        Figure("Deposits held", balance.deposits_held_minor, "#held"),
    ]
    # Where there is nothing, there is nothing to look at.
    shown = [one for one in figures if one.amount_minor or one.label in ALWAYS_SHOWN]
    return [one if one.amount_minor else one._replace(address=None) for one in shown]


def _words_of(change: TermsChangeRow) -> Markup:
    """Say what a change of terms changed."""
    before, after = change.details["from"], change.details["to"]
    said = []
    if before["is_on_hold"] is not after["is_on_hold"]:
        said.append("Put on hold" if after["is_on_hold"] else "Hold taken away")
    if after["arrangement"] and before != {**after, "is_on_hold": before["is_on_hold"]}:
        until = day(date.fromisoformat(after["arranged_until"]))
        said.append(Markup("{} until {}").format(Arrangement(after["arrangement"]).label, until))
    elif before["arrangement"] and not after["arrangement"]:
        said.append(f"{Arrangement(before['arrangement']).label} ended")
    return Markup("; ").join(said)


def _of_payer(endpoint: str, payer_id: UUID, *conditions: tuple[str, str]) -> str | None:
    return list_address(endpoint, ("payer", public_id("payer", payer_id)), *conditions)


def _counted(number: int, noun: str) -> str | None:
    if not number:
        return None
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def _latest(table: Table, payer_id: UUID, on: date) -> Sequence[Mapping[str, Any]]:
    """Read the first rows of a list for a payer, by the names of its columns."""
    one = table.filter("payer")
    assert one is not None
    term = Term(one, "", public_id("payer", payer_id), payer_id, "")
    request = TableRequest((term,), table.default_sort, None, LATEST_MAX, on)
    names = [column.name for column in table.columns]
    shown = []
    for row in read_page(table, request).rows:
        values = dict(zip(names, row, strict=True))
        for column in table.columns:
            if column.states is not None:
                values[column.name] = column.states(values[column.name])
        shown.append(values)
    return shown
