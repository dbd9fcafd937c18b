"""Checks of references, codes and payers, and of what was billed before."""

from rules.clauses import ClauseKind, clause
from rules.limits import DOCUMENT_STAGES
from rules.types import InvoiceFacts, Severity, Stage

_CHECK = ClauseKind.CHECK


@clause(_CHECK, *DOCUMENT_STAGES, field="external_ref")
def v105_external_reference_is_given(
    facts: InvoiceFacts, *, payer_kinds: tuple[str, ...] = ()
) -> str | None:
    """Ask for the reference of the source system, from payers of these kinds: {payer_kinds}."""
    if facts.external_ref or not _concerns(facts, payer_kinds):
        return None
    return "The external reference is missing; give the number the source system uses."


@clause(_CHECK, *DOCUMENT_STAGES, field="purchase_order_ref")
def v106_purchase_order_is_given(
    facts: InvoiceFacts, *, payer_kinds: tuple[str, ...] = ("public_body",)
) -> str | None:
    """Ask for a purchase order reference, from payers of these kinds: {payer_kinds}."""
    if facts.purchase_order_ref or not _concerns(facts, payer_kinds):
        return None
    return "The purchase order reference is missing; this payer pays only what names one."


@clause(_CHECK, *DOCUMENT_STAGES, field="external_ref")
def v107_document_is_not_a_duplicate(facts: InvoiceFacts) -> str | None:
    """Refuse a document whose external reference was seen before."""
    if not facts.is_duplicate:
        return None
    named = facts.external_ref or "without reference"
    return f"The document {named} is here already; leave it out or give it its own reference."


@clause(_CHECK, *DOCUMENT_STAGES, field="payer_ref")
def v109_payer_is_known(facts: InvoiceFacts) -> str | None:
    """Refuse a document that names no payer where the organisation has no default payer either."""
    if facts.payer_ref or facts.has_default_payer:
        return None
    return "The payer is missing, and there is no default payer; name who owes this."


@clause(_CHECK, *DOCUMENT_STAGES, field="payer_ref", severity=Severity.WARN)
def v110_payer_is_not_the_default(facts: InvoiceFacts) -> str | None:
    """Tell when a document names no payer and so goes to the default payer."""
    if facts.payer_ref or not facts.has_default_payer:
        return None
    return "The payer is missing; the document goes to the default payer unless you name one."


@clause(_CHECK, *DOCUMENT_STAGES, field="lines")
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


@clause(_CHECK, *DOCUMENT_STAGES, field="buyer_reference")
def v117_buyer_reference_is_given(
    facts: InvoiceFacts, *, payer_kinds: tuple[str, ...] = ("public_body",)
) -> str | None:
    """Ask for the buyer reference by which the payer routes it, from payers of these kinds:
    {payer_kinds}."""
    if facts.buyer_reference or not _concerns(facts, payer_kinds):
        return None
    return "The buyer reference is missing; ask the payer which one routes the invoice."


@clause(_CHECK, *DOCUMENT_STAGES, field="cost_centre")
def v118_cost_centre_is_given(
    facts: InvoiceFacts, *, payer_kinds: tuple[str, ...] = ()
) -> str | None:
    """Ask for a cost centre, on documents for payers of these kinds: {payer_kinds}."""
    if facts.cost_centre or not _concerns(facts, payer_kinds):
        return None
    return "The cost centre is missing; name the one that the revenue belongs to."


@clause(_CHECK, *DOCUMENT_STAGES, field="lines")
def v119_revenue_codes_are_given(facts: InvoiceFacts) -> str | None:
    """Refuse a document with a line that has no revenue code."""
    for line in facts.lines:
        if not line.revenue_code.strip():
            return f"Line {line.position} has no revenue code; say which revenue it is."
    return None


@clause(
    _CHECK, Stage.DRAFT, Stage.ISSUE, field="lines", severity=Severity.WARN, needs=("is_repeated",)
)
def v120_amount_was_not_billed_before(facts: InvoiceFacts) -> str | None:
    """Tell when the payer has another document with the same net amount for the same period."""
    if not facts.is_repeated:
        return None
    return "The payer has a document with this amount for this period already; look at both."


@clause(_CHECK, *DOCUMENT_STAGES, field="payer_vat_id")
def v128_vat_number_is_given(
    facts: InvoiceFacts, *, payer_kinds: tuple[str, ...] = ("company",)
) -> str | None:
    """Ask for the VAT number of payers of these kinds: {payer_kinds}."""
    if facts.payer_vat_id or not _concerns(facts, payer_kinds):
        return None
    return "The VAT number of the payer is missing; ask the payer for it."


def _concerns(facts: InvoiceFacts, payer_kinds: tuple[str, ...]) -> bool:
    """Say whether the payer is of one of these kinds; no kinds are all of them."""
    return not payer_kinds or facts.payer_kind in payer_kinds
