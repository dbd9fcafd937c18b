"""Conditions as one line of text, for those who would rather type than click.

The words are those of `rule-engine`, which only reads them: nothing is evaluated by it.

    currency == "EUR" and (total_minor > 5000 or payer_kind in ["person", "company"])
    not starts_with(payer_ref, "P-") and due_on != null and due_on < "2026-04-01"
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final, NamedTuple

from portal.domain.errors import Invalid
from rules.conditions import (
    NODES_MAX,
    Compare,
    Condition,
    ConditionInvalid,
    Field,
    Group,
    Not,
    parse_condition,
)

CONDITION_CHARACTERS_MAX: Final = 4_000
NUMBER_DIGITS_MAX: Final = 18
# Nobody can read deeper brackets, and each costs the parser a call.
BRACKETS_MAX: Final = 12

_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "in": "in"}
_TURNED = "the field stands on the left and a value on the right of a comparison"
_PLAIN_TOKENS = frozenset(
    {"SYMBOL", "STRING", "FLOAT", "SUB", "TRUE", "FALSE", "NULL", "AND", "OR", "NOT", "IN"}
    | {"EQ", "NE", "LT", "LE", "GT", "GE", "LPAREN", "RPAREN", "LBRACKET", "RBRACKET", "COMMA"}
)
_REFUSED = {
    "ATTR": "a field has no parts; leave out the point and what follows",
    "ATTR_SAFE": "a field has no parts; leave out the point and what follows",
    "FOR": "nothing is repeated in a condition",
    "IF": "a condition decides nothing but itself",
    "COMMENT": "a condition has no comment; write a note beside it",
    "DATETIME": 'write a day as a text, such as "2026-03-31"',
    "TIMEDELTA": "spans of time are not known here",
    "BYTES": "write a text without a letter before its quotes",
    "FLOAT_INF": "a number has an end",
    "FLOAT_NAN": "write a number",
} | dict.fromkeys(
    ("EQ_FZM", "EQ_FZS", "NE_FZM", "NE_FZS"),
    'patterns are not known here; write starts_with(field, "text")',
)


class ConditionTextInvalid(Invalid):
    """The condition cannot be read at character {position}: {reason}. Nothing was saved; correct
    that place."""

    position: int
    reason: str


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


def parse_condition_text(text: str, fields: Mapping[str, Field]) -> Condition:
    """Read a condition from a line of text, into the same tree as one given as data.

    Shape: positions count characters from one.
    Raises: ConditionTextInvalid, also for what is well written but not true of the fields.
    """
    if not text.strip():
        raise ConditionTextInvalid(position=1, reason="there is nothing here")
    if len(text) > CONDITION_CHARACTERS_MAX:
        raise ConditionTextInvalid(
            position=CONDITION_CHARACTERS_MAX + 1,
            reason=f"it has more than {CONDITION_CHARACTERS_MAX:,} characters",
        )
    tokens = _read_tokens(text)
    reader = _Reader(tokens, fields)
    tree = reader.read(_parse(text))
    try:
        return parse_condition(tree, fields)
    except ConditionInvalid as invalid:
        raise ConditionTextInvalid(position=1, reason=invalid.reason) from invalid


def write_condition_text(condition: Condition) -> str:
    """Write a condition as a line of text that reads back to the same meaning."""
    match condition:
        case Group(word, parts):
            joint = " and " if word == "all" else " or "
            return joint.join(_bracketed(part) for part in parts)
        case Not(Compare(field, "present")):
            return f"{field.name} == null"
        case Not(part):
            written = write_condition_text(part)
            return f"not ({written})"
        case Compare(field, "present"):
            return f"{field.name} != null"
        case Compare(field, "starts_with", value):
            return f"starts_with({field.name}, {_literal(value)})"
        case Compare(field, op, value):
            return f"{field.name} {_SIGNS[op]} {_literal(value)}"


def _bracketed(part: Condition) -> str:
    written = write_condition_text(part)
    return f"({written})" if isinstance(part, Group) else written


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    # As escapes, so that no sign of the text ends it.
    written = str(value).replace("\\", "\\u005c").replace('"', "\\u0022")
    return f'"{written}"'


@cache
def _parser() -> Any:
    """Load the library where a text is read first: it takes half a second."""
    from rule_engine import Rule

    return Rule.parser


def _read_tokens(text: str) -> Sequence[_Token]:
    """Cut a text into words, and refuse those that a condition has no use for.

    The library works out constants while it parses; what could be worked out never reaches it. Its
    tree knows no positions, its words do.
    """
    from rule_engine.errors import EngineError

    lexer = _parser()._lexer.clone()  # noqa: SLF001 – there is no other way to a position
    lexer.input(text)
    tokens: list[_Token] = []
    depth = 0
    try:
        # One after the other, since those before the one that breaks say where that is.
        tokens.extend(_Token(each.type, str(each.value), each.lexpos + 1) for each in lexer)
    except EngineError as error:
        raise _refused(error, text) from error
    for token in tokens:
        _check_token(token)
        depth += (token.kind in {"LPAREN", "LBRACKET"}) - (token.kind in {"RPAREN", "RBRACKET"})
        if depth > BRACKETS_MAX:
            reason = f"brackets stand in more than {BRACKETS_MAX} others"
            raise ConditionTextInvalid(position=token.position, reason=reason)
    joints = [each for each in tokens if each.kind in {"AND", "OR", "NOT"}]
    if len(joints) > NODES_MAX:
        reason = f"it has more than {NODES_MAX} parts"
        raise ConditionTextInvalid(position=joints[NODES_MAX].position, reason=reason)
    return tokens


def _check_token(token: _Token) -> None:
    kind, text, position = token
    reason = ""
    if kind not in _PLAIN_TOKENS:
        reason = _REFUSED.get(kind, f"“{text[:20]}” has no place in a condition")
    elif kind == "STRING" and text[0] not in "\"'":
        reason = "write a text without a letter before its quotes"
    elif kind == "SYMBOL" and text.startswith(("$", "_")):
        reason = f"there is no field “{text[:40]}”"
    elif kind == "FLOAT" and not (text.isdigit() and len(text) <= NUMBER_DIGITS_MAX):
        reason = f"a number is whole and has up to {NUMBER_DIGITS_MAX} digits"
    if reason:
        raise ConditionTextInvalid(position=position, reason=reason)


def _parse(text: str) -> Any:
    """Return the library's tree of a text whose words have been checked."""
    from rule_engine import Context
    from rule_engine.errors import EngineError

    try:
        return _parser().parse(text, Context(default_timezone="utc")).expression
    except EngineError as error:
        raise _refused(error, text) from error
    except RecursionError as error:
        raise ConditionTextInvalid(position=1, reason="it is nested too deeply") from error


def _refused(error: Any, text: str) -> ConditionTextInvalid:
    """Say in our words what the library found wrong, and where."""
    token = getattr(error, "token", None)
    if token is not None:
        reason = f"“{str(token.value)[:20]}” was not expected here"
        return ConditionTextInvalid(position=token.lexpos + 1, reason=reason)
    said = str(getattr(error, "message", error))
    is_cut = said.startswith("syntax error at")
    reason = "it ends before it is complete" if is_cut else said[:120]
    return ConditionTextInvalid(position=len(text), reason=reason)


class _Reader:
    """Turns the library's tree into the data of a condition, or says where that is not possible."""

    def __init__(self, tokens: Sequence[_Token], fields: Mapping[str, Field]) -> None:
        self._tokens = tokens
        self._fields = fields
        self._last = tokens[0].position if tokens else 1

    def read(self, node: Any) -> dict[str, Any]:
        """Read one part, by the kind of its node."""
        match type(node).__name__:
            case "LogicExpression":
                return self._read_logic(node)
            case "UnaryExpression" if node.type == "not":
                return {"not": self.read(node.right)}
            case "ComparisonExpression" | "ArithmeticComparisonExpression":
                return self._read_comparison(node)
            case "ContainsExpression":
                name = self._name(node.member, _TURNED)
                return self._compare(name, "in", self._value(node.container, name))
            case "FunctionCallExpression":
                return self._read_call(node)
            case "SymbolExpression":
                name = self._name(node, "")
                if self._fields[name].type != "flag":
                    raise self._refuse(f"compare “{name}” with a value")
                return self._compare(name, "eq", True)
            case _:
                raise self._refuse("a condition compares a field with a value")

    def _read_logic(self, node: Any) -> dict[str, Any]:
        word = {"and": "all", "or": "any"}[node.type]
        parts: list[dict[str, Any]] = []
        for side in (node.left, node.right):
            read = self.read(side)
            # A chain is one group, however the library has bracketed it.
            parts += read[word] if set(read) == {word} else [read]
        return {word: parts}

    def _read_comparison(self, node: Any) -> dict[str, Any]:
        name = self._name(node.left, _TURNED)
        op = str(node.type)
        if type(node.right).__name__ == "NullExpression":
            if op not in {"eq", "ne"}:
                raise self._refuse("what is absent is neither below nor above anything")
            present = self._compare(name, "present")
            return present if op == "ne" else {"not": present}
        return self._compare(name, op, self._value(node.right, name))

    def _read_call(self, node: Any) -> dict[str, Any]:
        called = getattr(node.function, "name", None)
        match called, list(node.arguments):
            case "starts_with", [field, value]:
                name = self._name(field, 'write starts_with(field, "text")')
                return self._compare(name, "starts_with", self._value(value, name))
        self._find(str(called))
        raise self._refuse('nothing is called but starts_with(field, "text")')

    def _compare(self, name: str, op: str, *values: Any) -> dict[str, Any]:
        """Write one comparison as data, and check it while its place is known."""
        read = {"field": name, "op": op, **({"value": values[0]} if values else {})}
        try:
            parse_condition(read, self._fields)
        except ConditionInvalid as invalid:
            raise self._refuse(invalid.reason) from invalid
        return read

    def _name(self, node: Any, otherwise: str) -> str:
        if type(node).__name__ != "SymbolExpression":
            raise self._refuse(otherwise)
        name = str(node.name)
        self._find(name)
        if name not in self._fields:
            known = ", ".join(self._fields) or "none here"
            raise self._refuse(f"there is no field “{name[:40]}”; known: {known}")
        return name

    def _value(self, node: Any, name: str) -> Any:
        match type(node).__name__:
            case "ArrayExpression":
                return [self._value(item, name) for item in node.value]
            case "StringExpression" | "BooleanExpression":
                return node.value
            case "FloatExpression":
                return int(Decimal(node.value))
            case _:
                raise self._refuse(f"compare “{name}” with a value, not with another field")

    def _find(self, name: str) -> None:
        """Remember where a name stands, for what may be wrong with it or after it."""
        places = [each.position for each in self._tokens if each.text == name]
        later = [place for place in places if place >= self._last]
        self._last = next(iter([*later, *places]), self._last)

    def _refuse(self, reason: str) -> ConditionTextInvalid:
        return ConditionTextInvalid(position=self._last, reason=reason)
