"""Comparing with the gateway's own record as the clock does it: due, asked for, written down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import UUID

import pytest
from flask import Flask

from jobs.schedule import tick
from portal.db import transaction
from portal.sql import execute
from tests import factories
from tests.factories import make_succeeded_payment
from tests.gateways.running import Receiver, Sandbox, start_sandbox, stop_process
from tests.services.books import rows

SECRET = "a secret of these tests"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    running = start_sandbox(Receiver(port=9), tmp_path_factory.mktemp("sandbox"), secret=SECRET)
    yield running
    stop_process(running.process)


@pytest.fixture
def here(app: Flask, sandbox: Sandbox) -> UUID:
    """An organisation whose gateway account the sandbox has never seen."""
    app.config["PORTAL"] = app.config["PORTAL"].changed(
        sandbox_url=sandbox.url, sandbox_secret=SECRET
    )
    code = f"harbour-{time.monotonic_ns()}"
    organisation_id = factories.make_organisation("harbour", code=code)
    factories.home.set(organisation_id)
    return organisation_id


def be_due(organisation_id: UUID) -> None:
    """Let everything that is looked at now and then be due."""
    with transaction(organisation_id):
        execute("UPDATE organisations SET watched_at = NULL, books_watched_at = NULL")
        execute("UPDATE gateway_accounts SET compared_at = now() - interval '10 days'")


def test_a_tick_compares_with_the_gateway_and_opens_a_case_for_what_is_missing(here: UUID) -> None:
    # Paid in our books; the gateway knows nothing of it.
    make_succeeded_payment()
    be_due(here)

    tick()

    late = "SELECT code FROM gateway_accounts WHERE compared_at < now() - interval '1 day'"
    assert rows(late) == []
    kinds = "SELECT kind FROM cases WHERE state = 'open' AND subject_type <> 'collected_day'"
    assert "missing_there" in {row.kind for row in rows(kinds)}

    be_due(here)
    tick()
    missing = rows("SELECT id FROM cases WHERE kind = 'missing_there'")
    assert len(missing) == 1, "what is known is not opened again"
