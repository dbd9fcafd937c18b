import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import transaction
from portal.domain.batches import ItemOutcome
from portal.domain.invoices import InvoiceKind
from portal.domain.ledger import AccountKind
from portal.ids import new_id
from portal.services.invoices import (
    IssuedBeforeLast,
    NewInvoice,
    NewLine,
    draft_invoices,
    issue_invoices,
)
from portal.services.outcomes import ItemResult
from tests import factories
from tests.factories import CLERK, NOW, Line, make_draft_invoice, make_payer, read_row
from tests.recording import Recording
from tests.services.books import assert_books_hold, balance, events_of, rows

ON = factories.BUSINESS_ON


def issue(*invoice_ids: UUID, on: date = ON) -> list[ItemResult]:
    with transaction(factories.home.get()):
        return issue_invoices(invoice_ids=invoice_ids, business_on=on, actor=CLERK, now=NOW)


def numbers(series: str = "INV") -> list[int]:
    found = rows("SELECT number FROM invoices WHERE series = %s AND number > 0", series)
    return sorted(row.number for row in found)


def draft(lines: Sequence[tuple[str, str, str]], **over: Any) -> UUID:
    wanted = {
        "payer_id": make_payer().id,
        "currency": "EUR",
        "lines": [
            NewLine("Berth", Decimal(quantity), Decimal(price), "4000", tax)
            for quantity, price, tax in lines
        ],
    }
    with transaction(factories.home.get()):
        (invoice_id,) = draft_invoices(
            invoices=[NewInvoice(**{**wanted, **over})], on=ON, actor=CLERK, now=NOW
        )
        return invoice_id


def test_a_draft_is_priced_taxed_posted_and_numbered(organisation: UUID) -> None:
    lines = (Line(10_000), Line(2_499, "4100"), Line(3_333, "4000", "R"), Line(500, "4100", "E"))
    made = make_draft_invoice(lines=lines)

    (result,) = issue(made.id)

    # 19 % of 124.99, rounded once; 7 % of 33.33.
    taxes = 1_900 + 475 + 233
    assert result == ItemResult(made.id, ItemOutcome.DONE, amount_minor=16_332 + taxes)
    after = read_row("invoices", made.id)
    assert (after.state, after.series, after.year, after.number) == ("issued", "INV", 2026, 1)
    assert (after.net_minor, after.tax_minor) == (16_332, taxes)
    assert (after.total_minor, after.open_minor) == (16_332 + taxes, 16_332 + taxes)
    assert (after.issued_on, after.due_on) == (ON, date(2026, 4, 1))
    assert (after.payment_status, after.rule_set_version) == ("unpaid", 1)
    assert after.version == made.version + 1
    found = rows("SELECT tax_code, rate_bps, net_minor, tax_minor FROM invoice_taxes ORDER BY 1")
    assert [tuple(row) for row in found] == [
        ("E", 0, 500, 0),
        ("R", 700, 3_333, 233),
        ("S", 1_900, 12_499, 2_375),
    ]
    assert balance(AccountKind.RECEIVABLE) == 16_332 + taxes
    assert balance(AccountKind.REVENUE, code="4000") == -13_333
    assert balance(AccountKind.REVENUE, code="4100") == -2_999
    assert balance(AccountKind.TAX_PAYABLE, code="S") == -2_375
    assert balance(AccountKind.TAX_PAYABLE, code="R") == -233
    assert balance(AccountKind.TAX_PAYABLE, code="E") == 0
    assert events_of(made.id) == ["invoice.issued"]
    assert_books_hold()


def test_tax_is_rounded_once_or_on_each_line(app: Flask) -> None:
    for sample, tax in (("harbour", 190), ("rivertown", 201)):
        factories.home.set(factories.make_organisation(sample))
        made = make_draft_invoice(lines=[Line(333, "water")] * 3)

        (result,) = issue(made.id)

        # 19 % of 9.99 is 1.8981, rounded once; 20 % of 3.33 is 0.666, three times 0.67.
        assert result.amount_minor == 999 + tax


def test_a_line_that_takes_away_swaps_the_sides_of_its_posting(organisation: UUID) -> None:
    made = make_draft_invoice(lines=(Line(10_000), Line(-2_000, "4900")))

    issue(made.id)

    assert balance(AccountKind.REVENUE, code="4900") == 2_000
    assert balance(AccountKind.RECEIVABLE) == 9_520
    assert_books_hold()


def test_a_credit_note_is_the_payers_credit_in_a_series_of_its_own(organisation: UUID) -> None:
    invoice = make_draft_invoice()
    note = make_draft_invoice(kind="credit_note", payer_id=invoice.payer_id, lines=(Line(5_000),))

    issue(invoice.id, note.id)

    after = read_row("invoices", note.id)
    assert (after.series, after.number, after.credit_left_minor) == ("CN", 1, 5_950)
    assert (after.open_minor, after.payment_status) == (0, None)
    assert read_row("invoices", invoice.id).number == 1
    assert balance(AccountKind.RECEIVABLE) == 11_900
    assert balance(AccountKind.PAYER_CREDITS) == -5_950
    assert balance(AccountKind.REVENUE, code="4000") == -5_000
    assert balance(AccountKind.TAX_PAYABLE, code="S") == -950
    assert_books_hold()


def test_filtered_drafts_say_why_stay_drafts_and_leave_no_gap(organisation: UUID) -> None:
    fine = [make_draft_invoice() for _ in range(3)]
    too_small = make_draft_invoice(lines=(Line(1),))
    unknown_tax = make_draft_invoice(lines=(Line(10_000, "4000", "Q"),))
    discarded = make_draft_invoice(state="discarded")
    less_than_nothing = make_draft_invoice(lines=(Line(20_000, "4000", "E"), Line(-9_000)))
    nobody = new_id()
    wanted = [fine[0], too_small, fine[1], unknown_tax, discarded, less_than_nothing, fine[2]]

    results = {each.item_id: each for each in issue(*(each.id for each in wanted), nobody)}

    assert len(results) == len(wanted) + 1
    codes = {item_id: each.code for item_id, each in results.items() if each.code}
    assert codes == {
        too_small.id: "V101",
        unknown_tax.id: "C102",
        discarded.id: "not_a_draft",
        less_than_nothing.id: "negative",
        nobody: "not_found",
    }
    for item_id in codes:
        assert results[item_id].outcome is ItemOutcome.FILTERED
        assert results[item_id].message
        assert results[item_id].amount_minor == 0
    for each in (too_small, unknown_tax, less_than_nothing):
        after = read_row("invoices", each.id)
        assert (after.state, after.number) == ("draft", None)
        assert events_of(each.id) == []
    assert numbers() == [1, 2, 3]
    assert_books_hold()


def test_an_issued_document_is_not_issued_again(organisation: UUID) -> None:
    made = make_draft_invoice()
    issue(made.id)

    (again,) = issue(made.id)

    assert (again.outcome, again.code) == (ItemOutcome.FILTERED, "not_a_draft")
    assert again.message == "The document is issued, not a draft."
    assert read_row("invoices", made.id).version == made.version + 1
    assert events_of(made.id) == ["invoice.issued"]
    assert_books_hold()


def test_what_waits_for_approval_is_not_issued(organisation: UUID) -> None:
    made = make_draft_invoice(state="pending_approval")

    (result,) = issue(made.id)

    assert (result.outcome, result.code) == (ItemOutcome.FILTERED, "not_a_draft")


def test_a_transaction_that_fails_after_numbering_leaves_no_gap(organisation: UUID) -> None:
    first, second = make_draft_invoice(), make_draft_invoice()

    def issue_and_fail() -> None:
        with transaction(organisation):
            issue(first.id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        issue_and_fail()
    assert read_row("invoices", first.id).state == "draft"

    issue(second.id)
    issue(first.id)

    assert read_row("invoices", second.id).number == 1
    assert read_row("invoices", first.id).number == 2
    assert_books_hold()


def test_nothing_is_dated_before_the_last_of_its_series(organisation: UUID) -> None:
    issue(make_draft_invoice().id)
    late = make_draft_invoice()
    note = make_draft_invoice(kind="credit_note")
    yesterday = date(2026, 3, 17)

    with pytest.raises(IssuedBeforeLast) as caught:
        issue(late.id, on=yesterday)

    assert "INV 2026" in caught.value.message
    assert "2026-03-18" in caught.value.message
    assert read_row("invoices", late.id).state == "draft"
    issue(note.id, on=yesterday)
    issue(late.id)
    assert (numbers(), numbers("CN")) == ([1, 2], [1])
    assert_books_hold()


def test_a_new_year_begins_a_new_series(organisation: UUID) -> None:
    issue(make_draft_invoice().id, on=date(2026, 12, 31))
    following = make_draft_invoice(document_on=date(2027, 1, 1))

    issue(following.id, on=date(2027, 1, 4))

    after = read_row("invoices", following.id)
    assert (after.year, after.number) == (2027, 1)


def test_the_number_of_statements_does_not_grow_with_the_drafts(
    organisation: UUID, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    counts = []
    issue(make_draft_invoice().id)  # Compiles the agreement and opens the accounts.
    for size in (1, 200):
        payer_id = make_payer().id
        with transaction(organisation):
            ids = [
                make_draft_invoice(payer_id=payer_id, lines=(Line(1_000 + place),)).id
                for place in range(size)
            ]
        with statements() as recorded:
            results = issue(*ids)
        assert {each.outcome for each in results} == {ItemOutcome.DONE}
        counts.append(recorded.count)

    assert counts[0] == counts[1]
    assert numbers() == list(range(1, 203))


def test_two_threads_number_disjoint_drafts_without_gap_or_double(
    organisation: UUID, app: Flask
) -> None:
    payer_id = make_payer().id
    with transaction(organisation):
        ids = [
            make_draft_invoice(payer_id=payer_id, lines=(Line(1_000 + place),)).id
            for place in range(40)
        ]
    ready = threading.Barrier(2, timeout=30)

    def work(mine: Sequence[UUID]) -> None:
        factories.home.set(organisation)
        with app.app_context():
            for start in range(0, len(mine), 5):
                ready.wait()
                issue(*mine[start : start + 5])

    threads = [threading.Thread(target=work, args=(ids[part::2],)) for part in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert numbers() == list(range(1, 41))
    assert_books_hold()


def test_another_organisation_has_its_own_numbers_and_sees_nothing(
    organisation: UUID, other_organisation: UUID
) -> None:
    mine = make_draft_invoice()
    issue(mine.id)
    theirs = make_draft_invoice(organisation_id=other_organisation, lines=(Line(10_000),))

    with transaction(other_organisation):
        results = {
            each.item_id: each
            for each in issue_invoices(
                invoice_ids=[mine.id, theirs.id], business_on=ON, actor=CLERK, now=NOW
            )
        }

    assert results[mine.id].code == "not_found"
    assert results[theirs.id].outcome is ItemOutcome.DONE
    assert read_row("invoices", theirs.id, organisation_id=other_organisation).number == 1


@pytest.mark.parametrize(
    ("quantity", "price", "net_minor"),
    [
        ("1", "0.005", 0),
        ("1", "0.015", 2),
        ("3", "33.335", 10_000),
        ("0.333333", "100", 3_333),
        ("1.5", "0.01", 2),
    ],
)
def test_a_line_is_rounded_once_by_the_agreed_mode(
    organisation: UUID, quantity: str, price: str, net_minor: int
) -> None:
    made = read_row("invoices", draft([(quantity, price, "S"), ("1", "10", "S")]))

    assert made.net_minor == net_minor + 1_000
    assert (made.tax_minor, made.total_minor, made.state) == (0, made.net_minor, "draft")


def test_drafts_keep_their_order_lines_and_words(organisation: UUID) -> None:
    payer_id = make_payer().id
    line = NewLine("Berth", Decimal("2.5"), Decimal("4.1234"), "berths", "S")
    wanted = [
        NewInvoice(payer_id, "EUR", [line] * count, InvoiceKind.INVOICE, f"R-{count}", "PO-1", ON)
        for count in (3, 1, 2)
    ]

    with transaction(organisation):
        ids = draft_invoices(invoices=iter(wanted), on=ON, actor=CLERK, now=NOW)

    made = [read_row("invoices", each) for each in ids]
    assert [each.external_ref for each in made] == ["R-3", "R-1", "R-2"]
    assert [each.net_minor for each in made] == [3_093, 1_031, 2_062]
    assert {each.purchase_order_ref for each in made} == {"PO-1"}
    found = rows("SELECT * FROM invoice_lines WHERE invoice_id = %s ORDER BY position", ids[0])
    assert [each.position for each in found] == [1, 2, 3]
    assert found[0].quantity == Decimal("2.5")
    assert found[0].unit_price == Decimal("4.1234")
    assert events_of(ids[0]) == ["invoice.drafted"]


def test_one_draft_that_cannot_be_written_leaves_none(organisation: UUID) -> None:
    payer_id = make_payer().id
    line = NewLine("Berth", Decimal(1), Decimal(10), "berths", "S")
    twice = NewInvoice(payer_id, "EUR", [line], external_ref="R-1")

    with pytest.raises(Exception, match="uq_invoices_external_ref"), transaction(organisation):
        draft_invoices(invoices=[twice, twice], on=ON, actor=CLERK, now=NOW)

    assert rows("SELECT id FROM invoices") == []
    assert rows("SELECT * FROM events WHERE kind = 'invoice.drafted'") == []
