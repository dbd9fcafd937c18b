"""Clauses that accept, warn about or refuse a document: the message of a finding, or None.

What a clause applies to, and how severe it is, belongs to the agreement and not to the function.
"""

from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from typing import Annotated

from portal.domain.dates import is_business_day
from portal.domain.money import AMOUNT_MINOR_MAX, format_amount
from rules.clauses import Between, ClauseKind, clause
from rules.types import InvoiceFacts, Severity, Stage

AmountMinor = Annotated[int, Between(0, AMOUNT_MINOR_MAX)]
DAYS = Between(0, 3660)

_CHECK = ClauseKind.CHECK


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="total_minor")
def v101_total_is_at_least(facts: InvoiceFacts, *, minimum_minor: AmountMinor) -> str | None:
    """Refuse an invoice whose total is above zero and below {minimum_minor} minor units."""
    if facts.kind != "invoice" or not 0 < facts.total_minor < minimum_minor:
        return None
    total, least = (_amount(facts, minor) for minor in (facts.total_minor, minimum_minor))
    return f"The total of {total} is below the minimum of {least}; bill it with a later invoice."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="total_minor")
def v102_total_is_not_zero(facts: InvoiceFacts) -> str | None:
    """Refuse a document with a total of zero: there is nothing to bill."""
    if facts.total_minor != 0:
        return None
    return "There is nothing to bill: the total is zero. Discard the document or add a line."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="total_minor")
def v103_total_is_not_negative(facts: InvoiceFacts) -> str | None:
    """Refuse a document with a negative total: money back is a credit note."""
    if facts.total_minor >= 0:
        return None
    total = _amount(facts, facts.total_minor)
    return f"The total of {total} is negative; write a credit note with positive amounts."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="due_on")
def v104_due_on_is_a_business_day(
    facts: InvoiceFacts, *, holidays: AbstractSet[date]
) -> str | None:
    """Refuse a due date on a day on which banks do not work."""
    if facts.due_on is None or is_business_day(facts.due_on, holidays):
        return None
    return f"The due date {facts.due_on} is no business day; choose the next one."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="external_ref")
def v105_external_reference_is_given(
    facts: InvoiceFacts, *, payer_kinds: tuple[str, ...] = ()
) -> str | None:
    """Ask for the reference of the source system, from payers of these kinds: {payer_kinds}."""
    if facts.external_ref or not _concerns(facts, payer_kinds):
        return None
    return "The external reference is missing; give the number the source system uses."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="purchase_order_ref")
def v106_purchase_order_is_given(
    facts: InvoiceFacts, *, payer_kinds: tuple[str, ...] = ("public_body",)
) -> str | None:
    """Ask for a purchase order reference, from payers of these kinds: {payer_kinds}."""
    if facts.purchase_order_ref or not _concerns(facts, payer_kinds):
        return None
    return "The purchase order reference is missing; this payer pays only what names one."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="external_ref")
def v107_document_is_not_a_duplicate(facts: InvoiceFacts) -> str | None:
    """Refuse a document whose external reference was seen before."""
    if not facts.is_duplicate:
        return None
    named = facts.external_ref or "without reference"
    return f"The document {named} is here already; leave it out or give it its own reference."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="currency")
def v108_currency_is_agreed(facts: InvoiceFacts, *, currencies: tuple[str, ...]) -> str | None:
    """Refuse a document that is not in one of these currencies: {currencies}."""
    if facts.currency in currencies:
        return None
    return f"{facts.currency} is not agreed; the agreement allows {', '.join(currencies)}."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="payer_ref")
def v109_payer_is_known(facts: InvoiceFacts) -> str | None:
    """Refuse a document that names no payer where the organisation has no default payer either."""
    if facts.payer_ref or facts.has_default_payer:
        return None
    return "The payer is missing, and there is no default payer; name who owes this."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="payer_ref", severity=Severity.WARN)
def v110_payer_is_not_the_default(facts: InvoiceFacts) -> str | None:
    """Tell when a document names no payer and so goes to the default payer."""
    if facts.payer_ref or not facts.has_default_payer:
        return None
    return "The payer is missing; the document goes to the default payer unless you name one."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="document_on")
def v111_document_date_is_not_in_the_future(
    facts: InvoiceFacts, *, days_tolerated: Annotated[int, DAYS] = 0
) -> str | None:
    """Refuse a document dated more than {days_tolerated} days after the business date."""
    latest_on = facts.business_date + timedelta(days=days_tolerated)
    if facts.document_on is None or facts.document_on <= latest_on:
        return None
    return f"The document date {facts.document_on} is in the future; it may be {latest_on} at most."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="document_on", severity=Severity.WARN)
def v112_document_date_is_recent(
    facts: InvoiceFacts, *, days_max: Annotated[int, DAYS]
) -> str | None:
    """Tell when a document is dated more than {days_max} days before the business date."""
    earliest_on = facts.business_date - timedelta(days=days_max)
    if facts.document_on is None or facts.document_on >= earliest_on:
        return None
    return f"The document date {facts.document_on} is before {earliest_on}; check the year."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="due_on")
def v113_due_on_is_not_before_the_document(facts: InvoiceFacts) -> str | None:
    """Refuse a due date before the date of the document."""
    document_on = facts.document_on or facts.business_date
    if facts.due_on is None or facts.due_on >= document_on:
        return None
    return f"The due date {facts.due_on} is before the document date {document_on}; correct one."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="lines")
def v114_document_has_a_line(facts: InvoiceFacts) -> str | None:
    """Refuse a document without a line."""
    if facts.lines:
        return None
    return "The document has no line; add what is to be billed."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="total_minor")
def v115_total_is_at_most(facts: InvoiceFacts, *, maximum_minor: AmountMinor) -> str | None:
    """Refuse a document whose total is above {maximum_minor} minor units."""
    if facts.total_minor <= maximum_minor:
        return None
    total, most = (_amount(facts, minor) for minor in (facts.total_minor, maximum_minor))
    return f"The total of {total} is above the maximum of {most}; check the amounts or split it."


@clause(_CHECK, Stage.IMPORT, Stage.ISSUE, field="lines")
def v116_revenue_codes_are_agreed(
    facts: InvoiceFacts, *, revenue_codes: tuple[str, ...]
) -> str | None:
    """Refuse a document with a line whose revenue code is none of {revenue_codes}."""
    for line in facts.lines:
        if line.revenue_code not in revenue_codes:
            return (
                f"Line {line.position} has the revenue code “{line.revenue_code}”, which is not "
                f"agreed; use one of {', '.join(revenue_codes)}."
            )
    return None


def _amount(facts: InvoiceFacts, amount_minor: int) -> str:
    return f"{format_amount(amount_minor, facts.currency)} {facts.currency}"


def _concerns(facts: InvoiceFacts, payer_kinds: tuple[str, ...]) -> bool:
    """Say whether the payer is of one of these kinds; no kinds are all of them."""
    return not payer_kinds or facts.payer_kind in payer_kinds
