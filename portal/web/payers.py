"""Payers as people see them."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from portal.domain.users import Permission
from portal.queries.tables import PAYER_TABLE
from portal.web.access import require
from portal.web.tables import send_csv, show_list

bp = Blueprint("payers", __name__)


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
