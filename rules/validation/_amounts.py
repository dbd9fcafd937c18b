"""Checks of amounts, currency and lines."""

from portal.domain.money import format_amount
from rules.clauses import ClauseKind, clause
from rules.limits import DOCUMENT_STAGES, AmountMinor
from rules.types import InvoiceFacts

_CHECK = ClauseKind.CHECK


@clause(_CHECK, *DOCUMENT_STAGES, field="total_minor")
def v101_total_is_at_least(facts: InvoiceFacts, *, minimum_minor: AmountMinor) -> str | None:
    """Refuse an invoice whose total is above zero and below {minimum_minor}."""
    if facts.kind != "invoice" or not 0 < facts.total_minor < minimum_minor:
        return None
    total, least = (say_amount(facts, minor) for minor in (facts.total_minor, minimum_minor))
    return f"The total of {total} is below the minimum of {least}; bill it with a later invoice."


@clause(_CHECK, *DOCUMENT_STAGES, field="total_minor")
def v102_total_is_not_zero(facts: InvoiceFacts) -> str | None:
    """Refuse a document with a total of zero: there is nothing to bill."""
    if facts.total_minor != 0:
        return None
    return "There is nothing to bill: the total is zero. Discard the document or add a line."


@clause(_CHECK, *DOCUMENT_STAGES, field="total_minor")
def v103_total_is_not_negative(facts: InvoiceFacts) -> str | None:
    """Refuse a document with a negative total: money back is a credit note."""
    if facts.total_minor >= 0:
        return None
    total = say_amount(facts, facts.total_minor)
    return f"The total of {total} is negative; write a credit note with positive amounts."


@clause(_CHECK, *DOCUMENT_STAGES, field="currency")
def v108_currency_is_agreed(facts: InvoiceFacts, *, currencies: tuple[str, ...]) -> str | None:
    """Refuse a document that is not in one of these currencies: {currencies}."""
    if facts.currency in currencies:
        return None
    return f"{facts.currency} is not agreed; the agreement allows {', '.join(currencies)}."


@clause(_CHECK, *DOCUMENT_STAGES, field="lines")
def v114_document_has_a_line(facts: InvoiceFacts) -> str | None:
    """Refuse a document without a line."""
    if facts.lines:
        return None
    return "The document has no line; add what is to be billed."


@clause(_CHECK, *DOCUMENT_STAGES, field="total_minor")
def v115_total_is_at_most(facts: InvoiceFacts, *, maximum_minor: AmountMinor) -> str | None:
    """Refuse a document whose total is above {maximum_minor}."""
    if facts.total_minor <= maximum_minor:
        return None
    total, most = (say_amount(facts, minor) for minor in (facts.total_minor, maximum_minor))
    return f"The total of {total} is above the maximum of {most}; check the amounts or split it."


@clause(_CHECK, *DOCUMENT_STAGES, field="lines")
def v127_metered_lines_have_a_quantity(
    facts: InvoiceFacts, *, revenue_codes: tuple[str, ...]
) -> str | None:
    """Refuse a document with a line of {revenue_codes} whose quantity is not above zero."""
    for line in facts.lines:
        quantity = line.quantity
        if quantity is not None and quantity <= 0 and line.revenue_code in revenue_codes:
            return f"Line {line.position} is metered and has no quantity; give what was used."
    return None


def say_amount(facts: InvoiceFacts, amount_minor: int) -> str:
    """Write an amount in the currency of the document."""
    return f"{format_amount(amount_minor, facts.currency)} {facts.currency}"
