"""The forecast of retries: each number leads to exactly the payments that it counts."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.clock import today
from portal.db import acting_for, transaction
from portal.domain.payments import PaymentMethod
from portal.queries.forecast import ForecastSum, forecast_retries
from portal.services.payments import ResultKind
from portal.sql import execute
from portal.web import forecast
from tests import factories
from tests.commands import portal
from tests.pages import Element, Page
from tests.recording import Recording
from tests.services.collecting import make_case, tell_one
from tests.web.forms import read

NO_REASON = "none"


def coming(days_ahead: int, reason_code: str = "AM04") -> Any:
    """Plan a payment that was declined for a day."""
    case = make_case("sending")
    tell_one(case.attempt, ResultKind.DECLINE, reason_code="AM04")
    day = today("Europe/Berlin") + timedelta(days=days_ahead)
    with transaction(factories.home.get()):
        assert execute(
            "UPDATE payments SET next_attempt_on = %s, reason_code = NULLIF(%s, 'none')"
            " WHERE id = %s",
            (day, reason_code, case.payment.id),
        )
    return case


@pytest.fixture
def world(organisation: UUID) -> None:
    """Five retries within the thirty days, one beyond, and one payment that is over."""
    for days_ahead, reason_code in (
        (-3, "AM04"), (0, "MS03"), (2, "AM04"), (2, "MS02"), (29, NO_REASON), (30, "AM04"),
    ):  # fmt: skip
        coming(days_ahead, reason_code)
    make_case("succeeded")


def lines(page: Page, part: str) -> list[list[str]]:
    rows = page.find("section", id=part).find("tbody").find_all("tr")
    return [[cell.text for cell in row.children if isinstance(cell, Element)] for row in rows]


def numbers(page: Page) -> list[tuple[str, str]]:
    """List every number of the page with the address behind it."""
    links = page.find("main").find_all("a")
    found = [(one.text, one.attributes["href"]) for one in links]
    return [one for one in found if one[1].startswith("/payments?")]


def shown_day(days_ahead: int) -> str:
    day = today("Europe/Berlin") + timedelta(days=days_ahead)
    return f"{day.day} {day:%b %Y}"


def test_the_days_stand_with_count_and_amount(signed_in: FlaskClient, world: None) -> None:
    found = read(signed_in, "/forecast")

    assert lines(found, "days") == [
        [f"{shown_day(0)} and before", "2", "238,00 €"],
        [shown_day(2), "2", "238,00 €"],
        [shown_day(29), "1", "119,00 €"],
    ]
    assert lines(found, "causes") == [
        ["Collected by mandate", "May succeed later", "3", "357,00 €"],
        ["Collected by mandate", "The payer must act", "1", "119,00 €"],
        ["Collected by mandate", "No reason was given", "1", "119,00 €"],
    ]
    foot = found.find("section", id="days").find("tfoot").text
    assert "5 595,00 €" in foot


def test_each_number_leads_to_as_many_payments(signed_in: FlaskClient, world: None) -> None:
    found = numbers(read(signed_in, "/forecast"))
    assert len(found) > 12
    for words, address in found:
        listed = read(signed_in, address)
        if re.fullmatch(r"[0-9]+", words):
            assert len(listed.rows) == int(words), address
        elif "€" in words:
            minor = int(re.sub(r"\D", "", words))
            assert len(listed.rows) * 11_900 == minor, address


def test_currencies_are_never_added_up(
    signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = today("Europe/Berlin") + timedelta(days=1)
    found = [
        ForecastSum(day, PaymentMethod.MANDATE, "retryable", currency, 1, 10_000)
        for currency in ("EUR", "JPY")
    ]
    monkeypatch.setattr(forecast, "forecast_retries", lambda _on: found)
    page = read(signed_in, "/forecast")
    ((_, count, amount),) = lines(page, "days")
    assert (count, amount) == ("2", "100,00 € 10.000 ¥")
    assert ("10.000 ¥", "JPY") in [(words, link[-3:]) for words, link in numbers(page)]


def test_nothing_planned_is_said(signed_in: FlaskClient) -> None:
    coming(31)
    found = read(signed_in, "/forecast")
    assert "Nothing is planned to be tried again in the next 30 days." in found.text
    assert not found.find_all("table")


def test_the_file_and_the_command_say_the_same(
    signed_in: FlaskClient, world: None, app: Flask
) -> None:
    answer = signed_in.get("/forecast.csv")
    assert answer.content_type == "text/csv; charset=utf-8"
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(one["why"], one["payments"], one["amount"]) for one in table] == [
        ("retryable", "2", "238.00"),
        ("needs_payer", "1", "119.00"),
        ("retryable", "1", "119.00"),
        ("none", "1", "119.00"),
    ]
    status, out, err = portal(app, "forecast", "--json")
    assert (status, err) == (0, "")
    assert [{name: str(value) for name, value in one.items()} for one in json.loads(out)] == table
    status, out, _ = portal(app, "forecast", "--days", "1")
    assert (status, out.count("\n")) == (0, 2)
    assert "238.00 EUR" in out


def test_only_ones_own_retries_are_counted(signed_in: FlaskClient, world: None) -> None:
    rivertown = factories.make_organisation("rivertown")
    with acting_for(rivertown):
        assert forecast_retries(today("Europe/Berlin")) == []


@pytest.mark.parametrize(("days", "counted"), [(1, 2), (3, 4), (30, 5), (31, 6), (5_000, 6)])
def test_it_looks_as_far_as_asked(organisation: UUID, world: None, days: int, counted: int) -> None:
    on: date = today("Europe/Berlin")
    with acting_for(organisation):
        found = forecast_retries(on, days)
    assert sum(one.payments_count for one in found) == counted
    assert all(one.day >= on for one in found)


def test_the_page_costs_few_statements_however_many_days(
    signed_in: FlaskClient, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    counted = []
    for days_ahead in (1, 2, 3):
        coming(days_ahead)
        with statements() as recording:
            read(signed_in, "/forecast")
        counted.append(recording.count)
    assert len(set(counted)) == 1
