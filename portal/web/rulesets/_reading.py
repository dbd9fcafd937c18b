"""Looking at rules: the list, one version, what is different in it, the catalogue of clauses."""

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

from flask import Response, abort, request
from flask.typing import ResponseReturnValue

from portal.clock import today
from portal.domain.rulesets import RULE_SET_MOVES, RuleSetState
from portal.domain.users import Permission
from portal.queries.rehearsals import list_rehearsals
from portal.queries.rulesets import (
    RuleSetEventRow,
    RuleSetRow,
    find_rule_set_in_force,
    get_rule_set,
    list_rule_set_history,
    list_rule_sets,
)
from portal.web.access import require, roles_with
from portal.web.htmx import render_part
from portal.web.once import new_request_key
from portal.web.rulesets._blueprint import VERSION, bp
from portal.web.visitors import current_actor, current_organisation, current_visitor
from rules import CATALOGUE
from rules.clauses import Clause
from rules.compiling import RuleSetInvalid, bind_clause
from rules.definitions import dump_definition
from rules.differences import compare_definitions
from rules.inheritance import list_own_codes
from rules.ruleset import compile_rule_set
from rules.types import Stage

STAGE_WORDS = {
    Stage.IMPORT: "When a file is imported",
    Stage.DRAFT: "While a draft is written",
    Stage.ISSUE: "When a document is issued",
    Stage.COLLECT: "When money is collected",
    Stage.ATTEMPT_FAILED: "When an attempt has failed",
    Stage.APPLY_DEPOSIT: "When credits and deposits are applied",
    Stage.REFUND: "When money is given back",
    Stage.SETTLE: "When payouts are matched",
    Stage.REMIND: "When payers are reminded",
}
_VERSION = re.compile(r"[0-9]{1,6}")
# What happened: words, picture, tone.
_SAYINGS = {
    "rule_set.copied": ("Copied", "copy", "info"),
    "rule_set.imported": ("Read from a file", "upload", "info"),
    "rule_set.changed": ("Renamed", "edit", "idle"),
    "rule_set.clause_added": ("Clause added", "plus", "idle"),
    "rule_set.clause_changed": ("Clause changed", "edit", "idle"),
    "rule_set.clause_removed": ("Clause removed", "remove", "idle"),
    "rule_set.rehearsed": ("Rehearsed", "play", "info"),
    "rule_set.requested": ("Asked for", "clock", "info"),
    "rule_set.activated": ("Approved", "tick", "ok"),
    "rule_set.declined": ("Declined", "close", "warn"),
    "rule_set.discarded": ("Discarded", "void", "idle"),
    "rule_set.retired": ("Taken out", "stop", "idle"),
}


class ClauseLine(NamedTuple):
    """A clause of a version as its page shows it; `place` counts all of them from zero."""

    place: int
    code: str
    title: str
    sentence: str
    condition: str
    severity: str
    note: str
    is_inherited: bool
    problems: tuple[str, ...]


class StageLines(NamedTuple):
    """The clauses that are asked first at one stage."""

    words: str
    lines: list[ClauseLine]


@bp.get("/rules")
@require(Permission.VIEW_RULES)
def index() -> ResponseReturnValue:
    """List the versions of the agreement."""
    return render_part(
        "rules/list.html",
        "rules/_list.html",
        versions=list_rule_sets(),
        on=today(current_organisation().zone),
    )


@bp.get(VERSION)
@require(Permission.VIEW_RULES)
def show(rule_set_version: int) -> ResponseReturnValue:
    """Show a version: what it says, who wanted it, what can be done with it."""
    row = get_rule_set(rule_set_version)
    return render_part(
        "rules/show.html",
        "rules/_version.html",
        version=row,
        copy_key=new_request_key(),
        on=today(current_organisation().zone),
        stages=list_stages(row),
        problems=list_problems(row),
        before=_before(row),
        rehearsals=list_rehearsals(row.version),
        happened=[_say(one) for one in list_rule_set_history(row.id)],
        may_edit=row.state is RuleSetState.DRAFT and current_visitor().may(Permission.EDIT_RULES),
        why_not=why_undecidable(row) if RULE_SET_MOVES.may(row.state, "approve") else None,
        may_decide=RULE_SET_MOVES.may(row.state, "approve"),
    )


@bp.get(f"{VERSION}/changes")
@require(Permission.VIEW_RULES)
def compare(rule_set_version: int) -> ResponseReturnValue:
    """Say what a version changes of another: the one named, or else that before it."""
    row = get_rule_set(rule_set_version)
    text = request.args.get("from", "")
    chosen = int(text) if _VERSION.fullmatch(text) else _before(row)
    other = get_rule_set(chosen) if chosen is not None else None
    return render_part(
        "rules/changes.html",
        "rules/_changes.html",
        version=row,
        other=other,
        versions=[one for one in list_rule_sets() if one.version != row.version],
        differences=compare_definitions(other.definition, row.definition) if other else (),
    )


@bp.get(f"{VERSION}.toml")
@require(Permission.VIEW_RULES)
def export(rule_set_version: int) -> ResponseReturnValue:
    """Hand out a version as TOML."""
    row = get_rule_set(rule_set_version)
    name = f"rules-{current_organisation().code}-{row.version}.toml"
    return Response(
        dump_definition(row.written),
        mimetype="application/toml",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@bp.get("/rules/clauses")
@require(Permission.VIEW_RULES)
def catalogue() -> ResponseReturnValue:
    """Show every clause that there is, as it documents itself."""
    return render_part(
        "rules/catalogue.html",
        "rules/_catalogue.html",
        groups=group_catalogue(),
        stages=STAGE_WORDS,
    )


@bp.get("/rules/clauses/<clause_code>")
@require(Permission.VIEW_RULES)
def clause(clause_code: str) -> ResponseReturnValue:
    """Show one clause of the catalogue with its parameters and what it can say."""
    known = CATALOGUE.get(clause_code)
    if known is None:
        abort(404)
    return render_part("rules/clause.html", "rules/_clause.html", clause=known, stages=STAGE_WORDS)


def group_catalogue() -> list[tuple[str, list[Clause]]]:
    """Put the clauses of the catalogue under the stage at which each is asked first."""
    stages = list(Stage)
    ordered = sorted(CATALOGUE.values(), key=lambda one: (stages.index(one.stages[0]), one.code))
    return [
        (STAGE_WORDS[stage], list(found))
        for stage, found in groupby(ordered, key=lambda one: one.stages[0])
    ]


def list_stages(row: RuleSetRow) -> list[StageLines]:
    """Say what a version agrees, by the stage at which each clause is asked first."""
    own = list_own_codes(row.source) if row.source is not None else None
    found: dict[Stage | None, list[ClauseLine]] = {}
    for place, entry in enumerate(row.definition.get("clause", ())):
        stage, line = _line(place, entry)
        is_inherited = own is not None and line.code not in own
        found.setdefault(stage, []).append(line._replace(is_inherited=is_inherited))
    return [
        StageLines(STAGE_WORDS[stage] if stage else "Not understood any more", found[stage])
        for stage in [*Stage, None]
        if stage in found
    ]


def list_problems(row: RuleSetRow) -> tuple[str, ...]:
    """Say what keeps a draft from coming into force; nothing when it is whole."""
    if row.state is not RuleSetState.DRAFT:
        return ()
    try:
        compile_rule_set(row.definition, holidays=frozenset())
    except RuleSetInvalid as invalid:
        return tuple(str(problem) for problem in invalid.problems)
    return ()


def why_undecidable(row: RuleSetRow) -> str | None:
    """Say why the person cannot decide about a version that waits; None when they can."""
    roles = " or ".join(role.label.lower() for role in roles_with(Permission.APPROVE_RULES))
    if not current_visitor().may(Permission.APPROVE_RULES):
        return f"a {roles} who has not asked for it decides"
    if row.requested_by_id is not None and row.requested_by_id == current_actor().id:
        return f"you asked for it, so another {roles} must decide"
    return None


def _before(row: RuleSetRow) -> int | None:
    """Name the version that one is compared with: what it was copied from, or what holds now."""
    if row.based_on is not None:
        return row.based_on
    in_force = find_rule_set_in_force(today(current_organisation().zone))
    return in_force.version if in_force and in_force.version != row.version else None


def _line(place: int, entry: Mapping[str, Any]) -> tuple[Stage | None, ClauseLine]:
    code, note = str(entry.get("code")), str(entry.get("note", ""))
    bound, problems = bind_clause(entry)
    if bound is None:
        told = tuple(problem.message for problem in problems)
        known = CATALOGUE.get(code)
        line = ClauseLine(
            place, code, known.title if known else code, "", "", "", note, False, told
        )
        return (known.stages[0] if known else None), line
    severity = bound.severity.value if bound.clause.field else ""
    sentence = bound.clause.explain(bound.values)
    line = ClauseLine(
        place, code, bound.clause.title, sentence, bound.condition, severity, note, False, ()
    )
    return bound.stages[0], line


def _say(row: RuleSetEventRow) -> dict[str, Any]:
    spare = (row.kind.partition(".")[2].replace("_", " ").capitalize(), "dash", "idle")
    words, picture, tone = _SAYINGS.get(row.kind, spare)
    code = (row.details or {}).get("code")
    return {
        "words": f"{words}: {code}" if code else words,
        "when": row.happened_at,
        "picture": picture,
        "tone": tone,
        "by": row.actor,
        "note": f"“{row.reason}”" if row.reason else None,
    }
