"""Issuing invoices and credit notes: priced, checked, posted, and numbered last of all."""

from collections.abc import Sequence
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.errors import Conflict
from portal.domain.invoices import INVOICE_MOVES, InvoiceKind, InvoiceState
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.users import Actor
from portal.services.events import record_events
from portal.services.ledger import Account, LedgerBook
from portal.services.outcomes import ItemResult
from portal.services.rulesets import load_rule_set
from portal.sql import execute, fetch, fetch_one, fetch_plain, stage_rows
from rules.ruleset import CompiledRuleSet
from rules.types import InvoiceFacts, InvoicePrice, LineFacts, Severity, Stage

SERIES = {InvoiceKind.CREDIT_NOTE.value: "CN"}
ISSUABLE = INVOICE_MOVES.sources("issue") - {InvoiceState.PENDING_APPROVAL}


class IssuedBeforeLast(Conflict):
    """The series {series} {year} has a document of {last}, so none can be dated {business_on}."""


class Draft(NamedTuple):
    """A locked document, as its row has it."""

    id: UUID
    kind: str
    state: str
    currency: str
    payer_id: UUID
    payer_kind: str
    payer_ref: str
    is_default_payer: bool
    external_ref: str | None
    purchase_order_ref: str | None
    document_on: date | None


class Priced(NamedTuple):
    """A document that passed the rules."""

    draft: Draft
    price: InvoicePrice


def issue_invoices(
    *, invoice_ids: Sequence[UUID], business_on: date, actor: Actor, now: datetime
) -> list[ItemResult]:
    """Issue drafts: price and check them, post them, and give the survivors their numbers.

    Shape: one result per id, in id order; a draft that a rule blocks stays a draft, filtered.
    Raises: IssuedBeforeLast.
    """
    with transaction():
        version, rule_set = load_rule_set(on=business_on)
        drafts = _lock_drafts(invoice_ids)
        lines = _list_lines(invoice_ids)
        results: dict[UUID, ItemResult] = {
            invoice_id: ItemResult(
                invoice_id, ItemOutcome.FILTERED, "not_found", "There is no such document."
            )
            for invoice_id in sorted(invoice_ids)
        }
        priced: list[Priced] = []
        for draft in drafts:
            results[draft.id], price = _assess(
                draft, lines.get(draft.id, ()), rule_set, business_on
            )
            if price is not None:
                priced.append(Priced(draft, price))
        if priced:
            _write_taxes(priced)
            _post(priced, business_on)
            record_events(
                (("invoice.issued", each.draft.id) for each in priced), actor=actor, now=now
            )
            _number(priced, business_on=business_on, version=version)
        return list(results.values())


def _lock_drafts(invoice_ids: Sequence[UUID]) -> list[Draft]:
    rows = fetch_plain(
        "SELECT i.id, i.kind, i.state, i.currency, i.payer_id, p.kind, p.external_ref,"
        " p.is_default, i.external_ref, i.purchase_order_ref, i.document_on"
        " FROM invoices i JOIN payers p ON p.id = i.payer_id"
        " WHERE i.organisation_id = %s AND i.id = ANY(%s) ORDER BY i.id FOR UPDATE OF i",
        (current_organisation_id(), list(invoice_ids)),
    )
    return [Draft._make(row) for row in rows]


def _list_lines(invoice_ids: Sequence[UUID]) -> dict[UUID, tuple[LineFacts, ...]]:
    rows = fetch_plain(
        # By key and not by a join, so that the plan stays an index scan whatever the table's size.
        "SELECT invoice_id, position, net_minor, revenue_code, tax_code FROM invoice_lines"
        " WHERE organisation_id = %s AND invoice_id = ANY(%s) ORDER BY invoice_id, position",
        (current_organisation_id(), list(invoice_ids)),
    )
    return {
        invoice_id: tuple(LineFacts._make(row[1:]) for row in group)
        for invoice_id, group in groupby(rows, key=itemgetter(0))
    }


def _assess(
    draft: Draft, lines: tuple[LineFacts, ...], rule_set: CompiledRuleSet, business_on: date
) -> tuple[ItemResult, InvoicePrice | None]:
    if draft.state not in ISSUABLE:
        label = InvoiceState(draft.state).label.lower()
        return _filtered(draft, "not_a_draft", f"The document is {label}, not a draft."), None
    assessment = rule_set.assess(Stage.ISSUE, _facts(draft, lines, business_on))
    for finding in assessment.findings:
        if finding.severity is Severity.BLOCK:
            return _filtered(draft, finding.code, finding.message), None
    price = assessment.price
    if price is None or price.total_minor < 0 or price.net_minor < 0 or price.tax_minor < 0:
        return _filtered(draft, "negative", "The document comes to less than nothing."), None
    warning = assessment.findings[0] if assessment.findings else None
    result = ItemResult(
        draft.id,
        ItemOutcome.DONE,
        warning.code if warning else None,
        warning.message if warning else None,
        price.total_minor,
    )
    return result, price


def _facts(draft: Draft, lines: tuple[LineFacts, ...], business_on: date) -> InvoiceFacts:
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
    )


def _filtered(draft: Draft, code: str, message: str) -> ItemResult:
    return ItemResult(draft.id, ItemOutcome.FILTERED, code, message)


def _write_taxes(priced: Sequence[Priced]) -> None:
    stage_rows(
        "staged_taxes",
        {
            "invoice_id": "uuid",
            "tax_code": "text",
            "rate_bps": "int",
            "net_minor": "bigint",
            "tax_minor": "bigint",
        },
        ((each.draft.id, *tax) for each in priced for tax in each.price.taxes),
    )
    execute(
        "INSERT INTO invoice_taxes (organisation_id, invoice_id, tax_code, rate_bps, net_minor,"
        " tax_minor) SELECT %s, t.* FROM pg_temp.staged_taxes t",
        (current_organisation_id(),),
    )


def _post(priced: Sequence[Priced], business_on: date) -> None:
    """Post each document: revenue and tax against the receivable, or the payer's credit."""
    book = LedgerBook()
    accounts = {
        Account(kind, each.draft.currency, code)
        for each in priced
        for kind, codes in (
            (AccountKind.REVENUE, each.price.revenues),
            (AccountKind.TAX_PAYABLE, each.price.taxes),
        )
        for code, *_ in codes
    }
    for currency in {each.draft.currency for each in priced}:
        accounts |= {
            Account(AccountKind.RECEIVABLE, currency),
            Account(AccountKind.PAYER_CREDITS, currency),
        }
    book.open_accounts(accounts)
    for draft, price in priced:
        is_credit = draft.kind == InvoiceKind.CREDIT_NOTE.value
        currency = draft.currency
        entry_id = book.add_entry(
            EntryKind.CREDIT_NOTE_ISSUED if is_credit else EntryKind.INVOICE_ISSUED,
            source_type="invoice",
            source_id=draft.id,
            effective_on=business_on,
        )
        payers_side = Account(
            AccountKind.PAYER_CREDITS if is_credit else AccountKind.RECEIVABLE, currency
        )
        parts = [(AccountKind.REVENUE, code, amount) for code, amount in price.revenues]
        parts += [(AccountKind.TAX_PAYABLE, tax.tax_code, tax.tax_minor) for tax in price.taxes]
        for kind, code, amount in parts:
            book.post(
                entry_id,
                payers_side,
                Account(kind, currency, code),
                -amount if is_credit else amount,
                payer_id=draft.payer_id,
                invoice_id=draft.id,
            )
    book.write()


def _number(priced: Sequence[Priced], *, business_on: date, version: int) -> None:
    """Give the documents their numbers and make them issued, as the last step.

    Shape: a number is the series' last one plus the place among the survivors, so there are no
    gaps, and the series is locked only until the commit that follows at once.
    """
    rows: list[tuple[Any, ...]] = []
    by_series = sorted(priced, key=lambda each: SERIES.get(each.draft.kind, "INV"))
    for series, group in groupby(by_series, key=lambda each: SERIES.get(each.draft.kind, "INV")):
        members = list(group)
        first = _take_numbers(series, len(members), business_on)
        rows += (
            (
                draft.id,
                series,
                first + place,
                price.due_on,
                price.net_minor,
                price.tax_minor,
                price.total_minor,
            )
            for place, (draft, price) in enumerate(members)
        )
    stage_rows(
        "staged_issues",
        {
            "id": "uuid",
            "series": "text",
            "number": "bigint",
            "due_on": "date",
            "net_minor": "bigint",
            "tax_minor": "bigint",
            "total_minor": "bigint",
        },
        rows,
    )
    execute(
        "UPDATE invoices i SET state = %(state)s, series = s.series, year = %(year)s,"
        " number = s.number, issued_on = %(on)s, due_on = s.due_on, net_minor = s.net_minor,"
        " tax_minor = s.tax_minor, total_minor = s.total_minor, rule_set_version = %(version)s,"
        " version = i.version + 1 FROM pg_temp.staged_issues s"
        " WHERE i.organisation_id = %(o)s AND i.id = s.id",
        {
            "state": InvoiceState.ISSUED.value,
            "year": business_on.year,
            "on": business_on,
            "version": version,
            "o": current_organisation_id(),
        },
    )


def _take_numbers(series: str, count: int, business_on: date) -> int:
    """Take the next numbers of a series and return the first of them.

    Raises: IssuedBeforeLast.
    """
    key = {
        "o": current_organisation_id(),
        "series": series,
        "year": business_on.year,
        "count": count,
        "on": business_on,
    }
    row = fetch_one(
        "INSERT INTO number_series AS n (organisation_id, series, year, last, last_issued_on)"
        " VALUES (%(o)s, %(series)s, %(year)s, %(count)s, %(on)s)"
        " ON CONFLICT (organisation_id, series, year) DO UPDATE SET last = n.last + excluded.last,"
        " last_issued_on = excluded.last_issued_on"
        " WHERE n.last_issued_on <= excluded.last_issued_on RETURNING last",
        key,
    )
    if row is None:
        known = fetch(
            "SELECT last_issued_on FROM number_series WHERE series = %(series)s"
            " AND year = %(year)s",
            key,
        )
        raise IssuedBeforeLast(
            series=series,
            year=business_on.year,
            last=known[0].last_issued_on,
            business_on=business_on,
        )
    return int(row.last) - count + 1
