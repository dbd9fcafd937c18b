"""A list as CSV, written while it is read."""

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from portal.domain.money import format_amount
from portal.ids import public_id
from portal.queries.tables import Kind, Table, TableRequest, stream_rows

# What a table program would take for a formula.
FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(table: Table, asked: TableRequest) -> Iterator[str]:
    columns = [column for column in table.columns if column.kind is not Kind.ID]
    places = table.places()
    currency_at = places.get("currency")
    kept = io.StringIO()
    writer = csv.writer(kept, lineterminator="\r\n")
    writer.writerow(["id", *(column.name for column in columns)])
    wanted = [(places[column.name], column.kind) for column in columns]
    for row in stream_rows(table, asked):
        currency = row[currency_at] if currency_at is not None else ""
        values = (_plain(row[place], kind, currency) for place, kind in wanted)
        writer.writerow([public_id(table.noun, row[0]), *values])
        if kept.tell() > io.DEFAULT_BUFFER_SIZE:
            yield kept.getvalue()
            kept.seek(0)
            kept.truncate()
    yield kept.getvalue()


def _plain(value: Any, kind: Kind, currency: str) -> str:
    """Write a value for a file; nothing a table program would take for a formula."""
    if value is None:
        return ""
    if kind is Kind.MONEY:
        return format_amount(value, currency)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if kind is Kind.FLAG:
        return "yes" if value else "no"
    text = str(value)
    return f"'{text}" if kind is Kind.TEXT and text.startswith(FORMULA_BEGINNINGS) else text
