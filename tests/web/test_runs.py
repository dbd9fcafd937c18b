"""Runs in the browser: the list, a new run after its preview, one run and its actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from flask import current_app
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from jobs.engine import drain_chunks
from portal.clock import now_utc
from portal.db import transaction
from portal.domain.batches import ItemOutcome, RunState, list_startable_jobs
from portal.domain.users import PORTAL, Role
from portal.ids import parse_public_id, public_id
from portal.services.batches import RunOrder, start_run
from portal.sql import execute, fetch, fetch_one
from tests import factories
from tests.factories import (
    BUSINESS_ON,
    NOW,
    Line,
    make_draft_invoice,
    make_issued_invoice,
    make_mandate,
    make_run,
    read_row,
)
from tests.pages import Element, Page, read_page
from tests.recording import Recording
from tests.services.running import run_of
from tests.web.conftest import count_outcomes, make_worked_run, post, sign_in
from tests.web.forms import fields_of, read, read_answer

DONE, FILTERED, SKIPPED, FAILED, UNKNOWN = (
    ItemOutcome.DONE, ItemOutcome.FILTERED, ItemOutcome.SKIPPED, ItemOutcome.FAILED,
    ItemOutcome.UNKNOWN,
)  # fmt: skip
HTMX = {"HX-Request": "true"}


def address_of(run: Any) -> str:
    return f"/runs/{public_id('run', run.id)}"


def numbers_in(found: Page) -> list[int]:
    return [int(row[0].split()[0]) for row in found.rows]


def test_an_empty_list_leads_to_a_new_run(signed_in: FlaskClient) -> None:
    found = read(signed_in, "/runs")
    assert "There are no runs yet." in found.text
    (link,) = found.find("main").find_all("a", class_="primary")
    assert (link.text, link.attributes["href"]) == ("New run", "/runs/new")


def test_the_newest_runs_come_first_and_none_is_lost(
    signed_in: FlaskClient, statements: Callable[[], AbstractContextManager[Recording]]
) -> None:
    for number in range(1, 56):
        make_run(number=number, state="completed")
    first = read(signed_in, "/runs")
    assert numbers_in(first) == list(range(55, 5, -1))
    assert not first.find_all("a", rel="prev")
    second = read(signed_in, first.find("a", rel="next").attributes["href"])
    assert numbers_in(second) == list(range(5, 0, -1))
    assert not second.find_all("a", rel="next")
    back = read(signed_in, second.find("a", rel="prev").attributes["href"])
    assert numbers_in(back) == numbers_in(first)
    with statements() as recorded:
        signed_in.get("/runs")
    assert recorded.count <= 5, recorded.texts


def test_the_list_shows_each_run_in_words(signed_in: FlaskClient) -> None:
    run = make_worked_run(
        DONE, DONE, FILTERED, SKIPPED, FAILED, UNKNOWN, state=RunState.COMPLETED,
        job="payment_collection", number=1_316, started_at=NOW, finished_at=NOW,
    )  # fmt: skip
    found = read(signed_in, "/runs")
    assert found.rows == [
        ["1316", "Collect payments", "18 Mar 2026", "Completed", "6", "2", "1",
         "Mara Weber", "18 Mar 2026, 10:30 CET"]
    ]  # fmt: skip
    links = [one.attributes["href"] for one in found.find("tbody").find_all("a")]
    assert links == [address_of(run)]


@pytest.mark.parametrize(
    ("asked", "count"),
    [("state=failed", 1), ("job=payment_collection", 1), ("date=2026-03-17", 1),
     ("date[gte]=2026-03-18", 2), ("job=invoice_issuing&job=ledger_check", 2)],
)  # fmt: skip
def test_runs_are_found_by_job_state_and_day(
    signed_in: FlaskClient, asked: str, count: int
) -> None:
    make_run(state="failed")
    make_run(job="payment_collection", state="completed")
    make_run(job="ledger_check", state="completed", business_on=BUSINESS_ON - timedelta(days=1))
    assert len(read(signed_in, f"/runs?{asked}").rows) == count


def test_each_number_of_a_run_leads_to_as_many_items(signed_in: FlaskClient) -> None:
    run = make_worked_run(DONE, DONE, DONE, FILTERED, SKIPPED, UNKNOWN, FAILED, FAILED)
    found = read(signed_in, address_of(run))
    counts = found.find("dl", class_="counts").find_all("a")
    assert [one.text for one in counts] == ["3", "1", "2", "2"]
    causes = found.find("section", id="run-progress").find("tbody").find_all("a")
    for link in [*counts, *causes]:
        listed = read(signed_in, link.attributes["href"])
        assert len(listed.find("div", id="list").find("tbody").find_all("tr")) == int(
            link.text.split()[0]
        )


def test_a_cause_stands_once_with_its_number(signed_in: FlaskClient) -> None:
    run = make_worked_run(*[FAILED] * 3, *[FILTERED] * 5, message="No due date.", code="V104")
    rows = read(signed_in, address_of(run)).find("section", id="run-progress").find_all("tr")[1:]
    assert [row.text for row in rows] == [
        "No due date. V104 Failed 3 items with this cause",
        "No due date. V104 Filtered by a rule 5 items with this cause",
    ]


def items_in(found: Page) -> list[list[str]]:
    body = found.find("div", id="list").find("tbody")
    return [[cell.text for cell in row.find_all("td")] for row in body.find_all("tr")]


def test_items_go_on_page_by_page(signed_in: FlaskClient) -> None:
    run = make_worked_run(*[FAILED] * 53, *[DONE] * 5)
    first = read(signed_in, f"{address_of(run)}/items?outcome=failed&code=V104")
    assert len(items_in(first)) == 50
    more = first.find("a", rel="next")
    second = read(signed_in, more.attributes["href"])
    assert len(items_in(second)) == 3
    assert not second.find_all("a", rel="next")
    assert second.find_all("a", rel="prev")
    assert "outcome=failed&code=V104" in more.attributes["href"]


def test_each_item_leads_to_what_it_is(signed_in: FlaskClient, organisation: UUID) -> None:
    draft = make_draft_invoice()
    with transaction(organisation):
        run_id = start_run(
            order=RunOrder("invoice_issuing", BUSINESS_ON), actor=PORTAL, now=now_utc()
        )
    assert drain_chunks() == 1
    found = read(signed_in, f"/runs/{public_id('run', run_id)}/items")
    links = [
        one.attributes["href"] for one in found.find("div", id="list").find("tbody").find_all("a")
    ]
    assert links[0] == f"/invoices/{public_id('invoice', draft.id)}"
    assert links[1].startswith("/payers/")
    for link in links:
        assert signed_in.get(link).status_code == 200


def test_the_items_of_a_run_are_a_file(signed_in: FlaskClient) -> None:
    run = make_worked_run(*[FAILED] * 3, DONE)
    make_worked_run(FAILED)
    answer = signed_in.get(f"{address_of(run)}/items.csv?outcome=failed&sort=-amount")
    lines = answer.text.splitlines()
    assert lines[0].startswith("id,item,payer,payment,outcome,message,code,amount,currency")
    assert len(lines) == 4
    assert all("failed,The invoice is not due on a business day.,V104,119.00,EUR" in one
               for one in lines[1:])  # fmt: skip
    assert signed_in.get(f"/runs/{public_id('run', UUID(int=1))}/items.csv").status_code == 404


@pytest.mark.parametrize("asked", ["?outcome=great", "?cursor=1234", "?aftr=x"])
def test_an_unknown_filter_is_explained(signed_in: FlaskClient, asked: str) -> None:
    run = make_worked_run(DONE)
    read(signed_in, f"{address_of(run)}/items{asked}", status=422)


def test_a_filter_that_matches_nothing_says_so(signed_in: FlaskClient) -> None:
    run = make_worked_run(DONE)
    found = read(signed_in, f"{address_of(run)}/items?outcome=failed")
    assert "No items fit all of these conditions." in found.text


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
    assert counted == [6, 6]


NEW = "/runs/new"
ISSUING = f"{NEW}?job=invoice_issuing"


def start_forms(found: Page) -> list[Element]:
    return found.find_all("form", action=NEW, method="post")


def start(client: FlaskClient, found: Page) -> TestResponse:
    (form,) = start_forms(found)
    return client.post(NEW, data=fields_of(form))


def run_at(answer: TestResponse) -> Any:
    assert answer.status_code == 303, answer.text
    run_id = parse_public_id("run", answer.location.removeprefix("/runs/"))
    assert run_id is not None
    return run_of(run_id)


def every_run() -> list[Any]:
    with transaction(factories.home.get()):
        return fetch("SELECT * FROM batch_runs ORDER BY number")


def previewed(found: Page) -> str:
    return found.find("section", id="preview").text.replace("\xa0", " ")


class TestNew:
    """Starting a run after its preview."""

    @pytest.fixture(autouse=True)
    def _on_the_day(self) -> Iterator[None]:
        """Let the pages see the day on which the factories bill."""
        with time_machine.travel(NOW, tick=False):
            yield

    def test_every_job_is_offered_and_nothing_chosen(self, signed_in: FlaskClient) -> None:
        found = read(signed_in, NEW)
        jobs = [one.attributes["value"] for one in found.find_all("input", type="radio")]
        assert jobs == [job.name for job in list_startable_jobs()]
        assert found.find("input", id="date").attributes["value"] == "2026-03-18"
        assert "Choose what is to be done." in previewed(found)
        assert start_forms(found) == []
        for job in jobs:
            assert fields_of(start_forms(read(signed_in, f"{NEW}?job={job}"))[0])["job"] == job

    def test_what_is_previewed_is_what_is_frozen(self, signed_in: FlaskClient) -> None:
        for net_minor in (10_000, 25_050):
            make_draft_invoice(lines=(Line(net_minor),))
        make_draft_invoice(state="pending_approval")
        found = read(signed_in, ISSUING)
        said = previewed(found)
        assert "Items 2" in said
        assert "EUR 350,50 €" in said
        assert "1: It waits for approval." in said
        assert "Start: 2 items" in said
        answer = start(signed_in, found)
        run = run_at(answer)
        assert (run.items_count, run.sum_minor, run.job) == (2, 35_050, "invoice_issuing")
        assert (run.business_on, run.started_by) == (BUSINESS_ON, "Mara Weber")
        config = current_app.config["PORTAL"]
        assert run.skip_limit == config.skip_limit
        shown = read(signed_in, answer.location)
        assert [one.text for one in shown.find_all("div", class_="toast")] == [
            "The run was started."
        ]

    def test_an_earlier_day_is_kept_from_the_preview_to_the_run(
        self, signed_in: FlaskClient
    ) -> None:
        make_mandate(payer_id=make_issued_invoice().payer_id)
        address = f"{NEW}?job=payment_collection&date=2026-03-15"
        early = read(signed_in, address)
        assert "Items 0" in previewed(early)
        assert "There is nothing to do on this day" in previewed(early)
        assert "1: It is due later. 119,00 €" in previewed(early)
        found = read(signed_in, address.replace("15", "16"))
        assert "Items 1 EUR 119,00 €" in previewed(found)
        run = run_at(start(signed_in, found))
        assert (run.business_on.day, run.items_count) == (16, 1)

    def test_a_run_with_nothing_to_do_ends_at_once(self, signed_in: FlaskClient) -> None:
        run = run_at(start(signed_in, read(signed_in, ISSUING)))
        assert (run.items_count, run.state) == (0, RunState.COMPLETED)

    def test_what_has_changed_since_the_look_is_not_started(self, signed_in: FlaskClient) -> None:
        make_draft_invoice()
        found = read(signed_in, ISSUING)
        make_draft_invoice()
        again = read_answer(start(signed_in, found), status=409)
        assert "has changed since you looked; nothing was started" in previewed(again)
        assert again.find("title").text.startswith("Error: ")
        assert "Start: 2 items" in previewed(again)
        assert every_run() == []
        assert run_at(start(signed_in, again)).items_count == 2

    @pytest.mark.parametrize("is_finished", [False, True])
    def test_a_second_click_leads_to_the_same_run(
        self, signed_in: FlaskClient, organisation: UUID, *, is_finished: bool
    ) -> None:
        draft = make_draft_invoice()
        found = read(signed_in, ISSUING)
        first = start(signed_in, found)
        if is_finished:
            with transaction(organisation):
                execute("UPDATE batch_runs SET state = 'completed', finished_at = now()")
                execute("UPDATE invoices SET state = 'discarded' WHERE id = %s", (draft.id,))
        second = start(signed_in, found)
        assert (first.status_code, second.status_code) == (303, 303)
        assert first.location == second.location
        assert len(every_run()) == 1

    def test_an_unfinished_run_of_the_job_is_said_in_words(self, signed_in: FlaskClient) -> None:
        make_draft_invoice()
        found = read(signed_in, ISSUING)
        run_at(start(signed_in, found))
        again = read_answer(start(signed_in, read(signed_in, ISSUING)), status=409)
        assert "The run “Issue invoices” for this day is not finished yet" in previewed(again)
        assert "invoice_issuing" not in previewed(again)
        assert len(every_run()) == 1

    @pytest.mark.parametrize(
        ("job", "day", "said"),
        [
            ("great_job", "", "There is no such job"),
            ("message_delivery", "", "There is no such job"),
            ("invoice_issuing", "2026-03-19", "The day is in the future"),
            ("invoice_issuing", "2026-02-30", "is not a date"),
            ("invoice_issuing", "soon", "is not a date"),
        ],
    )
    def test_a_wish_that_cannot_be_is_explained_and_never_started(
        self, signed_in: FlaskClient, job: str, day: str, said: str
    ) -> None:
        make_draft_invoice()
        for headers in ({}, HTMX):
            asked = {"job": job, "date": day}
            found = read(signed_in, NEW, query_string=asked, status=422, headers=headers)
            assert said in previewed(found)
            assert start_forms(found) == []
        answer = post(signed_in, NEW, job=job, date=day, seen="1.10000", request_key="k" * 32)
        assert said in previewed(read_answer(answer, status=422))
        assert every_run() == []

    def test_a_start_without_a_job_or_a_key_is_refused(self, signed_in: FlaskClient) -> None:
        read_answer(post(signed_in, NEW, request_key="k"), status=422)
        read_answer(post(signed_in, NEW, job="ledger_check", seen="1.0"), status=422)
        assert signed_in.post(NEW, data={"job": "ledger_check"}).status_code == 400
        assert every_run() == []

    def test_choosing_brings_only_the_preview(self, signed_in: FlaskClient) -> None:
        part = read(signed_in, ISSUING, headers=HTMX)
        assert part.find_all("html") == []
        assert [one.attributes["id"] for one in part.children if not isinstance(one, str)] == [
            "preview"
        ]
        headers = {**HTMX, "HX-History-Restore-Request": "true"}
        assert read(signed_in, ISSUING, headers=headers).find_all("html")

    @pytest.mark.parametrize(
        ("role", "may"),
        [(Role.CLERK, True), (Role.MANAGER, True), (Role.OPERATOR, False), (Role.AUDITOR, False)],
    )
    def test_only_some_roles_start_a_run(
        self, client: FlaskClient, add_person: Callable[..., str], role: Role, *, may: bool
    ) -> None:
        sign_in(client, add_person(role))
        assert (NEW in client.get("/runs").text) is may
        if may:
            assert start(client, read(client, ISSUING)).status_code == 303
        else:
            read(client, ISSUING, status=403)
            answer = post(client, NEW, job="invoice_issuing", seen="0.0", request_key="k")
            assert answer.status_code == 403
        assert len(every_run()) == int(may)

    def test_nothing_of_another_organisation_is_previewed(
        self, signed_in: FlaskClient, other_organisation: UUID
    ) -> None:
        make_draft_invoice(organisation_id=other_organisation)
        assert "Items 0" in previewed(read(signed_in, ISSUING))

    def test_names_cannot_break_the_preview(self, signed_in: FlaskClient) -> None:
        canary = "<script>alert(1)</script>"
        make_draft_invoice(external_ref=canary, payer_id=factories.make_payer(name=canary).id)
        found = read(signed_in, ISSUING)
        assert previewed(found).count(canary) == 2
