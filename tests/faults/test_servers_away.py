"""Redis or the database away while people and other systems work: what they are told and keep."""

from __future__ import annotations

import json
import signal
import threading
from datetime import date
from functools import partial
from typing import Any

import pytest
from flask import Flask
from rq import Worker

from portal.ids import parse_public_id
from portal.queue import open_redis
from tests.faults.load import Load, Wire, keyed
from tests.faults.script import draw_orders
from tests.faults.world import DAY_OF_COLLECTION, DAY_OF_ISSUE, World
from tests.servers import RunServers

COUNT = 60
POWER_CUTS = 5
PAGES = ("/invoices", "/runs", "/messages")
DOORS = ("/api/v1/invoices", "/api/v1/payments")


@pytest.fixture
def load(world: World, app: Flask) -> Load:
    """Orders, a key and a person, with the web server and two workers at work."""
    made = Load(world, app, draw_orders(1, COUNT))
    made.prepare()
    world.start_web()
    world.start_workers()
    # A worker that begins without Redis ends; one that has begun waits for it.
    world.wait_until("both workers listen", lambda: Worker.count(connection=open_redis()) == 2)
    return made


def ask(wire: Wire, path: str) -> tuple[int, dict[str, str], bytes]:
    """Ask once; the web server answers whatever else is away."""
    found = wire.ask_once("GET", path, None, {})
    assert found is not None, f"no answer: {path}"
    return found


def order_run(load: Load, job: str, on: date) -> Any:
    """Order a run as another system does, and return its id."""
    body = json.dumps({"job": job, "date": on.isoformat()}).encode()
    status, _, text = load.machine().ask("POST", "/api/v1/runs", body, **keyed())
    assert status == 202, text
    return parse_public_id("run", json.loads(text)["id"])


def signed_in(load: Load) -> Wire:
    """Give the person a browser."""
    wire = Wire(load.world, load.ledger.happened)
    load.sign_in(wire)
    assert not load.ledger.refused
    return wire


def assert_recorded(load: Load) -> None:
    """See that each payment that was acknowledged stands in the books, once."""
    assert load.ledger.refused == []
    rows = load.world.rows(
        "SELECT subject_id AS id, details->>'reference' AS reference FROM events"
        " WHERE kind = 'payment.recorded'"
    )
    kept = {row.reference: row.id for row in rows}
    assert len(kept) == len(rows)
    told = {
        reference: parse_public_id("payment", *names) for reference, names in told_by(load).items()
    }
    assert kept.items() >= told.items()


def told_by(load: Load) -> dict[str, set[str]]:
    """Return what the API acknowledged; every repeat of an order was told the same."""
    assert all(len(names) == 1 for names in load.ledger.answers.values())
    return load.ledger.answers


def test_without_redis_all_answers_and_runs_go_on_when_it_is_back(
    load: Load, world: World, own_servers: RunServers
) -> None:
    wire = signed_in(load)
    valkey = own_servers._valkey
    assert valkey is not None
    world.empty_redis()
    valkey.stop()

    run_id = order_run(load, "invoice_issuing", DAY_OF_ISSUE)
    by_api = [each for each in load.ledger.placed if each.order.way == "api"]
    load.record_by_api(by_api)
    assert [ask(wire, page)[0] for page in PAGES] == [200] * len(PAGES)
    assert [ask(load.machine(), door)[0] for door in DOORS] == [200] * len(DOORS)
    assert load.ledger.answers.keys() == {each.reference for each in by_api}
    valkey.start()

    world.wait_for_run(run_id)
    collecting = order_run(load, "payment_collection", DAY_OF_COLLECTION)
    world.wait_for_run(collecting)
    assert_recorded(load)
    world.judge(with_gateway=False)


def test_pages_say_when_to_come_back_while_the_database_is_cut_off_five_times(
    load: Load, world: World, own_servers: RunServers
) -> None:
    wire, machine = signed_in(load), load.machine()
    postgres = own_servers._postgres
    assert postgres is not None
    run_id = order_run(load, "invoice_issuing", DAY_OF_ISSUE)
    by_api = [each for each in load.ledger.placed if each.order.way == "api"]
    client = threading.Thread(target=load.record_by_api, args=(by_api,))
    client.start()

    def goes_on(recorded: int) -> bool:
        return not client.is_alive() or len(load.ledger.answers) > recorded

    for _ in range(POWER_CUTS):
        recorded = len(load.ledger.answers)
        process = postgres._process
        assert process is not None
        process.send_signal(signal.SIGQUIT)
        process.wait()
        for who, path in [*((wire, page) for page in PAGES), *((machine, door) for door in DOORS)]:
            status, headers, text = ask(who, path)
            assert status == 503, (path, text[:300])
            assert int(headers["Retry-After"]) > 0
        postgres.start()
        world.wait_until("payments are recorded again", partial(goes_on, recorded))
    client.join()

    world.wait_for_run(run_id)
    assert load.ledger.answers.keys() == {each.reference for each in by_api}
    assert_recorded(load)
    world.judge(with_gateway=False)
