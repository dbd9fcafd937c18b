"""Runs in the browser: the list page by page, one run, its progress and its actions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from portal.clock import now_utc
from portal.db import transaction
from portal.domain.batches import ItemOutcome, RunState
from portal.domain.users import PORTAL
from portal.ids import public_id
from portal.services.batches import RunOrder, start_run
from portal.sql import execute
from tests.factories import BUSINESS_ON, make_draft_invoice, make_run, read_row
from tests.pages import Page, read_page
from tests.recording import Recording
from tests.web.conftest import count_outcomes, make_worked_run, post

DONE, FILTERED, SKIPPED, FAILED, UNKNOWN = (
    ItemOutcome.DONE, ItemOutcome.FILTERED, ItemOutcome.SKIPPED, ItemOutcome.FAILED,
    ItemOutcome.UNKNOWN,
)  # fmt: skip
HTMX = {"HX-Request": "true"}


def read(client: FlaskClient, address: str, *, status: int = 200, **sent: Any) -> Page:
    answer = client.get(address, **sent)
    assert answer.status_code == status, answer.text
    found = read_page(answer.text)
    assert found.faults() == []
    return found


def address_of(run: Any) -> str:
    return f"/runs/{public_id('run', run.id)}"


def numbers_in(found: Page) -> list[int]:
    return [int(row[0].split()[0]) for row in found.rows]


def test_an_empty_list_says_how_to_begin(signed_in: FlaskClient) -> None:
    assert "No batch has run yet" in read(signed_in, "/runs").text
    assert "There are no runs on this page" in read(signed_in, "/runs?before=1").text


def test_the_list_goes_on_page_by_page_without_losing_a_run(
    signed_in: FlaskClient, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    for number in range(1, 56):
        make_run(number=number, state="completed")
    first = read(signed_in, "/runs")
    assert numbers_in(first) == list(range(55, 30, -1))
    assert not first.find_all("a", rel="prev")
    second = read(signed_in, first.find("a", rel="next").attributes["href"])
    third = read(signed_in, second.find("a", rel="next").attributes["href"])
    assert numbers_in(second) + numbers_in(third) == list(range(30, 0, -1))
    assert not third.find_all("a", rel="next")
    back = read(signed_in, third.find("a", rel="prev").attributes["href"])
    assert numbers_in(back) == numbers_in(second)
    front = read(signed_in, back.find("a", rel="prev").attributes["href"])
    assert numbers_in(front) == numbers_in(first)
    assert not front.find_all("a", rel="prev")
    with statements() as recorded:
        signed_in.get("/runs")
    assert recorded.count == 2, recorded.texts


@pytest.mark.parametrize(
    "asked", ["/runs?before=x", "/runs?after=-1", "/runs?before=99999999999", "/runs?before=１"]
)
def test_an_address_that_was_tampered_with_is_explained(signed_in: FlaskClient, asked: str) -> None:
    assert "choose from the links" in read(signed_in, asked, status=422).text


def test_the_list_shows_each_run_in_words(signed_in: FlaskClient) -> None:
    started_at = now_utc() - timedelta(minutes=3)
    run = make_worked_run(
        DONE, DONE, FILTERED, SKIPPED, FAILED, UNKNOWN, state=RunState.COMPLETED,
        job="payment_collection", started_at=started_at,
        finished_at=started_at + timedelta(seconds=134),
    )  # fmt: skip
    found = read(signed_in, "/runs")
    assert found.rows == [
        [f"{run.number} Collect payments", "18 März 2026", "Completed", "6", "2", "1", "2", "1",
         "2 min 14 s"]
    ]  # fmt: skip
    links = [one.attributes["href"] for one in found.find("tbody").find_all("a")]
    assert links == [
        address_of(run), f"{address_of(run)}?outcome=aside#items",
        f"{address_of(run)}?outcome=failed#items",
    ]  # fmt: skip


def test_each_number_of_a_run_leads_to_as_many_items(signed_in: FlaskClient) -> None:
    run = make_worked_run(DONE, DONE, DONE, FILTERED, SKIPPED, UNKNOWN, FAILED, FAILED)
    found = read(signed_in, address_of(run))
    counts = found.find("dl", class_="counts").find_all("a")
    assert [one.text for one in counts] == ["3", "1", "2", "2"]
    causes = found.find("section", id="run-progress").find("tbody").find_all("a")
    for link in [*counts, *causes]:
        items = read(signed_in, link.attributes["href"]).find("section", id="items")
        assert len(items.find("tbody").find_all("tr")) == int(link.text.split()[0])


def test_a_cause_stands_once_with_its_number(signed_in: FlaskClient) -> None:
    run = make_worked_run(*[FAILED] * 3, *[FILTERED] * 5, message="No due date.", code="V104")
    rows = read(signed_in, address_of(run)).find("section", id="run-progress").find_all("tr")[1:]
    assert [row.text for row in rows] == [
        "No due date. V104 Failed 3 items with this cause",
        "No due date. V104 Filtered by a rule 5 items with this cause",
    ]


def test_items_go_on_page_by_page(signed_in: FlaskClient) -> None:
    run = make_worked_run(*[FAILED] * 53, *[DONE] * 5)
    first = read(signed_in, f"{address_of(run)}?outcome=failed&code=V104")
    more = first.find("section", id="items").find("a", rel="next")
    second = read(signed_in, more.attributes["href"]).find("section", id="items")
    assert len(second.find("tbody").find_all("tr")) == 3
    assert not second.find_all("a", rel="next")
    assert second.find_all("a", rel="prev")
    assert "outcome=failed&code=V104" in more.attributes["href"]


@pytest.mark.parametrize("asked", ["?outcome=great", "?after=1234", "?after=%00"])
def test_an_unknown_filter_is_explained(signed_in: FlaskClient, asked: str) -> None:
    run = make_worked_run(DONE)
    assert "not understood" in read(signed_in, address_of(run) + asked, status=422).text


def test_a_filter_that_matches_nothing_says_so(signed_in: FlaskClient) -> None:
    run = make_worked_run(DONE)
    items = read(signed_in, f"{address_of(run)}?outcome=failed").find("section", id="items")
    assert "No item of this run has this outcome" in items.text


def test_an_id_of_another_form_is_no_page(signed_in: FlaskClient) -> None:
    for wrong in ("run_x", str(UUID(int=1)), "inv_" + "a" * 26, "run_" + "é" * 26):
        read(signed_in, f"/runs/{wrong}", status=404)


def test_a_running_run_brings_itself_up_to_date_until_it_ends(signed_in: FlaskClient) -> None:
    run = make_worked_run(*[DONE] * 2, items_count=8)
    part = read(signed_in, address_of(run)).find("section", id="run-progress")
    assert part.find("progress").attributes["value"] == "2"
    assert part.attributes["hx-trigger"] == "every 2s"
    asked = part.attributes["hx-get"]
    assert signed_in.get(asked, headers=HTMX).status_code == 204, "nothing is new"

    count_outcomes(run, [DONE] * 3)
    answer = signed_in.get(asked, headers=HTMX)
    assert "<html" not in answer.text
    newer = read_page(answer.text)
    assert newer.faults() == []
    assert newer.find("progress").attributes["value"] == "5"
    assert newer.find("p", id="sr").text == "50 percent of the items are handled."
    assert not newer.find_all("section", id="items"), "the list stays still meanwhile"

    count_outcomes(run, [DONE] * 3)
    with transaction(run.organisation_id):
        execute(
            "UPDATE batch_runs SET state = 'completed', finished_at = now() WHERE id = %s",
            (run.id,),
        )
    last = read_page(signed_in.get(newer.find("section").attributes["hx-get"], headers=HTMX).text)
    ended = last.find("section", id="run-progress")
    assert ended.attributes.keys() == {"id", "aria-labelledby", "class"}
    assert last.find("p", id="sr").text == f"Run {run.number}: completed."
    assert last.find("section", id="items").attributes["hx-swap-oob"] == "true"


def test_the_first_failure_is_said_aloud(signed_in: FlaskClient) -> None:
    run = make_worked_run(DONE, items_count=100)
    asked = read(signed_in, address_of(run)).find("section", id="run-progress").attributes["hx-get"]
    count_outcomes(run, [FAILED])
    newer = read_page(signed_in.get(asked, headers=HTMX).text)
    assert newer.find("p", id="sr").text.startswith("The first item has failed")


def test_updates_can_be_paused(signed_in: FlaskClient) -> None:
    run = make_worked_run(DONE, items_count=2)
    address = read(signed_in, address_of(run)).find("a", id="pause-updates").attributes["href"]
    paused = read(signed_in, address)
    assert "hx-get" not in paused.find("section", id="run-progress").attributes
    assert paused.find("a", id="go-on").attributes["href"] == address_of(run)


def test_back_in_the_history_is_a_whole_page(signed_in: FlaskClient) -> None:
    run = make_worked_run(DONE, items_count=2)
    headers = {**HTMX, "HX-History-Restore-Request": "true"}
    assert read(signed_in, address_of(run), headers=headers).find_all("html")


def test_a_run_without_items_says_that_there_was_nothing_to_do(signed_in: FlaskClient) -> None:
    run = make_worked_run(state=RunState.COMPLETED, finished_at=now_utc())
    found = read(signed_in, address_of(run))
    assert "There was nothing to do" in found.text
    assert not found.find_all("progress")


def test_a_lost_worker_is_explained(signed_in: FlaskClient) -> None:
    run = make_worked_run(DONE, items_count=2)
    with transaction(run.organisation_id):
        execute(
            "UPDATE batch_chunks SET lease_until = now() - interval '1 s' WHERE run_id = %s",
            (run.id,),
        )
    assert "another worker takes over" in read(signed_in, address_of(run)).text


def test_a_run_is_stopped_and_goes_on(signed_in: FlaskClient, organisation: UUID) -> None:
    for _ in range(3):
        make_draft_invoice()
    with transaction(organisation):
        run_id = start_run(
            order=RunOrder("invoice_issuing", BUSINESS_ON, chunk_items_max=1),
            actor=PORTAL,
            now=now_utc(),
        )
    address = f"/runs/{public_id('run', run_id)}"
    answer = post(signed_in, f"{address}/stop")
    assert (answer.status_code, answer.location) == (303, address)
    assert read_row("batch_runs", run_id).state == RunState.STOPPED
    stopped = read(signed_in, address)
    assert "Stopped with 3 chunks left." in stopped.text
    assert not stopped.find_all("button", id="stop-run")

    again = post(signed_in, f"{address}/stop")
    assert again.status_code == 409
    assert "Nothing was changed" in again.text or "nothing was changed" in again.text

    answer = post(signed_in, f"{address}/restart")
    assert (answer.status_code, answer.location) == (303, address)
    assert read_row("batch_runs", run_id).state == RunState.STARTED


def test_the_person_who_stopped_a_run_is_on_record(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    run = make_worked_run(DONE, items_count=2)
    post(signed_in, f"{address_of(run)}/stop")
    with transaction(organisation):
        from portal.sql import fetch_one

        event = fetch_one(
            "SELECT actor_name FROM events WHERE subject_id = %s AND kind = 'run.stop_requested'",
            (run.id,),
        )
    assert event is not None
    assert event.actor_name == "Mara Weber"


def test_what_a_run_is_called_cannot_break_the_page(signed_in: FlaskClient) -> None:
    canary = "<script>alert(1)</script>"
    run = make_worked_run(FAILED, code=canary, message=canary, started_by=canary)
    found = read(signed_in, address_of(run))
    assert canary in found.text
    assert all("src" in one.attributes for one in found.find_all("script"))


def test_a_run_costs_few_statements_however_many_items(
    signed_in: FlaskClient, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    counted = []
    for many in (1, 40):
        run = make_worked_run(*[FAILED] * many)
        with statements() as recorded:
            signed_in.get(address_of(run))
        counted.append(recorded.count)
    assert counted == [4, 4]
