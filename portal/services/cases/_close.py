"""Closing a case: what a person has settled, with the reason."""

from datetime import datetime
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.cases import CASE_MOVES, CASE_REASON_CHARACTERS_MAX, CaseState
from portal.domain.errors import Invalid
from portal.domain.users import Actor
from portal.queries.cases import CaseMissing
from portal.services.events import record_event
from portal.sql import execute, fetch_one


class CaseReasonInvalid(Invalid):
    """The case was not closed: say why in 1 to {characters_max} characters that can be shown."""

    characters_max: int


def close_case(*, case_id: UUID, reason: str, actor: Actor, now: datetime) -> None:
    """End a case that a person has settled; it is not opened again while its cause goes on.

    Raises: CaseReasonInvalid; CaseMissing; MoveNotAllowed when it has ended already.
    """
    tidy = " ".join(reason.split())
    if not 1 <= len(tidy) <= CASE_REASON_CHARACTERS_MAX or not tidy.isprintable():
        raise CaseReasonInvalid(characters_max=CASE_REASON_CHARACTERS_MAX, field="reason")
    with transaction():
        row = fetch_one(
            "SELECT state FROM cases WHERE organisation_id = %s AND id = %s FOR UPDATE",
            (current_organisation_id(), case_id),
        )
        if row is None:
            raise CaseMissing
        state = CASE_MOVES.next(CaseState(row.state), "close")
        execute(
            "UPDATE cases SET state = %s, ended_at = %s, closed_by = %s, reason = %s"
            " WHERE organisation_id = %s AND id = %s",
            (state.value, now, actor.name or actor.kind, tidy, current_organisation_id(), case_id),
        )
        record_event(CASE_MOVES.recorded("close"), case_id, actor=actor, now=now, reason=tidy)
