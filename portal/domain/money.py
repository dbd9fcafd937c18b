"""Money in whole minor units: currencies, exact sums, splitting, rates, strict reading and writing.

How money looks to people in their own language is not decided here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Final

from portal.domain.errors import Invalid

# Nine digits of head room below 2**63, so that sums of many invoices still fit a bigint.
AMOUNT_MINOR_MAX: Final = 9_000_000_000_000_000

# Quantities and unit prices: enough for a tariff in hundred-millionths, small enough to multiply.
NUMBER_DIGITS_MAX: Final = 15
NUMBER_DECIMALS_MAX: Final = 8

# Refused before any arithmetic: no amount or number is written with more signs.
TEXT_CHARACTERS_MAX: Final = 40

# An exact amount in major units has no more digits before the point, whatever its currency.
MAJOR_DIGITS_MAX: Final = 16

_TWO_DECIMALS = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD
HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK
MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD
RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH
USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""
_OTHER_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

# Source: ISO 4217, list one, currencies and funds in use in 2026.
CURRENCY_EXPONENTS: Final[dict[str, int]] = dict.fromkeys(_TWO_DECIMALS.split(), 2) | {
    code: exponent for exponent, codes in _OTHER_DECIMALS.items() for code in codes.split()
}


class Rounding(StrEnum):
    """How a part of a minor unit is rounded; `up` is away from zero and `down` towards it."""

    HALF_UP = "half_up"
    HALF_EVEN = "half_even"
    DOWN = "down"
    UP = "up"


class CurrencyUnknown(Invalid):
    """“{currency}” is not a currency in use. Nothing was saved; give three letters such as EUR."""

    currency: str


class CurrencyMismatch(Invalid):
    """An amount in {left} and an amount in {right} cannot be combined; nothing was changed."""

    left: str
    right: str


class AmountTooLarge(Invalid):
    """The amount is beyond the largest one that can be booked, {largest} minor units. Nothing was
    saved; check the number of digits."""

    largest: int


class NumberMalformed(Invalid):
    """“{text}” is not a number: {reason}. Nothing was saved; write it as {example}."""

    text: str
    reason: str
    example: str


class AmountMalformed(NumberMalformed):
    """“{text}” is not an amount: {reason}. Nothing was saved; write it as {example}."""


def check_currency(currency: str) -> str:
    """Return the currency code when ISO 4217 lists it.

    Raises: CurrencyUnknown, also for lower case.
    """
    if currency not in CURRENCY_EXPONENTS:
        raise CurrencyUnknown(currency=currency[:12])
    return currency


def currency_exponent(currency: str) -> int:
    """Return how many decimals a currency has.

    Raises: CurrencyUnknown.
    """
    return CURRENCY_EXPONENTS[check_currency(currency)]


def check_amount(amount_minor: int) -> int:
    """Return the amount when it can be stored and summed.

    Raises: AmountTooLarge.
    """
    if not -AMOUNT_MINOR_MAX <= amount_minor <= AMOUNT_MINOR_MAX:
        raise AmountTooLarge(largest=AMOUNT_MINOR_MAX)
    return amount_minor


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in whole minor units of one currency.

    Raises: CurrencyUnknown; AmountTooLarge; TypeError for anything but an int.
    """

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        """Refuse what could not be booked."""
        if type(self.amount_minor) is not int:
            raise TypeError("an amount is a whole number of minor units")
        check_currency(self.currency)
        check_amount(self.amount_minor)

    def __add__(self, other: "Money") -> "Money":
        """Add money of the same currency."""
        return Money(self.amount_minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        """Subtract money of the same currency."""
        return Money(self.amount_minor - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        """Turn the sign."""
        return Money(-self.amount_minor, self.currency)

    def __lt__(self, other: "Money") -> bool:
        """Compare with money of the same currency."""
        return self.amount_minor < self._same(other)

    def __le__(self, other: "Money") -> bool:
        """Compare with money of the same currency."""
        return self.amount_minor <= self._same(other)

    def __bool__(self) -> bool:
        """Be true unless zero."""
        return self.amount_minor != 0

    def __str__(self) -> str:
        """Read as `12.30 EUR`."""
        return f"{format_amount(self.amount_minor, self.currency)} {self.currency}"

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(left=self.currency, right=other.currency)
        return other.amount_minor


def split(total: Money, weights: Sequence[int]) -> tuple[Money, ...]:
    """Divide a total so that the parts add up to it exactly.

    Shape: one part per weight, same order; a spare minor unit goes to the largest remainder.
    Raises: ValueError when a weight is negative or all add up to zero.
    """
    return tuple(Money(part, total.currency) for part in split_minor(total.amount_minor, weights))


def split_minor(total_minor: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Divide whole minor units so that the parts add up to them exactly.

    Shape: as `split`; of equal remainders the earlier weight is served first.
    Raises: ValueError when a weight is negative or all add up to zero.
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("weights must not be negative and must not add up to zero")
    size = abs(total_minor)
    parts = [size * weight // whole for weight in weights]
    remainders = [size * weight % whole for weight in weights]
    by_remainder = sorted(range(len(parts)), key=lambda place: -remainders[place])
    for place in by_remainder[: size - sum(parts)]:
        parts[place] += 1
    return tuple(parts) if total_minor >= 0 else tuple(-part for part in parts)


def round_ratio(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Round an exact fraction to a whole number, the same way on both sides of zero.

    Raises: ValueError when the denominator is not positive.
    """
    if denominator <= 0:
        raise ValueError("the denominator must be positive")
    whole, rest = divmod(abs(numerator), denominator)
    if rest:
        twice = 2 * rest
        if rounding == Rounding.HALF_UP:
            away = twice >= denominator
        elif rounding == Rounding.HALF_EVEN:
            away = twice > denominator or (twice == denominator and whole % 2 == 1)
        else:
            away = rounding == Rounding.UP
        whole += away
    return whole if numerator >= 0 else -whole


def apply_rate(amount_minor: int, rate_bps: Decimal | int, rounding: Rounding) -> int:
    """Return the share of an amount that a rate makes.

    Units: rate_bps, 1/100 of a percent; a Decimal may hold parts of a basis point.
    """
    numerator, denominator = rate_bps.as_integer_ratio()
    return round_ratio(amount_minor * numerator, 10_000 * denominator, rounding)


def round_minor(amount: Decimal, currency: str, rounding: Rounding) -> int:
    """Round an exact amount in major units to whole minor units.

    Raises: CurrencyUnknown; AmountTooLarge, also when it is not a finite number.
    """
    # `adjusted` first: the ratio of 1E+999999 would fill the memory before it could be refused.
    if not amount.is_finite() or amount.adjusted() > MAJOR_DIGITS_MAX:
        raise AmountTooLarge(largest=AMOUNT_MINOR_MAX)
    numerator, denominator = amount.as_integer_ratio()
    scale = 10 ** currency_exponent(currency)
    return check_amount(round_ratio(numerator * scale, denominator, rounding))


def parse_amount(text: str, currency: str, *, decimal: str = ".", group: str = "") -> int:
    """Read an amount that is written with these marks and in no other way.

    Shape: an optional minus, digits, and not more decimals than the currency has; groups, when they
    are used, have three digits.
    Raises: AmountMalformed; AmountTooLarge; CurrencyUnknown; ValueError for impossible marks.
    """
    exponent = currency_exponent(currency)
    example = format_amount(123456, currency).replace(".", decimal)
    reason = _reason_refused(text, decimal, group)
    sign, whole, part = ("", "", "") if reason else _parts(text, decimal, group)
    if not reason and len(part) > exponent:
        reason = f"{currency} has {exponent or 'no'} decimals"
    if reason:
        raise AmountMalformed(text=text[:TEXT_CHARACTERS_MAX], reason=reason, example=example)
    if len(whole.lstrip("0")) > MAJOR_DIGITS_MAX + 1:
        raise AmountTooLarge(largest=AMOUNT_MINOR_MAX)
    return check_amount(int(sign + whole + part.ljust(exponent, "0")))


def parse_decimal(text: str, decimal: str = ".", group: str = "") -> Decimal:
    """Read a quantity or a unit price that is written with these marks and in no other way.

    Shape: as `parse_amount`, with up to eight decimals.
    Raises: NumberMalformed; ValueError for impossible marks.
    """
    reason = _reason_refused(text, decimal, group)
    sign, whole, part = ("", "", "") if reason else _parts(text, decimal, group)
    if len(whole.lstrip("0")) > NUMBER_DIGITS_MAX or len(part) > NUMBER_DECIMALS_MAX:
        reason = f"it has more than {NUMBER_DIGITS_MAX} digits or {NUMBER_DECIMALS_MAX} decimals"
    if reason:
        raise NumberMalformed(
            text=text[:TEXT_CHARACTERS_MAX], reason=reason, example=f"1234{decimal}5"
        )
    return Decimal(f"{sign}{whole}.{part or '0'}") if part else Decimal(sign + whole)


def format_amount(amount_minor: int, currency: str) -> str:
    """Write an amount for machines: a point, all decimals of the currency, no groups.

    Raises: CurrencyUnknown.
    """
    exponent = currency_exponent(currency)
    sign = "-" if amount_minor < 0 else ""
    digits = str(abs(amount_minor)).rjust(exponent + 1, "0")
    if exponent == 0:
        return sign + digits
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"


@cache
def _number_pattern(decimal: str, group: str) -> re.Pattern[str]:
    """Compile the marks to a pattern; only ASCII digits are digits."""
    if (
        len(decimal) != 1
        or len(group) > 1
        or decimal == group
        or re.search(r"[0-9A-Za-z+-]", decimal + group)
    ):
        raise ValueError(f"impossible marks: decimal {decimal!r}, group {group!r}")
    plain = "[0-9]+"
    whole = f"[0-9]{{1,3}}(?:{re.escape(group)}[0-9]{{3}})+|{plain}" if group else plain
    return re.compile(rf"(-?)({whole})(?:{re.escape(decimal)}([0-9]+))?")


def _parts(text: str, decimal: str, group: str) -> tuple[str, str, str]:
    """Take a number that was found readable apart: sign, whole digits, decimals."""
    found = _number_pattern(decimal, group).fullmatch(text)
    assert found is not None
    sign, whole, part = found.groups()
    return sign, whole.replace(group, "") if group else whole, part or ""


def _reason_refused(text: str, decimal: str, group: str) -> str:
    """Say in plain words why a text cannot be read as a number; empty when it can."""
    if len(text) <= TEXT_CHARACTERS_MAX and _number_pattern(decimal, group).fullmatch(text):
        return ""
    if not text.strip():
        return "it is empty"
    if len(text) > TEXT_CHARACTERS_MAX:
        return "it is too long"
    if text != text.strip():
        return "it begins or ends with a blank"
    foreign = next((sign for sign in text if sign not in f"0123456789-{decimal}{group}"), None)
    if foreign is not None:
        return f"it contains “{foreign}”"
    return "its signs are not in the right places"
