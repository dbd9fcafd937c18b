"""The SQL face of conditions: the same answer as the Python face, asked of many invoices at once.

Both keep to two laws: a comparison with something absent is false, and `not` is its exact
complement.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from rules.conditions import Compare, Condition, Field, Group, Not

# Where each fact of an invoice stands; `i` is the invoice, `p` its payer.
INVOICE_COLUMNS: Final[Mapping[str, str]] = {
    "kind": "i.kind",
    "currency": "i.currency",
    "payer_kind": "p.kind",
    "payer_ref": "p.external_ref",
    "has_default_payer": "p.is_default",
    "external_ref": "i.external_ref",
    "purchase_order_ref": "i.purchase_order_ref",
    "document_on": "i.document_on",
    "business_date": "%(condition_on)s::date",
    # What stands in the books is nobody's duplicate: an index holds it.
    "is_duplicate": "false",
    "total_minor": "i.total_minor",
    "open_minor": "i.open_minor",
    "due_on": "i.due_on",
    "buyer_reference": "i.buyer_reference",
    "cost_centre": "i.cost_centre",
    "payment_ref": "i.payment_ref",
    "period_from": "i.period_from",
    "period_to": "i.period_to",
    "payer_vat_id": "p.vat_id",
}
_SIGNS = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_ARRAYS = {"text": "text[]", "number": "bigint[]", "day": "date[]", "flag": "boolean[]"}


def condition_sql(condition: Condition, *, on: date) -> tuple[str, dict[str, Any]]:
    """Write a condition about invoices as an expression over `invoices i JOIN payers p`.

    Shape: the expression, true or false but never null, and its parameters, all of them named
    `condition_…`; `on` is the business date.
    """
    parameters: dict[str, Any] = {"condition_on": on}
    return _write(condition, parameters), parameters


def _write(condition: Condition, parameters: dict[str, Any]) -> str:
    match condition:
        case Group(word, parts):
            joint = " AND " if word == "all" else " OR "
            return "(" + joint.join(_write(part, parameters) for part in parts) + ")"
        case Not(part):
            return f"(NOT {_write(part, parameters)})"
        case Compare(field, op, value):
            return _compare(field, op, value, parameters)


def _compare(field: Field, op: str, value: Any, parameters: dict[str, Any]) -> str:
    column = INVOICE_COLUMNS[field.name]
    if op == "present":
        return f"({column} IS NOT NULL)"
    name = f"condition_{len(parameters)}"
    parameters[name] = list(value) if isinstance(value, tuple) else value
    if op == "in":
        return f"(({column} = ANY(%({name})s::{_ARRAYS[field.type]})) IS TRUE)"
    if op == "starts_with":
        return f"(starts_with({column}, %({name})s) IS TRUE)"
    return f"(({column} {_SIGNS[op]} %({name})s) IS TRUE)"
