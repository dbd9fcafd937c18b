"""Trying a version on one document: what it would find and compute. Nothing is written."""

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from portal.db import current_organisation_id
from portal.domain.errors import NotFound
from portal.domain.invoices import parse_document_number
from portal.queries.rulesets import get_rule_set
from portal.services.calendars import bank_holidays
from portal.services.rulesets._load import YEARS_AFTER, YEARS_BEFORE
from portal.sql import fetch_one, fetch_plain
from rules.ruleset import compile_rule_set
from rules.traces import (
    Explanation,
    explain_trace,
    trace_charges,
    trace_findings,
    trace_level,
    trace_price,
)
from rules.types import (
    Charge,
    Finding,
    InvoiceFacts,
    InvoicePrice,
    LineFacts,
    Reached,
    Stage,
)

_PRICED = frozenset({Stage.IMPORT, Stage.DRAFT, Stage.ISSUE})


class DocumentMissing(NotFound):
    """There is no document “{reference}” here. Nothing was tried; give a number such as
    INV-2026-1, or the reference of the system that it came from."""

    reference: str


class Trial(NamedTuple):
    """What a version makes of one document at one stage.

    Shape: said is each clause's part in what was found and computed; no price where nothing is
    priced at that stage, or where the findings say why not.
    """

    facts: InvoiceFacts
    stage: Stage
    price: InvoicePrice | None
    findings: tuple[Finding, ...]
    charges: tuple[Charge, ...]
    reminder_level: int | None
    said: tuple[Explanation, ...]

    def sentence_of(self, code: str) -> str:
        """Return what is agreed by the clause that spoke."""
        return next((f"{code}: {one.agreed}" for one in self.said if one.code == code), "")


def try_rule_set(*, version: int, stage: Stage, facts: InvoiceFacts) -> Trial:
    """Ask a version, whatever its state, about one document at one stage.

    Raises: RuleSetMissing; RuleSetInvalid.
    """
    definition = get_rule_set(version).definition
    return try_definition(definition, stage=stage, facts=facts, calendar=_calendar())


def try_definition(
    definition: Mapping[str, Any], *, stage: Stage, facts: InvoiceFacts, calendar: str
) -> Trial:
    """Ask a definition about one document at one stage.

    Raises: RuleSetInvalid; CalendarUnknown.
    """
    year = facts.business_date.year
    holidays = bank_holidays(calendar, year - YEARS_BEFORE, year + YEARS_AFTER)
    rule_set = compile_rule_set(definition, holidays=holidays)
    price: InvoicePrice | None = None
    charges: tuple[Charge, ...] = ()
    reached: Reached | None = None
    if stage in _PRICED:
        assessment = rule_set.assess(stage, facts)
        price, findings = assessment
    else:
        findings = rule_set.validate(stage, facts)
    if stage is Stage.REMIND:
        charges, reached = rule_set.late_fee(facts), rule_set.reach_level(facts)
    entries = trace_findings(findings) + trace_charges(facts, charges)
    if price is not None:
        entries += trace_price(price, on=facts.business_date, stated_due_on=facts.due_on)
    if reached is not None:
        entries += trace_level(facts, reached)
    said = explain_trace(definition, entries, facts.currency)
    level = None if reached is None else reached.level
    return Trial(facts, stage, price, findings, charges, level, said)


def facts_of_document(*, reference: str, on: date) -> InvoiceFacts:
    """Read what the rules may know of a document, as if it were met on a day.

    Raises: DocumentMissing.
    """
    text = reference.strip()
    series, year, number = parse_document_number(text) or (None, None, None)
    row = fetch_one(
        "SELECT i.id, i.kind, i.currency, p.kind AS payer_kind, p.external_ref AS payer_ref,"
        " p.is_default, i.external_ref, i.purchase_order_ref, i.document_on, i.total_minor,"
        " i.open_minor, i.due_on, i.buyer_reference, i.cost_centre, i.payment_ref,"
        " i.period_from, i.period_to, p.vat_id FROM invoices i JOIN payers p ON p.id = i.payer_id"
        " WHERE i.organisation_id = %(o)s AND (i.external_ref = %(text)s"
        " OR (i.series = %(series)s AND i.year = %(year)s AND i.number = %(number)s))"
        " ORDER BY i.number IS NULL, i.state = 'discarded', i.id LIMIT 1",
        {
            "o": current_organisation_id(),
            "text": text.replace("\0", ""),
            "series": series,
            "year": year,
            "number": number,
        },
    )
    if row is None:
        raise DocumentMissing(reference=text[:40])
    return InvoiceFacts(
        str(row.id),
        row.kind,
        row.currency,
        row.payer_kind,
        row.payer_ref,
        row.is_default,
        row.external_ref,
        row.purchase_order_ref,
        row.document_on,
        on,
        False,
        _list_lines(row.id),
        row.total_minor or 0,
        row.open_minor or 0,
        row.due_on,
        row.buyer_reference,
        row.cost_centre,
        row.payment_ref,
        row.period_from,
        row.period_to,
        row.vat_id,
    )


def _list_lines(invoice_id: Any) -> tuple[LineFacts, ...]:
    rows = fetch_plain(
        "SELECT position, net_minor, revenue_code, tax_code, quantity FROM invoice_lines"
        " WHERE organisation_id = %s AND invoice_id = %s ORDER BY position",
        (current_organisation_id(), invoice_id),
    )
    return tuple(LineFacts(*row) for row in rows)


def _calendar() -> str:
    row = fetch_one(
        "SELECT holiday_calendar FROM organisations WHERE id = %s", (current_organisation_id(),)
    )
    assert row is not None
    return str(row.holiday_calendar)
