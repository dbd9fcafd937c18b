"""Mappings: TOML files that say what the columns of a file mean, read and checked.

What a file itself is like is found out in `_source`; its lines are read in `_invoice_lines` and
`_payer_lines`.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from portal.domain.dates import DateMalformed, parse_date
from portal.domain.errors import Invalid
from portal.domain.money import check_currency, parse_decimal
from portal.domain.payers import MandateState, PayerKind

FileKind = Literal["invoices", "payers", "mandates"]

MAPPING_BYTES_MAX: Final = 200_000


class MappingInvalid(Invalid):
    """The mapping {mapping} cannot be used: {reason}. Nothing was changed; correct the mapping."""

    mapping: str
    reason: str


class SpecialLines(NamedTuple):
    """Values of one column whose lines have another revenue or tax code."""

    column: str
    values: frozenset[str]
    revenue_code: str | None
    tax_code: str | None


@dataclass(frozen=True, kw_only=True)
class ImportMapping:
    """A mapping that was checked; `definition` is what the file said."""

    name: str
    kind: FileKind
    definition: Mapping[str, Any]
    columns: Mapping[str, str]
    delimiter: str | None = None
    encoding: str | None = None
    decimal: str = "."
    group: str = ""
    date: str = "%Y-%m-%d"
    date_has_time: bool = False
    currency: str | None = None
    credit_note_prefixes: tuple[str, ...] = ()
    credit_notes_are: str = "negative"
    negative_documents: str = "refuse"
    payer_default: str | None = None
    payer_default_name: str | None = None
    payers_create: bool = False
    payer_kind: str = "company"
    payer_name: str = "{reference}"
    payer_strip_suffix: str = ""
    countries: Mapping[str, str]
    revenue_code: str | None = None
    tax_code: str | None = None
    special: tuple[SpecialLines, ...] = ()
    mandate_state: str = "active"


class _Key(NamedTuple):
    """One key of a mapping: its type, the field it fills, and the values it allows."""

    type: type
    field: str
    choices: tuple[str, ...] = ()


_FORMAT = {
    "delimiter": _Key(str, "delimiter", (",", ";", "\t", "|")),
    "encoding": _Key(
        str, "encoding", ("utf-8", "utf-16-le", "utf-16-be", "windows-1252", "latin-1")
    ),
    "decimal": _Key(str, "decimal", (".", ",")),
    "group": _Key(str, "group", ("", ".", ",", " ", "'", "\u00a0", "\u202f")),
    "date": _Key(str, "date"),
    "date_has_time": _Key(bool, "date_has_time"),
}
_PAYERS = {
    "kind": _Key(str, "payer_kind", tuple(kind.value for kind in PayerKind)),
    "strip_suffix": _Key(str, "payer_strip_suffix"),
}
_SECTIONS: Final[dict[str, dict[str, dict[str, _Key]]]] = {
    "invoices": {
        "format": _FORMAT,
        "documents": {
            "currency": _Key(str, "currency"),
            "credit_note_prefixes": _Key(list, "credit_note_prefixes"),
            "credit_notes_are": _Key(str, "credit_notes_are", ("negative", "positive")),
            "negative_documents": _Key(str, "negative_documents", ("refuse", "credit_note")),
        },
        "payers": {
            **_PAYERS,
            "create": _Key(bool, "payers_create"),
            "name": _Key(str, "payer_name"),
            "default": _Key(str, "payer_default"),
            "default_name": _Key(str, "payer_default_name"),
        },
        "lines": {
            "revenue_code": _Key(str, "revenue_code"),
            "tax_code": _Key(str, "tax_code"),
        },
    },
    "payers": {"format": _FORMAT, "payers": _PAYERS},
    "mandates": {
        "format": _FORMAT,
        "payers": {"strip_suffix": _PAYERS["strip_suffix"]},
        "mandates": {
            "state": _Key(str, "mandate_state", tuple(state.value for state in MandateState)),
            "currency": _Key(str, "currency"),
        },
    },
}
# The columns a mapping may name, and of each kind those it must name.
_COLUMNS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "invoices": (
        ("document", "unit_price"),
        (
            "reference", "date", "due_on", "payer", "payer_name", "country", "currency", "item",
            "description", "quantity", "revenue_code", "tax_code", "purchase_order",
            "buyer_reference", "cost_centre", "payment_reference", "period_from", "period_to",
        ),
    ),
    "payers": (("reference", "name"), ("kind", "email", "country", "vat_number")),
    "mandates": (("reference", "payer", "token", "signed_on"), ("state", "currency")),
}  # fmt: skip
_TABLES: Final = {
    "invoices": ("countries", "special"),
    "payers": ("countries",),
    "mandates": (),
}


def load_mapping(path: Path, *, kind: FileKind) -> ImportMapping:
    """Read and check a mapping.

    Raises: MappingInvalid.
    """
    name = path.name
    try:
        if path.stat().st_size > MAPPING_BYTES_MAX:
            raise MappingInvalid(mapping=name, reason="it is too large to be a mapping")
        definition = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        reason = f"it cannot be read ({(cause.strerror or 'no reason given').lower()})"
        raise MappingInvalid(mapping=name, reason=reason) from cause
    except UnicodeDecodeError as cause:
        raise MappingInvalid(mapping=name, reason="it is not UTF-8 text") from cause
    except (tomllib.TOMLDecodeError, RecursionError) as cause:
        raise MappingInvalid(mapping=name, reason=f"it is not TOML ({cause})") from cause
    return check_mapping(definition, name=name, kind=kind)


def check_mapping(definition: Mapping[str, Any], *, name: str, kind: FileKind) -> ImportMapping:
    """Check what a mapping says.

    Raises: MappingInvalid, about the first mistake, with the nearest key that is known.
    """
    try:
        _check_kind(definition, kind)
        sections = _SECTIONS[kind]
        known = ["title", "kind", "columns", *sections, *_TABLES[kind]]
        _refuse_unknown(definition, known, "")
        values: dict[str, Any] = {}
        for section, keys in sections.items():
            values |= _read_section(_table(definition, section), keys, section)
        columns = _read_columns(_table(definition, "columns"), kind)
        mapping = ImportMapping(
            name=name,
            kind=kind,
            definition=definition,
            columns=columns,
            countries=_read_texts(_table(definition, "countries"), "countries"),
            special=tuple(_read_special(entry) for entry in _tables(definition, "special")),
            **values,
        )
        _check_together(mapping)
    except ValueError as cause:
        raise MappingInvalid(mapping=name, reason=str(cause)) from cause
    return mapping


def _check_kind(definition: Mapping[str, Any], kind: FileKind) -> None:
    said = definition.get("kind", "nothing")
    if said != kind:
        raise ValueError(f"its kind is “{said}”, and {kind} are to be imported")


def nearest(wanted: str, known: list[str]) -> str:
    """Name what was probably meant."""
    folded = {name.casefold(): name for name in reversed(known)}
    close = difflib.get_close_matches(wanted.casefold(), list(folded), n=1, cutoff=0.5)
    return f"; did you mean “{folded[close[0]]}”?" if close else ""


def _refuse_unknown(table: Mapping[str, Any], known: list[str], place: str) -> None:
    for key in table:
        if key not in known:
            where = f" in [{place}]" if place else ""
            raise ValueError(f"it has an unknown key “{key}”{where}{nearest(key, known)}")


def _table(definition: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = definition.get(name, {})
    if not isinstance(table, dict):
        raise ValueError(f"“{name}” must be a table, [{name}]")  # noqa: TRY004 – a wrong value
    return table


def _tables(definition: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    tables = definition.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ValueError(f"“{name}” must be a list of tables, [[{name}]]")
    return tables


def _read_section(table: Mapping[str, Any], keys: dict[str, _Key], place: str) -> dict[str, Any]:
    _refuse_unknown(table, list(keys), place)
    values = {}
    for name, value in table.items():
        key = keys[name]
        words = {str: "a text", bool: "true or false", list: "a list of texts"}[key.type]
        if type(value) is not key.type:
            raise ValueError(f"“{name}” in [{place}] must be {words}")
        if key.choices and value not in key.choices:
            choices = ", ".join(f"“{choice}”" for choice in key.choices)
            raise ValueError(f"“{name}” in [{place}] must be one of {choices}")
        if isinstance(value, list) and not all(isinstance(one, str) and one for one in value):
            raise ValueError(f"“{name}” in [{place}] must be {words}")
        values[key.field] = tuple(value) if isinstance(value, list) else value
    return values


def _read_texts(table: Mapping[str, Any], place: str) -> dict[str, str]:
    for key, value in table.items():
        if not isinstance(value, str):
            raise ValueError(f"“{key}” in [{place}] must be a text")  # noqa: TRY004 – as above
    return dict(table)


def _read_columns(table: Mapping[str, Any], kind: FileKind) -> dict[str, str]:
    needed, possible = _COLUMNS[kind]
    _refuse_unknown(table, [*needed, *possible], "columns")
    columns = _read_texts(table, "columns")
    for name in needed:
        if not columns.get(name, "").strip():
            raise ValueError(f"[columns] does not say which column holds “{name}”")
    return {name: header.strip() for name, header in columns.items()}


def _read_special(entry: Mapping[str, Any]) -> SpecialLines:
    keys = {
        "column": _Key(str, "column"),
        "values": _Key(list, "values"),
        "revenue_code": _Key(str, "revenue_code"),
        "tax_code": _Key(str, "tax_code"),
    }
    values = _read_section(entry, keys, "[special]")
    if not values.get("column") or not values.get("values"):
        raise ValueError("each [[special]] needs a “column” and its “values”")
    if not values.get("revenue_code") and not values.get("tax_code"):
        raise ValueError("each [[special]] needs a “revenue_code” or a “tax_code”")
    return SpecialLines(
        values["column"].strip(),
        frozenset(values["values"]),
        values.get("revenue_code"),
        values.get("tax_code"),
    )


def _check_together(mapping: ImportMapping) -> None:
    """Refuse what cannot be right as a whole.

    Raises: ValueError.
    """
    parse_decimal("1", mapping.decimal, mapping.group)
    try:
        parse_date(date(2026, 3, 31).strftime(mapping.date.replace("%-", "%")), mapping.date)
    except DateMalformed as cause:
        raise ValueError(f"the date format “{mapping.date}” cannot be read") from cause
    if mapping.currency is not None:
        try:
            check_currency(mapping.currency)
        except Invalid as cause:
            raise ValueError(f"“{mapping.currency}” is not a currency in use") from cause
    if mapping.kind != "invoices":
        return
    for code in ("revenue_code", "tax_code"):
        if code not in mapping.columns and not getattr(mapping, code):
            raise ValueError(f"neither [columns] nor [lines] says what the {code} is")
    if "item" not in mapping.columns and "description" not in mapping.columns:
        raise ValueError("[columns] names neither a “description” nor an “item”")
    if "payer" not in mapping.columns and not mapping.payer_default:
        raise ValueError("neither [columns] nor [payers] says who the payer is")
    if mapping.payer_name.replace("{reference}", "").count("{"):
        raise ValueError("“name” in [payers] may hold {reference} and no other braces")
