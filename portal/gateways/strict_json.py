"""Reading JSON that others wrote, without Python's leniences; and typed looks into it."""

import json
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NoReturn

DEPTH_MAX = 20
STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
BRACKETS = re.compile(rb"[\[\]{}]")
AMOUNT_MINOR_MAX = 9_000_000_000_000_000  # the same ceiling as in the tables of amounts


class Unreadable(ValueError):
    """What others sent is not what was agreed; the text is a short reason that quotes nothing."""


def read_json(raw: bytes) -> dict[str, Any]:
    """Read one JSON object from UTF-8 bytes; a fraction becomes a Decimal, never a float.

    Raises: Unreadable for bad UTF-8, a byte order mark, NaN, Infinity,
    a name given twice, a number beyond all sense, deep nesting, or anything but an object.
    """
    _refuse_depth(raw)
    try:
        found = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_once_each,
            parse_constant=_refuse_constant,
            parse_float=Decimal,
        )
    except ArithmeticError:
        raise Unreadable("a number beyond all sense") from None
    except ValueError as error:
        raise Unreadable(_reason(error)) from None
    if not isinstance(found, dict):
        raise Unreadable("not an object")
    if b"\\u" in raw:
        _refuse_unstorable(found)
    return found


def text_of(body: dict[str, Any], name: str, *, length_max: int = 200) -> str:
    """Return a text that must be there.

    Raises: Unreadable when it is absent, empty, too long or not a text.
    """
    value = body.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= length_max:
        raise Unreadable(f"{name} is not a text of 1 to {length_max} characters")
    return value


def optional_text_of(body: dict[str, Any], name: str) -> str | None:
    """Return a text, or None where it is absent or null.

    Raises: Unreadable when it is something else.
    """
    return None if body.get(name) is None else text_of(body, name)


def amount_of(body: dict[str, Any], name: str, *, least: int = 0) -> int:
    """Return a whole number of minor units that must be there.

    Raises: Unreadable when it is absent, not a whole number, or out of range.
    """
    value = body.get(name)
    # bool is an int to Python and a fault to us.
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unreadable(f"{name} is not a whole number")
    if not least <= value <= AMOUNT_MINOR_MAX:
        raise Unreadable(f"{name} is out of range")
    return value


def currency_of(body: dict[str, Any]) -> str:
    """Return the currency that must be there.

    Raises: Unreadable when it is not three capital letters.
    """
    value = body.get("currency")
    if not (isinstance(value, str) and re.fullmatch(r"[A-Z]{3}", value)):
        raise Unreadable("currency is not an ISO 4217 code")
    return value


def day_of(body: dict[str, Any], name: str) -> date:
    """Return a calendar day that must be there, written YYYY-MM-DD.

    Raises: Unreadable when it is not one.
    """
    value = text_of(body, name, length_max=10)
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise Unreadable(f"{name} is not a day") from None
    if day.isoformat() != value:
        raise Unreadable(f"{name} is not written YYYY-MM-DD")
    return day


def instant_of(body: dict[str, Any], name: str) -> datetime:
    """Return an instant with its offset that must be there.

    Raises: Unreadable when it is not one or tells no offset.
    """
    try:
        instant = datetime.fromisoformat(text_of(body, name, length_max=40))
    except ValueError:
        raise Unreadable(f"{name} is not an instant") from None
    if instant.tzinfo is None:
        raise Unreadable(f"{name} tells no offset")
    return instant


def list_of(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a list of objects that must be there.

    Raises: Unreadable when it is something else.
    """
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise Unreadable(f"{name} is not a list of objects")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("a name is given twice")
    return found


def _refuse_constant(_text: str) -> NoReturn:
    raise Unreadable("NaN and Infinity are not JSON")


def _refuse_depth(raw: bytes) -> None:
    # Counted before parsing: the parser itself recurses, and a stranger must not drive that.
    if raw.count(b"{") + raw.count(b"[") <= DEPTH_MAX:
        return
    depth = 0
    for bracket in BRACKETS.finditer(STRINGS.sub(b"", raw)):
        depth += 1 if bracket[0] in b"{[" else -1
        if depth > DEPTH_MAX:
            raise Unreadable("nested too deeply")


def _refuse_unstorable(found: object) -> None:
    # Escapes can spell NUL and half a surrogate pair, which no database takes.
    plain = json.dumps(found, ensure_ascii=False, default=str)
    try:
        plain.encode("utf-8")
    except UnicodeEncodeError:
        raise Unreadable("a text that is not Unicode") from None
    if "\\u0000" in plain:
        raise Unreadable("a text with NUL")


def _reason(error: ValueError) -> str:
    # The library's own sentences may quote what was sent; a log must not.
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return "not JSON"
    return str(error)[:80]
