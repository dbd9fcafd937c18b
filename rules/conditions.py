"""“Applies when …”: a typed tree over the facts, its Python face and its English sentence.

A comparison with something absent is false, and `not` is its exact complement; the SQL face, which
lives with the queries, must keep to both.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from portal.domain.dates import DateMalformed, parse_date
from portal.domain.errors import Invalid
from portal.domain.money import AMOUNT_MINOR_MAX
from rules.types import InvoiceFacts, PaymentFacts

FieldType = Literal["text", "number", "flag", "day"]
Value = str | int | bool | date | tuple[str | int | date, ...] | None
Test = Callable[[Any], bool]

# Enough for an agreement that people can still read, and a bound for what is compiled.
DEPTH_MAX: Final = 6
NODES_MAX: Final = 50
VALUES_MAX: Final = 200
TEXT_CHARACTERS_MAX: Final = 200


class ConditionInvalid(Invalid):
    """The condition is not valid: {reason}. Nothing was saved; correct it and try again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Field:
    """A fact that conditions may ask about."""

    name: str
    type: FieldType
    label: str
    position: int


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison of a fact with a value; `present` has no value."""

    field: Field
    op: str
    value: Value


@dataclass(frozen=True, slots=True)
class Group:
    """Several conditions, of which all or any must hold."""

    word: Literal["all", "any"]
    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The complement of a condition."""

    part: "Condition"


Condition = Compare | Group | Not


def _fields(facts: type[Any], types: Mapping[str, FieldType]) -> dict[str, Field]:
    return {
        name: Field(name, kind, name.replace("_minor", "_amount").replace("_", " "), position)
        for position, name in enumerate(facts._fields)
        if (kind := types.get(name)) is not None
    }


INVOICE_FIELDS: Final = _fields(
    InvoiceFacts,
    {
        "kind": "text",
        "currency": "text",
        "payer_kind": "text",
        "payer_ref": "text",
        "has_default_payer": "flag",
        "external_ref": "text",
        "purchase_order_ref": "text",
        "document_on": "day",
        "business_date": "day",
        "is_duplicate": "flag",
        "total_minor": "number",
        "open_minor": "number",
        "due_on": "day",
        "buyer_reference": "text",
        "cost_centre": "text",
        "payment_ref": "text",
        "period_from": "day",
        "period_to": "day",
        "payer_vat_id": "text",
    },
)
PAYMENT_FIELDS: Final = _fields(
    PaymentFacts,
    {
        "amount_minor": "number",
        "currency": "text",
        "attempt_number": "number",
        "reason_code": "text",
        "reason_kind": "text",
        "business_date": "day",
        "first_attempt_on": "day",
    },
)

_ORDER_WORDS = {"lt": "is below", "le": "is at most", "gt": "is above", "ge": "is at least"}
_DAY_WORDS = {"lt": "is before", "le": "is not after", "gt": "is after", "ge": "is not before"}
_SAME_WORDS = {"eq": "is", "ne": "is there but not", "in": "is one of"}
OPS: Final[dict[FieldType, tuple[str, ...]]] = {
    "text": ("eq", "ne", "in", "starts_with", "present"),
    "number": ("eq", "ne", "in", "lt", "le", "gt", "ge", "present"),
    "day": ("eq", "ne", "in", "lt", "le", "gt", "ge", "present"),
    "flag": ("eq",),
}


_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "starts_with": str.startswith,
}


def parse_condition(tree: Mapping[str, Any], fields: Mapping[str, Field]) -> Condition:
    """Check a condition given as data against the facts it may ask about.

    Shape: `{all: […]}`, `{any: […]}`, `{not: {…}}` or `{field, op, value}`; days are dates or
    ISO texts.
    Raises: ConditionInvalid.
    """
    return _parse(tree, fields, depth=1, nodes=[0])


def dump_condition(condition: Condition) -> dict[str, Any]:
    """Write a condition as the data that `parse_condition` reads; days become ISO texts."""
    match condition:
        case Group(word, parts):
            return {word: [dump_condition(part) for part in parts]}
        case Not(part):
            return {"not": dump_condition(part)}
        case Compare(field, "present"):
            return {"field": field.name, "op": "present"}
        case Compare(field, op, value):
            values = value if isinstance(value, tuple) else (value,)
            plain = [each.isoformat() if isinstance(each, date) else each for each in values]
            said = plain if isinstance(value, tuple) else plain[0]
            return {"field": field.name, "op": op, "value": said}


def compile_condition(condition: Condition) -> Test:
    """Turn a condition into a function of the facts it was parsed for."""
    match condition:
        case Group(word, parts):
            tests = tuple(compile_condition(part) for part in parts)
            if word == "all":
                return lambda facts: all(test(facts) for test in tests)
            return lambda facts: any(test(facts) for test in tests)
        case Not(part):
            inner = compile_condition(part)
            return lambda facts: not inner(facts)
        case Compare(field, op, value):
            return _compile_comparison(field.position, op, value)


def describe_condition(condition: Condition) -> str:
    """Write a condition as part of an English sentence; brackets only where they matter."""
    match condition:
        case Group(word, parts):
            joint = " and " if word == "all" else " or "
            return joint.join(_bracketed(part) for part in parts)
        case Not(part):
            return f"it is not so that {_bracketed(part)}"
        case Compare(field, op, value):
            return _describe_comparison(field, op, value)


def _parse(tree: Any, fields: Mapping[str, Field], depth: int, nodes: list[int]) -> Condition:
    nodes[0] += 1
    if depth > DEPTH_MAX or nodes[0] > NODES_MAX:
        raise ConditionInvalid(
            reason=f"it is deeper than {DEPTH_MAX} levels or has more than {NODES_MAX} parts"
        )
    if not isinstance(tree, Mapping):
        raise ConditionInvalid(reason="each part must be a table")
    keys = set(tree)
    if keys == {"not"}:
        return Not(_parse(tree["not"], fields, depth + 1, nodes))
    for word in ("all", "any"):
        if keys == {word}:
            parts = tree[word]
            if not isinstance(parts, list | tuple) or not parts:
                raise ConditionInvalid(reason=f"“{word}” must be a list with at least one part")
            parsed = tuple(_parse(part, fields, depth + 1, nodes) for part in parts)
            return Group("all" if word == "all" else "any", parsed)
    return _parse_comparison(tree, fields)


def _parse_comparison(tree: Mapping[str, Any], fields: Mapping[str, Field]) -> Compare:
    field = fields.get(str(tree.get("field")))
    if field is None:
        known = ", ".join(fields) or "none here"
        raise ConditionInvalid(reason=f"there is no field “{tree.get('field')}”; known: {known}")
    op = str(tree.get("op"))
    if op not in OPS[field.type]:
        known = ", ".join(OPS[field.type])
        raise ConditionInvalid(reason=f"“{field.name}” does not know “{op}”; it knows {known}")
    expected = {"field", "op"} if op == "present" else {"field", "op", "value"}
    if set(tree) != expected:
        raise ConditionInvalid(reason=f"“{field.name} {op}” needs exactly {sorted(expected)}")
    if op == "present":
        return Compare(field, op, None)
    value = tree["value"]
    if op != "in":
        return Compare(field, op, _parse_value(field, value))
    if not isinstance(value, list | tuple) or not 0 < len(value) <= VALUES_MAX:
        raise ConditionInvalid(
            reason=f"“{field.name} in” needs a list with at least one value, {VALUES_MAX} at most"
        )
    return Compare(field, op, tuple(_parse_value(field, item) for item in value))


def _parse_value(field: Field, value: Any) -> Any:
    """Check a value against the type of its field; a bool is no number and an instant no day."""
    if field.type == "day" and isinstance(value, str):
        try:
            return parse_date(value)
        except DateMalformed as cause:
            raise ConditionInvalid(reason=f"“{value[:40]}” is no day such as 2026-03-31") from cause
    wanted = {"text": str, "number": int, "flag": bool, "day": date}[field.type]
    if type(value) is not wanted or value == "":
        raise ConditionInvalid(reason=f"the value of “{field.name}” must be a {field.type}")
    if isinstance(value, int) and abs(value) > AMOUNT_MINOR_MAX:
        raise ConditionInvalid(reason=f"the value of “{field.name}” is larger than any amount")
    if isinstance(value, str) and not (len(value) <= TEXT_CHARACTERS_MAX and value.isprintable()):
        raise ConditionInvalid(
            reason=f"the value of “{field.name}” must have up to {TEXT_CHARACTERS_MAX} characters"
            " that can be printed"
        )
    return value


def _compile_comparison(place: int, op: str, value: Any) -> Test:
    if op == "present":
        return lambda facts: facts[place] is not None
    if op == "eq":
        return lambda facts: bool(facts[place] == value)
    if op == "in":
        values = frozenset(value)
        return lambda facts: facts[place] in values
    compare = _COMPARISONS[op]
    return lambda facts: (fact := facts[place]) is not None and compare(fact, value)


def _describe_comparison(field: Field, op: str, value: Any) -> str:
    if op == "present":
        return f"{field.label} is given"
    if field.type == "flag":
        return f"{field.label} is {'true' if value else 'false'}"
    if op == "starts_with":
        return f"{field.label} starts with “{value}”"
    words = _SAME_WORDS | (_DAY_WORDS if field.type == "day" else _ORDER_WORDS)
    values = value if isinstance(value, tuple) else (value,)
    quoted = [f"“{item}”" if field.type == "text" else str(item) for item in values]
    unit = " minor units" if field.name.endswith("_minor") else ""
    return f"{field.label} {words[op]} {', '.join(quoted)}{unit}"


def _bracketed(part: Condition) -> str:
    written = describe_condition(part)
    return f"({written})" if isinstance(part, Group) and len(part.parts) > 1 else written
