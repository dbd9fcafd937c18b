"""The search box: an exact reference leads straight to its page, anything else to what fits."""

from typing import Any, NamedTuple
from uuid import UUID

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from portal.clock import today
from portal.domain.payers import name_sort_key
from portal.domain.users import Permission
from portal.ids import PREFIXES, parse_public_id
from portal.queries.batches import find_run_by_number
from portal.queries.invoices import find_invoice_by_number
from portal.queries.settlements import find_payout_by_reference
from portal.queries.tables import (
    INVOICE_TABLE,
    PAYER_TABLE,
    PAYMENT_TABLE,
    Table,
    Totals,
    parse_request,
    read_page,
    read_totals,
)
from portal.web.access import require
from portal.web.htmx import render_part
from portal.web.menu import target
from portal.web.tables import list_address, rows_of
from portal.web.visitors import current_organisation

ROWS_SHOWN = "5"
TEXT_CHARACTERS_MAX = 200
RUN_DIGITS_MAX = 9
SEARCHED = (INVOICE_TABLE, PAYER_TABLE, PAYMENT_TABLE)

bp = Blueprint("search", __name__)


class Found(NamedTuple):
    """What fits in one list, and the way to all of it."""

    words: str
    labels: list[str]
    rows: list[Markup]
    totals: Totals
    address: str | None


@bp.get("/search")
@require(Permission.VIEW_INVOICES)
def show() -> ResponseReturnValue:
    """Go to what was named exactly; show what begins like it otherwise."""
    text = " ".join(request.args.get("q", "").replace("\0", " ").split())[:TEXT_CHARACTERS_MAX]
    if not name_sort_key(text):
        # Nothing but accents without their letters: nothing begins with that.
        text = ""
    address = _exact(text) if text else None
    if address is not None:
        return redirect(address, 303)
    found = [_search(table, text) for table in SEARCHED] if text else []
    return render_part(
        "search/show.html",
        "search/show.html",
        text=text,
        found=[one for one in found if one.rows],
    )


def _exact(text: str) -> str | None:
    """Return the address of the one thing with this number or id."""
    for noun in PREFIXES:
        thing_id = parse_public_id(noun, text)
        if thing_id is not None:
            return _place(noun, thing_id)
    invoice = find_invoice_by_number(text)
    if invoice is not None:
        return _place("invoice", invoice.id)
    payout_id = find_payout_by_reference(text)
    if payout_id is not None:
        return _place("payout", payout_id)
    number = text.lower().removeprefix("run").strip(" -#")
    if text != number and number.isascii() and number.isdigit() and len(number) <= RUN_DIGITS_MAX:
        run = find_run_by_number(int(number))
        return _place("run", run.id) if run is not None else None
    return None


def _place(noun: str, thing_id: UUID) -> str | None:
    values: dict[str, Any] = {f"{noun}_id": thing_id}
    return target(f"{noun}s.show", **values)


def _search(table: Table, text: str) -> Found:
    organisation = current_organisation()
    asked = parse_request(
        table,
        [("text", text), ("limit", ROWS_SHOWN)],
        today=today(organisation.zone),
        currency=organisation.currency,
    )
    return Found(
        words=table.words,
        labels=[column.words for column in table.columns if column.is_shown],
        rows=rows_of(table, read_page(table, asked).rows),
        totals=read_totals(table, asked),
        address=list_address(f"{table.noun}s.index", ("text", text)),
    )
