"""Reading rule sets: their versions with the time each is in force, and what happened to one."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.domain.rulesets import RuleSetState
from portal.sql import fetch, fetch_one

_SELECT = (
    "SELECT id, version, state, starts_on, CASE WHEN state = 'active' THEN"
    " lead(starts_on) OVER (PARTITION BY state ORDER BY starts_on) END AS ends_on,"
    " definition, definition_hash, source, based_on, note, requested_by, requested_by_id,"
    " requested_at, approved_by, approved_at, created_at FROM rule_sets"
)


class RuleSetMissing(NotFound):
    """There is no version {version} of the rules here; nothing was changed. Choose one from the
    list of rule sets."""

    version: int


class RuleSetRow(NamedTuple):
    """One version of the agreement.

    Shape: in force on [starts_on, ends_on) while it is active; the last one has no end.
    """

    id: UUID
    version: int
    state: RuleSetState
    starts_on: date | None
    ends_on: date | None
    definition: Mapping[str, Any]
    definition_hash: str
    source: Mapping[str, Any] | None
    based_on: int | None
    note: str | None
    requested_by: str | None
    requested_by_id: UUID | None
    requested_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    created_at: datetime

    @property
    def title(self) -> str:
        """What it is called; its version where nobody has given it a name."""
        return str(self.definition.get("title") or f"Version {self.version}")

    @property
    def written(self) -> Mapping[str, Any]:
        """The definition as it was written, with the base it builds on."""
        return self.source or self.definition

    def is_in_force(self, on: date) -> bool:
        """Whether it is the agreement that holds on a day."""
        begun = self.starts_on is not None and self.starts_on <= on
        is_over = self.ends_on is not None and self.ends_on <= on
        return self.state is RuleSetState.ACTIVE and begun and not is_over


class RuleSetEventRow(NamedTuple):
    """One thing that happened to a version."""

    happened_at: datetime
    kind: str
    actor: str
    reason: str | None
    details: Mapping[str, Any] | None


def list_rule_sets() -> list[RuleSetRow]:
    """List every version, the last one first."""
    return [_row(row) for row in fetch(f"{_SELECT} ORDER BY version DESC")]


def get_rule_set(version: int) -> RuleSetRow:
    """Return one version.

    Raises: RuleSetMissing.
    """
    # Around the window, which must see the other versions to know when this one ends.
    row = fetch_one(f"SELECT * FROM ({_SELECT}) AS versions WHERE version = %s", (version,))
    if row is None:
        raise RuleSetMissing(version=version)
    return _row(row)


def find_rule_set_in_force(on: date) -> RuleSetRow | None:
    """Return the version that holds on a day, or None where nothing was agreed by then."""
    return next((row for row in list_rule_sets() if row.is_in_force(on)), None)


def list_rule_set_history(rule_set_id: UUID) -> list[RuleSetEventRow]:
    """List what happened to a version, the newest first."""
    rows = fetch(
        "SELECT happened_at, kind, actor_name AS actor, reason, details FROM events"
        " WHERE subject_type = 'rule_set' AND subject_id = %s ORDER BY happened_at DESC, id DESC",
        (rule_set_id,),
    )
    return [RuleSetEventRow(*row) for row in rows]


def _row(row: Any) -> RuleSetRow:
    return RuleSetRow(*row)._replace(state=RuleSetState(row.state))
