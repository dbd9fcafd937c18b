"""From a definition to bound clauses: every code, stage, severity, parameter and condition checked.

What the bound clauses are asked for is decided in ruleset.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, Final

from portal.domain.errors import Invalid
from portal.domain.money import Rounding
from rules import CATALOGUE
from rules.clauses import Clause, ClauseKind, check_parameters
from rules.conditions import (
    INVOICE_FIELDS,
    PAYMENT_FIELDS,
    ConditionInvalid,
    Field,
    Test,
    compile_condition,
    describe_condition,
    parse_condition,
)
from rules.types import By, Severity, Stage

CLAUSES_MAX: Final = 200
PROBLEMS_SHOWN_MAX: Final = 5

_HEAD_KEYS = frozenset({"title", "description", "clause"})
_CLAUSE_KEYS = frozenset({"code", "stage", "severity", "parameters", "when", "note"})
_NO_FIELDS: Mapping[str, Field] = {}

# What a condition may ask about; the other kinds hold for every document alike.
_FIELDS = {
    ClauseKind.ADDITION: INVOICE_FIELDS,
    ClauseKind.CASH: INVOICE_FIELDS,
    ClauseKind.CHECK: INVOICE_FIELDS,
    ClauseKind.DUE: INVOICE_FIELDS,
    ClauseKind.FEE: INVOICE_FIELDS,
    ClauseKind.LEVEL: INVOICE_FIELDS,
    ClauseKind.RETRY: PAYMENT_FIELDS,
    ClauseKind.REVERSE_CHARGE: INVOICE_FIELDS,
    ClauseKind.TARIFF: INVOICE_FIELDS,
}
_ONCE = {
    ClauseKind.TAX: "how tax is rounded (C101 or C102)",
    ClauseKind.ROUNDING: "how parts of a minor unit are rounded (C103)",
    ClauseKind.ORDER: "the order of credits (P102 or P111)",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake of a definition: which clause (counted from one; 0 is the whole), and what."""

    place: int
    code: str
    message: str

    def __str__(self) -> str:
        """Read as one part of a sentence."""
        return f"clause {self.place} ({self.code}): {self.message}" if self.place else self.message


class RuleSetInvalid(Invalid):
    """The rule set is not valid: {summary}. Nothing was saved; correct it and try again."""

    summary: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class BoundClause:
    """A clause with the values, stages and condition of one agreement."""

    clause: Clause
    stages: tuple[Stage, ...]
    severity: Severity
    values: Mapping[str, Any]
    call: Callable[..., Any]
    test: Test | None
    condition: str
    rounding: Rounding
    # Where it stands in the definition, counted from one.
    place: int

    @property
    def by(self) -> By:
        """How a trace names it."""
        return By(self.clause.code, self.place)

    def explain(self) -> str:
        """Write the clause as one sentence, with its code, its stages and when it applies."""
        verb = ""
        if self.clause.kind is ClauseKind.CHECK:
            verb = f" {self.severity}s"
        stages = " and ".join(self.stages)
        when = f" Applies when {self.condition}." if self.condition else ""
        return f"{self.clause.code} at {stages}{verb}: {self.clause.explain(self.values)}{when}"


def bind_clauses(
    definition: Mapping[str, Any], *, holidays: frozenset[date]
) -> tuple[BoundClause, ...]:
    """Check a definition and bind each clause to its values.

    Raises: RuleSetInvalid, which carries every problem found.
    """
    entries, problems = _read_entries(definition)
    read = [_read_clause(place, entry, problems) for place, entry in enumerate(entries, start=1)]
    drafts = [draft for draft in read if draft is not None]
    if not problems:
        problems += _check_together(drafts)
    if problems:
        shown = "; ".join(str(problem) for problem in problems[:PROBLEMS_SHOWN_MAX])
        left = len(problems) - PROBLEMS_SHOWN_MAX
        more = f"; and {left} more" if left > 0 else ""
        raise RuleSetInvalid(summary=shown + more, problems=tuple(problems))
    rounding = next(
        (Rounding(draft.values["mode"]) for draft in drafts if draft.is_a(ClauseKind.ROUNDING)),
        Rounding.HALF_UP,
    )
    provided = {"rounding": rounding, "holidays": holidays}
    return tuple(_bind(draft, provided, rounding) for draft in drafts)


def condition_fields(known: Clause) -> Mapping[str, Field]:
    """Name what a condition of a clause may ask about; nothing where it can have none."""
    return _FIELDS.get(known.kind, _NO_FIELDS)


def bind_clause(entry: Any) -> tuple[BoundClause | None, list[Problem]]:
    """Check one clause by itself, for those who write it: without holidays, rounded as usual.

    Shape: no clause when there is a problem; what only the whole can show is not asked.
    """
    problems: list[Problem] = []
    draft = _read_clause(1, entry, problems)
    if draft is None or problems:
        return None, problems
    rounding = Rounding.HALF_UP
    return _bind(draft, {"rounding": rounding, "holidays": frozenset()}, rounding), []


@dataclass(frozen=True, slots=True)
class _Draft:
    """A clause that was read and found right in itself."""

    place: int
    clause: Clause
    stages: tuple[Stage, ...]
    severity: Severity
    values: Mapping[str, Any]
    test: Test | None
    condition: str

    def is_a(self, kind: ClauseKind) -> bool:
        return self.clause.kind is kind

    @property
    def is_final(self) -> bool:
        """Whether it takes every case that comes to it."""
        return self.test is None and not self.clause.is_partial


def _read_entries(definition: Mapping[str, Any]) -> tuple[Sequence[Any], list[Problem]]:
    """Check the outside of a definition."""
    problems = [
        Problem(0, "", f"it has the unknown key “{key}”")
        for key in definition
        if key not in _HEAD_KEYS
    ]
    problems += [
        Problem(0, "", f"“{key}” must be a text")
        for key in ("title", "description")
        if not isinstance(definition.get(key, ""), str)
    ]
    entries = definition.get("clause", [])
    if not isinstance(entries, list | tuple) or not 0 < len(entries) <= CLAUSES_MAX:
        problems.append(Problem(0, "", f"it must have 1 to {CLAUSES_MAX} clauses"))
        return [], problems
    return entries, problems


def _read_clause(place: int, entry: Any, problems: list[Problem]) -> _Draft | None:
    """Check one clause by itself; what is wrong is added to the problems."""
    if not isinstance(entry, Mapping):
        problems.append(Problem(place, "?", "it must be a table"))
        return None
    code = str(entry.get("code", "?"))
    known = CATALOGUE.get(code)
    if known is None:
        problems.append(Problem(place, code[:12], "there is no clause with this code"))
        return None
    found = [f"it has the unknown key “{key}”" for key in entry if key not in _CLAUSE_KEYS]
    stages = _read_stages(known, entry, found)
    severity = _read_severity(known, entry, found)
    parameters = entry.get("parameters", {})
    values: Mapping[str, Any] = {}
    if isinstance(parameters, Mapping):
        values, mistakes = check_parameters(known, parameters)
        found += mistakes
    else:
        found.append("its parameters must be a table")
    if not isinstance(entry.get("note", ""), str):
        found.append("its note must be a text")
    test, condition = _read_condition(known, entry, found)
    problems += [Problem(place, code, message) for message in found]
    return _Draft(place, known, stages, severity, values, test, condition)


def _read_stages(known: Clause, entry: Mapping[str, Any], found: list[str]) -> tuple[Stage, ...]:
    """Read one stage or several; a clause that says none is asked at its usual ones."""
    given = entry.get("stage", _usual_stages(known))
    names = given if isinstance(given, list | tuple) else [given]
    wrong = [name for name in names if name not in known.stages]
    if wrong or not names or len(set(names)) < len(names):
        allowed = ", ".join(known.stages)
        found.append(f"its stage must be one or more of {allowed}, each once")
        return known.stages
    return tuple(stage for stage in known.stages if stage in names)


def _usual_stages(known: Clause) -> list[Stage]:
    """List the stages of a clause that names none: all but the draft, which may be unfinished."""
    return [stage for stage in known.stages if stage is not Stage.DRAFT]


def _read_severity(known: Clause, entry: Mapping[str, Any], found: list[str]) -> Severity:
    given = entry.get("severity", known.severity)
    if "severity" in entry and known.kind is not ClauseKind.CHECK:
        found.append("it computes or decides, and so has no severity")
    elif given not in tuple(Severity):
        found.append(f"its severity must be {' or '.join(Severity)}")
    else:
        return Severity(given)
    return known.severity


def _read_condition(
    known: Clause, entry: Mapping[str, Any], found: list[str]
) -> tuple[Test | None, str]:
    if "when" not in entry:
        return None, ""
    fields = condition_fields(known)
    if not fields:
        found.append("it holds for every document and cannot have a condition")
        return None, ""
    try:
        condition = parse_condition(entry["when"], fields)
    except ConditionInvalid as invalid:
        found.append(f"its condition is wrong: {invalid.reason}")
        return None, ""
    return compile_condition(condition), describe_condition(condition)


def _check_together(drafts: Sequence[_Draft]) -> list[Problem]:
    """Check what only the whole can show: what is missing, said twice, or never reached."""
    problems = []
    for kind, subject in _ONCE.items():
        problems += [
            Problem(draft.place, draft.clause.code, f"the rule set says twice {subject}")
            for draft in [draft for draft in drafts if draft.is_a(kind)][1:]
        ]
    if not any(draft.is_a(ClauseKind.TAX) for draft in drafts):
        problems.append(Problem(0, "", f"it does not say {_ONCE[ClauseKind.TAX]}"))
    dues = [draft for draft in drafts if draft.is_a(ClauseKind.DUE)]
    if not any(draft.is_final for draft in dues):
        reason = "it does not say when every other document is due (C104 without condition)"
        problems.append(Problem(0, "", reason))
    problems += _check_tax_codes(drafts)
    for kind in (ClauseKind.DUE, ClauseKind.RETRY, ClauseKind.LEVEL):
        chain = [draft for draft in drafts if draft.is_a(kind)]
        open_ended = [place for place, draft in enumerate(chain) if draft.is_final]
        first = open_ended[0] if open_ended else len(chain)
        problems += [
            Problem(draft.place, draft.clause.code, "a clause before it already takes every case")
            for draft in chain[first + 1 :]
        ]
    return problems


def _check_tax_codes(drafts: Sequence[_Draft]) -> list[Problem]:
    """Check that added lines can be taxed, and that what takes no tax is not taxed elsewhere."""
    rates: dict[str, int] = {}
    untaxed: list[tuple[_Draft, str]] = []
    for draft in drafts:
        values = draft.values
        if draft.is_a(ClauseKind.TAX):
            rates |= values["rates"]
        elif draft.is_a(ClauseKind.TAX_CODE) and values.get("rate_bps"):
            rates[values["tax_code"]] = values["rate_bps"]
        elif draft.is_a(ClauseKind.REVERSE_CHARGE):
            untaxed.append((draft, values["reverse_code"]))
        elif draft.is_a(ClauseKind.CASH) or draft.is_a(ClauseKind.TAX_CODE):
            untaxed.append((draft, values["tax_code"]))
    known = set(rates) | {code for _, code in untaxed}
    problems = [
        Problem(
            draft.place, draft.clause.code, f"the tax code “{code}” takes tax by another clause"
        )
        for draft, code in untaxed
        if rates.get(code)
    ]
    problems += [
        Problem(draft.place, draft.clause.code, f"the tax code “{code}” is not agreed")
        for draft in drafts
        if draft.is_a(ClauseKind.ADDITION)
        and (code := draft.values.get("tax_code")) is not None
        and code not in known
    ]
    return problems


def _bind(draft: _Draft, provided: Mapping[str, Any], rounding: Rounding) -> BoundClause:
    known = draft.clause
    handed = {name: provided[name] for name in known.provided}
    arguments = {**draft.values, **handed}
    return BoundClause(
        clause=known,
        stages=draft.stages,
        severity=draft.severity,
        values=draft.values,
        call=partial(known.function, **arguments) if arguments else known.function,
        test=draft.test,
        condition=draft.condition,
        rounding=rounding,
        place=draft.place,
    )
