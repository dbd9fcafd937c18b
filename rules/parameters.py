"""The typed parameters of clauses: their units and limits, how they are read off a signature, how
what an agreement gives is checked, and how it is said in words.

Which clauses have them is decided in clauses.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

from portal.domain.dates import DateMalformed, parse_date

TEXT_CHARACTERS_MAX: Final = 80
LIST_ITEMS_MAX: Final = 200


class ParameterType(StrEnum):
    """How a parameter is entered and checked."""

    WHOLE_NUMBER = "whole_number"
    TEXT = "text"
    YES_NO = "yes_no"
    CHOICE = "choice"
    DAY = "day"
    WHOLE_NUMBERS = "whole_numbers"
    TEXTS = "texts"
    RATES = "rates"


class Unit(StrEnum):
    """What a whole number counts, as people read it behind the number."""

    MINOR = "minor units"
    BASIS_POINTS = "1/100 %"
    PRICE = "millionths of the currency, for one unit"
    QUANTITY = "units"
    DAYS = "days"
    BUSINESS_DAYS = "business days"
    MONTHS = "months"
    LEVELS = "levels"
    ATTEMPTS = "attempts"
    DOCUMENTS = "documents"


@dataclass(frozen=True, slots=True)
class Between:
    """The smallest and largest value of a number, or of each number of a list, and its unit."""

    least: int
    most: int
    unit: Unit


@dataclass(frozen=True, slots=True)
class Parameter:
    """One typed parameter of a clause.

    Shape: `default` is None exactly when the parameter is required; `choices` is empty unless the
    type is choice or texts of fixed words; `limits` are there exactly for numbers.
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
    def unit(self) -> Unit | None:
        """What its numbers count; none when it has no numbers."""
        return self.limits.unit if self.limits else None

    @property
    def label(self) -> str:
        """The name as people read it, with its unit unless the name tells it."""
        words = self.name
        for ending in ("_bps", "_minor", "_micro"):
            words = words.removesuffix(ending)
        words = words.replace("_", " ").capitalize()
        if self.unit is None or self.unit.value in words.lower():
            return words
        return f"{words} ({self.unit})"

    def say(self, value: Any) -> str:
        """Write a value of it in words, with its unit; an empty list leaves nothing out."""
        return say(value, self.unit) or "all"


def say(value: Any, unit: Unit | None = None) -> str:
    """Write the value of a parameter in words."""
    match value:
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return ", ".join(f"{code} {say(rate, unit)}" for code, rate in value.items())
        case tuple() | list():
            # A rate has its sign in each number; what is counted is named once, behind them all.
            has_own = unit in (Unit.BASIS_POINTS, Unit.PRICE)
            words = [say(item, unit if has_own else None) for item in value]
            listed = " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
            return listed if has_own or unit is None or not listed else f"{listed} {unit}"
        case int() if unit is not None:
            return _say_number(value, unit)
        case date():
            return value.isoformat()
        case _:
            return str(value).replace("_", " ")


def read_parameters(
    function: Callable[..., Any], provided: frozenset[str]
) -> tuple[tuple[Parameter, ...], frozenset[str]]:
    """Read the typed keyword parameters of a clause, and which it has of those that are provided.

    Raises: TypeError for an annotation no form could show.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters = []
    handed = set()
    for name, signed in inspect.signature(function).parameters.items():
        if signed.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        if name in provided:
            handed.add(name)
            continue
        default = None if signed.default is inspect.Parameter.empty else signed.default
        parameters.append(_read_parameter(name, hints[name], default))
    return tuple(parameters), frozenset(handed)


def read_values(
    parameters: tuple[Parameter, ...], given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Check what an agreement gives for parameters.

    Shape: every parameter by name, defaults filled in; and one sentence per mistake.
    """
    known = {parameter.name: parameter for parameter in parameters}
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
            values[name] = given[name]
        else:
            values[name] = _as_value(parameter, given[name])
    return values, problems


def _as_value(parameter: Parameter, given: Any) -> Any:
    if parameter.type is ParameterType.DAY and isinstance(given, str):
        return parse_date(given)
    return tuple(given) if isinstance(given, list) else given


def _read_parameter(name: str, hint: Any, default: Any) -> Parameter:
    """Turn one annotation into a parameter.

    Raises: TypeError for an annotation no form could show.
    """
    limits = None
    if get_origin(hint) is Annotated:
        hint, limits = get_args(hint)[:2]
    inner = get_args(hint)
    choices: tuple[str, ...] = ()
    simple = {
        bool: ParameterType.YES_NO,
        int: ParameterType.WHOLE_NUMBER,
        str: ParameterType.TEXT,
        date: ParameterType.DAY,
    }
    if hint in simple:
        kind = simple[hint]
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
        case ParameterType.DAY:
            return _day_refused(value)
        case _:
            return _list_refused(parameter, value)


def _day_refused(value: Any) -> str:
    # An instant is a date to Python, but no day to anyone who wrote the agreement.
    if type(value) is date:
        return ""
    try:
        parse_date(value if isinstance(value, str) else "")
    except DateMalformed:
        return "must be a day such as 2026-03-31"
    return ""


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


def _say_number(number: int, unit: Unit) -> str:
    if unit is Unit.BASIS_POINTS:
        return f"{number // 100}.{number % 100:02} %"
    if unit is Unit.PRICE:
        return f"{number // 1_000_000}.{number % 1_000_000:06}"
    return f"{number} {unit.removesuffix('s') if number == 1 else unit}"
