"""People who are signed in, and runs that have got somewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.clock import now_utc
from portal.db import transaction
from portal.domain.batches import ItemOutcome, RunState
from portal.domain.users import Role
from portal.ids import new_id
from portal.services.users import add_user
from portal.sql import execute
from tests.factories import insert_row, make_run

PASSWORD = "four quiet harbour boats"
COUNTED_AS = {
    ItemOutcome.DONE: "done_count",
    ItemOutcome.FILTERED: "filtered_count",
    ItemOutcome.FAILED: "failed_count",
}


@pytest.fixture
def add_person(organisation: UUID) -> Callable[..., str]:
    """Add a person to the organisation, or to those named, and return their address."""

    def add(
        role: Role = Role.MANAGER,
        *,
        email: str = "mara@harbour.example",
        memberships: Sequence[tuple[UUID, Role]] = (),
    ) -> str:
        add_user(
            email=email,
            name="Mara Weber",
            password=PASSWORD,
            memberships=memberships or [(organisation, role)],
            now=now_utc(),
        )
        return email

    return add


def token_on(answer: TestResponse) -> str:
    """Read the CSRF token of a page, as its forms send it."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', answer.text)
    assert found, "the page has no form"
    return found[1]


def sign_in(client: FlaskClient, email: str, password: str = PASSWORD) -> TestResponse:
    """Send the sign-in form as a browser would."""
    token = token_on(client.get("/sign-in"))
    return client.post("/sign-in", data={"email": email, "password": password, "csrf_token": token})


@pytest.fixture
def signed_in(client: FlaskClient, add_person: Callable[..., str]) -> FlaskClient:
    """A browser without scripts in which a manager of the organisation is signed in."""
    assert sign_in(client, add_person()).status_code == 303
    return client


def post(client: FlaskClient, address: str, **fields: str) -> TestResponse:
    """Send a form from a page of the portal."""
    token = token_on(client.get("/"))
    return client.post(address, data={"csrf_token": token, **fields})


def make_worked_run(
    *outcomes: ItemOutcome,
    state: RunState = RunState.STARTED,
    items_count: int | None = None,
    organisation_id: UUID | None = None,
    code: str = "V104",
    message: str = "The invoice is not due on a business day.",
    **over: Any,
) -> Any:
    """Insert a run of one chunk whose items have these outcomes."""
    run = make_run(
        organisation_id=organisation_id,
        state=state.value,
        items_count=len(outcomes) if items_count is None else items_count,
        **{"started_at": now_utc(), "started_by": "Mara Weber", **over},
    )
    with transaction(run.organisation_id):
        insert_row(
            "batch_chunks",
            organisation_id=run.organisation_id,
            run_id=run.id,
            number=0,
            state="leased",
            lease_until=now_utc() + timedelta(minutes=5),
            item_ids=[],
            items_count=run.items_count,
            sum_minor=0,
            population_hash=b"",
        )
        for outcome in outcomes:
            is_done = outcome is ItemOutcome.DONE
            insert_row(
                "batch_items",
                organisation_id=run.organisation_id,
                run_id=run.id,
                item_id=new_id(),
                chunk_number=0,
                outcome=outcome.value,
                code=None if is_done else code,
                message=None if is_done else message,
                amount_minor=11_900,
            )
        count_outcomes(run, outcomes)
    return run


def count_outcomes(run: Any, outcomes: Sequence[ItemOutcome]) -> None:
    """Write down in the run's only chunk how many items have which outcome."""
    with transaction(run.organisation_id):
        for outcome in outcomes:
            column = COUNTED_AS.get(outcome, "skipped_count")
            execute(f"UPDATE batch_chunks SET {column} = {column} + 1 WHERE run_id = %s", (run.id,))


@pytest.fixture
def https_app(app: Flask) -> Flask:
    """The application as it is when people reach it over HTTPS."""
    from portal.app import create_app

    return create_app(app.config["PORTAL"].changed(url="https://billing.harbour.example"))
