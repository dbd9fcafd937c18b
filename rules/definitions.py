"""The definition of a rule set as data: from and to TOML, and its hash.

What a definition means is checked and compiled in ruleset.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from portal.domain.errors import Invalid

# An agreement has tens of clauses; a larger text is not one.
TEXT_CHARACTERS_MAX: Final = 200_000

_HEAD_KEYS = ("base", "title", "description")
_CLAUSE_KEYS = ("code", "remove", "stage", "severity", "parameters", "when", "note")
_SAMPLES = Path(__file__).with_name("samples")


class DefinitionUnreadable(Invalid):
    """The rule set cannot be read as TOML: {reason}. Nothing was saved; correct that place."""

    reason: str


def load_definition(text: str) -> dict[str, Any]:
    """Read a definition from TOML; days become ISO texts, so that it can be kept as JSON.

    Raises: DefinitionUnreadable.
    """
    if len(text) > TEXT_CHARACTERS_MAX:
        raise DefinitionUnreadable(reason=f"it has more than {TEXT_CHARACTERS_MAX} characters")
    try:
        loaded = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as cause:
        raise DefinitionUnreadable(reason=str(cause) or "it is nested too deeply") from cause
    plain = _plain(loaded)
    assert isinstance(plain, dict)
    return plain


def list_samples() -> tuple[str, ...]:
    """Name the agreements of the sample organisations."""
    return tuple(sorted(path.stem for path in _SAMPLES.glob("*.toml")))


def load_sample(name: str) -> dict[str, Any] | None:
    """Read the agreement of a sample organisation; None where there is none of that name."""
    if name not in list_samples():
        return None
    return load_definition((_SAMPLES / f"{name}.toml").read_text(encoding="utf-8"))


def dump_definition(definition: Mapping[str, Any]) -> str:
    """Write a definition as TOML that reads back to the same definition.

    Shape: the known keys in their usual order, then any others by name.
    """
    lines = [f"{key} = {_toml(definition[key])}" for key in _HEAD_KEYS if key in definition]
    others = sorted(set(definition) - {*_HEAD_KEYS, "clause"})
    lines += [f"{_key(key)} = {_toml(definition[key])}" for key in others]
    for entry in definition.get("clause", ()):
        lines += ["", "[[clause]]"]
        names = [key for key in _CLAUSE_KEYS if key in entry]
        names += sorted(set(entry) - set(_CLAUSE_KEYS))
        lines += [f"{_key(name)} = {_toml(entry[name])}" for name in names]
    return "\n".join(lines) + "\n"


def definition_hash(definition: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a definition, the same for every order of its keys.

    Shape: 64 lower case hexadecimal digits; the order of the clauses counts.
    """
    canonical = json.dumps(
        _plain(definition), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    """Turn what TOML or Python may hold into what JSON can."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _toml(value: Any) -> str:
    """Write one value inline.

    Raises: TypeError for what TOML cannot hold.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # A JSON text is a TOML basic string, save for the delete sign that TOML wants escaped.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int() | float():
            return str(value)
        case date():
            return _toml(value.isoformat())
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case Mapping():
            pairs = ", ".join(f"{_key(str(key))} = {_toml(item)}" for key, item in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        case _:
            raise TypeError(f"TOML has no {type(value).__name__}")


def _key(key: str) -> str:
    """Write a key, quoted unless it is bare."""
    is_bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if is_bare else _toml(key)
