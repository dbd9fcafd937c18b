"""Reading the audit trail: one event with all that was recorded of it."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.sql import fetch_plain

# Events are numbered; outside they have an id like everything else.
EVENT_ID_SQL = "lpad(to_hex(id), 32, '0')::uuid"
NUMBER_MAX = (1 << 63) - 1


class EventMissing(NotFound):
    """There is no such event here, or it is another organisation's. Choose one from the audit
    trail."""


class EventRow(NamedTuple):
    """One thing that happened: what, to what, by whom, why.

    Shape: `kind` begins with the type of the subject, as in `invoice.issued`.
    """

    id: UUID
    number: int
    kind: str
    subject_type: str
    subject_id: UUID
    actor_kind: str
    actor_name: str
    happened_at: datetime
    reason: str | None
    details: dict[str, Any] | None


def get_event(event_id: UUID) -> EventRow:
    """Return one event.

    Raises: EventMissing.
    """
    rows = fetch_plain(
        f"SELECT {EVENT_ID_SQL}, id, kind, subject_type, subject_id, actor_kind, actor_name,"
        " happened_at, reason, details FROM events WHERE id = %s",
        (event_id.int if event_id.int <= NUMBER_MAX else 0,),
    )
    if not rows:
        raise EventMissing
    return EventRow._make(rows[0])
