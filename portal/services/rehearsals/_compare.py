"""One document under two agreements: what each makes of it, and by which clauses they differ."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

from portal.domain.rehearsals import RehearsalChange
from portal.services.invoices import Judged
from rules.traces import trace_price
from rules.types import Charge, TraceEntry


class Side(NamedTuple):
    """What a document comes to under one agreement; without amounts where it is stopped.

    Shape: findings are None where nobody has written down what was found.
    """

    net_minor: int | None
    tax_minor: int | None
    total_minor: int | None
    due_on: date | None
    charges_minor: int
    findings: frozenset[str] | None
    # What the clauses did, by code.
    steps: dict[str, list[Any]]
    # The findings that stop it.
    stops: frozenset[str] = frozenset()
    tax_clause: str = ""


class Comparison(NamedTuple):
    """How the second side differs from the first."""

    change: RehearsalChange
    difference_minor: int
    appeared: list[str]
    vanished: list[str]
    clauses: list[str]


def side_of(judged: Judged, charges: Iterable[Charge], on: date) -> Side:
    """Say what a document comes to by what an agreement makes of it."""
    price, findings = judged.assessment
    stops = frozenset(each.code for each in judged.against)
    codes = stops.union(each.code for each in findings)
    charged = list(charges)
    charged_minor = sum(each.amount_minor for each in charged)
    steps: dict[str, list[Any]] = {}
    for each in charged:
        steps.setdefault(each.code, []).append(each.amount_minor)
    if price is None or stops:
        return Side(None, None, None, None, charged_minor, codes, steps, stops)
    done = _group(trace_price(price, on=on, stated_due_on=judged.draft.due_on))
    amounts = (price.net_minor, price.tax_minor, price.total_minor, price.due_on)
    return Side(*amounts, charged_minor, codes, {**steps, **done}, stops, price.tax_by.code)


def side_of_booked(row: Any) -> Side:
    """Say what a document was booked at, with what was written down when that was decided."""
    entries = [TraceEntry(*each) for each in row.entries or ()]
    codes = frozenset(each.code for each in entries if "severity" in each.inputs)
    findings = codes if row.entries is not None else None
    amounts = (row.net_minor, row.tax_minor, row.total_minor, row.due_on)
    return Side(*amounts, 0, findings, _group(entries))


def compare_sides(before: Side, after: Side) -> Comparison | None:
    """Say how a document differs; None where both agreements treat it alike."""
    known_before = before.findings if before.findings is not None else after.findings
    appeared = sorted((after.findings or frozenset()) - (known_before or frozenset()))
    vanished = sorted((known_before or frozenset()) - (after.findings or frozenset()))
    if before[:5] == after[:5] and not appeared and not vanished:
        return None
    is_stopped = before.total_minor is None, after.total_minor is None
    if is_stopped == (False, True):
        change = RehearsalChange.NEWLY_BLOCKED
    elif is_stopped == (True, False):
        change = RehearsalChange.NO_LONGER_BLOCKED
    else:
        change = RehearsalChange.DIFFERS
    difference_minor = (after.total_minor or 0) - (before.total_minor or 0)
    difference_minor += after.charges_minor - before.charges_minor
    clauses = _list_clauses(before, after, {*appeared, *vanished})
    return Comparison(change, difference_minor, appeared, vanished, clauses)


def _list_clauses(before: Side, after: Side, spoke: set[str]) -> list[str]:
    """Name the clauses that make the difference.

    Shape: of a document that one side stops, those that stop it; the clause of the tax only where
    it is about the tax itself, not where the tax follows what another clause did.
    """
    if (before.total_minor is None) != (after.total_minor is None):
        return sorted(before.stops | after.stops)
    codes = before.steps.keys() | after.steps.keys()
    found = {code for code in codes if before.steps.get(code) != after.steps.get(code)} | spoke
    if not found and before[:4] != after[:4] and after.tax_clause:
        return [after.tax_clause]
    return sorted(found)


def _group(entries: Sequence[TraceEntry]) -> dict[str, list[Any]]:
    """Gather by clause what was done, without what only follows from what others did."""
    steps: dict[str, list[Any]] = {}
    for code, place, inputs, result in entries:
        if "severity" in inputs or not place:
            continue
        if "rate_bps" in inputs:
            said: Any = (inputs["tax_code"], inputs["rate_bps"])
        elif "line" in inputs:
            said = (inputs["line"], inputs.get("text"), result)
        else:
            said = result
        steps.setdefault(code, []).append(said)
    return steps
