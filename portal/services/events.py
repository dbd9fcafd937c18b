"""Recording what happened, in the transaction in which it happens."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from portal.db import current_organisation_id
from portal.domain.users import Actor
from portal.sql import execute


def record_event(
    kind: str,
    subject_id: UUID,
    *,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Record one thing that happened; the subject's type is the first word of the kind."""
    told = {**(actor.details or {}), **(details or {})}
    execute(
        "INSERT INTO events (organisation_id, kind, subject_type, subject_id, actor_kind, actor_id,"
        " actor_name, happened_at, reason, details)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            current_organisation_id(),
            kind,
            kind.partition(".")[0],
            subject_id,
            actor.kind,
            actor.id,
            actor.name,
            now,
            reason,
            Jsonb(told) if told else None,
        ),
    )


def record_events(
    events: Iterable[tuple[str, UUID]], *, actor: Actor, now: datetime, reason: str | None = None
) -> None:
    """Record many things that happened, in one statement.

    Shape: (kind, subject id) each.
    """
    rows = list(events)
    if not rows:
        return
    execute(
        "INSERT INTO events (organisation_id, kind, subject_type, subject_id, actor_kind, actor_id,"
        " actor_name, happened_at, reason)"
        " SELECT %s, kind, split_part(kind, '.', 1), subject_id, %s, %s, %s, %s, %s"
        " FROM unnest(%s::text[], %s::uuid[]) AS happened (kind, subject_id)",
        (
            current_organisation_id(),
            actor.kind,
            actor.id,
            actor.name,
            now,
            reason,
            [kind for kind, _ in rows],
            [subject_id for _, subject_id in rows],
        ),
    )
