"""Writing the next version of an agreement: copied, read from a file, changed clause by clause.

Each clause of a draft is right in itself; what only the whole can show may wait until the draft is
to be put in force.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from portal.db import current_organisation_id, transaction
from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.rulesets import RuleSetState
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.rulesets import RuleSetMissing, get_rule_set
from portal.services.calendars import bank_holidays
from portal.services.events import record_event
from portal.sql import execute, fetch_one
from rules import CATALOGUE
from rules.compiling import Problem, bind_clause
from rules.definitions import definition_hash, list_samples, load_definition, load_sample
from rules.inheritance import BaseInvalid, resolve_definition, write_overrides
from rules.ruleset import compile_rule_set

TITLE_CHARACTERS_MAX = 200
NOTE_CHARACTERS_MAX = 500
_VERSION = re.compile(r"version ([1-9][0-9]{0,5})")


class RuleSetNotDraft(Conflict):
    """Version {version} is “{label}”, so what it says stays as it is. Nothing was saved; copy it
    and change the copy."""

    version: int
    label: str


class RuleSetChanged(Conflict):
    """Somebody else has changed version {version} meanwhile. Nothing was saved; look at it again,
    then change what is still to be changed."""

    version: int


class ClauseMissing(NotFound):
    """Version {version} has no such clause. Nothing was saved; look at the version again."""

    version: int


class ClauseInvalid(Invalid):
    """The clause is not valid: {summary}. Nothing was saved; correct it and try again."""

    summary: str
    problems: tuple[Problem, ...]


class RuleSetHeadInvalid(Invalid):
    """The rule set was not saved: {reason}. Correct it and try again."""

    reason: str


class Draft(NamedTuple):
    """A draft that is locked for the length of a change."""

    id: UUID
    version: int
    definition: Mapping[str, Any]
    source: Mapping[str, Any] | None

    @property
    def clauses(self) -> list[Any]:
        """Every clause, those of a base as well."""
        return list(self.definition.get("clause", ()))


def copy_rule_set(*, version: int, actor: Actor, now: datetime) -> int:
    """Begin a draft that says what another version says, and return its version.

    Raises: RuleSetMissing.
    """
    with transaction():
        lock_agreements()
        original = get_rule_set(version)
        return _insert(original.definition, original.source, version, actor, now)


def import_rule_set(*, text: str, actor: Actor, now: datetime) -> int:
    """Begin a draft from a definition as TOML, and return its version.

    Raises: DefinitionUnreadable; BaseInvalid; RuleSetInvalid, which carries every problem.
    """
    written = load_definition(text)
    with transaction():
        calendar = lock_agreements()
        whole = resolve_definition(written, _find_base)
        compile_rule_set(whole, holidays=bank_holidays(calendar, now.year, now.year))
        _check_head(whole.get("title", ""))
        return _insert(whole, written if "base" in written else None, None, actor, now)


def change_clause(
    *, version: int, place: int, entry: Mapping[str, Any], seen: str, actor: Actor, now: datetime
) -> None:
    """Say one clause of a draft anew.

    Shape: `place` counts all clauses from zero; `seen` is the hash of the draft that was looked at.
    Raises: RuleSetMissing; RuleSetNotDraft; RuleSetChanged; ClauseMissing; ClauseInvalid.
    """
    _check_clause(entry)
    with transaction():
        draft = lock_draft(version, seen)
        clauses = draft.clauses
        _check_place(draft, place, clauses)
        clauses[place] = dict(entry)
        _save(draft, {"clause": clauses}, "changed", entry, actor, now)


def add_clause(
    *, version: int, entry: Mapping[str, Any], seen: str, actor: Actor, now: datetime
) -> None:
    """Add a clause to a draft, where it is reached: before one of its kind that takes every case.

    Raises: RuleSetMissing; RuleSetNotDraft; RuleSetChanged; ClauseInvalid.
    """
    _check_clause(entry)
    with transaction():
        draft = lock_draft(version, seen)
        clauses = draft.clauses
        clauses.insert(_place_for(entry, clauses), dict(entry))
        _save(draft, {"clause": clauses}, "added", entry, actor, now)


def remove_clause(*, version: int, place: int, seen: str, actor: Actor, now: datetime) -> None:
    """Take a clause out of a draft.

    Raises: RuleSetMissing; RuleSetNotDraft; RuleSetChanged; ClauseMissing.
    """
    with transaction():
        draft = lock_draft(version, seen)
        clauses = draft.clauses
        _check_place(draft, place, clauses)
        entry = clauses.pop(place)
        _save(draft, {"clause": clauses}, "removed", entry, actor, now)


def change_rule_set_head(
    *, version: int, title: str, description: str, seen: str, actor: Actor, now: datetime
) -> None:
    """Name a draft and say what it is about.

    Raises: RuleSetMissing; RuleSetNotDraft; RuleSetChanged; RuleSetHeadInvalid.
    """
    head = {"title": " ".join(title.split()), "description": " ".join(description.split())}
    for text in head.values():
        _check_head(text)
    with transaction():
        draft = lock_draft(version, seen)
        _save(draft, head, "changed", {}, actor, now)


def lock_agreements() -> str:
    """Let nobody else number or activate a version until the end of the transaction.

    Shape: the calendar of the organisation's holidays.
    """
    row = fetch_one(
        "SELECT holiday_calendar FROM organisations WHERE id = %s FOR UPDATE",
        (current_organisation_id(),),
    )
    assert row is not None
    return str(row.holiday_calendar)


def lock_draft(version: int, seen: str) -> Draft:
    """Lock a draft as somebody has seen it.

    Raises: RuleSetMissing; RuleSetNotDraft; RuleSetChanged.
    """
    row = fetch_one(
        "SELECT id, state, definition, definition_hash, source FROM rule_sets"
        " WHERE organisation_id = %s AND version = %s FOR UPDATE",
        (current_organisation_id(), version),
    )
    if row is None:
        raise RuleSetMissing(version=version)
    state = RuleSetState(row.state)
    if state is not RuleSetState.DRAFT:
        raise RuleSetNotDraft(version=version, label=state.label)
    if row.definition_hash != seen:
        raise RuleSetChanged(version=version)
    return Draft(row.id, version, row.definition, row.source)


def _find_base(name: str) -> Mapping[str, Any]:
    """Find what a definition names as its base: a sample, or a version that changes no more.

    Raises: BaseInvalid.
    """
    found = _VERSION.fullmatch(name)
    if found is None:
        sample = load_sample(name)
        if sample is None:
            known = ", ".join(list_samples())
            raise BaseInvalid(
                base=name[:40], reason=f"it is neither one of {known} nor such as “version 1”"
            )
        return sample
    try:
        row = get_rule_set(int(found[1]))
    except RuleSetMissing:
        raise BaseInvalid(base=name, reason="there is no such version here") from None
    if row.state is RuleSetState.DRAFT:
        raise BaseInvalid(base=name, reason="it is a draft and may still change")
    return row.definition


def _check_clause(entry: Mapping[str, Any]) -> None:
    _, problems = bind_clause(entry)
    if problems:
        summary = "; ".join(problem.message for problem in problems)
        raise ClauseInvalid(summary=summary, problems=tuple(problems))


def _check_head(text: str) -> None:
    if len(text) > TITLE_CHARACTERS_MAX or not text.isprintable():
        reason = f"a title or description has up to {TITLE_CHARACTERS_MAX} printable characters"
        raise RuleSetHeadInvalid(field="title", reason=reason)


def _check_place(draft: Draft, place: int, clauses: Sequence[Any]) -> None:
    if not 0 <= place < len(clauses):
        raise ClauseMissing(version=draft.version)


def _place_for(entry: Mapping[str, Any], clauses: Sequence[Any]) -> int:
    kind = CATALOGUE[entry["code"]].kind
    alike = [
        place
        for place, each in enumerate(clauses)
        if each.get("code") in CATALOGUE and CATALOGUE[each["code"]].kind is kind
    ]
    if not alike:
        return len(clauses)
    takes_all = [place for place in alike if "when" not in clauses[place]]
    return takes_all[0] if "when" in entry and takes_all else alike[-1] + 1


def _save(
    draft: Draft,
    changes: Mapping[str, Any],
    what: str,
    entry: Mapping[str, Any],
    actor: Actor,
    now: datetime,
) -> None:
    """Write the draft as it is now, whole and as what differs from its base."""
    whole: dict[str, Any] = {**draft.definition, **changes}
    source = None
    if draft.source is not None:
        base = draft.source["base"]
        theirs = resolve_definition({"base": base}, _find_base)
        source = {"base": base, **write_overrides(theirs, whole)}
        whole = resolve_definition(source, _find_base)
    execute(
        "UPDATE rule_sets SET definition = %s, definition_hash = %s, source = %s"
        " WHERE organisation_id = %s AND id = %s",
        (
            Jsonb(whole),
            definition_hash(whole),
            Jsonb(source) if source is not None else None,
            current_organisation_id(),
            draft.id,
        ),
    )
    code = {"code": entry["code"]} if entry else {}
    kind = f"rule_set.clause_{what}" if entry else "rule_set.changed"
    details = {"version": draft.version, **code}
    record_event(kind, draft.id, actor=actor, now=now, details=details)


def _insert(
    whole: Mapping[str, Any],
    source: Mapping[str, Any] | None,
    based_on: int | None,
    actor: Actor,
    now: datetime,
) -> int:
    organisation_id, rule_set_id = current_organisation_id(), new_id()
    row = fetch_one(
        "INSERT INTO rule_sets (organisation_id, id, version, state, definition, definition_hash,"
        " source, based_on, created_at) SELECT %(o)s, %(id)s, 1 + coalesce(max(version), 0),"
        " 'draft', %(definition)s, %(hash)s, %(source)s, %(based_on)s, %(now)s FROM rule_sets"
        " WHERE organisation_id = %(o)s RETURNING version",
        {
            "o": organisation_id,
            "id": rule_set_id,
            "definition": Jsonb(dict(whole)),
            "hash": definition_hash(whole),
            "source": Jsonb(dict(source)) if source is not None else None,
            "based_on": based_on,
            "now": now,
        },
    )
    assert row is not None
    record_event(
        "rule_set.copied" if based_on else "rule_set.imported",
        rule_set_id,
        actor=actor,
        now=now,
        details={"version": row.version, **({"based_on": based_on} if based_on else {})},
    )
    return int(row.version)
