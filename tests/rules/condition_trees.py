"""Random conditions about invoices, and random invoices that they are about."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import strategies as st

from rules.conditions import INVOICE_FIELDS, OPS, Field

# Few values of each kind, so that comparisons meet often.
TEXTS = ["EUR", "GBP", "person", "company", "invoice", "P-1", "P-2", "P", "ä'\"\\%_"]
NUMBERS = [-1, 0, 1, 5000, 5001, 10**12]
DAYS = [date(2026, 1, 1), date(2026, 3, 31), date(2026, 4, 1)]
VALUES: dict[str, list[Any]] = {
    "text": TEXTS,
    "number": NUMBERS,
    "day": [day.isoformat() for day in DAYS],
    "flag": [True, False],
}


@st.composite
def _comparisons(draw: st.DrawFn) -> dict[str, Any]:
    field: Field = draw(st.sampled_from(list(INVOICE_FIELDS.values())))
    op = draw(st.sampled_from(OPS[field.type]))
    value = st.sampled_from(VALUES[field.type])
    if op == "present":
        return {"field": field.name, "op": op}
    if op == "in":
        return {
            "field": field.name,
            "op": op,
            "value": draw(st.lists(value, min_size=1, max_size=4)),
        }
    return {"field": field.name, "op": op, "value": draw(value)}


COMPARISONS = _comparisons()


def _groups(parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(parts, min_size=1, max_size=3)
    return st.one_of(
        several.map(lambda found: {"all": found}),
        several.map(lambda found: {"any": found}),
        parts.map(lambda found: {"not": found}),
    )


# Three levels above the comparisons stay within what a condition may have.
TREES = st.one_of(
    COMPARISONS, _groups(COMPARISONS), _groups(_groups(COMPARISONS)),
    _groups(_groups(_groups(COMPARISONS))),
)  # fmt: skip
