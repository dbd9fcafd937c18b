"""Payments as people see them."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from portal.domain.users import Permission
from portal.queries.tables import PAYMENT_TABLE
from portal.web.access import require
from portal.web.tables import send_csv, show_list

bp = Blueprint("payments", __name__)


@bp.get("/payments")
@require(Permission.VIEW_PAYMENTS)
def index() -> ResponseReturnValue:
    """List payments."""
    return show_list(PAYMENT_TABLE, page="payments/list.html")


@bp.get("/payments.csv")
@require(Permission.VIEW_PAYMENTS)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(PAYMENT_TABLE)
