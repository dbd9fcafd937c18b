"""The rate of a gateway account: one bucket in the database, shared by all workers."""

from __future__ import annotations

import threading
import time
from itertools import accumulate
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import transaction
from portal.services.messages import Claimed, DeliveryOutcome, finish_deliveries, pause_account
from portal.sql import execute
from tests import factories
from tests.factories import NOW, gateway_account_of
from tests.services.books import rows
from tests.services.collecting import claim, run_together

MESSAGES = 5_000
RATE, BURST = 2_000, 500
CLAIM = 200
PATIENCE_SECONDS = 50.0


@pytest.fixture
def account(organisation: UUID) -> Any:
    return gateway_account_of()


def set_rate(rate_per_second: float, burst: int) -> None:
    with transaction(factories.home.get()):
        execute(
            "UPDATE gateway_accounts SET rate_per_second = %s, burst = %s, tokens = %s,"
            " refilled_at = clock_timestamp()",
            (rate_per_second, burst, burst),
        )


def write_many(account: Any, count: int) -> None:
    with transaction(account.organisation_id):
        execute(
            "INSERT INTO messages (organisation_id, id, aggregate_id, sequence, kind,"
            " gateway_account_id, payload) SELECT %s, gen_random_uuid(), gen_random_uuid(), 1,"
            " 'gateway.list_events', %s, '{}' FROM generate_series(1, %s)",
            (account.organisation_id, account.id, count),
        )


def finish(messages: list[Claimed]) -> None:
    with transaction(factories.home.get()):
        finish_deliveries([DeliveryOutcome(each, "succeeded") for each in messages], now=NOW)


def test_five_thousand_waiting_messages_leave_at_the_rate_and_none_is_lost(
    account: Any, app: Flask
) -> None:
    write_many(account, MESSAGES)
    started = time.monotonic()
    set_rate(RATE, BURST)

    def drain() -> list[tuple[float, int]]:
        """Deliver until nothing is left, noting how many had left by when."""
        taken: list[tuple[float, int]] = []
        pause = threading.Event()
        while time.monotonic() < started + PATIENCE_SECONDS:
            claimed = claim(limit=CLAIM)
            if claimed:
                taken.append((time.monotonic() - started, len(claimed)))
                finish(claimed)
            elif not rows("SELECT FROM messages WHERE state = 'ready' LIMIT 1"):
                return taken
            else:
                pause.wait(0.02)
        raise AssertionError("it took far too long")

    noted = sorted(one for each in run_together(app, drain, drain) for one in each)

    left = list(accumulate(count for _, count in noted))
    assert left[-1] == MESSAGES
    assert all(
        sent <= BURST + RATE * seconds for (seconds, _), sent in zip(noted, left, strict=True)
    )
    assert rows("SELECT state, count(*) FROM messages GROUP BY state") == [("done", MESSAGES)]
    assert rows("SELECT count(*) FROM message_deliveries") == [(MESSAGES,)]
    assert rows("SELECT DISTINCT tries FROM messages") == [(1,)]


def test_a_bucket_gives_what_it_holds_and_then_what_runs_in(account: Any) -> None:
    write_many(account, 30)
    set_rate(0.5, 10)

    assert [len(claim()) for _ in range(3)] == [10, 0, 0]
    with transaction(account.organisation_id):
        execute("UPDATE gateway_accounts SET refilled_at = refilled_at - interval '6 seconds'")
    assert [len(claim()) for _ in range(2)] == [3, 0]
    with transaction(account.organisation_id):
        execute("UPDATE gateway_accounts SET refilled_at = refilled_at - interval '1 day'")
    assert [len(claim()) for _ in range(2)] == [10, 0], "it never holds more than a burst"


def test_workers_share_one_bucket(account: Any, app: Flask) -> None:
    write_many(account, 100)
    set_rate(0.001, 40)

    found = run_together(app, claim, claim, claim)

    assert sum(map(len, found)) == 40


def test_a_gateway_that_asks_for_it_is_left_alone_for_as_long(account: Any) -> None:
    write_many(account, 30)
    set_rate(1_000, 20)
    with transaction(account.organisation_id):
        pause_account(gateway_account_id=account.id, seconds=60.0)
        pause_account(gateway_account_id=account.id, seconds=1.0)

    assert claim() == []
    (row,) = rows(
        "SELECT extract(epoch FROM refilled_at - clock_timestamp()) AS wait FROM gateway_accounts"
    )
    assert 50 < row.wait <= 60, "a shorter wish shortens none that was there"
    with transaction(account.organisation_id):
        execute("UPDATE gateway_accounts SET refilled_at = clock_timestamp() - interval '1 second'")
    assert len(claim()) == 20


def test_an_account_has_a_rate_that_nothing_here_reaches(account: Any) -> None:
    write_many(account, 300)

    assert [len(claim(limit=100)) for _ in range(4)] == [100, 100, 100, 0]
