"""The first page: each figure on it leads to a list that comes to the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.payments import PaymentMethod
from portal.domain.users import Role
from portal.queries.tables import (
    ATTEMPT_TABLE,
    INVOICE_TABLE,
    PAYMENT_TABLE,
    Totals,
    parse_request,
    read_totals,
)
from portal.services.payments import ResultKind, record_payment
from portal.sql import execute
from portal.web.overview._spans import Span, read_span, span_of
from tests.factories import (
    CLERK,
    NOW,
    Line,
    answer_attempt,
    attempt_of,
    make_credit_note,
    make_draft_invoice,
    make_issued_invoice,
    make_payment,
    make_succeeded_payment,
)
from tests.pages import Element, Page, read_page
from tests.recording import Recording
from tests.web.conftest import make_worked_run, sign_in

TODAY = date(2026, 3, 18)
LISTS = {"/invoices": INVOICE_TABLE, "/payments": PAYMENT_TABLE, "/attempts": ATTEMPT_TABLE}
STATEMENTS_MAX = 12


@pytest.fixture(autouse=True)
def on_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be the day of the tests for the page, whatever day it is."""
    monkeypatch.setattr("portal.web.overview.today", lambda _zone: TODAY)


@pytest.fixture
def world(organisation: UUID) -> Iterator[UUID]:
    """Four months with something of everything, and documents that no figure may count."""
    with acting_for(organisation):
        for day in (date(2025, 11, 3), date(2025, 12, 20), date(2026, 1, 15), date(2026, 2, 3)):
            issue_on(day)
        half_paid = issue_on(date(2026, 2, 5), lines=(Line(20_000),))
        pay(half_paid, 5_000, date(2026, 2, 20))
        pay(issue_on(date(2026, 2, 6)), 11_900, date(2026, 3, 2))
        make_issued_invoice()
        make_succeeded_payment()
        answer_attempt(attempt_of(make_payment()), ResultKind.LOSE)
        answer_attempt(attempt_of(make_payment()), ResultKind.ACCEPT)
        stuck = make_payment()
        make_draft_invoice()
        make_credit_note()
        with transaction():
            execute("UPDATE payments SET worklist = 'needs_payer' WHERE id = %s", (stuck.id,))
            execute(
                "UPDATE messages SET state = 'parked' WHERE aggregate_id = %s",
                (attempt_of(stuck).id,),
            )
        yield organisation


def issue_on(day: date, **over: Any) -> Any:
    return make_issued_invoice(business_on=day, document_on=day, **over)


def pay(invoice: Any, amount_minor: int, paid_on: date) -> None:
    record_payment(
        invoice_id=invoice.id,
        amount_minor=amount_minor,
        paid_on=paid_on,
        method=PaymentMethod.BY_HAND,
        reference="Receipt",
        actor=CLERK,
        now=NOW,
    )


def read(client: FlaskClient, address: str = "/", *, status: int = 200) -> Page:
    answer = client.get(address)
    assert answer.status_code == status
    found = read_page(answer.text)
    assert found.faults() == []
    return found


def tiles_of(found: Page) -> dict[str, tuple[str, str]]:
    """Read the value and the comparison of each tile by its label."""
    return {
        tile.find(class_="tile-label").text: (
            tile.find(class_="tile-value").text,
            tile.find(class_="tile-comparison").text,
        )
        for tile in found.find_all(class_="tile")
    }


def euros(amount_minor: int, sign: str = "€") -> str:
    """Write an amount as the page does for the harbour city."""
    plain = f"{amount_minor // 100:,}".replace(",", ".")
    return f"{plain},{amount_minor % 100:02} {sign}"


def totals_at(address: str) -> Totals:
    """Add up the list at an address, to its last row."""
    parts = urlsplit(address)
    table = LISTS[parts.path]
    request = parse_request(table, parse_qsl(parts.query), today=TODAY, currency="EUR")
    return read_totals(table, request, is_exact=True)


def list_links(within: Element) -> list[Element]:
    return [
        one
        for one in within.find_all("a")
        if urlsplit(one.attributes["href"]).path in LISTS
    ]  # fmt: skip


def test_an_empty_organisation_is_told_how_to_begin(signed_in: FlaskClient) -> None:
    found = read(signed_in)
    assert "Nothing has been invoiced yet" in found.text
    assert "No batch has run yet" in found.text
    assert "Nothing waits for a person" in found.text
    assert "No message is on its way" in found.text
    assert found.find_all(class_="tile") == []
    assert found.find_all("figure") == []


def test_an_organisation_with_drafts_only_is_led_to_them(signed_in: FlaskClient) -> None:
    make_draft_invoice()
    (link,) = list_links(read(signed_in).find(id="figures"))
    assert link.attributes["href"] == "/invoices?status=draft"
    assert signed_in.get(link.attributes["href"]).status_code == 200


@pytest.mark.parametrize("period", ["2026-03", "2026-02", "2026-Q1", "2020-05"])
def test_every_link_leads_to_rows_that_come_to_its_figure(
    signed_in: FlaskClient, world: UUID, period: str
) -> None:
    found = read(signed_in, f"/?period={period}").find(id="figures")
    links = list_links(found)
    assert len(links) >= 6
    for address in {link.attributes["href"] for link in links}:
        assert signed_in.get(address).status_code == 200, address
    for link in links:
        address = link.attributes["href"]
        totals = totals_at(address)
        amounts = totals.sums[0].amounts_minor if totals.sums else (0, 0)
        # What is overdue is what is open of it; anything else is what it was made out for.
        amount = euros(amounts[1] if "status=overdue" in address else amounts[0])
        line = next((one for one in found.find_all("li") if link in one.find_all("a")), link)
        label = line.find(class_="tile-label").text if line.find_all(class_="tile-label") else ""
        if label == "Collection rate":
            settled = round(100 * (amounts[0] - amounts[1]) / amounts[0]) if amounts[0] else None
            assert line.find(class_="tile-value").text == (
                "–" if settled is None else f"{settled} %"
            )
        elif label == "Failed payments":
            assert line.find(class_="tile-value").text == str(totals.rows_count)
            assert amount in line.text or not totals.rows_count
        elif label:
            assert line.find(class_="tile-value").text == amount, label
            assert line.find(class_="tile-comparison").text.startswith(
                (f"{totals.rows_count} ", "No", "Every")
            )
        elif line.tag == "li":
            assert line.find(class_="queue-number").text == str(totals.rows_count)
            assert not line.find_all(class_="queue-amount") or amount in line.text
        else:
            assert line.text.endswith(amount), address


def test_the_links_are_there(signed_in: FlaskClient, world: UUID) -> None:
    found = read(signed_in)
    assert all("href" in tile.attributes for tile in found.find_all(class_="tile"))
    drawings = found.find_all(class_="chart-region")
    # Five months with invoices and two with payments; four ages of debt.
    assert [len(list_links(drawing)) for drawing in drawings] == [7, 4]
    waiting = found.find("section", aria_labelledby="waiting").find_all("li")
    assert [len(list_links(line)) for line in waiting] == [1, 1, 1]


def test_figures_are_compared_with_the_period_before_in_words(
    signed_in: FlaskClient, world: UUID
) -> None:
    assert tiles_of(read(signed_in)) == {
        "Invoiced": ("595,00 €", "5 invoices; 25 % more than in all of Feb 2026"),
        "Collected": ("238,00 €", "2 payments; 376 % more than in all of Feb 2026"),
        "Overdue now": (
            "783,00 €",
            "6 invoices; 119,00 € fell due in Mar 2026, 307,00 € in Feb 2026",
        ),
        "Collection rate": ("20 %", "Of what fell due; down from 36 % in Feb 2026"),
        "Failed payments": ("1", "119,00 €; none in all of Feb 2026"),
        "Outcome awaited": (
            "238,00 €",
            "2 attempts, 1 unknown; 238,00 € was tried in Mar 2026, nothing in Feb 2026",
        ),
    }
    later = tiles_of(read(signed_in, "/?period=2026-02"))
    assert later["Invoiced"] == ("476,00 €", "3 invoices; 300 % more than in Jan 2026")
    assert later["Collected"] == ("50,00 €", "1 payment; nothing in Jan 2026")
    assert later["Failed payments"] == ("0", "None in Jan 2026 either")


def test_the_charts_say_in_words_what_they_show(signed_in: FlaskClient, world: UUID) -> None:
    months, ages = read(signed_in).find_all("figure")
    rows = [[cell.text for cell in row.find_all("td")] for row in months.find_all("tr")[1:]]
    assert len(rows) == 12
    assert rows[-1] == ["595,00 €", "238,00 €"]
    assert rows[0] == ["0,00 €", "0,00 €"]
    assert [row.text for row in ages.find_all("tr")[1:]] == [
        "1–30 days 426,00 €",
        "31–60 days 119,00 €",
        "61–90 days 119,00 €",
        "Over 90 days 119,00 €",
    ]
    assert ages.find("desc").text.startswith("Overdue: 1–30 days")


def test_periods_lead_to_each_other(signed_in: FlaskClient, world: UUID) -> None:
    found = read(signed_in)
    steps = found.find("nav", aria_label="Period")
    assert [one.attributes["href"] for one in steps.find_all("a")] == [
        "/?period=2026-02",
        "/?period=2026-03",
        "/?period=2026-Q1",
        "/?period=2026",
    ]
    assert "18 of 31 days so far" in found.text
    earlier = read(signed_in, "/?period=2025-Q4").find("nav", aria_label="Period")
    assert [one.attributes["href"] for one in earlier.find_all("a")] == [
        "/?period=2025-Q3",
        "/?period=2026-Q1",
        "/?period=2025-12",
        "/?period=2025-Q4",
        "/?period=2025",
    ]
    assert read(signed_in, "/?period=2025-Q4").find("title").text.startswith("Overview, Q4 2025")


def test_a_period_without_figures_leads_to_the_last_that_has_some(
    signed_in: FlaskClient, world: UUID
) -> None:
    found = read(signed_in, "/?period=2025-05")
    assert "Nothing was invoiced or collected in May 2025." in found.text
    (link,) = found.find(class_="notice").find_all("a")
    assert link.attributes["href"] == "/?period=2026-03"
    assert "Nothing was invoiced or collected" not in read(signed_in, "/?period=2026-03").text


def test_what_is_no_period_is_said_and_today_is_shown(signed_in: FlaskClient) -> None:
    for asked in ("none", "2026-13", "2026-Q5", "26-01", "٢٠٢٦", "9999"):
        found = read(signed_in, f"/?period={asked}", status=422)
        assert f"“{asked}” is no period" in found.text
        assert found.find(class_="step-now").text == "March 2026"


def test_each_currency_has_its_own_figures_and_links(signed_in: FlaskClient, world: UUID) -> None:
    make_draft_invoice(
        lines=(),
        currency="GBP",
        net_minor=35_700,
        total_minor=35_700,
        state="issued",
        series="GBP",
        year=2026,
        number=1,
        issued_on=date(2026, 3, 2),
        due_on=date(2026, 3, 16),
    )
    found = read(signed_in)
    choices = [one.attributes["href"] for one in found.find_all("a") if "GBP" in one.text]
    assert choices == ["/?period=2026-03&currency=GBP"]
    assert tiles_of(found)["Invoiced"][0] == "595,00 €"
    pounds = read(signed_in, choices[0])
    assert tiles_of(pounds)["Invoiced"][0] == "357,00 £"
    assert tiles_of(pounds)["Collected"][0] == "0,00 £"
    for one, sign, currency in ((found, "€", "EUR"), (pounds, "£", "GBP")):
        (tile, *_) = one.find_all("a", class_="tile")
        (sums,) = totals_at(tile.attributes["href"]).sums
        assert sums.currency == currency
        assert tile.find(class_="tile-value").text == euros(sums.amounts_minor[0], sign)
    step = pounds.find(id="step-before").attributes["href"]
    assert step == "/?period=2026-02&currency=GBP"
    assert "There is nothing in “USD”" in read(signed_in, "/?currency=USD", status=422).text


def test_what_waits_for_a_person_is_listed_with_its_amount(
    signed_in: FlaskClient, world: UUID
) -> None:
    section = read(signed_in, "/?period=2025-11").find("section", aria_labelledby="waiting")
    words = [one.text for one in section.find_all("li")]
    assert [one.split(" ")[0] for one in words] == ["1", "1", "1"]
    assert "Outcome unknown 119,00 €" in words[0]
    assert "The payer must act 119,00 €" in words[1]
    assert "Parked messages" in words[2]


def test_the_latest_runs_lead_to_their_pages(signed_in: FlaskClient) -> None:
    runs = [make_worked_run(ItemOutcome.DONE) for _ in range(7)]
    section = read(signed_in).find("section", aria_labelledby="latest-runs")
    links = section.find("tbody").find_all("a")
    assert [int(one.text.split()[0]) for one in links] == [run.number for run in runs[:1:-1]]
    for link in [*links, section.find_all("a")[-1]]:
        assert signed_in.get(link.attributes["href"]).status_code == 200


def test_an_auditor_sees_the_same(
    client: FlaskClient, add_person: Callable[..., str], world: UUID
) -> None:
    sign_in(client, add_person(Role.AUDITOR))
    assert tiles_of(read(client))["Invoiced"][0] == "595,00 €"


def test_nothing_of_another_organisation_is_counted(
    signed_in: FlaskClient, other_organisation: UUID
) -> None:
    make_issued_invoice(organisation_id=other_organisation)
    make_worked_run(ItemOutcome.DONE, organisation_id=other_organisation)
    found = read(signed_in)
    assert "Nothing has been invoiced yet" in found.text
    assert "No batch has run yet" in found.text


def test_a_part_has_only_the_figures_and_says_what_it_shows(
    signed_in: FlaskClient, world: UUID
) -> None:
    answer = signed_in.get("/?period=2026-02", headers={"HX-Request": "true"})
    part = read_page(answer.text)
    assert part.faults() == []
    elements = [one for one in part.children if not isinstance(one, str)]
    assert [one.attributes.get("id") for one in elements] == [None, "sr", "figures"]
    assert elements[0].text == "Overview, February 2026 – Billing portal"
    assert elements[1].text == "February 2026."
    refresh = part.find(id="refresh").attributes
    assert refresh["href"] == refresh["hx-get"] == "/?period=2026-02"


@pytest.mark.parametrize("period", ["2026-03", "2020-01"])
def test_the_page_asks_once_for_each_kind_of_figure(
    signed_in: FlaskClient,
    world: UUID,
    statements: Callable[[], AbstractContextManager[Recording]],
    period: str,
) -> None:
    with statements() as recorded:
        signed_in.get(f"/?period={period}")
    assert recorded.count <= STATEMENTS_MAX, recorded.texts
    make_succeeded_payment()
    make_issued_invoice()
    with statements() as again:
        signed_in.get(f"/?period={period}")
    assert again.count == recorded.count


@pytest.mark.parametrize(
    ("key", "name", "short_name", "first", "last"),
    [
        ("2026-02", "February 2026", "Feb 2026", date(2026, 2, 1), date(2026, 2, 28)),
        ("2024-12", "December 2024", "Dec 2024", date(2024, 12, 1), date(2024, 12, 31)),
        ("2026-Q4", "Q4 2026", "Q4 2026", date(2026, 10, 1), date(2026, 12, 31)),
        ("2026", "2026", "2026", date(2026, 1, 1), date(2026, 12, 31)),
    ],
)
def test_a_span_is_read_named_and_written(
    key: str, name: str, short_name: str, first: date, last: date
) -> None:
    span = read_span(key)
    assert span is not None
    assert (span.key, span.name, span.short_name) == (key, name, short_name)
    assert (span.period.starts_on, span.period.last_on) == (first, last)
    assert span.before.period.ends_on == first
    assert span.after.before == span
    assert span_of(last, span.months) == span
    months = span.months_until_its_end(12)
    assert len(months) == 12
    assert months[-1] == span_of(last)


@pytest.mark.parametrize(
    "text", ["", "2026-00", "2026-1", "2026-Q0", "0001", "2026-11-01", " 2026"]
)
def test_other_texts_are_no_span(text: str) -> None:
    assert read_span(text) is None


def test_a_span_begins_where_its_length_divides_the_year() -> None:
    assert span_of(date(2026, 11, 22), 3) == Span(2026 * 12 + 9, 3)
    assert span_of(date(2026, 11, 22), 12) == Span(2026 * 12, 12)
