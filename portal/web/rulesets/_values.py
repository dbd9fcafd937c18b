"""Values of parameters as people type them: percent, amounts, one line for each item of a list."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from portal.domain.money import NumberMalformed, currency_exponent
from portal.web.formats import plain_decimal, read_decimal
from rules.clauses import Parameter, ParameterType, Unit

LISTS = frozenset({ParameterType.WHOLE_NUMBERS, ParameterType.TEXTS, ParameterType.RATES})


class ValueUnreadable(ValueError):
    """What was typed is no value of the parameter; the text says why."""


def scale_of(unit: Unit | None, currency: str) -> int:
    """Return how many of what is kept make one of what is typed."""
    if unit is Unit.MINOR:
        return int(10 ** currency_exponent(currency))
    return {Unit.BASIS_POINTS: 100, Unit.PRICE: 1_000_000}.get(unit, 1) if unit else 1


def unit_words(unit: Unit | None, currency: str) -> str | None:
    """Return what stands behind the field."""
    if unit in {Unit.MINOR, Unit.PRICE}:
        return currency
    return "%" if unit is Unit.BASIS_POINTS else unit.value if unit else None


def write_value(parameter: Parameter, value: Any, currency: str) -> str:
    """Write a value as it is typed into its field; an absent one as nothing."""
    if value is None:
        return ""
    match parameter.type:
        case ParameterType.RATES:
            return "\n".join(
                f"{code} = {write_number(number, parameter.unit, currency)}"
                for code, number in value.items()
            )
        case ParameterType.WHOLE_NUMBERS:
            return "\n".join(write_number(number, parameter.unit, currency) for number in value)
        case ParameterType.TEXTS:
            return "\n".join(value)
        case ParameterType.WHOLE_NUMBER:
            return write_number(value, parameter.unit, currency)
        case _:
            return str(value)


def read_value(parameter: Parameter, text: str, currency: str) -> Any:
    """Read a value as it was typed; what it must be beyond that, the catalogue checks.

    Raises: ValueUnreadable.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    match parameter.type:
        case ParameterType.RATES:
            return _read_rates(lines, parameter.unit, currency)
        case ParameterType.WHOLE_NUMBERS:
            return [read_number(line, parameter.unit, currency) for line in lines]
        case ParameterType.TEXTS:
            return lines
        case ParameterType.WHOLE_NUMBER:
            return read_number(text, parameter.unit, currency)
        case _:
            return text.strip()


def write_number(number: int, unit: Unit | None, currency: str) -> str:
    """Write a whole number in the unit that people use."""
    return plain_decimal(Decimal(number) / scale_of(unit, currency))


def read_number(text: str, unit: Unit | None, currency: str) -> int:
    """Read a number in the unit that people use.

    Raises: ValueUnreadable.
    """
    try:
        number = read_decimal(text)
    except NumberMalformed as refused:
        raise ValueUnreadable(
            f"“{refused.text}” is not a number: {refused.reason}; write it as {refused.example}"
        ) from refused
    scale = scale_of(unit, currency)
    scaled = number * scale
    if scaled != scaled.to_integral_value():
        digits = len(str(scale)) - 1
        raise ValueUnreadable(
            f"“{text.strip()[:40]}” has more than {digits} decimals"
            if digits
            else f"“{text.strip()[:40]}” is not a whole number"
        )
    return int(scaled)


def describe_limits(parameter: Parameter, currency: str) -> str:
    """Say what may be typed: the range, the words to choose from, what holds when it is empty."""
    said = []
    limits = parameter.limits
    if limits is not None:
        least, most = (
            write_number(number, parameter.unit, currency) for number in (limits.least, limits.most)
        )
        said.append(f"From {least} to {most}.")
    if parameter.type is ParameterType.RATES:
        said.append("One line for each, such as S = 19.")
    elif parameter.type in LISTS:
        of = f": {', '.join(parameter.choices)}" if parameter.choices else ""
        said.append(f"One line for each, in their order{of}.")
    if not parameter.is_required and parameter.type is not ParameterType.YES_NO:
        said.append(f"Left empty, it is {parameter.say(parameter.default)}.")
    return " ".join(said)


def _read_rates(lines: list[str], unit: Unit | None, currency: str) -> Mapping[str, int]:
    rates: dict[str, int] = {}
    for line in lines:
        code, sign, number = (part.strip() for part in line.partition("="))
        if not sign or not code:
            raise ValueUnreadable(f"“{line[:40]}” is no code with its rate; write it as S = 19")
        if code in rates:
            raise ValueUnreadable(f"“{code[:40]}” stands there twice")
        rates[code] = read_number(number, unit, currency)
    return rates
