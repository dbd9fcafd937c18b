"""Attempts as people see them."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from portal.domain.users import Permission
from portal.queries.tables import ATTEMPT_TABLE
from portal.web.access import require
from portal.web.tables import send_csv, show_list

bp = Blueprint("attempts", __name__)


@bp.get("/attempts")
@require(Permission.VIEW_PAYMENTS)
def index() -> ResponseReturnValue:
    """List attempts."""
    return show_list(ATTEMPT_TABLE, page="attempts/list.html")


@bp.get("/attempts.csv")
@require(Permission.VIEW_PAYMENTS)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(ATTEMPT_TABLE)
