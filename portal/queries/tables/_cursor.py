"""A place in a list: the ordering values of a row and its id, opaque to whom it is handed."""

import base64
import json
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from portal.queries.tables._shape import Key

# The longest name by which rows are sorted fits.
CHARACTERS_MAX = 2_000
INTEGER_DIGITS_MAX = 18

_INSTANT = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9] [0-9:.]{8,15}[+-][0-9]{2}(:[0-9]{2})?")
_BASE64 = re.compile(r"[A-Za-z0-9_-]+")


class Cursor(NamedTuple):
    """Rows after this place (or before it), in one order."""

    sort: str
    is_backward: bool
    values: tuple[str, ...]
    id: UUID


def write_cursor(cursor: Cursor) -> str:
    """Write a place for an address."""
    parts = [cursor.sort, int(cursor.is_backward), *cursor.values, cursor.id.hex]
    packed = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(text: str, *, sort: str, keys: Sequence[Key]) -> Cursor | None:
    """Read a place; None when it was not written by us for this order."""
    if len(text) > CHARACTERS_MAX or not _BASE64.fullmatch(text):
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(parts, list):
            return None
        given_sort, backward, *values, row_id = parts
        is_ours = given_sort == sort and backward in {0, 1} and len(values) == len(keys)
        if not is_ours or not all(isinstance(one, str) for one in [*values, row_id]):
            return None
        for key, value in zip(keys, values, strict=True):
            _CHECKS[key.type](value)
        return Cursor(sort, bool(backward), tuple(values), UUID(hex=row_id))
    except (ValueError, TypeError, RecursionError):
        return None


def _check_integer(text: str) -> None:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= INTEGER_DIGITS_MAX):
        raise ValueError(text)


def _check_small(text: str) -> None:
    _check_integer(text)
    if not 0 <= int(text) < 1 << 15:
        raise ValueError(text)


def _check_date(text: str) -> None:
    if text not in {"infinity", "-infinity"} and date.fromisoformat(text).isoformat() != text:
        raise ValueError(text)


def _check_instant(text: str) -> None:
    if text not in {"infinity", "-infinity"} and not _INSTANT.fullmatch(text):
        raise ValueError(text)


def _check_id(text: str) -> None:
    if str(UUID(text)) != text:
        raise ValueError(text)


def _check_text(text: str) -> None:
    # Names hold what their systems wrote; only what the database cannot take is refused.
    if "\0" in text:
        raise ValueError(text)
    text.encode()


_CHECKS: dict[str, Callable[[str], None]] = {
    "bigint": _check_integer,
    "smallint": _check_small,
    "date": _check_date,
    "timestamptz": _check_instant,
    "text": _check_text,
    "uuid": _check_id,
}
