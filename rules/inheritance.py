"""Rule sets that build on another: what they take over, replace and leave out.

A definition that names a `base` says only what differs: its clauses replace all of the base with
the same code, and `remove = true` leaves that code out. Whoever applies a rule set is given the
whole of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from portal.domain.errors import Invalid

# A base may build on another; more steps than this nobody follows.
BASES_MAX: Final = 4

FindBase = Callable[[str], Mapping[str, Any]]


class BaseInvalid(Invalid):
    """The rule set cannot be built on “{base}”: {reason}. Nothing was saved; correct it and try
    again."""

    base: str
    reason: str


def resolve_definition(
    definition: Mapping[str, Any], find_base: FindBase, *, steps: int = 0
) -> dict[str, Any]:
    """Return the whole of a definition, with what it takes over from its base.

    Shape: a definition without base as it is; clauses in the order of the base, new ones behind.
    Raises: BaseInvalid; whatever the search for the base raises.
    """
    if "base" not in definition:
        return dict(definition)
    named = definition["base"]
    if not isinstance(named, str):
        raise BaseInvalid(base=str(named)[:40], reason="the name of a base is a text")
    if steps >= BASES_MAX:
        raise BaseInvalid(base=named, reason=f"there are more than {BASES_MAX} bases behind it")
    base = resolve_definition(find_base(named), find_base, steps=steps + 1)
    own = _entries(definition)
    theirs = _entries(base)
    removed = {_code(entry) for entry in own if _is_removal(entry)}
    unknown = sorted(removed - {_code(entry) for entry in theirs})
    if unknown:
        raise BaseInvalid(base=named, reason=f"it has no {', '.join(unknown)} to be left out")
    kept = [entry for entry in own if not _is_removal(entry)]
    whole = {**base, **definition, "clause": _overlay(theirs, kept, removed)}
    del whole["base"]
    return whole


def write_overrides(base: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """Say a whole definition as what differs from its base, without naming the base."""
    theirs, wanted = _entries(base), _entries(whole)
    own: list[dict[str, Any]] = []
    for code in dict.fromkeys(_code(entry) for entry in [*theirs, *wanted]):
        before = [entry for entry in theirs if _code(entry) == code]
        after = [entry for entry in wanted if _code(entry) == code]
        if not after:
            own.append({"code": code, "remove": True})
        elif before != after:
            own += after
    said = {key: value for key, value in whole.items() if base.get(key) != value}
    return {**said, "clause": own}


def list_own_codes(definition: Mapping[str, Any]) -> frozenset[str]:
    """Name the codes that a definition with a base says itself."""
    return frozenset(_code(entry) for entry in _entries(definition))


def _overlay(
    theirs: Sequence[Any], own: Sequence[Any], removed: set[str]
) -> list[Mapping[str, Any]]:
    """Put the own clauses where the first of the base with their code stands."""
    waiting: dict[str, list[Any]] = {}
    for entry in own:
        waiting.setdefault(_code(entry), []).append(entry)
    replaced = removed | waiting.keys()
    whole: list[Any] = []
    for entry in theirs:
        code = _code(entry)
        whole += waiting.pop(code, [])
        if code not in replaced:
            whole.append(entry)
    return [*whole, *(entry for entries in waiting.values() for entry in entries)]


def _entries(definition: Mapping[str, Any]) -> list[Any]:
    found = definition.get("clause", [])
    return list(found) if isinstance(found, list | tuple) else []


def _code(entry: Any) -> str:
    return str(entry.get("code", "?")) if isinstance(entry, Mapping) else "?"


def _is_removal(entry: Any) -> bool:
    return isinstance(entry, Mapping) and set(entry) == {"code", "remove"} and entry["remove"]
