"""Reminders as people see them: the list, and one as the notice that its payer gets."""

from uuid import UUID

from flask import Blueprint
from flask.typing import ResponseReturnValue

from portal.domain.users import Permission
from portal.queries.reminders import get_reminder
from portal.queries.tables import REMINDER_TABLE
from portal.web.access import require
from portal.web.htmx import render_part
from portal.web.tables import send_csv, show_list

bp = Blueprint("reminders", __name__)


@bp.get("/reminders")
@require(Permission.VIEW_INVOICES)
def index() -> ResponseReturnValue:
    """List reminders."""
    return show_list(REMINDER_TABLE, page="reminders/list.html")


@bp.get("/reminders.csv")
@require(Permission.VIEW_INVOICES)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(REMINDER_TABLE)


@bp.get('/reminders/<public("reminder"):reminder_id>')
@require(Permission.VIEW_INVOICES)
def show(reminder_id: UUID) -> ResponseReturnValue:
    """Show a reminder as a notice that can be printed."""
    return render_part(
        "reminders/show.html", "reminders/_reminder.html", reminder=get_reminder(reminder_id)
    )
