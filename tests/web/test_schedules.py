"""Schedules in the browser: looked at before they are saved, paused, and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.clock import now_utc
from portal.db import acting_for, transaction
from portal.domain.schedules import Misfire, OnHoliday
from portal.domain.users import Role
from portal.ids import public_id
from portal.queries.schedules import list_schedules
from portal.services.schedules import ScheduleWish, add_schedule, preview_schedule, start_due_runs
from portal.sql import execute
from portal.web.schedules._form import ChosenRule, read_rule, write_rule
from tests.factories import CLERK, NOW
from tests.services.books import rows
from tests.services.running import make_drafts
from tests.web.conftest import post, sign_in
from tests.web.forms import fields_of, form_to, read, read_answer, send

CHOSEN = "name=Issue+daily&job=invoice_issuing&when=working_day&at=11:00&weekday=1&day=1&rule="
POLICIES = "&on_holiday=skip&misfire=once"
DUE_AT = datetime(2026, 3, 18, 10, 0, tzinfo=UTC)
HTMX = {"HX-Request": "true"}


def add(organisation: UUID, **over: Any) -> UUID:
    wish = ScheduleWish("Issue daily", "invoice_issuing", "0 11 * * 1-5")
    is_active = over.pop("is_active", True)
    with acting_for(organisation):
        return add_schedule(wish=wish._replace(**over), is_active=is_active, actor=CLERK, now=NOW)


def address_of(schedule_id: UUID) -> str:
    return f"/schedules/{public_id('schedule', schedule_id)}"


def stored() -> list[Any]:
    return rows("SELECT * FROM schedules ORDER BY name")


def test_an_empty_list_leads_to_a_new_schedule(signed_in: FlaskClient) -> None:
    found = read(signed_in, "/schedules")
    assert "Nothing starts by itself yet." in found.text
    assert found.find("main").find("a", class_="primary").attributes["href"] == "/schedules/new"
    (entry,) = [one for one in found.find_all("a", href="/schedules") if one.text == "Schedules"]
    assert entry.attributes["aria-current"] == "page"


def test_a_schedule_is_seen_before_it_is_saved_without_scripts(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    form = form_to(read(signed_in, "/schedules/new"), "/schedules/new")
    assert form.attributes["method"] == "get"

    shown = read(signed_in, f"/schedules/new?{CHOSEN}{POLICIES}")
    preview = shown.find("section", id="preview")
    assert "Issue invoices: every working day at 11:00." in preview.text
    with acting_for(organisation):
        expected = preview_schedule(rule="0 11 * * 1-5", on_holiday=OnHoliday.SKIP, now=now_utc())
    days = [f"{due.business_on.day} {due.business_on:%b %Y}" for due in expected.dues]
    assert [row[1].replace("Sept", "Sep") for row in preview_rows(preview)] == days
    assert stored() == []

    (saving,) = preview.find_all("form", method="post")
    answer = signed_in.post("/schedules/new", data=fields_of(saving))
    again = signed_in.post("/schedules/new", data=fields_of(saving))
    assert (answer.status_code, again.location) == (303, answer.location)
    (row,) = stored()
    assert (row.name, row.job, row.rule) == ("Issue daily", "invoice_issuing", "0 11 * * 1-5")
    assert (row.on_holiday, row.misfire, row.next_at) == (
        "skip", "once", expected.dues[0].due_at
    )  # fmt: skip
    assert "The schedule was saved." in read(signed_in, answer.location).text


def preview_rows(preview: Any) -> list[list[str]]:
    return [
        [cell.text for cell in row.find_all() if cell.tag in {"th", "td"}]
        for row in preview.find("tbody").find_all("tr")
    ]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("name=A&when=own&rule=daily", "is not a rule"),
        ("name=A&when=own&rule=0+6+1+1+*", "never due"),
        ("name=A&when=working_day&at=25:00", "Enter a time of the day"),
        ("name=A&when=monthly&at=06:00&day=32", "Enter a day of the month"),
        ("name=A&when=monthly&at=06:00&day=x", "Not a valid integer value"),
        ("name=A&when=sometimes&at=06:00", "Not a valid choice"),
        ("name=&when=working_day&at=06:00", "Give the schedule a name."),
        ("name=A&when=working_day&at=06:00&job=nothing", "Not a valid choice"),
        ("name=A&when=working_day&at=06:00&on_holiday=x", "Not a valid choice"),
    ],
)
def test_what_cannot_be_is_said_at_its_field(signed_in: FlaskClient, asked: str, said: str) -> None:
    defaults = "&job=ledger_check&weekday=1&on_holiday=skip&misfire=once&at=06:00&day=1"
    address = f"/schedules/new?{asked}{defaults}"
    found = read(signed_in, address, status=422)
    assert said in found.find(id="summary").text
    assert not found.find("section", id="preview").find_all("form", method="post")
    part = read_answer(signed_in.get(address, headers=HTMX), status=422)
    assert said in part.text


def test_a_name_that_is_taken_is_refused_with_what_was_chosen(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    add(organisation)
    shown = read(signed_in, f"/schedules/new?{CHOSEN}{POLICIES}")
    (saving,) = shown.find("section", id="preview").find_all("form", method="post")
    answer = signed_in.post("/schedules/new", data=fields_of(saving))
    found = read_answer(answer, status=409)
    assert "There is a schedule “Issue daily” already" in found.find(id="summary").text
    assert found.find("input", id="at").attributes["value"] == "11:00"
    assert len(stored()) == 1


def test_a_schedule_is_changed_from_what_it_is(signed_in: FlaskClient, organisation: UUID) -> None:
    schedule_id = add(organisation, rule="0 22 LW * *", misfire=Misfire.EACH_BUSINESS_DATE)
    address = f"{address_of(schedule_id)}/edit"
    shown = read(signed_in, address)
    chosen = fields_of(shown.find("form", method="get", action=address))
    assert (chosen["when"], chosen["at"], chosen["misfire"]) == (
        "month_end", "22:00", "each_business_date"
    )  # fmt: skip
    assert "on the last working day of the month at 22:00" in shown.find(id="preview").text

    chosen["when"], chosen["weekday"], chosen["at"] = "weekly", "4", "7:15"
    looked = read_answer(signed_in.get(address, query_string=chosen))
    (saving,) = looked.find("section", id="preview").find_all("form", method="post")
    assert signed_in.post(address, data=fields_of(saving)).status_code == 303
    (row,) = stored()
    assert (row.rule, row.version) == ("15 7 * * 4", 2)

    sent = fields_of(saving)
    sent["request_key"], sent["name"] = "another", "Mine"
    refused = read_answer(signed_in.post(address, data=sent), status=409)
    assert "Somebody else has changed this schedule" in refused.text
    assert stored()[0].name == "Issue daily"


def test_a_schedule_is_paused_and_resumed(signed_in: FlaskClient, organisation: UUID) -> None:
    address = address_of(add(organisation))
    shown = read(signed_in, address)
    assert send(signed_in, shown, f"{address}/pause").status_code == 303
    assert stored()[0].next_at is None

    shown = read(signed_in, address)
    assert "It starts nothing until it is resumed" in shown.text
    assert "Paused" in read(signed_in, "/schedules").rows[0]
    assert send(signed_in, shown, f"{address}/resume").status_code == 303
    assert stored()[0].is_active


def test_what_became_of_each_due_time_is_shown(signed_in: FlaskClient, organisation: UUID) -> None:
    make_drafts(1)
    schedule_id = add(organisation)
    start_due_runs(now=DUE_AT)
    start_due_runs(now=DUE_AT + timedelta(days=1))

    found = read(signed_in, address_of(schedule_id)).find("section", id="dues")
    cells = [
        [cell.text for cell in row.find_all() if cell.tag in {"th", "td"}]
        for row in found.find("tbody").find_all("tr")
    ]
    assert cells == [
        ["19 Mar 2026, 11:00 CET", "19 Mar 2026", "Waiting",
         "Run 1 of the same job is still at work."],
        ["18 Mar 2026, 11:00 CET", "18 Mar 2026", "Run 1 Running", "–"],
    ]  # fmt: skip
    (run,) = rows("SELECT id FROM batch_runs")
    assert found.find("tbody").find("a").attributes["href"] == f"/runs/{public_id('run', run.id)}"
    (row,) = read(signed_in, "/schedules").rows
    assert row[:4] == ["Issue daily", "Issue invoices", "Every working day at 11:00", "Active"]
    assert row[5] == "Waiting"


def test_a_clock_that_does_not_tick_is_told(signed_in: FlaskClient, organisation: UUID) -> None:
    add(organisation)
    with transaction(organisation):
        execute("UPDATE schedules SET next_at = now() + interval '1 day'")
    assert "No clock is ticking." not in read(signed_in, "/schedules").text

    with transaction(organisation):
        execute("UPDATE schedules SET next_at = now() - interval '1 hour'")
    assert "No clock is ticking." in read(signed_in, "/schedules").text


@pytest.mark.parametrize(
    ("role", "may"), [(Role.MANAGER, True), (Role.CLERK, False), (Role.AUDITOR, False)]
)
def test_only_managers_change_schedules(
    client: FlaskClient,
    add_person: Callable[..., str],
    organisation: UUID,
    role: Role,
    *,
    may: bool,
) -> None:
    schedule_id = add(organisation)
    address = address_of(schedule_id)
    sign_in(client, add_person(role))
    assert ("New schedule" in read(client, "/schedules").text) is may
    assert ("Only these roles change schedules: Manager." in read(client, address).text) is not may
    assert client.get("/schedules/new").status_code == (200 if may else 403)
    assert post(client, f"{address}/pause").status_code == (303 if may else 403)
    with acting_for(organisation):
        assert list_schedules()[0].is_active is not may


def test_another_organisations_schedule_is_not_there(
    signed_in: FlaskClient, other_organisation: UUID
) -> None:
    address = address_of(add(other_organisation))
    assert signed_in.get(address).status_code == 404
    assert signed_in.get(f"{address}/edit").status_code == 404
    assert post(signed_in, f"{address}/pause").status_code == 404
    assert read(signed_in, "/schedules").find_all("tbody") == []


@pytest.mark.parametrize(
    "rule", ["30 6 * * 1-5", "0 22 LW * *", "5 7 * * 4", "0 0 31 * *", "*/15 6-18 * 1 *"]
)
def test_a_rule_reads_back_as_the_choices_that_wrote_it(rule: str) -> None:
    assert write_rule(read_rule(rule)) == rule


def test_a_rule_that_the_choices_cannot_say_stays_as_it_is() -> None:
    assert read_rule("0 6 * * 0") == ChosenRule("own", rule="0 6 * * 0")
