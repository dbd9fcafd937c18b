"""Single values of a file, read strictly: numbers, days, texts, references, countries.

A value that cannot be read raises `Malformed`, whose sentence goes to the person who has the file.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache, lru_cache
from typing import Final, NoReturn

from babel import Locale

from portal.domain.dates import DateMalformed, parse_date
from portal.domain.money import NumberMalformed, parse_decimal
from portal.services.files._mapping import ImportMapping

REFERENCE_CHARACTERS_MAX: Final = 100
TEXT_CHARACTERS_MAX: Final = 2000
EMAIL_CHARACTERS_MAX: Final = 254  # RFC 5321 with its corrections.
# What a column of the database holds: numeric(18, 6).
NUMBER_DIGITS_MAX: Final = 12
NUMBER_DECIMALS_MAX: Final = 6
# Ledgers repeat their quantities, prices and days; each is read once.
REMEMBERED_MAX: Final = 1 << 16

_TIME = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?")
# Nothing that a screen would show as nothing, or that would turn the text around.
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Malformed(Exception):
    """A value that cannot be read; the text says why."""


def refuse(sentence: str) -> NoReturn:
    """Refuse a line.

    Raises: Malformed.
    """
    raise Malformed(sentence)


def number_reader(mapping: ImportMapping) -> Callable[[str, str], str]:
    """Make the function that reads a number of a column into plain digits."""

    @lru_cache(maxsize=REMEMBERED_MAX)
    def read(text: str, column: str) -> str:
        try:
            number = parse_decimal(text, mapping.decimal, mapping.group)
        except NumberMalformed as cause:
            raise Malformed(
                f"the {column} “{cause.text}” is not a number: {cause.reason}"
            ) from cause
        _, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        if -exponent > NUMBER_DECIMALS_MAX or len(digits) + exponent > NUMBER_DIGITS_MAX:
            raise Malformed(
                f"the {column} “{text[:40]}” has more than {NUMBER_DIGITS_MAX} digits or"
                f" {NUMBER_DECIMALS_MAX} decimals"
            )
        return f"{number:f}"

    return read


def day_reader(mapping: ImportMapping) -> Callable[[str, str], str]:
    """Make the function that reads a day of a column into its ISO form."""

    @lru_cache(maxsize=REMEMBERED_MAX)
    def read(text: str, column: str) -> str:
        day = text
        if mapping.date_has_time:
            day, _, time = text.partition(" ")
            if time and not _TIME.fullmatch(time):
                raise Malformed(f"the {column} “{text[:40]}” does not end in a time")
        try:
            return parse_date(day, mapping.date).isoformat()
        except DateMalformed as cause:
            raise Malformed(
                f"the {column} “{cause.text}” is not a date: {cause.reason}; write it as"
                f" {cause.example}"
            ) from cause

    return read


@lru_cache(maxsize=REMEMBERED_MAX)
def read_reference(text: str, column: str) -> str:
    """Read a reference: one line of visible characters, blanks at the ends left out."""
    reference = text.strip()
    if len(reference) > REFERENCE_CHARACTERS_MAX:
        raise Malformed(f"the {column} has more than {REFERENCE_CHARACTERS_MAX} characters")
    if not reference.isprintable() and any(
        not sign.isprintable() and sign != "\u00a0" for sign in reference
    ):
        raise Malformed(f"the {column} holds signs that cannot be printed")
    return reference


@lru_cache(maxsize=REMEMBERED_MAX)
def read_text(text: str, column: str) -> str:
    """Read a text: blanks at the ends left out, no control characters but line ends and tabs."""
    plain = text.strip()
    if len(plain) > TEXT_CHARACTERS_MAX:
        raise Malformed(f"the {column} has more than {TEXT_CHARACTERS_MAX} characters")
    if _UNSEEN.search(plain):
        raise Malformed(f"the {column} holds signs that cannot be printed")
    return plain


def read_country(text: str, countries: Mapping[str, str]) -> str | None:
    """Turn a country's name or code into its two letters; None when it is no country.

    Shape: what the mapping says goes first; an empty text there means no country.
    """
    name = text.strip()
    if name in countries:
        return countries[name] or None
    return _country_codes().get(name.casefold())


def read_email(text: str) -> str | None:
    """Read an address for mail; blank is none."""
    address = text.strip()
    if not address:
        return None
    name, _, host = address.rpartition("@")
    is_short = len(address) <= EMAIL_CHARACTERS_MAX
    is_plain = address.isprintable() and " " not in address
    if not (name and "." in host and is_short and is_plain):
        raise Malformed(f"“{address[:60]}” is not an e-mail address")
    return address


def day_of(text: str | None) -> date | None:
    """Read back a day that a line was staged with."""
    return date.fromisoformat(text) if text else None


@cache
def _country_codes() -> dict[str, str]:
    territories = Locale("en").territories
    # Numbers name parts of the world, as 150 does Europe.
    codes = {code: name for code, name in territories.items() if code.isalpha()}
    known = {name.casefold(): code for code, name in codes.items()}
    return known | {code.casefold(): code for code in codes if code not in {"EU", "EZ", "UN", "ZZ"}}
