"""Issuing invoices and credit notes, many at a time or one: priced, checked, then booked."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.errors import Invalid
from portal.domain.invoices import INVOICE_MOVES, InvoiceState
from portal.domain.payers import arrangement_on
from portal.domain.users import Actor
from portal.queries.invoices import InvoiceMissing
from portal.services.invoices._book import Draft, Priced, book_documents
from portal.services.invoices._lock import InvoiceNotDraft, lock_document
from portal.services.outcomes import ItemResult
from portal.services.rulesets import load_rule_set
from portal.services.traces import record_traces
from portal.sql import fetch_plain
from rules.ruleset import CompiledRuleSet
from rules.traces import trace_findings, trace_price
from rules.types import (
    Assessment,
    Finding,
    InvoiceFacts,
    LineFacts,
    Severity,
    Stage,
    TraceEntry,
)

ISSUABLE = INVOICE_MOVES.sources("issue") - {InvoiceState.PENDING_APPROVAL}

_LOCKING = "FOR UPDATE OF i"
_SELECT = (
    "SELECT i.id, i.kind, i.state, i.currency, i.payer_id, p.kind, p.external_ref,"
    " p.is_default, i.external_ref, i.purchase_order_ref, i.document_on, i.due_on,"
    " i.buyer_reference, i.cost_centre, i.payment_ref, i.period_from, i.period_to, p.vat_id,"
    " p.is_on_hold, p.arrangement, p.arranged_until{asked}"
    " FROM invoices i JOIN payers p ON p.id = i.payer_id"
    " WHERE i.organisation_id = %s AND i.id = ANY(%s) ORDER BY i.id"
)


# Facts that cost a look-up of their own; they are NULL where no clause asks for them.
_ASKED = {
    "is_repeated": (
        "EXISTS (SELECT FROM invoices o WHERE o.payer_id = i.payer_id AND o.id <> i.id"
        " AND o.kind = i.kind AND o.currency = i.currency AND o.net_minor = i.net_minor"
        " AND o.period_from = i.period_from AND o.period_to = i.period_to"
        " AND o.state NOT IN ('discarded', 'voided'))"
    ),
    "has_mandate": (
        "EXISTS (SELECT FROM mandates m WHERE m.payer_id = i.payer_id"
        " AND m.currency = i.currency AND m.state = 'active')"
    ),
}


class InvoiceBlocked(Invalid):
    """The document cannot be issued: {reason} It stays a draft; correct it and try again."""

    reason: str
    # All that stands against it, each with the code of its rule and the field it is about.
    findings: tuple[Finding, ...]


class Judged(NamedTuple):
    """A document with what the rules say; what is against it is empty when it may be issued."""

    draft: Draft
    assessment: Assessment
    against: tuple[Finding, ...]


def issue_invoices(
    *, invoice_ids: Sequence[UUID], business_on: date, actor: Actor, now: datetime
) -> list[ItemResult]:
    """Issue drafts: price and check them, post them, and give the survivors their numbers.

    Shape: one result per id, in id order; a draft that a rule blocks stays a draft, filtered.
    Raises: IssuedBeforeLast.
    """
    with transaction():
        version, rule_set = load_rule_set(on=business_on)
        results: dict[UUID, ItemResult] = {
            invoice_id: ItemResult(
                invoice_id, ItemOutcome.FILTERED, "not_found", "There is no such document."
            )
            for invoice_id in sorted(invoice_ids)
        }
        judged = _judge(_read_drafts(invoice_ids, rule_set, _LOCKING), rule_set, business_on)
        results |= {each.draft.id: result_of(each) for each in judged}
        _book(judged, business_on=business_on, version=version, actor=actor, now=now)
        return list(results.values())


def issue_invoice(*, invoice_id: UUID, version: int, on: date, actor: Actor, now: datetime) -> None:
    """Issue one draft, as a run would; `version` is that of the draft which the actor has seen.

    Raises: InvoiceMissing; InvoiceChanged; InvoiceNotDraft; InvoiceBlocked; IssuedBeforeLast.
    """
    with transaction():
        lock_document(invoice_id, version)
        rule_set_version, rule_set = load_rule_set(on=on)
        judged = _judge(_read_drafts([invoice_id], rule_set, _LOCKING), rule_set, on)
        (only,) = judged
        _check_draft(only.draft)
        if only.against:
            first = only.against[0]
            raise InvoiceBlocked(reason=first.message, field=first.field, findings=only.against)
        _book(judged, business_on=on, version=rule_set_version, actor=actor, now=now)


def assess_draft(*, invoice_id: UUID, on: date) -> Assessment:
    """Say what a draft would come to and what the rules find, if it were issued on a day.

    Shape: nothing is written; without a price the findings say why.
    Raises: InvoiceMissing; InvoiceNotDraft.
    """
    _, rule_set = load_rule_set(on=on)
    drafts = _read_drafts([invoice_id], rule_set)
    if not drafts:
        raise InvoiceMissing
    _check_draft(drafts[0])
    (only,) = _judge(drafts, rule_set, on)
    warnings = tuple(
        each for each in only.assessment.findings if each.severity is not Severity.BLOCK
    )
    return only.assessment._replace(findings=only.against + warnings)


def _check_draft(draft: Draft) -> None:
    if draft.state not in ISSUABLE:
        raise InvoiceNotDraft(label=InvoiceState(draft.state).label)


def _read_drafts(
    invoice_ids: Sequence[UUID], rule_set: CompiledRuleSet, locking: str = ""
) -> list[Draft]:
    asked = "".join(
        f", {sql if fact in rule_set.needs else 'NULL'}" for fact, sql in _ASKED.items()
    )
    rows = fetch_plain(
        f"{_SELECT.format(asked=asked)} {locking}", (current_organisation_id(), list(invoice_ids))
    )
    return [Draft._make(row) for row in rows]


def _list_lines(
    invoice_ids: Sequence[UUID], rule_set: CompiledRuleSet
) -> dict[UUID, tuple[LineFacts, ...]]:
    """List the lines of documents, with the quantities that the agreement asks for."""
    metered = sorted(rule_set.metered_codes)
    quantity = "CASE WHEN revenue_code = ANY(%(metered)s) THEN quantity END" if metered else "NULL"
    rows = fetch_plain(
        # By key and not by a join, so that the plan stays an index scan whatever the table's size.
        f"SELECT invoice_id, position, net_minor, revenue_code, tax_code, {quantity}"
        " FROM invoice_lines WHERE organisation_id = %(o)s AND invoice_id = ANY(%(ids)s)"
        " ORDER BY invoice_id, position",
        {"o": current_organisation_id(), "ids": list(invoice_ids), "metered": metered},
    )
    return {
        invoice_id: tuple(LineFacts._make(row[1:]) for row in group)
        for invoice_id, group in groupby(rows, key=itemgetter(0))
    }


def _judge(drafts: Sequence[Draft], rule_set: CompiledRuleSet, business_on: date) -> list[Judged]:
    """Ask the agreement about documents."""
    lines = _list_lines([draft.id for draft in drafts], rule_set)
    judged = []
    for draft in drafts:
        if draft.state not in ISSUABLE:
            label = InvoiceState(draft.state).label.lower()
            message = f"The document is {label}, not a draft."
            against = (Finding("not_a_draft", Severity.BLOCK, message),)
            judged.append(Judged(draft, Assessment(None, ()), against))
            continue
        judged.append(judge_document(draft, lines.get(draft.id, ()), rule_set, business_on))
    return judged


def read_documents(
    *, invoice_ids: Sequence[UUID], rule_set: CompiledRuleSet
) -> list[tuple[Draft, tuple[LineFacts, ...]]]:
    """Read documents, whatever their state, as issuing reads drafts; nothing is locked."""
    lines = _list_lines(invoice_ids, rule_set)
    drafts = _read_drafts(invoice_ids, rule_set)
    return [(draft, lines.get(draft.id, ())) for draft in drafts]


def judge_document(
    draft: Draft, lines: tuple[LineFacts, ...], rule_set: CompiledRuleSet, on: date
) -> Judged:
    """Ask the agreement about one document, as if it were issued on a day."""
    assessment = rule_set.assess(Stage.ISSUE, facts_of_draft(draft, lines, on))
    return Judged(draft, assessment, _list_against(assessment))


def _list_against(assessment: Assessment) -> tuple[Finding, ...]:
    against = tuple(each for each in assessment.findings if each.severity is Severity.BLOCK)
    price = assessment.price
    if not against and (
        price is None or price.total_minor < 0 or price.net_minor < 0 or price.tax_minor < 0
    ):
        message = "The document comes to less than nothing."
        against = (Finding("negative", Severity.BLOCK, message, "lines"),)
    return against


def result_of(judged: Judged) -> ItemResult:
    """Say what becomes of a document, with the first of what was found."""
    price = judged.assessment.price
    if judged.against or price is None:
        first = judged.against[0]
        return ItemResult(judged.draft.id, ItemOutcome.FILTERED, first.code, first.message)
    warning = next(iter(judged.assessment.findings), None)
    return ItemResult(
        judged.draft.id,
        ItemOutcome.DONE,
        warning.code if warning else None,
        warning.message if warning else None,
        price.total_minor,
    )


def _book(
    judged: Sequence[Judged], *, business_on: date, version: int, actor: Actor, now: datetime
) -> None:
    priced = [
        Priced(each.draft, each.assessment.price)
        for each in judged
        if each.assessment.price is not None and not each.against
    ]
    record = partial(
        record_traces,
        subject_type="invoice",
        stage=Stage.ISSUE,
        version=version,
        on=business_on,
        now=now,
    )
    record(_trace(each, business_on) for each in judged if not each.against)
    refused = [each for each in judged if each.against and each.draft.state in ISSUABLE]
    record(((each.draft.id, trace_findings(each.against)) for each in refused), only_news=True)
    if priced:
        book_documents(priced, business_on=business_on, version=version, actor=actor, now=now)


def _trace(judged: Judged, business_on: date) -> tuple[UUID, list[TraceEntry]]:
    """Say how an issued document's amounts came about, and what the rules said besides."""
    price, findings = judged.assessment
    assert price is not None
    entries = trace_price(price, on=business_on, stated_due_on=judged.draft.due_on)
    if findings:
        entries += trace_findings(findings)
    return judged.draft.id, entries


def facts_of_draft(draft: Draft, lines: tuple[LineFacts, ...], business_on: date) -> InvoiceFacts:
    """Say what the rules may know of a document that is met on a day."""
    return InvoiceFacts(
        str(draft.id),
        draft.kind,
        draft.currency,
        draft.payer_kind,
        draft.payer_ref,
        draft.is_default_payer,
        draft.external_ref,
        draft.purchase_order_ref,
        draft.document_on,
        business_on,
        False,  # A reference cannot be here twice: the import asked, and a unique index holds it.
        lines,
        0,
        0,
        draft.due_on,
        draft.buyer_reference,
        draft.cost_centre,
        draft.payment_ref,
        draft.period_from,
        draft.period_to,
        draft.payer_vat_id,
        None,
        draft.is_repeated,
        draft.has_mandate,
        draft.is_on_hold,
        arrangement=arrangement_on(draft.arrangement, draft.arranged_until, business_on),
    )
