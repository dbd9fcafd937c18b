"""What a clause is: its code, stages, title, typed parameters and sentence, read off its function.

The clauses themselves live in the modules that `rules.CLAUSE_MODULES` names.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_type_hints

from rules.parameters import (
    Between,
    Parameter,
    ParameterType,
    Unit,
    read_parameters,
    read_values,
    say,
)
from rules.types import Severity, Stage

__all__ = [
    "CATALOGUE",
    "Between",
    "Clause",
    "ClauseKind",
    "Parameter",
    "ParameterType",
    "Unit",
    "check_parameters",
    "clause",
    "say",
]

FunctionKind = TypeVar("FunctionKind", bound=Callable[..., Any])

# Keyword arguments that the compiled rule set fills in; an agreement cannot set them.
PROVIDED: Final = frozenset({"rounding", "holidays"})


class ClauseKind(StrEnum):
    """What a clause does for the rule set."""

    CHECK = "check"
    TARIFF = "tariff"
    ADDITION = "addition"
    TAX_CODE = "tax_code"
    REVERSE_CHARGE = "reverse_charge"
    TAX = "tax"
    CASH = "cash"
    ROUNDING = "rounding"
    DUE = "due"
    FEE = "fee"
    LEVEL = "level"
    RETRY = "retry"
    ORDER = "order"
    SET_OFF = "set_off"
    TOLERANCE = "tolerance"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Clause:
    """An entry of the catalogue."""

    code: str
    kind: ClauseKind
    stages: tuple[Stage, ...]
    title: str
    sentence: str
    parameters: tuple[Parameter, ...]
    provided: frozenset[str]
    severity: Severity
    field: str | None
    function: Callable[..., Any]
    # Facts that cost a look-up of their own, and are looked up only for clauses that need them.
    needs: frozenset[str]
    agrees: Callable[[Mapping[str, Any]], str] | None
    # Whether it may leave a case to the next clause of its kind, even without a condition.
    is_partial: bool

    def explain(self, values: Mapping[str, Any]) -> str:
        """Fill the sentence with the values of an agreement."""
        said = {each.name: each.say(values[each.name]) for each in self.parameters}
        return self.sentence.format_map(said)

    @property
    def findings(self) -> tuple[str, ...]:
        """What it can say, word by word, with “…” where a fact or a value stands.

        Shape: empty when it computes or decides without a word.
        """
        return _list_said(self.function)


CATALOGUE: dict[str, Clause] = {}


def clause(
    kind: ClauseKind,
    *stages: Stage,
    field: str | None = None,
    severity: Severity = Severity.BLOCK,
    needs: tuple[str, ...] = (),
    agrees: Callable[[Mapping[str, Any]], str] | None = None,
) -> Callable[[FunctionKind], FunctionKind]:
    """Enter the decorated function in the catalogue.

    Shape: the code is the start of the function's name, the title the rest; the sentence is the
    first paragraph of its docstring and names parameters in braces. `agrees` is asked when each
    value is right in itself, and says why they do not agree with each other, or nothing.
    Raises: TypeError when the function is not written as a clause, or its code is taken.
    """

    def enter(function: FunctionKind) -> FunctionKind:
        found = re.fullmatch(r"([vcp]\d{3})_(\w+)", function.__name__)
        if found is None or not function.__doc__:
            raise TypeError(f"{function.__name__} needs a code in its name and a docstring")
        code = found[1].upper()
        if code in CATALOGUE:
            raise TypeError(f"the code {code} is taken by {CATALOGUE[code].title}")
        parameters, provided = read_parameters(function, PROVIDED)
        CATALOGUE[code] = Clause(
            code=code,
            kind=kind,
            stages=stages,
            title=found[2].replace("_", " ").capitalize(),
            sentence=" ".join(inspect.cleandoc(function.__doc__).split("\n\n")[0].split()),
            parameters=parameters,
            provided=provided,
            severity=severity,
            field=field,
            function=function,
            needs=frozenset(needs),
            agrees=agrees,
            is_partial=NoneType in get_args(get_type_hints(function)["return"]),
        )
        return function

    return enter


def check_parameters(entry: Clause, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Check what an agreement gives a clause against its signature.

    Shape: every parameter by name, defaults filled in; and one sentence per mistake.
    """
    values, problems = read_values(entry.parameters, given)
    if not problems and entry.agrees is not None:
        problems += filter(None, [entry.agrees(values)])
    return values, problems


@cache
def _list_said(function: Callable[..., Any]) -> tuple[str, ...]:
    """Read the sentences that a function can return off its own text, in its order."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    said = [
        text
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Return) and statement.value is not None
        for text in _list_texts(statement.value)
    ]
    return tuple(dict.fromkeys(said))


def _list_texts(node: ast.AST) -> list[str]:
    """List the sentences in an expression; words of a code, which have no blank, are none."""
    if isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        return ["".join(parts)]
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) and " " in node.value else []
    return [text for child in ast.iter_child_nodes(node) for text in _list_texts(child)]
