"""Booking priced documents: taxes, postings, and their numbers, which are given last of all."""

from collections.abc import Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.errors import Conflict
from portal.domain.invoices import InvoiceKind, InvoiceState
from portal.domain.ledger import AccountKind, EntryKind, income_account
from portal.domain.users import Actor
from portal.services.events import record_events
from portal.services.ledger import Account, LedgerBook
from portal.sql import execute, fetch, fetch_one, stage_rows
from rules.types import InvoicePrice

SERIES = {InvoiceKind.CREDIT_NOTE.value: "CN"}


class IssuedBeforeLast(Conflict):
    """The series {series} {year} has a document of {last}, so none can be dated {business_on}.
    Nothing was issued; choose that day or a later one."""


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
    due_on: date | None = None
    buyer_reference: str | None = None
    cost_centre: str | None = None
    payment_ref: str | None = None
    period_from: date | None = None
    period_to: date | None = None
    payer_vat_id: str | None = None
    is_on_hold: bool | None = None
    arrangement: str | None = None
    arranged_until: date | None = None
    # Looked up only for the agreements that ask for it.
    is_repeated: bool | None = None
    has_mandate: bool | None = None


class Priced(NamedTuple):
    """A document that is to be issued at its price."""

    draft: Draft
    price: InvoicePrice


def book_documents(
    priced: Sequence[Priced], *, business_on: date, version: int, actor: Actor, now: datetime
) -> None:
    """Write priced lines and taxes, post, record, and number documents whose rows are locked.

    Shape: `version` is that of the rule set which the prices are from.
    Raises: IssuedBeforeLast.
    """
    if any(each.price.lines for each in priced):
        _write_lines(priced)
    _write_taxes(priced)
    _post(priced, business_on)
    record_events((("invoice.issued", each.draft.id) for each in priced), actor=actor, now=now)
    _number(priced, business_on=business_on, version=version)


def _write_lines(priced: Sequence[Priced]) -> None:
    """Write what pricing changed of the lines, and the lines that it added."""
    stage_rows(
        "staged_prices",
        {
            "invoice_id": "uuid",
            "position": "int",
            "net_minor": "bigint",
            "revenue_code": "text",
            "tax_code": "text",
            "unit_price": "numeric",
            "description": "text",
        },
        ((each.draft.id, *line[:6]) for each in priced for line in each.price.lines),
    )
    organisation = (current_organisation_id(),)
    execute(
        "UPDATE invoice_lines l SET net_minor = s.net_minor, tax_code = s.tax_code,"
        " unit_price = COALESCE(s.unit_price, l.unit_price) FROM pg_temp.staged_prices s"
        " WHERE l.organisation_id = %s AND l.invoice_id = s.invoice_id"
        " AND l.position = s.position AND s.description IS NULL",
        organisation,
    )
    execute(
        "INSERT INTO invoice_lines (organisation_id, invoice_id, position, description, quantity,"
        " unit_price, net_minor, revenue_code, tax_code)"
        " SELECT %s, invoice_id, position, description, 1, unit_price, net_minor, revenue_code,"
        " tax_code FROM pg_temp.staged_prices WHERE description IS NOT NULL",
        organisation,
    )


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
        Account(kind, draft.currency, code)
        for draft, price in priced
        for kind, code, _ in _list_parts(price)
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
        for kind, code, amount in _list_parts(price):
            book.post(
                entry_id,
                payers_side,
                Account(kind, currency, code),
                -amount if is_credit else amount,
                payer_id=draft.payer_id,
                invoice_id=draft.id,
            )
    book.write()


def _list_parts(price: InvoicePrice) -> list[tuple[AccountKind, str, int]]:
    """List what a document brings in: kind of account, code there, and amount."""
    parts = [(*income_account(code), amount) for code, amount in price.revenues]
    parts += [(AccountKind.TAX_PAYABLE, tax.tax_code, tax.tax_minor) for tax in price.taxes]
    return parts


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
