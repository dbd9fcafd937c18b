"""Invoices as people see them."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from portal.domain.users import Permission
from portal.queries.tables import INVOICE_TABLE
from portal.web.access import require
from portal.web.tables import send_csv, show_list

bp = Blueprint("invoices", __name__)


@bp.get("/invoices")
@require(Permission.VIEW_INVOICES)
def index() -> ResponseReturnValue:
    """List invoices."""
    return show_list(INVOICE_TABLE, page="invoices/list.html")


@bp.get("/invoices.csv")
@require(Permission.VIEW_INVOICES)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(INVOICE_TABLE)
