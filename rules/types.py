"""What the rules are told and what they answer: facts, findings, prices, charges and decisions.

Facts and results are named tuples, because a run makes hundreds of thousands of them.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple

PaymentReasonKind = Literal["decline", "return"]
SourceKind = Literal["credit_note", "payer_credit", "deposit"]
RetryAction = Literal["retry", "fail"]


class Stage(StrEnum):
    """The moment at which a clause is asked."""

    IMPORT = "import"
    DRAFT = "draft"
    ISSUE = "issue"
    COLLECT = "collect"
    ATTEMPT_FAILED = "attempt_failed"
    APPLY_DEPOSIT = "apply_deposit"
    REFUND = "refund"
    SETTLE = "settle"
    REMIND = "remind"


class Severity(StrEnum):
    """Whether a finding stops the document, asks to look again, or only tells."""

    BLOCK = "block"
    WARN = "warn"
    INFORM = "inform"


class By(NamedTuple):
    """The clause that decided, and where it stands in the definition, counted from one.

    Shape: place zero is no clause: what holds where nothing else was agreed.
    """

    code: str
    place: int


BY_NOBODY: Final = By("", 0)


class TraceEntry(NamedTuple):
    """What one clause was given, and what it made of it.

    Shape: inputs and result are what JSON can hold without floats; a day is an ISO text.
    """

    code: str
    place: int
    inputs: Mapping[str, Any]
    result: Any


class LineFacts(NamedTuple):
    """One line of a document; the net amount may be negative (a discount).

    Shape: the quantity is there where a tariff or a check asks for it.
    """

    position: int
    net_minor: int
    revenue_code: str
    tax_code: str
    quantity: Decimal | None = None


class MeteredLine(NamedTuple):
    """What a tariff is told of a line: what was used, and over how many days if that is known.

    Shape: `minor_per_major` is how many minor units make one of the currency.
    """

    revenue_code: str
    quantity: Decimal
    minor_per_major: int
    period_days: int | None


class InvoiceFacts(NamedTuple):
    """What the rules may know of an invoice.

    Shape: `None` is absent or not looked up; amounts of a credit note are positive like those of
    an invoice; the last day of the period is part of it.
    """

    invoice_id: str
    kind: str
    currency: str
    payer_kind: str | None
    payer_ref: str | None
    has_default_payer: bool
    external_ref: str | None
    purchase_order_ref: str | None
    document_on: date | None
    business_date: date
    is_duplicate: bool
    lines: tuple[LineFacts, ...]
    total_minor: int = 0
    open_minor: int = 0
    due_on: date | None = None
    buyer_reference: str | None = None
    cost_centre: str | None = None
    payment_ref: str | None = None
    period_from: date | None = None
    period_to: date | None = None
    payer_vat_id: str | None = None
    payer_iban: str | None = None
    is_repeated: bool | None = None
    has_mandate: bool | None = None
    is_on_hold: bool | None = None
    is_disputed: bool | None = None
    arrangement: str | None = None
    reminder_level: int | None = None

    @property
    def period_days(self) -> int | None:
        """How many days the period has; none when it is not known, or ends before it begins."""
        if self.period_from is None or self.period_to is None or self.period_to < self.period_from:
            return None
        return (self.period_to - self.period_from).days + 1


class PaymentFacts(NamedTuple):
    """What the rules may know of a payment that was declined or returned.

    Shape: `attempt_number` counts from one and is that of the attempt that has just failed.
    """

    payment_id: str
    amount_minor: int
    currency: str
    attempt_number: int
    reason_code: str
    reason_kind: PaymentReasonKind
    business_date: date
    first_attempt_on: date


class SourceFacts(NamedTuple):
    """Money of a payer that could settle an invoice."""

    kind: SourceKind
    id: str
    available_minor: int
    since: date
    may_set_off: bool


class OpenInvoiceFacts(NamedTuple):
    """An invoice of that payer with something still open."""

    id: str
    open_minor: int
    due_on: date
    issued_on: date
    total_minor: int
    revenue_codes: tuple[str, ...] = ()


class Finding(NamedTuple):
    """One sentence about one document, by one clause."""

    code: str
    severity: Severity
    message: str
    field: str | None = None
    place: int = 0


class TaxAmount(NamedTuple):
    """The tax of one category: there is exactly one per tax code of a document."""

    tax_code: str
    rate_bps: int
    net_minor: int
    tax_minor: int


class PricedLine(NamedTuple):
    """A line that pricing changed or added, with the clause that did it last.

    Shape: an added line has a description and the quantity one; a changed line keeps its own, and
    without a unit price keeps that as well.
    """

    position: int
    net_minor: int
    revenue_code: str
    tax_code: str
    unit_price: Decimal | None
    description: str | None
    code: str


class DatedRate(NamedTuple):
    """The rate of a tax code from a day on, or ever since; with the reason when it is exempt."""

    tax_code: str
    rate_bps: int
    from_on: date | None = None
    exemption: str | None = None


class InvoicePrice(NamedTuple):
    """What a document comes to.

    Shape: taxes and revenues are sorted by code; revenues add up to the net amount; lines are those
    that differ from the draft's; steps say what each clause did to them. Tax and due date are by
    nobody where they were not computed but taken over.
    """

    net_minor: int
    tax_minor: int
    total_minor: int
    taxes: tuple[TaxAmount, ...]
    revenues: tuple[tuple[str, int], ...]
    due_on: date
    lines: tuple[PricedLine, ...] = ()
    steps: tuple[TraceEntry, ...] = ()
    tax_by: By = BY_NOBODY
    due_by: By = BY_NOBODY


class Assessment(NamedTuple):
    """A price and the findings about the priced document; no price when it cannot be computed."""

    price: InvoicePrice | None
    findings: tuple[Finding, ...]


class Charge(NamedTuple):
    """A fee or interest that becomes a document of its own."""

    code: str
    amount_minor: int
    description: str
    place: int = 0


class Reached(NamedTuple):
    """The level of reminder that an invoice has reached, zero for none, and by which clause."""

    level: int
    by: By = BY_NOBODY


class RetryDecision(NamedTuple):
    """Whether a failed payment is tried again, and otherwise whose work list it goes to.

    Shape: `next_on` is set exactly when the action is retry, `worklist` exactly when it is fail.
    """

    action: RetryAction
    next_on: date | None
    worklist: str | None
    explanation: str
    by: By = BY_NOBODY


class Allocation(NamedTuple):
    """Part of one source that settles part of one invoice."""

    source_kind: SourceKind
    source_id: str
    invoice_id: str
    amount_minor: int
