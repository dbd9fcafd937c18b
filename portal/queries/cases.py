"""Reading cases: one with its history, and how many are open."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.cases import CaseKind, CaseState, CaseSubject
from portal.domain.errors import NotFound
from portal.sql import fetch, fetch_one, fetch_plain


class CaseMissing(NotFound):
    """There is no such case here, or it is another organisation's; nothing was changed. Choose one
    from the list of cases."""


class CaseRow(NamedTuple):
    """A case; without an amount no money is at stake.

    Shape: `asked_count` is how often the gateway was asked about an attempt.
    """

    id: UUID
    kind: CaseKind
    state: CaseState
    subject_type: CaseSubject
    subject_id: UUID
    subject_name: str
    account_code: str | None
    since_at: datetime
    opened_at: datetime
    amount_minor: int | None
    currency: str
    details: dict[str, Any]
    ended_at: datetime | None
    gone_at: datetime | None
    closed_by: str | None
    reason: str | None
    asked_count: int | None


class CaseEventRow(NamedTuple):
    """One thing that happened to a case."""

    happened_at: datetime
    kind: str
    actor_name: str
    reason: str | None


def get_case(case_id: UUID) -> CaseRow:
    """Return one case.

    Raises: CaseMissing.
    """
    row = fetch_one(
        "SELECT c.id, c.kind, c.state, c.subject_type, c.subject_id, c.subject_name, g.code,"
        " c.since_at, c.opened_at, c.amount_minor, c.currency, c.details, c.ended_at, c.gone_at,"
        " c.closed_by, c.reason, a.queries_count FROM cases c LEFT JOIN gateway_accounts g"
        " ON (g.organisation_id, g.id) = (c.organisation_id, c.gateway_account_id)"
        " LEFT JOIN payment_attempts a ON c.subject_type = 'attempt'"
        " AND (a.organisation_id, a.id) = (c.organisation_id, c.subject_id) WHERE c.id = %s",
        (case_id,),
    )
    if row is None:
        raise CaseMissing
    return CaseRow(*row)._replace(
        kind=CaseKind(row.kind),
        state=CaseState(row.state),
        subject_type=CaseSubject(row.subject_type),
    )


def list_case_history(case_id: UUID) -> list[CaseEventRow]:
    """List what happened to a case, the newest first."""
    rows = fetch(
        "SELECT happened_at, kind, actor_name, reason FROM events WHERE subject_id = %s"
        " ORDER BY happened_at DESC, id DESC",
        (case_id,),
    )
    return [CaseEventRow(*row) for row in rows]


def count_open_cases() -> int:
    """Count the cases that wait for a person."""
    ((count,),) = fetch_plain("SELECT count(*) FROM cases WHERE state = 'open'")
    return int(count)
