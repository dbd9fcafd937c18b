"""What differs between two definitions of a rule set, clause by clause, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from rules import CATALOGUE
from rules.compiling import BoundClause, bind_clause

_HEAD = {"title": "The title", "description": "The description"}


class Difference(NamedTuple):
    """One clause that came, went or changed, or something about the whole (without code).

    Shape: `sentences` say what it is now (added), was (removed), or each thing that changed.
    """

    kind: Literal["added", "removed", "changed"]
    code: str
    title: str
    sentences: tuple[str, ...]


def compare_definitions(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Difference, ...]:
    """Say what makes one whole definition another: the head, then the clauses by code.

    Shape: empty when both say the same; clauses of one code are matched by their conditions, then
    by their order.
    """
    found = []
    for key, words in _HEAD.items():
        old, new = str(before.get(key, "")), str(after.get(key, ""))
        if old != new:
            found.append(Difference("changed", "", words, (_from_to(words, old, new),)))
    theirs, ours = _by_code(before), _by_code(after)
    for code in sorted(theirs | ours):
        found += _compare_code(code, theirs.get(code, []), ours.get(code, []))
    if not found and _codes(before) != _codes(after):
        words = "The order of the clauses"
        found.append(Difference("changed", "", words, (f"{words} is another.",)))
    return tuple(found)


def _by_code(definition: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in definition.get("clause", ()):
        found.setdefault(str(entry.get("code")), []).append(entry)
    return found


def _codes(definition: Mapping[str, Any]) -> list[Any]:
    return [entry.get("code") for entry in definition.get("clause", ())]


def _compare_code(
    code: str, before: list[Mapping[str, Any]], after: list[Mapping[str, Any]]
) -> Iterator[Difference]:
    known = CATALOGUE.get(code)
    title = known.title if known else "A clause that is known no more"
    olds = [entry for entry in before if entry not in after]
    news = [entry for entry in after if entry not in before]
    for old, new in _pairs(olds, news):
        sentences = tuple(_say_changes(old, new))
        if sentences:
            yield Difference("changed", code, title, sentences)
    for entry in olds:
        yield Difference("removed", code, title, (_say(entry),))
    for entry in news:
        yield Difference("added", code, title, (_say(entry),))


def _pairs(
    olds: list[Mapping[str, Any]], news: list[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Take out of both lists what is one clause before and after."""
    pairs = []
    for old in list(olds):
        same = next((new for new in news if new.get("when") == old.get("when")), None)
        if same is not None:
            pairs.append((old, same))
            olds.remove(old)
            news.remove(same)
    while olds and news:
        pairs.append((olds.pop(0), news.pop(0)))
    return pairs


def _say(entry: Mapping[str, Any]) -> str:
    bound, problems = bind_clause(entry)
    return bound.explain() if bound else "; ".join(problem.message for problem in problems)


def _say_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = bind_clause(old)[0], bind_clause(new)[0]
    if before is None or after is None:
        yield _from_to("The clause", _say(old), _say(new))
        return
    yield from _say_values(before, after)
    for words, ours, theirs in (
        ("The stage", " and ".join(before.stages), " and ".join(after.stages)),
        ("The severity", before.severity.value, after.severity.value),
        ("The condition", before.condition, after.condition),
        ("The note", str(old.get("note", "")), str(new.get("note", ""))),
    ):
        if ours != theirs:
            yield _from_to(words, ours, theirs)


def _say_values(before: BoundClause, after: BoundClause) -> Iterator[str]:
    for parameter in after.clause.parameters:
        old, new = before.values[parameter.name], after.values[parameter.name]
        if old != new:
            words = parameter.name.removesuffix("_bps").removesuffix("_minor")
            words = words.removesuffix("_micro").replace("_", " ").capitalize()
            yield _from_to(words, parameter.say(old), parameter.say(new))


def _from_to(words: str, old: str, new: str) -> str:
    if not old:
        return f"{words} is new: {new}."
    if not new:
        return f"{words} is gone; it was: {old}."
    return f"{words} was {old} and is {new} now."
