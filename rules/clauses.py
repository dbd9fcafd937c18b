"""What a clause is: its code, stages, title, typed parameters and sentence, read off its function.

The clauses themselves live in validation, calculation and policies.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

from rules.types import Severity, Stage

FunctionKind = TypeVar("FunctionKind", bound=Callable[..., Any])

# Keyword arguments that the compiled rule set fills in; an agreement cannot set them.
PROVIDED: Final = frozenset({"rounding", "holidays"})

TEXT_CHARACTERS_MAX: Final = 80
LIST_ITEMS_MAX: Final = 200


class ClauseKind(StrEnum):
    """What a clause does for the rule set."""

    CHECK = "check"
    TAX = "tax"
    ROUNDING = "rounding"
    DUE = "due"
    FEE = "fee"
    RETRY = "retry"
    ORDER = "order"
    SET_OFF = "set_off"


class ParameterType(StrEnum):
    """How a parameter is entered and checked."""

    WHOLE_NUMBER = "whole_number"
    TEXT = "text"
    YES_NO = "yes_no"
    CHOICE = "choice"
    WHOLE_NUMBERS = "whole_numbers"
    TEXTS = "texts"
    RATES = "rates"


@dataclass(frozen=True, slots=True)
class Between:
    """The smallest and largest value of a number, or of each number of a list."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """One typed parameter of a clause.

    Shape: `default` is None exactly when the parameter is required; `choices` is empty unless the
    type is choice or texts of fixed words.
    """

    name: str
    type: ParameterType
    default: Any
    choices: tuple[str, ...]
    limits: Between | None

    @property
    def is_required(self) -> bool:
        """Whether the agreement must say it."""
        return self.default is None

    @property
    def label(self) -> str:
        """The name as people read it."""
        words = self.name.replace("_bps", " (1/100 %)").replace("_minor", " (minor units)")
        return words.replace("_", " ").capitalize()


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

    def explain(self, values: Mapping[str, Any]) -> str:
        """Fill the sentence with the values of an agreement."""
        return self.sentence.format_map({name: say(name, value) for name, value in values.items()})


CATALOGUE: dict[str, Clause] = {}


def clause(
    kind: ClauseKind,
    *stages: Stage,
    field: str | None = None,
    severity: Severity = Severity.BLOCK,
) -> Callable[[FunctionKind], FunctionKind]:
    """Enter the decorated function in the catalogue.

    Shape: the code is the start of the function's name, the title the rest; the sentence is the
    first paragraph of its docstring and names parameters in braces.
    Raises: TypeError when the function is not written as a clause, or its code is taken.
    """

    def enter(function: FunctionKind) -> FunctionKind:
        found = re.fullmatch(r"([vcp]\d{3})_(\w+)", function.__name__)
        if found is None or not function.__doc__:
            raise TypeError(f"{function.__name__} needs a code in its name and a docstring")
        code = found[1].upper()
        if code in CATALOGUE:
            raise TypeError(f"the code {code} is taken by {CATALOGUE[code].title}")
        parameters, provided = _read_signature(function)
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
        )
        return function

    return enter


def say(name: str, value: Any) -> str:
    """Write the value of a parameter in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{code} {say('_bps', rate)}" for code, rate in value.items())
    if isinstance(value, tuple | list):
        words = [str(item).replace("_", " ") for item in value]
        return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words) or "all"
    if name.endswith("_bps"):
        return f"{Decimal(value) / 100:.2f} %"
    return str(value).replace("_", " ")


def check_parameters(entry: Clause, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Check what an agreement gives a clause against its signature.

    Shape: every parameter by name, defaults filled in; and one sentence per mistake.
    """
    known = {parameter.name: parameter for parameter in entry.parameters}
    problems = [f"it has no parameter “{name}”" for name in given if name not in known]
    values: dict[str, Any] = {}
    for name, parameter in known.items():
        if name not in given:
            values[name] = parameter.default
            if parameter.is_required:
                problems.append(f"the parameter “{name}” is missing")
            continue
        reason = _reason_refused(parameter, given[name])
        if reason:
            problems.append(f"the parameter “{name}” {reason}")
        value = given[name]
        values[name] = tuple(value) if isinstance(value, list) else value
    return values, problems


def _read_signature(
    function: Callable[..., Any],
) -> tuple[tuple[Parameter, ...], frozenset[str]]:
    """Read the typed keyword parameters of a clause, and which of them are provided."""
    hints = get_type_hints(function, include_extras=True)
    parameters = []
    provided = set()
    for name, signed in inspect.signature(function).parameters.items():
        if signed.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        if name in PROVIDED:
            provided.add(name)
            continue
        default = None if signed.default is inspect.Parameter.empty else signed.default
        parameters.append(_read_parameter(name, hints[name], default))
    return tuple(parameters), frozenset(provided)


def _read_parameter(name: str, hint: Any, default: Any) -> Parameter:
    """Turn one annotation into a parameter.

    Raises: TypeError for an annotation no form could show.
    """
    limits = None
    if get_origin(hint) is Annotated:
        hint, limits = get_args(hint)[:2]
    inner = get_args(hint)
    choices: tuple[str, ...] = ()
    if hint is bool:
        kind = ParameterType.YES_NO
    elif hint is int:
        kind = ParameterType.WHOLE_NUMBER
    elif hint is str:
        kind = ParameterType.TEXT
    elif get_origin(hint) is Literal:
        kind, choices = ParameterType.CHOICE, inner
    elif inner == (int, Ellipsis):
        kind = ParameterType.WHOLE_NUMBERS
    elif inner == (str, int):
        kind = ParameterType.RATES
    elif inner == (str, Ellipsis):
        kind = ParameterType.TEXTS
    elif get_origin(hint) is tuple and get_origin(inner[0]) is Literal:
        kind, choices = ParameterType.TEXTS, get_args(inner[0])
    else:
        raise TypeError(f"the parameter {name} has a type that no form can show: {hint}")
    return Parameter(name, kind, default, choices, limits)


def _reason_refused(parameter: Parameter, value: Any) -> str:
    """Say what is wrong with a value; empty when nothing is."""
    match parameter.type:
        case ParameterType.YES_NO:
            return "" if isinstance(value, bool) else "must be true or false"
        case ParameterType.WHOLE_NUMBER:
            return _number_refused(parameter, value)
        case ParameterType.TEXT | ParameterType.CHOICE:
            return _text_refused(parameter, value)
        case ParameterType.RATES:
            return _rates_refused(parameter, value)
        case _:
            return _list_refused(parameter, value)


def _rates_refused(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, Mapping) or not 0 < len(value) <= LIST_ITEMS_MAX:
        return "must be a table of codes and rates"
    reasons = [_text_refused(parameter, code) for code in value]
    reasons += [_number_refused(parameter, rate) for rate in value.values()]
    return next(filter(None, reasons), "")


def _list_refused(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= LIST_ITEMS_MAX:
        return "must be a list with at least one value"
    is_text = parameter.type is ParameterType.TEXTS
    refused = _text_refused if is_text else _number_refused
    reason = next(filter(None, (refused(parameter, item) for item in value)), "")
    if not reason and is_text and len(set(value)) < len(value):
        return "names a value twice"
    return reason


def _number_refused(parameter: Parameter, value: Any) -> str:
    # A bool is an int to Python, but not to anyone who wrote the agreement.
    if not isinstance(value, int) or isinstance(value, bool):
        return "must be a whole number"
    limits = parameter.limits
    if limits and not limits.least <= value <= limits.most:
        return f"must lie between {limits.least} and {limits.most}"
    return ""


def _text_refused(parameter: Parameter, value: Any) -> str:
    if parameter.choices and value not in parameter.choices:
        return f"must be one of {', '.join(parameter.choices)}"
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARACTERS_MAX:
        return f"must be a text of up to {TEXT_CHARACTERS_MAX} characters"
    return ""
