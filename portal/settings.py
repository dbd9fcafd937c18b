"""How one setting is declared, read from text, written back and masked.

Which settings there are stands in `portal.config`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

Value = TypeVar("Value")
Reader = Callable[[str], Value]

HIDDEN = "(hidden)"
SECRET_LENGTH_MIN = 32  # Characters; 128 bits even when the secret is written in hexadecimal.


class SettingInvalid(ValueError):
    """A setting has a value that cannot be used."""

    exit_code = 2


def setting(
    default: Value, sentence: str, *, read: Reader[Value], secret: bool = False, derived: str = ""
) -> Value:
    """Declare a setting; `derived` says in words where a default comes from that is worked out."""
    described = {"sentence": sentence, "read": read, "secret": secret, "derived": derived}
    return field(default=default, repr=not secret, metadata=described)


def whole(lowest: int, highest: int) -> Reader[int]:
    """Read a whole number between two bounds, both allowed."""

    def read(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,18}", text) and lowest <= int(text) <= highest:
            return int(text)
        raise ValueError(f"a whole number from {lowest} to {highest}")

    return read


def number(lowest: float, highest: float) -> Reader[float]:
    """Read a decimal number between two bounds, both allowed."""

    def read(text: str) -> float:
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text) and lowest <= float(text) <= highest:
            return float(text)
        raise ValueError(f"a number from {lowest:g} to {highest:g}")

    return read


def delays(longest: float) -> Reader[tuple[float, ...]]:
    """Read delays in seconds, parted by commas, none shorter than the one before."""
    one = number(0, longest)

    def read(text: str) -> tuple[float, ...]:
        allowed = f"numbers from 0 to {longest:g}, parted by commas, none smaller than the last"
        try:
            values = tuple(one(part.strip()) for part in text.split(","))
        except ValueError:
            raise ValueError(allowed) from None
        if list(values) != sorted(values):
            raise ValueError(allowed)
        return values

    return read


def shares(most: int) -> Reader[tuple[tuple[str, int], ...]]:
    """Read shares by code, such as harbour=3,rivertown=1; none twice."""
    one = whole(1, most)

    def read(text: str) -> tuple[tuple[str, int], ...]:
        try:
            pairs = [part.strip().partition("=") for part in text.split(",")]
            values = {word(code): one(share) for code, _, share in pairs}
        except ValueError:
            values = {}
        if not values or len(values) != len(pairs):
            raise ValueError(
                f"codes with shares from 1 to {most}, each code once, such as harbour=3,rivertown=1"
            )
        return tuple(values.items())

    return read


def choice(*allowed: str) -> Reader[str]:
    """Read one of some words, in any case."""

    def read(text: str) -> str:
        if text.lower() in allowed:
            return text.lower()
        raise ValueError(f"one of {', '.join(allowed)}")

    return read


def word(text: str) -> str:
    """Read a name made of letters, digits, dots, dashes and underscores."""
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", text):
        return text
    raise ValueError("1 to 60 letters, digits, dots, dashes or underscores")


def host(text: str) -> str:
    """Read a host name or an address to listen on."""
    if re.fullmatch(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:]{2,45}", text):
        return text
    raise ValueError("a host name or an address such as 127.0.0.1")


def folder(text: str) -> Path:
    """Read a folder that does not depend on where a command was started."""
    path = Path(text).expanduser()
    if path.is_absolute() and "\0" not in text:
        return path
    raise ValueError("an absolute path of a folder")


def secret(text: str) -> str:
    """Read a secret that is long enough not to be guessed."""
    if len(text) >= SECRET_LENGTH_MIN and text.isprintable():
        return text
    raise ValueError(f"at least {SECRET_LENGTH_MIN} printable characters")


def address(*schemes: str, path: bool = True) -> Reader[str]:
    """Read a URL of one of the schemes, with a host."""

    def read(text: str) -> str:
        allowed = f"an address that begins with {' or '.join(f'{s}://' for s in schemes)}"
        try:
            parts = urlsplit(text)
            place = parts.path if parts.scheme == "unix" else parts.hostname
            usable = parts.scheme in schemes and parts.port != 0 and bool(place)
        except ValueError:
            usable = False
        if not usable or any(character.isspace() for character in text):
            raise ValueError(allowed)
        if not path and (parts.path.strip("/") or parts.query or parts.fragment):
            raise ValueError(f"{allowed} and names no path")
        return text if path else text.rstrip("/")

    return read


def database(text: str) -> str:
    """Read the address of a PostgreSQL database and name the driver we use."""
    text = re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", text)
    try:
        return address("postgresql+psycopg")(text)
    except ValueError:
        raise ValueError("an address such as postgresql://user:password@host/database") from None


def written(value: object) -> str:
    """Write a value as the environment would hold it."""
    if isinstance(value, tuple):
        pairs = (
            "=".join(map(written, part)) if isinstance(part, tuple) else written(part)
            for part in value
        )
        return ",".join(pairs)
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".") if math.isfinite(value) else str(value)
    return "" if value is None else str(value)


def masked(value: object, described: dict[str, Any]) -> str:
    """Write a value for people: secrets hidden, passwords in addresses left out."""
    text = written(value)
    if not text:
        return "(not set)"
    if not described["secret"]:
        return text
    return masked_address(text) if "://" in text else HIDDEN


def masked_address(text: str) -> str:
    """Write an address without its password."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return HIDDEN
    name, at, place = parts.netloc.rpartition("@")
    user = name.partition(":")[0]
    hidden = f"{user}:{HIDDEN}{at}{place}" if ":" in name else parts.netloc
    # A query may hold a password as well (`?password=`), so it is not shown at all.
    return urlunsplit((parts.scheme, hidden, parts.path, "", ""))
