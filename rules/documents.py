"""A document as data, to try rules on it: read with care, since anybody may have written it."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from portal.domain.dates import DateMalformed, parse_date
from portal.domain.errors import Invalid
from portal.domain.money import AMOUNT_MINOR_MAX
from rules.types import InvoiceFacts, LineFacts

LINES_MAX: Final = 1_000
QUANTITY_CHARACTERS_MAX: Final = 20
QUANTITY_DIGITS_MAX: Final = 15
TEXT_CHARACTERS_MAX: Final = 200

_TEXTS = (
    "kind", "currency", "payer_kind", "payer_ref", "external_ref", "purchase_order_ref",
    "buyer_reference", "cost_centre", "payment_ref", "payer_vat_id", "payer_iban",
    "arrangement",
)  # fmt: skip
_DAYS = ("document_on", "due_on", "period_from", "period_to")
_NUMBERS = ("total_minor", "open_minor", "reminder_level")
_FLAGS = (
    "has_default_payer", "is_duplicate", "is_repeated", "has_mandate", "is_on_hold",
    "is_disputed",
)  # fmt: skip
_LINE = frozenset({"net_minor", "revenue_code", "tax_code", "quantity"})


class DocumentUnreadable(Invalid):
    """The document cannot be tried: {reason}. Nothing was tried; correct it."""

    reason: str


def read_document(given: Any, *, on: date) -> InvoiceFacts:
    """Read what the rules may know of a document from data, as if it were met on a day.

    Shape: the names are those of the facts; what is missing is absent; lines are tables of
    net_minor, revenue_code, tax_code and quantity.
    Raises: DocumentUnreadable.
    """
    if not isinstance(given, Mapping):
        raise DocumentUnreadable(reason="it must be a table")
    known = {*_TEXTS, *_DAYS, *_NUMBERS, *_FLAGS, "lines"}
    unknown = sorted(str(name)[:40] for name in given if name not in known)
    if unknown:
        raise DocumentUnreadable(reason=f"it has the unknown key “{unknown[0]}”")
    values: dict[str, Any] = {"kind": "invoice", "currency": "EUR"}
    for names, read in ((_TEXTS, _text), (_DAYS, _day), (_NUMBERS, _number), (_FLAGS, _flag)):
        values |= {name: read(name, given[name]) for name in names if given.get(name) is not None}
    lines = given.get("lines", [])
    if not isinstance(lines, list) or len(lines) > LINES_MAX:
        raise DocumentUnreadable(reason=f"“lines” must be a list of up to {LINES_MAX:,} lines")
    absent: dict[str, Any] = dict.fromkeys(
        ("payer_kind", "payer_ref", "external_ref", "purchase_order_ref", "document_on")
    )
    absent |= {"has_default_payer": False, "is_duplicate": False}
    read_lines = tuple(_line(place, line) for place, line in enumerate(lines, start=1))
    whole = {**absent, **values, "invoice_id": "", "business_date": on, "lines": read_lines}
    return InvoiceFacts(**whole)


def _line(place: int, given: Any) -> LineFacts:
    if not isinstance(given, Mapping) or not set(given) <= _LINE:
        raise DocumentUnreadable(reason=f"line {place} must be a table of {sorted(_LINE)}")
    quantity = given.get("quantity")
    return LineFacts(
        place,
        _number(f"net_minor of line {place}", given.get("net_minor", 0)),
        _text(f"revenue_code of line {place}", given.get("revenue_code", "")),
        _text(f"tax_code of line {place}", given.get("tax_code", "")),
        None if quantity is None else _quantity(f"quantity of line {place}", quantity),
    )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX or not value.isprintable():
        raise DocumentUnreadable(
            reason=f"“{name}” must be a text of up to {TEXT_CHARACTERS_MAX} printable characters"
        )
    return value


def _day(name: str, value: Any) -> date:
    try:
        return parse_date(_text(name, value))
    except DateMalformed as cause:
        raise DocumentUnreadable(reason=f"“{name}” must be a day such as 2026-03-31") from cause


def _number(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > AMOUNT_MINOR_MAX:
        raise DocumentUnreadable(reason=f"“{name}” must be a whole number, in minor units")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise DocumentUnreadable(reason=f"“{name}” must be true or false")
    return value


def _quantity(name: str, value: Any) -> Decimal:
    try:
        quantity = Decimal(str(value)) if isinstance(value, str | int) else Decimal("NaN")
    except InvalidOperation:
        quantity = Decimal("NaN")
    is_long = len(str(value)) > QUANTITY_CHARACTERS_MAX
    if not quantity.is_finite() or is_long or abs(quantity.adjusted()) > QUANTITY_DIGITS_MAX:
        raise DocumentUnreadable(reason=f'“{name}” must be a number such as "12.5"')
    return quantity
