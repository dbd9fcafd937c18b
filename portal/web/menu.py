"""The navigation, by endpoint; an entry shows when its page exists and the person may see it."""

from typing import Any, NamedTuple

from flask import current_app, request, url_for
from werkzeug.routing import BuildError

from portal.domain.users import Permission
from portal.web.access import permission_of
from portal.web.visitors import known_visitor


class MenuEntry(NamedTuple):
    """A line of the navigation."""

    endpoint: str
    label: str
    picture: str


class MenuLine(NamedTuple):
    """A line of the navigation as it is drawn."""

    address: str
    label: str
    picture: str
    is_current: bool


MENU = (
    MenuEntry("overview.show", "Overview", "overview"),
    MenuEntry("invoices.index", "Invoices", "invoices"),
    MenuEntry("payments.index", "Payments", "payments"),
    MenuEntry("attempts.index", "Attempts", "attempts"),
    MenuEntry("refunds.index", "Refunds", "back"),
    MenuEntry("disputes.index", "Disputes", "dispute"),
    MenuEntry("reminders.index", "Reminders", "clock"),
    MenuEntry("payouts.index", "Payouts", "settlements"),
    MenuEntry("payers.index", "Payers", "payers"),
    MenuEntry("runs.index", "Runs", "runs"),
    MenuEntry("sequences.index", "Sequences", "runs"),
    MenuEntry("schedules.index", "Schedules", "calendar"),
    MenuEntry("cases.index", "Cases", "alert"),
    MenuEntry("messages.index", "Messages", "message"),
    MenuEntry("rulesets.index", "Rules", "check"),
    MenuEntry("brakes.index", "Brakes", "pause"),
    MenuEntry("events.index", "Audit trail", "note"),
)
# Pages that hang on the entry of another noun.
BEHIND = {
    "inbox_messages": "messages",
    "forecast": "attempts",
    "gateway_accounts": "brakes",
}


def menu_lines() -> list[MenuLine]:
    """List what the person may open; the entry of the page's noun is the current one."""
    noun = BEHIND.get(request.blueprint or "", request.blueprint)
    lines = []
    for entry in MENU:
        address = target(entry.endpoint)
        if address is not None:
            is_current = noun == entry.endpoint.partition(".")[0]
            lines.append(MenuLine(address, entry.label, entry.picture, is_current))
    return lines


def target(endpoint: str, **values: Any) -> str | None:
    """Return the address of a page if it exists and the person may see it; None otherwise.

    Shape: a figure is a link when this is an address, and plain text when it is None.
    """
    visitor = known_visitor()
    if visitor is None or endpoint not in current_app.view_functions:
        return None
    permission = permission_of(current_app, endpoint)
    if permission is not Permission.PUBLIC and (permission is None or not visitor.may(permission)):
        return None
    try:
        return url_for(endpoint, **values)
    except BuildError:
        return None
