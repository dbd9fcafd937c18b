"""What a person says to a dispute: an answer for the payer's bank, or that the loss is accepted."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.disputes import DISPUTE_MOVES, RESPONSE_CHARACTERS_MAX, DisputeState
from portal.domain.errors import Conflict, Invalid
from portal.domain.messages import MessageKind
from portal.domain.users import Actor
from portal.services.disputes._asking import ASK_AGAIN
from portal.services.disputes._locking import lock_dispute
from portal.services.disputes._results import lose_money
from portal.services.events import record_event
from portal.services.messages import write_followers
from portal.sql import execute


class ResponseInvalid(Invalid):
    """The answer was not sent: write 1 to {characters_max} characters that can be shown."""

    characters_max: int


class DisputeChanged(Conflict):
    """Somebody or something else has changed this dispute meanwhile. Nothing was changed now; look
    at it again and decide then."""


def answer_dispute(
    *, dispute_id: UUID, version: int, text: str, actor: Actor, now: datetime
) -> None:
    """Answer a dispute; the gateway hands it to the payer's bank, which decides.

    Raises: ResponseInvalid; DisputeMissing; MoveNotAllowed when no answer is waited for;
    DisputeChanged.
    """
    response = _checked(text)
    with transaction():
        row, state = _lock(dispute_id, version, "answer")
        execute(
            "UPDATE disputes SET state = %s, response = %s, answered_at = %s, answered_by = %s,"
            " next_query_at = %s, version = version + 1 WHERE organisation_id = %s AND id = %s",
            (
                state.value,
                response,
                now,
                actor.name or actor.kind,
                now + ASK_AGAIN,
                current_organisation_id(),
                dispute_id,
            ),
        )
        write_followers(MessageKind.DISPUTE_ANSWER, [(dispute_id, row.gateway_account_id)])
        record_event(DISPUTE_MOVES.recorded("answer"), dispute_id, actor=actor, now=now)


def accept_dispute(
    *, dispute_id: UUID, version: int, on: date, actor: Actor, now: datetime
) -> None:
    """Give a dispute up: the money stays away, and the gateway is told so.

    Raises: DisputeMissing; MoveNotAllowed when it was answered or decided; DisputeChanged.
    """
    with transaction():
        row, state = _lock(dispute_id, version, "accept")
        execute(
            "UPDATE disputes SET state = %s, closed_on = %s, next_query_at = NULL,"
            " version = version + 1 WHERE organisation_id = %s AND id = %s",
            (state.value, max(on, row.opened_on), current_organisation_id(), dispute_id),
        )
        write_followers(MessageKind.DISPUTE_ACCEPT, [(dispute_id, row.gateway_account_id)])
        record_event(DISPUTE_MOVES.recorded("accept"), dispute_id, actor=actor, now=now)
        lose_money(row, actor=actor, now=now)


def _lock(dispute_id: UUID, version: int, event: str) -> tuple[Any, DisputeState]:
    """Lock a dispute that a person has looked at, and return it with the state that follows."""
    row = lock_dispute(dispute_id)
    state = DISPUTE_MOVES.next(DisputeState(row.state), event)
    if row.version != version:
        raise DisputeChanged
    return row, state


def _checked(text: str) -> str:
    """Tidy an answer up; it may have several lines.

    Raises: ResponseInvalid.
    """
    tidy = "\n".join(line.rstrip() for line in text.splitlines()).strip()
    if not 1 <= len(tidy) <= RESPONSE_CHARACTERS_MAX or not tidy.replace("\n", " ").isprintable():
        raise ResponseInvalid(characters_max=RESPONSE_CHARACTERS_MAX, field="text")
    return tidy
