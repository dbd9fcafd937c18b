"""Lists in the browser: every link leads where it says, every way of asking means the same."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date, timedelta
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
import time_machine
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.db import transaction
from portal.domain.users import Role
from portal.ids import new_id, public_id
from portal.queries.tables import EVENT_TABLE, INVOICE_TABLE, TABLES, Table
from portal.sql import execute, fetch_plain
from tests.factories import (
    BUSINESS_ON,
    NOW,
    Line,
    attempt_of,
    insert_row,
    make_credit_note,
    make_draft_invoice,
    make_inbox_message,
    make_issued_invoice,
    make_open_case,
    make_payer,
    make_payment,
    make_run,
    make_succeeded_payment,
)
from tests.pages import Element, Page
from tests.recording import Recording
from tests.services.disputing import OPENED_ON, make_dispute
from tests.services.refunding import make_refund
from tests.services.reminding import make_reminders
from tests.services.settling import fee_item, make_payouts, record, report_of
from tests.web.conftest import sign_in
from tests.web.forms import fields_of, read

HTMX = {"HX-Request": "true", "HX-Target": "list"}
TOTALS = {"HX-Request": "true", "HX-Target": "totals"}
KILOBYTE = 1024
PAGE_BYTES_MAX = 14 * KILOBYTE
PART_BYTES_MAX = 8 * KILOBYTE
# The monitor above the list of attempts asks for its own figures.
# The monitor has four readings above its list, the messages one.
STATEMENTS_MAX = {"attempt": 9, "message": 7}


@pytest.fixture(autouse=True)
def _on_the_day() -> Iterator[None]:
    """Let the pages see the day on which the factories bill."""
    with time_machine.travel(NOW, tick=False):
        yield


# The audit trail tells at once that somebody has signed in.
EMPTY_AT_FIRST = [table for table in TABLES if table is not EVENT_TABLE]


def address_of(table: Table) -> str:
    return "/inbox" if table.noun == "inbox_message" else f"/{table.noun}s"


def count_in(found: Page) -> int:
    """Return how many rows the list says it has; nothing found is none."""
    captions = found.find_all("caption", id="list-caption")
    if not captions:
        return 0
    return int(captions[0].text.split(" of ")[1].split()[0].replace(".", ""))


def rows_in(found: Page) -> list[list[str]]:
    """Return the rows of the list itself, without those of what a page has above it."""
    body = found.find("div", id="list").find("table").find("tbody")
    return [
        [cell.text for cell in row.children if isinstance(cell, Element)]
        for row in body.find_all("tr")
    ]


def links_in(found: Element, **wanted: str) -> list[tuple[str, str]]:
    return [
        (one.text, one.attributes["href"]) for part in found.find_all(**wanted)
        for one in part.find_all("a")
    ]  # fmt: skip


@pytest.fixture
def documents(organisation: UUID) -> None:
    """Write documents of several kinds, states, days and amounts, some of them equal."""
    make_run(state="completed", finished_at=NOW)
    make_run()
    for place in range(2):
        make_inbox_message(received_at=NOW + timedelta(seconds=place))
        make_open_case(
            opened_at=NOW + timedelta(seconds=place), since_at=NOW - timedelta(days=place),
            amount_minor=100 + place,
        )  # fmt: skip
    for arrangement in ("hardship", "instalments"):
        make_payer(is_on_hold=True, arrangement=arrangement, arranged_until=BUSINESS_ON)
    payer = make_payer(name="Elm Road Clinic")
    for net_minor in (10_000, 10_000, 25_000):
        make_issued_invoice(lines=(Line(net_minor),), payer_id=payer.id)
    payment = make_succeeded_payment()
    for amount_minor in (1_000, 2_000):
        make_refund("approved", payment=payment, amount_minor=amount_minor)
    for place, state in enumerate(("needs_response", "under_review", "won", "lost")):
        make_dispute(state, opened_on=OPENED_ON + timedelta(days=place % 3))
    make_payment()
    make_reminders(4)
    make_payouts()
    for _ in range(2):
        make_draft_invoice()
    make_draft_invoice(state="discarded")
    for net_minor in (10_000, 40_000):
        make_issued_invoice(business_on=BUSINESS_ON, lines=(Line(net_minor),))
    make_credit_note(business_on=BUSINESS_ON)


def test_each_facet_leads_to_as_many_rows_as_it_says(
    signed_in: FlaskClient, documents: None
) -> None:
    for address in ("/invoices", "/payments", "/payers", "/invoices?due=this-month&sort=total"):
        found = read(signed_in, address)
        facets = found.find("aside", id="facets")
        assert facets.find_all("a")
        for link in facets.find_all("a"):
            shown = read(signed_in, link.attributes["href"])
            count = int(link.find("span", class_="count").text)
            assert count_in(shown) == count > 0
            (current,) = shown.find("aside", id="facets").find_all(aria_current="true")
            assert current.text == link.text
            back = read(signed_in, current.attributes["href"])
            assert back.rows == found.rows, "a second click shows all again"


def test_each_chip_takes_its_condition_away(signed_in: FlaskClient, documents: None) -> None:
    asked = "/invoices?status=open&status=draft&total[gte]=100&text=elm&limit=25&sort=-total"
    found = read(signed_in, asked)
    assert count_in(found) == 3
    chips = links_in(found, class_="chips")
    assert [words for words, _ in chips] == [
        "Remove Status: Open", "Remove Status: Draft", "Remove Total: at least 100.00 EUR",
        "Remove Search: “elm”", "Clear all",
    ]  # fmt: skip
    arguments = parse_qsl(urlsplit(asked).query)
    for place, (words, address) in enumerate(chips[:-1]):
        left = parse_qsl(urlsplit(address).query)
        assert sorted(left) == sorted(arguments[:place] + arguments[place + 1 :])
        shown = read(signed_in, address)
        assert words not in [one for one, _ in links_in(shown, class_="chips")]
        assert words.startswith("Remove Status") or count_in(shown) >= count_in(found)
    assert chips[-1][1] == "/invoices"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.noun)
def test_each_header_sorts_by_its_column_and_then_the_other_way(
    signed_in: FlaskClient, documents: None, table: Table
) -> None:
    found = read(signed_in, f"{address_of(table)}?limit=200")
    every = sorted(rows_in(found))
    heads = found.find("div", id="list").find("thead").find_all("a")
    assert {one.attributes["id"].removeprefix("sort-") for one in heads} == {
        column.name for column in table.sortable() if column.is_shown
    }
    for head in heads:
        once = read(signed_in, head.attributes["href"])
        twice = read(signed_in, once.find(id=head.attributes["id"]).attributes["href"])
        assert sorted(rows_in(once)) == every
        assert rows_in(once) == rows_in(twice)[::-1]
        orders = {
            one.attributes["aria-sort"]: one.text
            for shown in (once, twice)
            for one in shown.find_all("th")
            if "aria-sort" in one.attributes
        }
        assert orders == dict.fromkeys(("ascending", "descending"), head.text)


@pytest.mark.parametrize("asked", ["?limit=3", "?limit=3&sort=total", "?limit=2&status=open"])
def test_the_pager_goes_through_all_rows_and_back(
    signed_in: FlaskClient, documents: None, asked: str
) -> None:
    whole = read(signed_in, f"/invoices{asked}".replace("limit=3", "limit=200")
                 .replace("limit=2&", "limit=200&"))  # fmt: skip
    pages = [read(signed_in, f"/invoices{asked}")]
    assert pages[0].find_all("a", rel="prev") == []
    while pages[-1].find_all("a", rel="next"):
        pages.append(read(signed_in, pages[-1].find("a", rel="next").attributes["href"]))
        assert len(pages) < 20
    assert len(pages) > 2
    assert [row for page in pages for row in page.rows] == whole.rows
    for earlier in reversed(pages[:-1]):
        back = read(signed_in, pages[-1].find("a", rel="prev").attributes["href"])
        assert back.rows == earlier.rows
        pages[-1] = back
    assert pages[-1].find_all("a", rel="prev") == []
    (beginning,) = [
        one for one in pages[1].find("nav", class_="pager").find_all("a")
        if one.text == "To the beginning"
    ]  # fmt: skip
    assert read(signed_in, beginning.attributes["href"]).rows == pages[0].rows


def test_the_pager_offers_numbers_of_rows(signed_in: FlaskClient, organisation: UUID) -> None:
    for number in range(1, 31):
        make_run(number=number, state="completed")
    found = read(signed_in, "/runs?state=completed")
    offered = links_in(found.find("nav", class_="pager"), class_="pager-rows")
    assert [words for words, _ in offered] == ["25", "100", "200"]
    shown = read(signed_in, f"{offered[0][1]}&totals=exact")
    assert len(shown.rows) == 25
    assert count_in(shown) == 30


def test_a_place_behind_the_end_leads_to_the_beginning(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    for _ in range(3):
        make_draft_invoice()
    first = read(signed_in, "/invoices?limit=2&status=draft")
    with transaction(organisation):
        execute("UPDATE invoices SET state = 'discarded'")
    found = read(signed_in, first.find("a", rel="next").attributes["href"])
    assert "There is nothing more here." in found.text
    links = [address for _, address in links_in(found, class_="empty")]
    assert links == ["/invoices?status=draft&limit=2"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("status:overdue total:>500", "/invoices?status=overdue&total%5Bgt%5D=500"),
        ("elm road", "/invoices?text=elm+road"),
        ("due:2026-01-01..2026-02-01",
         "/invoices?due%5Bgte%5D=2026-01-01&due%5Blte%5D=2026-02-01"),
        ("", "/invoices"),
        ("  ", "/invoices"),
        ("//evil.example", "/invoices?text=%2F%2Fevil.example"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_what_is_typed_becomes_the_address(
    signed_in: FlaskClient, headers: dict[str, str], text: str, address: str
) -> None:
    answer = signed_in.get("/invoices", query_string={"find": text}, headers=headers)
    assert (answer.status_code, answer.location) == (303, address)
    shown = signed_in.get(address, headers=headers)
    assert shown.status_code == 200
    assert ("<html" in shown.text) is not bool(headers)


def test_the_box_shows_the_conditions_as_they_are_typed(
    signed_in: FlaskClient, documents: None
) -> None:
    found = read(signed_in, "/invoices?status=overdue&total%5Bgt%5D=500&text=elm+road")
    typed = found.find("input", name="find").attributes["value"]
    assert typed == "status:overdue total:>500 elm road"
    again = signed_in.get("/invoices", query_string={"find": typed})
    assert read(signed_in, again.location).rows == found.rows


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("statsu=overdue", "There is no filter “statsu”; did you mean “status”?"),
        ("status=overdeu", "did you mean “overdue”?"),
        ("due=tomorrowish", "“tomorrowish” is not a day"),
        ("total%5Bgte%5D=1.2.3", "is not an amount in EUR"),
        ("sort=payer", "cannot be sorted by “payer”"),
        ("limit=1000", "is not a number of rows"),
        ("cursor=abc", "begin at its first page"),
        ("x=%3Cscript%3E", "There is no filter “x”"),
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_what_is_not_understood_is_said_and_the_rest_still_shown(
    signed_in: FlaskClient, documents: None, headers: dict[str, str], asked: str, said: str
) -> None:
    found = read(signed_in, f"/invoices?kind=invoice&{asked}", status=422, headers=headers)
    (notice,) = found.find("div", id="list").find_all("div", class_="notice")
    assert said in notice.text
    assert "Nothing was changed" in notice.text
    assert found.rows == read(signed_in, "/invoices?kind=invoice").rows
    chips = [words for words, _ in links_in(found, class_="chips")]
    assert "Remove Kind: Invoice" in chips


def test_the_thing_of_another_organisation_is_no_condition(
    signed_in: FlaskClient, other_organisation: UUID, documents: None
) -> None:
    other = make_payer(organisation_id=other_organisation, name="Foreign Works")
    address = f"/invoices?payer={public_id('payer', other.id)}"
    found = read(signed_in, address, status=422)
    assert "There is no such payer here" in found.text
    assert "Foreign Works" not in found.text


def test_the_filter_form_keeps_every_other_condition(
    signed_in: FlaskClient, documents: None
) -> None:
    asked = (
        "/invoices?status=open&kind=invoice&total%5Bgte%5D=100&due%5Blt%5D=2026-12-31"
        "&issued=this-month&sort=-total&limit=25"
    )
    found = read(signed_in, asked)
    sent = fields_of(found.find("form", class_="filter-form"))
    again = signed_in.get("/invoices", query_string=sent)
    assert again.status_code == 200
    kept = [(name, value) for name, value in sent.items(multi=True) if value]
    assert sorted(kept) == sorted(parse_qsl(urlsplit(asked).query))
    assert read(signed_in, "/invoices", query_string=sent).rows == found.rows


def test_a_filter_by_one_exact_day_or_amount_is_kept_by_the_form(
    signed_in: FlaskClient, documents: None
) -> None:
    asked = "/invoices?issued=2026-03-02&total=119.00"
    sent = fields_of(read(signed_in, asked).find("form", class_="filter-form"))
    kept = [(name, value) for name, value in sent.items(multi=True) if value]
    assert sorted(kept) == sorted(parse_qsl(urlsplit(asked).query))


def test_a_part_is_the_list_with_its_words_for_listeners(
    signed_in: FlaskClient, documents: None
) -> None:
    answer = signed_in.get("/invoices?status=open", headers=HTMX)
    part = read(signed_in, "/invoices?status=open", headers=HTMX)
    ids = [one.attributes.get("id") for one in part.children if isinstance(one, Element)]
    assert ids == ["list", "sr"]
    assert part.find("p", id="sr").attributes["hx-swap-oob"] == "true"
    assert part.find("p", id="sr").text == part.find("caption").text
    assert "HX-Trigger" not in answer.headers
    older = read(signed_in, "/invoices?limit=2").find("a", rel="next").attributes["href"]
    turned = signed_in.get(older, headers=HTMX)
    assert turned.headers["HX-Trigger"] == '{"focus": "#list-caption"}'
    assert "HX-Trigger" not in signed_in.get(older).headers


def test_coming_back_through_the_history_is_a_whole_page(
    signed_in: FlaskClient, documents: None
) -> None:
    headers = {**HTMX, "HX-History-Restore-Request": "true"}
    found = read(signed_in, "/invoices?status=open", headers=headers)
    assert found.find_all("html")
    assert found.find("title").text.startswith("Status: Open – Invoices")


def test_a_list_beyond_its_page_is_counted_after_it(
    signed_in: FlaskClient, documents: None
) -> None:
    every = len(read(signed_in, "/invoices?limit=200").rows)
    found = read(signed_in, "/invoices?sort=-total&limit=5")
    assert found.find("caption").text == "5 invoices, by total, descending."
    assert found.find("div", id="totals").text.startswith("More than 5.")
    assert found.find("aside", id="facets").find_all("span", class_="count") == []
    link = found.find("div", id="totals").find("a")
    assert link.attributes["href"] == link.attributes["hx-get"]
    assert link.attributes["hx-push-url"] == "false"

    counted = read(signed_in, link.attributes["href"])
    assert counted.find_all("html"), "without scripts the link is a page"
    assert counted.find("div", id="totals").text.startswith(f"Total of {every}:")
    assert count_in(counted) == every
    assert counted.rows == found.rows

    part = read(signed_in, link.attributes["hx-get"], headers=TOTALS)
    ids = [one.attributes.get("id") for one in part.children if isinstance(one, Element)]
    assert ids == ["totals", "facets"]
    facets = part.find("aside", id="facets")
    assert facets.attributes["hx-swap-oob"] == "true"
    for facet in facets.find_all("a"):
        shown = read(signed_in, f"{facet.attributes['href']}&totals=exact")
        assert count_in(shown) == int(facet.find("span", class_="count").text)


def test_the_totals_are_the_sums_of_the_rows(
    signed_in: FlaskClient, documents: None, organisation: UUID
) -> None:
    found = read(signed_in, "/invoices?status=open")
    with transaction(organisation):
        ((total, still_open),) = fetch_plain(
            "SELECT sum(total_minor)::bigint, sum(open_minor)::bigint FROM invoices"
            " WHERE status IN ('unpaid', 'partially_paid', 'in_payment')"
        )
    said = found.find("div", id="totals").text.replace("\xa0", " ")
    for amount_minor in (total, still_open):
        assert f"{amount_minor / 100:,.2f}".translate(str.maketrans(",.", ".,")) in said


def csv_of(answer: TestResponse) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


class TestCsv:
    """A list as a file."""

    @pytest.mark.parametrize("table", TABLES, ids=lambda table: table.noun)
    def test_a_file_has_all_rows_in_the_order_of_the_list(
        self, signed_in: FlaskClient, documents: None, table: Table
    ) -> None:
        found = read(signed_in, f"{address_of(table)}?limit=1&totals=exact")
        rows = csv_of(signed_in.get(f"{address_of(table)}.csv?limit=1"))
        assert len(rows) == count_in(found) > 1
        whole = read(signed_in, f"{address_of(table)}?limit=200")
        heads = [
            one.attributes["href"].rpartition("/")[2]
            for row in whole.find("div", id="list").find("tbody").find_all("tr")
            for one in row.find_all("th")[0].find_all("a")[:1]
        ]
        assert heads == [row["id"] for row in rows]

    def test_the_link_of_a_list_gives_the_file_of_what_is_shown(
        self, signed_in: FlaskClient, documents: None
    ) -> None:
        found = read(signed_in, "/invoices?status=open&sort=total&limit=2&totals=exact")
        (link,) = [one for one in found.find_all("a") if "download" in one.attributes]
        answer = signed_in.get(link.attributes["href"])
        rows = csv_of(answer)
        assert len(rows) == count_in(found)
        amounts = [row["total"] for row in rows]
        assert amounts == sorted(amounts, key=float)
        assert rows[0]["status"] in {"unpaid", "overdue", "in_payment"}
        assert answer.content_type == "text/csv; charset=utf-8"
        assert answer.headers["Content-Disposition"] == (
            'attachment; filename="invoices-2026-03-18.csv"'
        )
        assert answer.headers["Cache-Control"] == "no-store, private"

    def test_values_are_plain(self, signed_in: FlaskClient, organisation: UUID) -> None:
        invoice = make_issued_invoice(lines=(Line(123_456),), external_ref="R-1")
        (row,) = csv_of(signed_in.get("/invoices.csv"))
        assert row["id"] == public_id("invoice", invoice.id)
        assert (row["number"], row["total"], row["currency"]) == (
            "INV-2026-000001", "1469.13", "EUR"
        )  # fmt: skip
        assert (row["issued"], row["due"], row["reference"]) == ("2026-03-02", "2026-03-16", "R-1")
        assert row["status"] == "overdue"
        assert row["order"] == ""

    @pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
    def test_nothing_is_taken_for_a_formula(
        self, signed_in: FlaskClient, organisation: UUID, sign: str
    ) -> None:
        name = f'{sign}HYPERLINK("x");"a\nb'
        make_draft_invoice(payer_id=make_payer(name=name).id)
        (row,) = csv_of(signed_in.get("/invoices.csv"))
        assert row["payer"] == f"'{name}"
        (payer,) = csv_of(signed_in.get("/payers.csv"))
        assert payer["name"] == f"'{name}"

    def test_rows_are_sent_while_they_are_read(
        self, signed_in: FlaskClient, organisation: UUID
    ) -> None:
        with transaction(organisation):
            for number in range(400):
                make_payer(name=f"Payer {number:03}")
        answer = signed_in.get("/payers.csv")
        assert answer.is_streamed
        parts = [bytes(part) for part in answer.iter_encoded()]
        assert len(parts) > 3, "no more than a few kilobytes at once"
        rows = list(csv.DictReader(io.StringIO(b"".join(parts).decode(), newline="")))
        assert [row["name"] for row in rows] == [f"Payer {number:03}" for number in range(400)]

    def test_nothing_of_another_organisation_is_in_it(
        self, signed_in: FlaskClient, other_organisation: UUID
    ) -> None:
        make_issued_invoice(organisation_id=other_organisation)
        for table in EMPTY_AT_FIRST:
            assert csv_of(signed_in.get(f"{address_of(table)}.csv")) == []

    @pytest.mark.parametrize("asked", ["statsu=overdue", "status=x", "sort=payer", "cursor=a"])
    def test_what_is_not_understood_gives_no_file(
        self, signed_in: FlaskClient, documents: None, asked: str
    ) -> None:
        answer = signed_in.get(f"/invoices.csv?{asked}")
        assert answer.status_code == 422
        assert "Content-Disposition" not in answer.headers
        assert "Nothing was changed" in answer.text

    def test_a_place_in_the_list_does_not_shorten_the_file(
        self, signed_in: FlaskClient, documents: None
    ) -> None:
        older = read(signed_in, "/invoices?limit=2").find("a", rel="next").attributes["href"]
        answer = signed_in.get(older.replace("/invoices?", "/invoices.csv?"))
        assert csv_of(answer) == csv_of(signed_in.get("/invoices.csv"))


def fill_up(organisation_id: UUID) -> None:
    """Bring every list to more than 200 rows."""
    make_reminders(201)
    payment = make_payment()
    attempt = attempt_of(payment)
    with transaction(organisation_id):
        for number in range(200):
            make_payer(name=f"Brightwater Fittings and Harbour Supplies {number}")
            make_draft_invoice(payer_id=payment.payer_id, lines=())
            make_inbox_message()
            make_open_case()
            record(report_of(fee_item(1), ref=f"PO-{number}"))
            make_run(number=1_000 + number, state="completed", finished_at=NOW, started_at=NOW)
            paid_id = new_id()
            insert_row(
                "payments", organisation_id=organisation_id, id=paid_id,
                payer_id=payment.payer_id, invoice_id=payment.invoice_id, currency="EUR",
                amount_minor=100 + number, method="by_hand", state="succeeded",
                started_on=date(2026, 3, 1),
            )  # fmt: skip
            insert_row(
                "payment_attempts", organisation_id=organisation_id, id=new_id(),
                payment_id=paid_id, number=1, currency="EUR", amount_minor=100 + number,
                state="succeeded", gateway_account_id=attempt.gateway_account_id,
                merchant_ref=f"ref-{number}", idempotency_key=f"key-{number}",
                business_on=BUSINESS_ON, decided_at=NOW,
            )  # fmt: skip
            insert_row(
                "refunds", organisation_id=organisation_id, id=new_id(), payment_id=payment.id,
                attempt_id=attempt.id, gateway_account_id=attempt.gateway_account_id,
                currency="EUR", amount_minor=1 + number, reason="Charged too much",
                state="declined", business_on=BUSINESS_ON, needs_approval=True,
                requested_by="Ada Clerk", merchant_ref=f"refund-{number}",
                idempotency_key=f"refund-key-{number}",
            )  # fmt: skip
            insert_row(
                "disputes", organisation_id=organisation_id, id=new_id(), payment_id=payment.id,
                attempt_id=attempt.id, gateway_account_id=attempt.gateway_account_id,
                currency="EUR", amount_minor=1 + number, fee_minor=0, state="won",
                gateway_ref=f"dispute-{number}", opened_on=BUSINESS_ON, respond_by=BUSINESS_ON,
                closed_on=BUSINESS_ON,
            )  # fmt: skip
            insert_row(
                "messages", organisation_id=organisation_id, id=new_id(), aggregate_id=attempt.id,
                sequence=2 + number, kind="gateway.query", payload={}, state="done",
                gateway_account_id=attempt.gateway_account_id,
            )  # fmt: skip


def test_every_list_costs_as_few_statements_with_many_rows_as_with_one(
    signed_in: FlaskClient,
    organisation: UUID,
    statements: Callable[[], AbstractContextManager[Recording]],
) -> None:
    make_payment()
    make_run(number=999)

    def count(more: str = "") -> dict[str, int]:
        found = {}
        for table in TABLES:
            with statements() as recorded:
                answer = signed_in.get(f"{address_of(table)}?limit=200{more}")
            assert answer.status_code == 200
            found[table.noun] = recorded.count
        return found

    count()  # Once a minute a visit is written down.
    few, counted_few = count(), count("&totals=exact")
    assert all(few[table.noun] <= STATEMENTS_MAX.get(table.noun, 6) for table in TABLES), few
    fill_up(organisation)
    many, counted_many = count(), count("&totals=exact")
    assert all(many[noun] <= few[noun] for noun in few), "what is counted later costs nothing"
    assert counted_many == counted_few
    for table in TABLES:
        found = read(signed_in, f"{address_of(table)}?limit=200")
        assert len(rows_in(found)) >= 200
        for headers, most in (({}, PAGE_BYTES_MAX), (HTMX, PART_BYTES_MAX)):
            whole = signed_in.get(address_of(table), headers=headers)
            assert len(gzip.compress(whole.data, 6)) <= most, (table.noun, headers)


def test_words_of_people_cannot_break_a_list(signed_in: FlaskClient, organisation: UUID) -> None:
    canary = '"><script>alert(1)</script>'
    make_draft_invoice(payer_id=make_payer(name=canary).id)
    for address in ("/invoices", "/payers"):
        found = read(signed_in, address, query_string={"text": canary[:6]})
        assert canary in found.text
        assert all("src" in one.attributes for one in found.find_all("script"))


def test_rows_lead_to_their_pages(signed_in: FlaskClient, documents: None) -> None:
    for table in TABLES:
        found = read(signed_in, address_of(table))
        for link in found.find("div", id="list").find("tbody").find_all("a"):
            assert signed_in.get(link.attributes["href"]).status_code == 200


def test_an_empty_list_says_so(signed_in: FlaskClient) -> None:
    for table in EMPTY_AT_FIRST:
        found = read(signed_in, address_of(table))
        words = table.words.lower()
        assert f"There are no {words} yet." in found.text
        assert found.rows == []
    found = read(signed_in, "/invoices?status=paid")
    assert "No invoices fit all of these conditions." in found.text
    assert links_in(found, class_="empty") == [("Clear all", "/invoices")]


def test_an_auditor_reads_every_list_and_its_file(
    client: FlaskClient, add_person: Callable[..., str], documents: None
) -> None:
    sign_in(client, add_person(Role.AUDITOR))
    for table in TABLES:
        read(client, address_of(table))
        assert client.get(f"{address_of(table)}.csv").status_code == 200


def test_the_number_of_a_list_is_in_its_own_words(signed_in: FlaskClient) -> None:
    make_payer(name="Elm Road Clinic")
    caption = read(signed_in, "/payers").find("caption").text
    assert caption == "1 of 1 payers, by name, ascending."
    assert INVOICE_TABLE.words == "Invoices"
