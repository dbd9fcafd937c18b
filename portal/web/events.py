"""The audit trail as people see it: the list, and one event with all that was recorded of it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Blueprint
from flask.typing import ResponseReturnValue

from portal.domain.users import Permission
from portal.queries.events import EventRow, get_event
from portal.queries.tables import EVENT_TABLE
from portal.web.access import require
from portal.web.htmx import render_part
from portal.web.menu import target
from portal.web.tables import send_csv, show_list

# Types of subjects whose page is called otherwise.
PAGES: Mapping[str, str] = {"inbox": "inbox_message"}
ACTORS: Mapping[str, str] = {
    "person": "a person, on the pages",
    "operator": "the command line",
    "system": "another system, by its key",
    "portal": "the portal itself",
    "run": "a run",
    "schedule": "a schedule",
    "sequence": "a sequence",
    "gateway": "the gateway",
}

bp = Blueprint("events", __name__)


@bp.get("/events")
@require(Permission.VIEW_EVENTS)
def index() -> ResponseReturnValue:
    """List what happened."""
    return show_list(EVENT_TABLE, page="events/list.html")


@bp.get("/events.csv")
@require(Permission.VIEW_EVENTS)
def download() -> ResponseReturnValue:
    """Hand out the list as CSV."""
    return send_csv(EVENT_TABLE)


@bp.get('/events/<public("event"):event_id>')
@require(Permission.VIEW_EVENTS)
def show(event_id: UUID) -> ResponseReturnValue:
    """Show one event: what happened, to what, by whom, why, and what was recorded with it."""
    event = get_event(event_id)
    return render_part(
        "events/show.html",
        "events/_event.html",
        event=event,
        words=_words(event.kind),
        subject=_words(event.subject_type),
        subject_address=_subject_address(event),
        actor=ACTORS.get(event.actor_kind, event.actor_kind),
        recorded=_list_recorded(event.details or {}),
    )


def _words(code: str) -> str:
    return code.replace(".", " ").replace("_", " ").capitalize()


def _subject_address(event: EventRow) -> str | None:
    noun = PAGES.get(event.subject_type, event.subject_type)
    values: dict[str, Any] = {f"{noun}_id": event.subject_id}
    return target(f"{noun}s.show", **values)


def _list_recorded(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List what was recorded, each value with its name; a change as before and after."""
    found = []
    for name, value in details.items():
        if isinstance(value, dict):
            found += [
                (f"{_words(name)}: {_words(inner)}", _said(of)) for inner, of in value.items()
            ]
        else:
            found.append((_words(name), _said(value)))
    return found


def _said(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_said(each) for each in value) or "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_said(each)}" for name, each in value.items())
    return str(value)
