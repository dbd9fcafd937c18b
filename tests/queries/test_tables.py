"""Lists: every order loses and repeats no row, every condition means the same everywhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.db import acting_for, transaction
from portal.ids import public_id
from portal.queries.tables import (
    ATTEMPT_TABLE,
    EVENT_TABLE,
    INVOICE_TABLE,
    PAYER_TABLE,
    PAYMENT_TABLE,
    TABLES,
    ArgumentRefused,
    Choice,
    Column,
    Kind,
    Range,
    Table,
    TableRequest,
    ThingMissing,
    _select,
    parse_request,
    read_facet,
    read_page,
    read_request,
    read_text,
    read_totals,
    stream_rows,
    write_text,
)
from portal.queries.tables._cursor import Cursor, write_cursor
from portal.sql import execute, fetch_plain
from tests import factories
from tests.services.disputing import make_dispute
from tests.services.refunding import make_refund
from tests.services.reminding import make_reminder, make_reminders
from tests.services.settling import make_payouts

TODAY = date(2026, 3, 20)


def ask(table: Table, *arguments: tuple[str, str]) -> TableRequest:
    return parse_request(table, arguments, today=TODAY, currency="EUR")


def walk(table: Table, *arguments: tuple[str, str], rows: int = 3) -> list[tuple[Any, ...]]:
    """Go through all pages forward, then all the way back, and see the same rows."""
    limit = ("limit", str(rows))
    pages = [read_page(table, ask(table, *arguments, limit))]
    while pages[-1].older:
        pages.append(read_page(table, ask(table, *arguments, limit, ("cursor", pages[-1].older))))
        assert len(pages) < 100
    back = [pages[-1]]
    while back[-1].newer:
        back.append(read_page(table, ask(table, *arguments, limit, ("cursor", back[-1].newer))))
        assert len(back) < 100
    forth_rows = list(itertools.chain.from_iterable(page.rows for page in pages))
    back_rows = list(itertools.chain.from_iterable(page.rows for page in reversed(back)))
    assert back_rows == forth_rows
    assert pages[0].newer is None
    return forth_rows


@pytest.fixture
def here(organisation: UUID) -> Iterator[UUID]:
    """Read for the harbour city."""
    with acting_for(organisation):
        yield organisation


@pytest.fixture
def world(here: UUID) -> None:
    """Documents of every status with equal days and amounts, absent values, payments and runs."""
    payer = factories.make_payer(name="Élm Road Clinic")
    for _ in range(4):
        factories.make_draft_invoice(payer_id=payer.id, external_ref=None)
        factories.make_issued_invoice(payer_id=payer.id)
    factories.make_draft_invoice(state="discarded")
    factories.make_credit_note()
    factories.make_credit_note()
    for _ in range(3):
        factories.make_payment()
    payment = factories.make_succeeded_payment()
    for amount_minor in (1_000, 1_000, 2_000, 3_000):
        make_refund("approved", payment=payment, amount_minor=amount_minor)
    for state in ("needs_response", "under_review", "won", "lost"):
        make_dispute(state)
    make_reminders(2)
    for _ in range(3):
        make_reminder()
    make_payouts()
    for place in (0, 0, 1, 4):
        factories.make_issued_invoice(business_on=date(2026, 3, 2) + timedelta(days=place))
    for _ in range(5):
        factories.make_run()
        factories.make_inbox_message()
        factories.make_open_case()
    factories.make_open_case(amount_minor=None)
    for terms in ({"is_on_hold": True}, {"arrangement": "hardship", "arranged_until": TODAY}):
        for _ in range(4):
            factories.make_payer(**terms)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.noun)
def test_no_order_loses_or_repeats_a_row(world: None, table: Table) -> None:
    every = {row[0] for row in fetch_plain(f"SELECT id FROM {table.source}")}
    assert len(every) > 3, "more than a page is needed to see anything"
    for column, (sign, direction) in itertools.product(
        table.sortable(), (("", "ASC"), ("-", "DESC"))
    ):
        rows = [row[0] for row in walk(table, ("sort", sign + column.name))]
        assert len(rows) == len(every), (column.name, sign)
        assert set(rows) == every
        keys = [*(key.sql for key in column.keys), f"{table.alias}.id"]
        sorted_at_once = fetch_plain(
            f"SELECT {table.alias}.id FROM {table.source} {table.alias} ORDER BY "
            + ", ".join(f"{key} {direction}" for key in keys)
        )
        assert rows == [row[0] for row in sorted_at_once]


@pytest.mark.parametrize("few_max", [0, 3, 4, 1_000])
@pytest.mark.parametrize("column", INVOICE_TABLE.sortable(), ids=lambda column: column.name)
def test_few_rows_and_many_are_found_in_the_same_order(
    world: None, monkeypatch: pytest.MonkeyPatch, column: Column, few_max: int
) -> None:
    """A search sorts what it finds, or walks the order where it finds too much; people see one."""
    monkeypatch.setattr(_select, "FEW_MAX", few_max)
    payer = "(SELECT id FROM payers WHERE name = 'Élm Road Clinic')"
    keys = ", ".join(f"{key.sql} DESC" for key in [*column.keys])
    wanted = fetch_plain(
        f"SELECT i.id FROM invoices i WHERE payer_id = {payer} ORDER BY {keys}, i.id DESC"
    )
    assert len(wanted) == 8
    for rows in (1, 3):
        found = walk(INVOICE_TABLE, ("text", "Elm Road"), ("sort", f"-{column.name}"), rows=rows)
        assert [row[0] for row in found] == [row[0] for row in wanted]


def test_a_page_is_one_statement_and_so_is_each_sum(
    world: None, statements: Callable[..., Any]
) -> None:
    for table in TABLES:
        for rows in ("1", "200"):
            request = ask(table, ("limit", rows))
            with statements() as recorded:
                read_page(table, request)
                read_totals(table, request)
            assert recorded.count == 2, table.noun


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.noun)
def test_every_option_counts_what_it_shows(world: None, table: Table) -> None:
    for choice in table.filters:
        if not isinstance(choice, Choice):
            continue
        facet = read_facet(table, ask(table), choice)
        for option, count in zip(choice.options, facet.counts, strict=True):
            shown = walk(table, (choice.name, option.value))
            assert len(shown) == count, option
            assert read_totals(table, ask(table, (choice.name, option.value))).rows_count == count


def test_two_values_of_a_choice_are_joined_and_none_twice(world: None) -> None:
    unpaid = walk(INVOICE_TABLE, ("status", "unpaid"))
    overdue = walk(INVOICE_TABLE, ("status", "overdue"))
    assert 0 < len(overdue) < len(unpaid)
    both = walk(INVOICE_TABLE, ("status", "overdue"), ("status", "unpaid"))
    assert [row[0] for row in both] == [row[0] for row in unpaid]
    drafts = walk(INVOICE_TABLE, ("status", "draft"), ("status", "overdue"))
    assert len(drafts) == 4 + len(overdue)


def test_what_is_overdue_says_so(world: None) -> None:
    place = INVOICE_TABLE.places()["status"]
    assert {row[place] for row in walk(INVOICE_TABLE, ("status", "overdue"))} == {"overdue"}
    later = parse_request(
        INVOICE_TABLE, [("status", "overdue")], today=date(2026, 3, 1), currency="EUR"
    )
    assert read_page(INVOICE_TABLE, later).rows == []


def test_the_sums_are_those_of_the_rows(world: None) -> None:
    places = INVOICE_TABLE.places()
    rows = walk(INVOICE_TABLE, ("status", "open"))
    totals = read_totals(INVOICE_TABLE, ask(INVOICE_TABLE, ("status", "open")))
    (sums,) = totals.sums
    assert totals.is_exact
    assert sums.amounts_minor == (
        sum(row[places["total"]] for row in rows),
        sum(row[places["open"]] for row in rows),
    )


def test_a_long_list_is_not_counted_to_its_end(
    world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.queries.tables._read.COUNT_MAX", 5)
    request = ask(INVOICE_TABLE)
    totals = read_totals(INVOICE_TABLE, request)
    assert (totals.rows_count, totals.is_exact, totals.sums) == (5, False, ())
    exact = read_totals(INVOICE_TABLE, request, is_exact=True)
    assert exact.is_exact
    assert exact.rows_count == len(walk(INVOICE_TABLE))
    choice = INVOICE_TABLE.filters[0]
    assert isinstance(choice, Choice)
    assert set(read_facet(INVOICE_TABLE, request, choice).counts) == {None}
    assert None not in read_facet(INVOICE_TABLE, request, choice, is_exact=True).counts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("INV-2026-000001", 1),
        ("inv-2026-000001", 1),
        ("INV-2026-10", 1),
        ("elm road", 8),
        ("ÉLM", 8),
        ("road", 0),
        ("%", 0),
        ("x' OR true --", 0),
    ],
)
def test_people_find_by_number_reference_and_name(world: None, text: str, found: int) -> None:
    assert len(walk(INVOICE_TABLE, ("text", text))) == found


def test_a_reference_finds_its_document(here: UUID) -> None:
    factories.make_issued_invoice(external_ref="R-77")
    factories.make_issued_invoice(external_ref="R-778")
    assert len(walk(INVOICE_TABLE, ("text", "R-77"))) == 1


def test_a_code_is_compared_exactly_and_none_is_no_code(here: UUID) -> None:
    for code in ("AM04", "am04", "AM041", None):
        payment = factories.make_payment()
        with transaction():
            execute("UPDATE payments SET reason_code = %s WHERE id = %s", (code, payment.id))
    for code, count in {"AM04": 1, "AM0": 0, "%": 0, "none": 1}.items():
        assert len(walk(PAYMENT_TABLE, ("reason", code))) == count
        assert read_totals(PAYMENT_TABLE, ask(PAYMENT_TABLE, ("reason", code))).rows_count == count
    assert len(walk(PAYMENT_TABLE, ("reason", "AM04"), ("state", "processing"))) == 1
    (term,) = ask(PAYMENT_TABLE, *read_text("reason:AM04", PAYMENT_TABLE)).terms
    assert term.words == "Reason: There was not enough money in the account (AM04)"
    assert write_text([term]) == "reason:AM04"
    with pytest.raises(ArgumentRefused):
        ask(PAYMENT_TABLE, ("reason", "AM04"), ("reason", "AC04"))


def test_days_and_amounts_are_bounded_as_they_read(here: UUID) -> None:
    for day in (2, 3, 4):
        factories.make_issued_invoice(business_on=date(2026, 3, day))
    due = sorted(row[0] for row in fetch_plain("SELECT due_on FROM invoices"))
    middle = due[1].isoformat()
    expected = {"": 1, "[gte]": 2, "[gt]": 1, "[lte]": 2, "[lt]": 1}
    for operator, count in expected.items():
        assert len(walk(INVOICE_TABLE, (f"due{operator}", middle))) == count
    assert len(walk(INVOICE_TABLE, ("due[gte]", middle), ("due[lt]", due[2].isoformat()))) == 1
    for operator, count in {"": 3, "[gte]": 3, "[gt]": 0, "[lte]": 3, "[lt]": 0}.items():
        assert len(walk(INVOICE_TABLE, (f"total{operator}", "119.00"))) == count
    assert len(walk(INVOICE_TABLE, ("issued", "this-month"))) == 3
    assert len(walk(INVOICE_TABLE, ("issued", "last-month"))) == 0


@pytest.mark.parametrize(
    ("today", "span", "first", "end"),
    [
        (date(2026, 1, 31), "this-month", date(2026, 1, 1), date(2026, 2, 1)),
        (date(2026, 1, 31), "last-month", date(2025, 12, 1), date(2026, 1, 1)),
        (date(2026, 12, 31), "next-month", date(2027, 1, 1), date(2027, 2, 1)),
        (date(2024, 2, 29), "last-year", date(2023, 1, 1), date(2024, 1, 1)),
        (date(2026, 3, 31), "this-quarter", date(2026, 1, 1), date(2026, 4, 1)),
        (date(2026, 1, 1), "last-quarter", date(2025, 10, 1), date(2026, 1, 1)),
        (date(2026, 3, 1), "this-week", date(2026, 2, 23), date(2026, 3, 2)),
        (date(2026, 3, 1), "today", date(2026, 3, 1), date(2026, 3, 2)),
    ],
)
def test_a_span_moves_with_the_day(today: date, span: str, first: date, end: date) -> None:
    request = parse_request(INVOICE_TABLE, [("due", span)], today=today, currency="EUR")
    assert request.terms[0].value[:2] == (first, end)


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("statsu", "overdue", "did you mean “status”?"),
        ("status", "overdeu", "did you mean “overdue”?"),
        ("status", "", "is no value of"),
        ("status[gte]", "paid", "cannot be compared"),
        ("due[between]", "2026-01-01", "cannot be compared"),
        ("due", "2026-02-30", "is not a day"),
        ("due", "9999-12-31", "is not a day"),
        ("due[gte]", "this-month", "cannot be compared"),
        ("total[gte]", "12.345", "is not an amount"),
        ("total[gte]", "NaN", "is not an amount"),
        ("total[gte]", "9" * 30, "is not an amount"),
        ("sort", "payer", "cannot be sorted by"),
        ("sort", "--due", "cannot be sorted by"),
        ("limit", "0", "1 to 200"),
        ("limit", "201", "1 to 200"),
        ("limit", "١٢", "is not a number of rows"),
        ("cursor", "AAAA", "cannot be read"),
        ("cursor", "x" * 5000, "cannot be read"),
        ("text", "   ", "is empty"),
        ("text", "\u0301", "is empty"),
        ("text", "a\0b", "cannot be read"),
        ("text", "a" * 201, "cannot be read"),
    ],
)
def test_what_is_not_understood_is_said_and_never_ignored(
    here: UUID, argument: str, value: str, said: str
) -> None:
    reading = read_request(INVOICE_TABLE, [(argument, value)], today=TODAY, currency="EUR")
    (refused,) = reading.refused
    assert said in refused.message
    with pytest.raises(ArgumentRefused):
        ask(INVOICE_TABLE, (argument, value))


def test_a_form_sends_empty_fields_and_means_nothing_by_them(here: UUID) -> None:
    given = [("due", ""), ("due[gte]", ""), ("status", "paid")]
    reading = read_request(INVOICE_TABLE, given, today=TODAY, currency="EUR", is_lenient=True)
    assert not reading.refused
    assert [term.argument for term in reading.request.terms] == [("status", "paid")]


def test_the_same_condition_twice_is_one_and_two_that_differ_are_refused(here: UUID) -> None:
    assert len(ask(INVOICE_TABLE, ("due", "today"), ("due", "today")).terms) == 1
    with pytest.raises(ArgumentRefused):
        ask(INVOICE_TABLE, ("due[gte]", "2026-01-01"), ("due[gte]", "2026-01-02"))
    with pytest.raises(ArgumentRefused):
        ask(INVOICE_TABLE, ("sort", "due"), ("sort", "-due"))


def test_a_place_of_one_order_is_none_in_another(world: None) -> None:
    older = read_page(INVOICE_TABLE, ask(INVOICE_TABLE, ("limit", "1"))).older
    assert older is not None
    with pytest.raises(ArgumentRefused):
        ask(INVOICE_TABLE, ("sort", "due"), ("cursor", older))


def test_the_thing_of_another_organisation_is_missing(here: UUID, other_organisation: UUID) -> None:

    other = factories.make_payer(organisation_id=other_organisation)
    with acting_for(here), pytest.raises(ThingMissing):
        ask(INVOICE_TABLE, ("payer", public_id("payer", other.id)))
    own = factories.make_payer(name="Harbour Authority")
    factories.make_draft_invoice(payer_id=own.id)
    with acting_for(here):
        request = ask(INVOICE_TABLE, ("payer", public_id("payer", own.id)))
        assert request.terms[0].words == "Payer: Harbour Authority"
        assert len(read_page(INVOICE_TABLE, request).rows) == 1


def test_rows_of_another_organisation_are_in_no_list(world: None, other_organisation: UUID) -> None:
    with acting_for(other_organisation):
        # That the organisation was added is told in its audit trail.
        for table in (table for table in TABLES if table is not EVENT_TABLE):
            assert read_page(table, ask(table)).rows == []
            assert read_totals(table, ask(table)).rows_count == 0


@pytest.mark.parametrize(
    "text",
    [
        "status:overdue",
        "status:overdue status:draft",
        "total:>=500.00 total:<1000.00 due:<2026-01-01",
        "due:this-month elm road",
        'status:paid "',
        '"ref:123"',
        '"a < b" status:paid',
    ],
)
def test_a_line_of_text_reads_back_as_it_was_written(here: UUID, text: str) -> None:
    request = ask(INVOICE_TABLE, *read_text(text, INVOICE_TABLE))
    again = ask(INVOICE_TABLE, *read_text(write_text(request.terms), INVOICE_TABLE))
    assert [term.argument for term in again.terms] == [term.argument for term in request.terms]


def test_a_range_in_text_has_both_ends(here: UUID) -> None:
    assert read_text("total:1..2", INVOICE_TABLE) == [("total[gte]", "1"), ("total[lte]", "2")]
    assert read_text('payer:"a b" due:>2026-01-01 loose words', INVOICE_TABLE) == [
        ("payer", "a b"),
        ("due[gt]", "2026-01-01"),
        ("text", "loose words"),
    ]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.noun)
def test_the_whole_list_streams_in_its_order(world: None, table: Table) -> None:
    with transaction():
        streamed = list(stream_rows(table, ask(table)))
    assert streamed == walk(table)


@pytest.mark.parametrize(
    ("asked", "index"),
    [([], ""), ([("status", "paid")], ""), ([("status", "open")], "status_")],
    ids=["all", "paid", "open"],
)
@pytest.mark.parametrize("column", INVOICE_TABLE.sortable(), ids=lambda column: column.name)
def test_an_order_of_invoices_is_walked_by_its_own_index(
    world: None, column: Column, asked: list[tuple[str, str]], index: str
) -> None:
    request = ask(INVOICE_TABLE, *asked, ("sort", column.name))
    statement, parameters = _select.write_page(INVOICE_TABLE, request, rows_max=51)
    with transaction():
        # A few rows are read whole and sorted, so how many would be is asked.
        for way in ("seqscan", "bitmapscan", "sort"):
            execute(f"SET LOCAL enable_{way} = off")
        plan = "\n".join(row[0] for row in fetch_plain(f"EXPLAIN {statement}", parameters))
    assert f" using ix_invoices_by_{index}{column.name} on invoices" in plan


def test_a_document_with_more_than_six_digits_keeps_them_all(here: UUID) -> None:
    factories.make_issued_invoice()
    with transaction():
        execute("UPDATE number_series SET last = 1234566 WHERE series = 'INV'")
    factories.make_issued_invoice()
    number = INVOICE_TABLE.places()["number"]
    (row,) = walk(INVOICE_TABLE, ("text", "INV-2026-1234567"))
    assert row[number] == "INV-2026-1234567"
    assert walk(INVOICE_TABLE, ("sort", "number"))[-1] == row


def test_declarations_hold_together() -> None:
    for table in TABLES:
        names = [column.name for column in table.columns]
        assert names[0] == "id"
        assert len(set(names)) == len(names)
        filters = [one.name for one in table.filters]
        assert len(set(filters)) == len(filters)
        assert table.default_sort.removeprefix("-") in [c.name for c in table.sortable()]
        assert set(table.sums) <= set(names)
        assert not {"sort", "cursor", "limit", "find", "totals"} & set(filters)
        for column in table.columns:
            assert (column.kind is Kind.STATE) == (column.states is not None)
            if column.noun and column.noun != table.noun:
                assert f"{column.noun}_id" in names
        for one in table.filters:
            if isinstance(one, Range):
                assert one.kind in {Kind.DAY, Kind.MONEY, Kind.COUNT, Kind.INSTANT}
        if table.parts is not None:
            choice = table.filter(table.parts.choice)
            assert isinstance(choice, Choice)
            named = {part for option in choice.options for part in option.parts}
            assert named == set(table.parts.values)


def test_every_list_of_parts_knows_every_state_in_the_database(world: None) -> None:
    for table in (INVOICE_TABLE, PAYMENT_TABLE):
        assert table.parts is not None
        column = table.parts.sql.partition(".")[2]
        known = {row[0] for row in fetch_plain(f"SELECT DISTINCT {column} FROM {table.source}")}
        assert known <= set(table.parts.values)


def test_payers_are_sorted_by_their_names_without_accents(here: UUID) -> None:
    for name in ("Zoë", "élan", "Ada", "Eton"):
        factories.make_payer(name=name)
    names = [row[1] for row in walk(PAYER_TABLE)]
    assert names == ["Ada", "élan", "Eton", "Zoë"]


def test_payers_are_found_by_how_they_are_dealt_with(here: UUID) -> None:
    until = {"arranged_until": TODAY}
    over = {"arranged_until": TODAY - timedelta(days=1)}
    terms: dict[str, dict[str, Any]] = {
        "Ada": {},
        "Ben": {"is_on_hold": True},
        "Cora": {"arrangement": "hardship", **until},
        "Dan": {"arrangement": "instalments", **until},
        "Eva": {"is_on_hold": True, "arrangement": "instalments", **until},
        "Finn": {"arrangement": "hardship", **over},
        "Gus": {"is_on_hold": True, "arrangement": "instalments", **over},
    }
    for name, columns in terms.items():
        factories.make_payer(name=name, **columns)

    def found(*values: str) -> str:
        for sort in ("name", "-name", "number"):
            rows = walk(PAYER_TABLE, *(("terms", one) for one in values), ("sort", sort), rows=2)
            names = sorted(row[1] for row in rows)
            assert len(names) == len(set(names))
        return " ".join(names)

    assert found("on_hold") == "Ben Eva Gus"
    assert found("hardship") == "Cora"
    assert found("instalments") == "Dan Eva"
    assert found("none") == "Ada Finn"
    assert found("none", "hardship", "on_hold") == "Ada Ben Cora Eva Finn Gus"
    assert found() == " ".join(terms)
    places = PAYER_TABLE.places()
    told = {
        row[1]: (row[places["arrangement"]], row[places["arranged_until"]])
        for row in walk(PAYER_TABLE)
    }
    assert {name: one for name, one in told.items() if one != (None, None)} == {
        "Cora": ("hardship", TODAY),
        "Dan": ("instalments", TODAY),
        "Eva": ("instalments", TODAY),
    }


def test_rows_are_found_by_currency_and_attempts_by_a_parked_message(world: None) -> None:
    for table in (INVOICE_TABLE, PAYMENT_TABLE, ATTEMPT_TABLE):
        assert walk(table, ("currency", "EUR")) == walk(table)
        assert walk(table, ("currency", "GBP")) == []
    assert walk(ATTEMPT_TABLE, ("message", "parked")) == []
    with transaction():
        execute(
            "UPDATE messages SET state = 'parked' WHERE aggregate_id ="
            " (SELECT min(aggregate_id::text)::uuid FROM messages)"
        )
    assert len(walk(ATTEMPT_TABLE, ("message", "parked"))) == 1


def test_names_in_text_may_be_written_as_people_write(here: UUID) -> None:
    for text in ("status:overdue", "Status:overdue", "status: overdue", "STATUS:  overdue"):
        assert read_text(text, INVOICE_TABLE) == [("status", "overdue")]


def test_amounts_of_another_currency_are_not_compared(here: UUID) -> None:
    factories.make_draft_invoice(currency="JPY", lines=[factories.Line(60_000)])
    factories.make_draft_invoice(lines=[factories.Line(60_000)])
    (row,) = walk(INVOICE_TABLE, ("total[gte]", "500"))
    assert row[INVOICE_TABLE.places()["currency"]] == "EUR"
    yen = walk(INVOICE_TABLE, ("total[gte]", "500"), ("currency", "JPY"))
    assert [one[INVOICE_TABLE.places()["currency"]] for one in yen] == ["JPY"]


@pytest.mark.parametrize("name", ["Ali\u200dreza", "Mull\u00ader", "x\u200bq", "名" * 260, "a\tb"])
def test_a_name_of_any_letters_is_no_end_of_a_list(here: UUID, name: str) -> None:
    for place in range(3):
        factories.make_payer(name=f"{name} {place}")
    assert len(walk(PAYER_TABLE, rows=1)) == 3


def test_a_day_in_a_forged_place_is_refused(here: UUID) -> None:
    for day in ("2026-W01-1", "20260101", "2026-13-01", "x"):
        forged = Cursor("-issued", is_backward=False, values=(day,), id=here)
        with pytest.raises(ArgumentRefused):
            ask(INVOICE_TABLE, ("sort", "-issued"), ("cursor", write_cursor(forged)))
