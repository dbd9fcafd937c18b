"""What a person or a machine hands in as a draft, checked whole before anything is written."""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from portal.domain.errors import Conflict, Invalid, NotFound
from portal.domain.invoices import InvoiceKind
from portal.domain.money import AMOUNT_MINOR_MAX, AmountTooLarge
from portal.domain.payers import arrangement_on
from portal.queries.invoices import list_invoice_currencies
from portal.services.invoices._draft import NewInvoice, NewLine
from portal.services.rulesets import load_rule_set
from portal.sql import fetch_one
from rules.ruleset import CompiledRuleSet
from rules.types import Finding, InvoiceFacts, LineFacts, Severity, Stage

# The same as for files that are imported.
REFERENCE_CHARACTERS_MAX: Final = 100
DESCRIPTION_CHARACTERS_MAX: Final = 2_000
NUMBER_DIGITS_MAX: Final = 12
NUMBER_DECIMALS_MAX: Final = 6
# Refused before any arithmetic, which would write out all the zeros.
EXPONENT_MIN: Final = -40
LINES_MAX: Final = 5_000
# Charges and corrections follow from other documents; nobody writes them freely.
REFERENCES: Final = (
    "external_ref",
    "purchase_order_ref",
    "buyer_reference",
    "cost_centre",
    "payment_ref",
)
KINDS: Final = (InvoiceKind.INVOICE, InvoiceKind.CREDIT_NOTE)

# Nothing that a screen would show as nothing, that would turn the text around, or that is no text.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# What is wrong with the payer is set right by choosing another, or on the payer's own page.
_OF_PAYER = ("payer_ref", "payer_kind", "payer_vat_id", "payer_iban")
_NO_BREAK_SPACE = "\u00a0"


class DraftProblem(NamedTuple):
    """One thing that is wrong; the field of a line is named as `lines.0.quantity`."""

    field: str
    reason: str


class DraftInvalid(Invalid):
    """The draft cannot be saved: {reason}. Nothing was saved; correct it and send it again."""

    reason: str
    # All that is wrong, in the order of the fields; the field of the error is that of the first.
    problems: tuple[DraftProblem, ...]


class DraftPayerMissing(NotFound):
    """There is no such payer here, or it is another organisation's; the draft was not saved. Choose
    a payer from the list."""

    field: str


class ExternalRefTaken(Conflict):
    """Another document has the reference {external_ref} already; the draft was not saved. Look at
    that document, or give this one a reference of its own."""

    external_ref: str
    invoice_id: UUID | None
    field: str


def check_draft(invoice: NewInvoice, *, on: date, invoice_id: UUID | None = None) -> NewInvoice:
    """Check all of a draft and return it with blanks around its texts left out.

    Shape: `invoice_id` is that of the draft which it replaces; blank references are none.
    Raises: DraftInvalid; DraftPayerMissing; ExternalRefTaken; RuleSetNotFound.
    """
    _, rule_set = load_rule_set(on=on)
    problems: list[DraftProblem] = []
    tidy = invoice._replace(
        external_ref=_tidy(invoice.external_ref),
        purchase_order_ref=_tidy(invoice.purchase_order_ref),
        buyer_reference=_tidy(invoice.buyer_reference),
        cost_centre=_tidy(invoice.cost_centre),
        payment_ref=_tidy(invoice.payment_ref),
        lines=[
            line._replace(
                description=line.description.strip(),
                revenue_code=line.revenue_code.strip(),
                tax_code=line.tax_code.strip(),
            )
            for line in invoice.lines
        ],
    )
    if tidy.kind not in KINDS:
        problems.append(DraftProblem("kind", f"a {tidy.kind.label.lower()} is not written freely"))
    currencies = list_invoice_currencies()
    is_currency_known = tidy.currency in currencies
    if not is_currency_known:
        reason = f"the currency is not in use here; use {' or '.join(currencies)}"
        problems.append(DraftProblem("currency", reason))
    for field in REFERENCES:
        reference = getattr(tidy, field)
        if reference is not None:
            _check_reference(problems, field, "reference", reference)
    if tidy.period_from and tidy.period_to and tidy.period_to < tidy.period_from:
        problems.append(DraftProblem("period_to", "the period ends before it begins"))
    _check_lines(problems, tidy.lines)
    _check_codes(problems, tidy.lines, rule_set)
    if is_currency_known and not problems:
        _check_amounts(problems, tidy, rule_set)
    _refuse(problems)
    payer = fetch_one(
        "SELECT kind, external_ref, is_default, vat_id, is_on_hold, arrangement, arranged_until"
        " FROM payers WHERE id = %s",
        (tidy.payer_id,),
    )
    if payer is None:
        raise DraftPayerMissing(field="payer_id")
    if Stage.DRAFT in rule_set.stages:
        facts = _facts(tidy, payer, rule_set, on)
        if "is_repeated" in rule_set.needs:
            facts = facts._replace(is_repeated=_is_repeated(tidy, facts, invoice_id))
        findings = rule_set.assess(Stage.DRAFT, facts).findings
        _refuse([_problem(each) for each in findings if each.severity is Severity.BLOCK])
    if tidy.external_ref is not None:
        _check_taken(tidy.external_ref, invoice_id)
    return tidy


def _refuse(problems: Sequence[DraftProblem]) -> None:
    """Refuse the draft where something is wrong, naming the first.

    Raises: DraftInvalid.
    """
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        first = problems[0]
        raise DraftInvalid(reason=first.reason + more, field=first.field, problems=tuple(problems))


def _facts(invoice: NewInvoice, payer: Any, rule_set: CompiledRuleSet, on: date) -> InvoiceFacts:
    """Tell the rules what is known of a document before it is one."""
    return InvoiceFacts(
        invoice_id="",
        kind=invoice.kind.value,
        currency=invoice.currency,
        payer_kind=payer.kind,
        payer_ref=payer.external_ref,
        has_default_payer=payer.is_default,
        external_ref=invoice.external_ref,
        purchase_order_ref=invoice.purchase_order_ref,
        document_on=invoice.document_on or on,
        business_date=on,
        is_duplicate=False,
        lines=tuple(
            LineFacts(
                position,
                rule_set.line_net_minor(line.quantity, line.unit_price, invoice.currency),
                line.revenue_code,
                line.tax_code,
                line.quantity,
            )
            for position, line in enumerate(invoice.lines, start=1)
        ),
        buyer_reference=invoice.buyer_reference,
        cost_centre=invoice.cost_centre,
        payment_ref=invoice.payment_ref,
        period_from=invoice.period_from,
        period_to=invoice.period_to,
        payer_vat_id=payer.vat_id,
        is_on_hold=payer.is_on_hold,
        arrangement=arrangement_on(payer.arrangement, payer.arranged_until, on),
    )


def _is_repeated(invoice: NewInvoice, facts: InvoiceFacts, invoice_id: UUID | None) -> bool:
    """Say whether the payer was billed the same for the same period before."""
    found = fetch_one(
        "SELECT 1 FROM invoices WHERE payer_id = %s AND kind = %s AND currency = %s"
        " AND net_minor = %s AND period_from = %s AND period_to = %s"
        " AND state NOT IN ('discarded', 'voided') AND id IS DISTINCT FROM %s LIMIT 1",
        (
            invoice.payer_id,
            facts.kind,
            facts.currency,
            sum(line.net_minor for line in facts.lines),
            invoice.period_from,
            invoice.period_to,
            invoice_id,
        ),
    )
    return found is not None


def _problem(finding: Finding) -> DraftProblem:
    """Turn what a rule says into what is wrong with a field that people and machines can fill."""
    field = finding.field if finding.field in NewInvoice._fields else None
    if finding.field in _OF_PAYER:
        field = "payer_id"
    message = finding.message.rstrip(".")
    return DraftProblem(field or "lines", message[:1].lower() + message[1:])


def is_readable(text: str) -> bool:
    """Say whether a text holds nothing but characters that people can see, and line ends."""
    return not _UNSEEN.search(text)


def _tidy(reference: str | None) -> str | None:
    return (reference or "").strip() or None


def _check_reference(problems: list[DraftProblem], field: str, named: str, text: str) -> None:
    if len(text) > REFERENCE_CHARACTERS_MAX:
        reason = f"the {named} has more than {REFERENCE_CHARACTERS_MAX} characters"
        problems.append(DraftProblem(field, reason))
    elif not text.replace(_NO_BREAK_SPACE, " ").isprintable():
        problems.append(DraftProblem(field, f"the {named} holds signs that cannot be printed"))


def _check_lines(problems: list[DraftProblem], lines: Sequence[NewLine]) -> None:
    if not lines:
        problems.append(DraftProblem("lines", "it has no line; add what is to be billed"))
    if len(lines) > LINES_MAX:
        problems.append(DraftProblem("lines", f"it has more than {LINES_MAX:,} lines; split it"))
        return
    for place, line in enumerate(lines):
        text = line.description
        where = f"of line {place + 1}"
        field = f"lines.{place}.description"
        if not text:
            problems.append(DraftProblem(field, f"the description {where} is missing"))
        elif len(text) > DESCRIPTION_CHARACTERS_MAX:
            reason = f"the description {where} has over {DESCRIPTION_CHARACTERS_MAX:,} characters"
            problems.append(DraftProblem(field, reason))
        elif not is_readable(text):
            reason = f"the description {where} holds signs that cannot be printed"
            problems.append(DraftProblem(field, reason))
        for name, number in (("quantity", line.quantity), ("unit_price", line.unit_price)):
            if not _fits(number):
                reason = (
                    f"the {name.replace('_', ' ')} {where} is no number with up to"
                    f" {NUMBER_DIGITS_MAX} digits and {NUMBER_DECIMALS_MAX} decimals"
                )
                problems.append(DraftProblem(f"lines.{place}.{name}", reason))


def _fits(number: Decimal) -> bool:
    """Say whether a column holds the number to its last digit."""
    if not number.is_finite() or number.adjusted() >= NUMBER_DIGITS_MAX:
        return False
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < EXPONENT_MIN:
        return False
    count, parts = number.as_integer_ratio()
    return count * 10**NUMBER_DECIMALS_MAX % parts == 0


def _check_codes(
    problems: list[DraftProblem], lines: Sequence[NewLine], rule_set: CompiledRuleSet
) -> None:
    tax_codes = rule_set.tax_codes
    for place, line in enumerate(lines[:LINES_MAX]):
        where = f"of line {place + 1}"
        field = f"lines.{place}.revenue_code"
        if not line.revenue_code:
            problems.append(DraftProblem(field, f"the revenue code {where} is missing"))
        elif not rule_set.is_revenue_code_agreed(line.revenue_code):
            agreed = ", ".join(rule_set.revenue_codes)
            reason = f"the revenue code {where} is not agreed; use one of {agreed}"
            problems.append(DraftProblem(field, reason))
        else:
            _check_reference(problems, field, f"revenue code {where}", line.revenue_code)
        if line.tax_code not in tax_codes:
            reason = f"the tax code {where} is not agreed; use one of {', '.join(tax_codes)}"
            problems.append(DraftProblem(f"lines.{place}.tax_code", reason))


def _check_amounts(
    problems: list[DraftProblem], invoice: NewInvoice, rule_set: CompiledRuleSet
) -> None:
    net_minor = 0
    for place, line in enumerate(invoice.lines):
        try:
            net_minor += rule_set.line_net_minor(line.quantity, line.unit_price, invoice.currency)
        except AmountTooLarge:
            reason = f"the amount of line {place + 1} is larger than can be booked"
            problems.append(DraftProblem(f"lines.{place}.unit_price", reason))
    if net_minor > AMOUNT_MINOR_MAX:
        problems.append(DraftProblem("lines", "it comes to more than can be booked; split it"))
    elif net_minor < 0:
        reason = "it comes to less than nothing; write a credit note with positive amounts"
        problems.append(DraftProblem("lines", reason))


def _check_taken(external_ref: str, invoice_id: UUID | None) -> None:
    taken = fetch_one(
        "SELECT id FROM invoices WHERE external_ref = %s AND state <> 'discarded'"
        " AND id IS DISTINCT FROM %s",
        (external_ref, invoice_id),
    )
    if taken is not None:
        raise ExternalRefTaken(external_ref=external_ref, invoice_id=taken.id, field="external_ref")
