"""Why an amount or a decision is what it is: one entry per clause that had a word, and its words.

An entry says which clause of the definition, what it was given and what it made of that. The words
are found when somebody asks, with the definition of the version that decided.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from portal.domain.money import format_amount
from rules.clauses import ClauseKind, Unit, say
from rules.compiling import BoundClause, bind_clause
from rules.reasons import find_reason
from rules.types import (
    Charge,
    Finding,
    InvoiceFacts,
    InvoicePrice,
    PaymentFacts,
    Reached,
    RetryDecision,
    Severity,
    TraceEntry,
)

_BUILT_IN: Final = "What holds for everybody, whatever is agreed."
_FORGOTTEN: Final = "This clause is known no more."
_FOUND: Final = {
    Severity.BLOCK.value: (" is ", "stopped"),
    Severity.WARN.value: (" gets ", "a warning"),
    Severity.INFORM.value: (" gets ", "a remark"),
}
_FAILED: Final = {"decline": "Declined", "return": "Returned"}
# Clauses about tax codes that stand beside the one that computes the tax.
_RATES: Final = (ClauseKind.TAX_CODE, ClauseKind.ROUNDING)


class Explanation(NamedTuple):
    """An entry in words: the clause, what was agreed, with what it worked, what came of it.

    Shape: `joint` makes one sentence of the last two; code and title are empty without a clause.
    """

    code: str
    title: str
    agreed: str
    given: str
    joint: str
    result: str

    @property
    def sentence(self) -> str:
        """The whole of it, such as “C104 Issued on 1 Mar 2026, so due on 15 Mar 2026.”."""
        text = f"{self.code} {self.given}{self.joint}{self.result}".strip()
        return text if text.endswith(".") else f"{text}."


_Words = tuple[str, str, str]


def trace_price(
    price: InvoicePrice, *, on: date, stated_due_on: date | None = None
) -> list[TraceEntry]:
    """Say how a price came about: what was done to lines, each tax, the due date.

    Shape: nothing for a price that was taken over; the net amounts and results of the taxes add up
    to the total.
    """
    entries = list(price.steps)
    if price.tax_by.place:
        code, place = price.tax_by
        for tax_code, rate_bps, net_minor, tax_minor in price.taxes:
            inputs = {"tax_code": tax_code, "rate_bps": rate_bps, "net": net_minor}
            entries.append(TraceEntry(code, place, inputs, tax_minor))
    if price.due_by.place:
        days = {"on": on.isoformat()}
        if stated_due_on is not None:
            days["stated"] = stated_due_on.isoformat()
        entries.append(TraceEntry(*price.due_by, days, price.due_on.isoformat()))
    return entries


def trace_findings(findings: Iterable[Finding]) -> list[TraceEntry]:
    """Say what was found, by which checks."""
    return [
        TraceEntry(each.code, each.place, {"severity": each.severity.value}, each.message)
        for each in findings
    ]


def trace_retry(facts: PaymentFacts, decision: RetryDecision) -> list[TraceEntry]:
    """Say why a failed payment is tried again on a day, or waits for somebody."""
    inputs = {
        "kind": facts.reason_kind,
        "reason": facts.reason_code,
        "attempt": facts.attempt_number,
        "on": facts.business_date.isoformat(),
        "first_on": facts.first_attempt_on.isoformat(),
    }
    result: Any
    if decision.next_on is not None:
        result = decision.next_on.isoformat()
    else:
        reason = find_reason(facts.reason_code).sentence
        because = decision.explanation.removeprefix(reason).strip()
        result = {"worklist": decision.worklist, "because": because}
    return [TraceEntry(*decision.by, inputs, result)]


def trace_charges(facts: InvoiceFacts, charges: Iterable[Charge]) -> list[TraceEntry]:
    """Say how fees and interest of an overdue invoice came about."""
    inputs: dict[str, Any] = {"open": facts.open_minor, **_lateness(facts)}
    if facts.reminder_level is not None:
        inputs["level"] = facts.reminder_level
    return [TraceEntry(each.code, each.place, inputs, each.amount_minor) for each in charges]


def trace_level(facts: InvoiceFacts, reached: Reached) -> list[TraceEntry]:
    """Say why an overdue invoice has reached its level of reminder; nothing when it has none."""
    if not reached.level:
        return []
    return [TraceEntry(*reached.by, _lateness(facts), reached.level)]


def explain_trace(
    definition: Mapping[str, Any], entries: Sequence[Sequence[Any]], currency: str
) -> tuple[Explanation, ...]:
    """Put the entries of a trace into words, by the definition that decided."""
    clauses = definition.get("clause", ())
    bound = [bind_clause(entry)[0] for entry in clauses]
    explained = []
    for entry in (TraceEntry(*each) for each in entries):
        found = bound[entry.place - 1] if 0 < entry.place <= len(bound) else None
        if found is not None and found.clause.code != entry.code:
            found = None
        explanation = explain_entry(entry, found, currency)
        if found is not None and found.clause.kind is ClauseKind.TAX and "net" in entry.inputs:
            beside = [explanation.agreed, *_beside_tax(bound, entry.inputs["tax_code"])]
            explanation = explanation._replace(agreed=" ".join(beside))
        explained.append(explanation)
    return tuple(explained)


def explain_entry(entry: TraceEntry, bound: BoundClause | None, currency: str) -> Explanation:
    """Put one entry into words, with the clause as it was agreed; None where it is no clause."""
    inputs, result = entry.inputs, entry.result
    if bound is None:
        words = _say_unbound(inputs, result)
        # Only a place in the definition makes it a clause; the code of a check needs none.
        return Explanation(entry.code if entry.place else "", "", _agreed(entry), *words)
    when = f" Applies when {bound.condition}." if bound.condition else ""
    agreed = bound.clause.explain(bound.values) + when
    if "severity" in inputs:
        words = _say_found(inputs, result)
    else:
        words = _WORDS[bound.clause.kind](bound, inputs, result, currency)
    return Explanation(entry.code, bound.clause.title, agreed, *words)


def _agreed(entry: TraceEntry) -> str:
    return _FORGOTTEN if entry.place else _BUILT_IN


def _lateness(facts: InvoiceFacts) -> dict[str, Any]:
    due_on = facts.due_on.isoformat() if facts.due_on else None
    return {"due_on": due_on, "on": facts.business_date.isoformat()}


def _beside_tax(bound: Sequence[BoundClause | None], tax_code: str) -> list[str]:
    """List what else is agreed about a tax code, and how parts of a minor unit are rounded."""
    return [
        each.clause.explain(each.values)
        for each in bound
        if each is not None
        and each.clause.kind in _RATES
        and each.values.get("tax_code", tax_code) == tax_code
    ]


def _money(amount_minor: int, currency: str) -> str:
    return f"{format_amount(amount_minor, currency)} {currency}"


def _day(text: str) -> str:
    on = date.fromisoformat(text)
    return f"{on.day} {on:%b %Y}"


def _rate(rate_bps: int) -> str:
    return say(rate_bps, Unit.BASIS_POINTS)


def _say_unbound(inputs: Mapping[str, Any], result: Any) -> _Words:
    if "severity" in inputs:
        return _say_found(inputs, result)
    if "attempt" in inputs:
        return _say_retry(None, inputs, result, "")
    given = ", ".join(f"{name} {value}" for name, value in inputs.items())
    return given, ": ", str(result)


def _say_found(inputs: Mapping[str, Any], message: str) -> _Words:
    joint, what = _FOUND[inputs["severity"]]
    return "The document", joint, f"{what}: {message}"


def _say_tax(_: Any, inputs: Mapping[str, Any], tax_minor: int, currency: str) -> _Words:
    base = f"{_rate(inputs['rate_bps'])} of {_money(inputs['net'], currency)}"
    return f"{base} (tax code {inputs['tax_code']})", " is ", _money(tax_minor, currency)


def _say_tariff(_: Any, inputs: Mapping[str, Any], net_minor: int, currency: str) -> _Words:
    days = f" in {say(inputs['days'], Unit.DAYS)}" if "days" in inputs else ""
    given = f"Line {inputs['line']}, a quantity of {inputs['quantity']}{days}"
    return given, " comes to ", _money(net_minor, currency)


def _say_addition(
    bound: BoundClause, inputs: Mapping[str, Any], net_minor: int, currency: str
) -> _Words:
    given = f"Line {inputs['line']}, “{inputs['text']}”"
    of = _money(inputs["of"], currency)
    rate_bps = bound.values.get("rate_bps")
    if rate_bps is not None:
        given += f", {_rate(rate_bps)} of {of} (tax code {inputs['tax_code']})"
    elif "minimum_minor" in bound.values:
        given += f", as the lines come to {of}"
    if "days" in inputs:
        given += f", for {say(inputs['days'], Unit.DAYS)}"
    return given, " is ", _money(net_minor, currency)


def _say_reversal(_: Any, inputs: Mapping[str, Any], tax_code: str, __: str) -> _Words:
    given = f"Line {inputs['line']}, drafted with tax code {inputs['tax_code']}"
    return given, ", has ", f"tax code {tax_code}"


def _say_cash(_: Any, inputs: Mapping[str, Any], part_minor: int, currency: str) -> _Words:
    total = _money(inputs["total"], currency)
    return f"A total of {total}", " is changed by ", _money(part_minor, currency)


def _say_due(_: Any, inputs: Mapping[str, Any], due_on: str, __: str) -> _Words:
    stated = f", stating {_day(inputs['stated'])}" if "stated" in inputs else ""
    return f"Issued on {_day(inputs['on'])}{stated}", ", so ", f"due on {_day(due_on)}"


def _say_retry(_: Any, inputs: Mapping[str, Any], result: Any, __: str) -> _Words:
    reason = find_reason(inputs["reason"]).sentence.removesuffix(".")
    failed = f"{_FAILED[inputs['kind']]} on {_day(inputs['on'])}"
    given = f"{failed}, try {inputs['attempt']} ({inputs['reason']}: {reason})"
    if isinstance(result, str):
        return given, ", so ", f"tried again on {_day(result)}"
    worklist = result["worklist"]
    waits = f" It waits on the work list “{worklist.replace('_', ' ')}”." if worklist else ""
    because = result["because"]
    said = because if "not tried again" in because else f"Not tried again. {because}"
    return given, ": ", said + waits


def _say_late(inputs: Mapping[str, Any]) -> str:
    due = f"due on {_day(inputs['due_on'])}" if inputs["due_on"] else "without a due date"
    return f"{due}, met on {_day(inputs['on'])}"


def _say_charge(_: Any, inputs: Mapping[str, Any], amount_minor: int, currency: str) -> _Words:
    level = f", reminder {inputs['level']}" if inputs.get("level") else ""
    given = f"{_money(inputs['open'], currency)} open, {_say_late(inputs)}{level}"
    return given, ", is charged ", _money(amount_minor, currency)


def _say_level(_: Any, inputs: Mapping[str, Any], level: int, __: str) -> _Words:
    late = _say_late(inputs)
    return late[0].upper() + late[1:], ", so ", f"reminder level {level} is reached"


_WORDS: Final[Mapping[ClauseKind, Callable[[BoundClause, Any, Any, str], _Words]]] = {
    ClauseKind.TAX: _say_tax,
    ClauseKind.TARIFF: _say_tariff,
    ClauseKind.ADDITION: _say_addition,
    ClauseKind.REVERSE_CHARGE: _say_reversal,
    ClauseKind.CASH: _say_cash,
    ClauseKind.DUE: _say_due,
    ClauseKind.RETRY: _say_retry,
    ClauseKind.FEE: _say_charge,
    ClauseKind.LEVEL: _say_level,
}
