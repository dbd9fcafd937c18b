"""Strangers' requests, made up from the description, against a server that really listens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from portal.clock import now_utc
from portal.db import transaction
from portal.ids import public_id
from portal.queries.checks import run_checks
from portal.services.schedules import ScheduleWish, add_schedule
from tests import factories
from tests.api.conftest import PREFIX, Machine
from tests.factories import (
    attempt_of,
    make_draft_invoice,
    make_issued_invoice,
    make_payer,
    make_payment,
    make_succeeded_payment,
)
from tests.services import books
from tests.web.conftest import make_worked_run

CONFIG = Path(__file__).with_name("schemathesis.toml")
CASES_MIN = 2_000
SECONDS_MAX = 600  # A busy machine gets more patience; alone it takes about one minute.
TOOL = Path(sys.executable).with_name("st")


def make_world() -> dict[str, list[str]]:
    """Make a few of everything and return their ids."""
    drafts = [make_draft_invoice() for _ in range(3)]
    invoices = [make_issued_invoice() for _ in range(3)]
    payments = [make_payment(), make_succeeded_payment()]
    attempts = [attempt_of(payment) for payment in payments]
    rows: dict[str, tuple[str, list[Any]]] = {
        "invoices": ("invoice", [*drafts, *invoices]),
        "payments": ("payment", payments),
        "attempts": ("attempt", attempts),
        "payers": ("payer", [make_payer() for _ in range(2)]),
        "runs": ("run", [make_worked_run(), make_worked_run()]),
        "schedules": ("schedule", make_schedules()),
        "messages": ("message", books.rows("SELECT id FROM messages")),
    }
    return {
        name: [public_id(noun, row.id) for row in found] for name, (noun, found) in rows.items()
    }


def make_schedules() -> list[Any]:
    """Make one that is active and one that is paused."""
    with transaction(factories.home.get()):
        for name, is_active in (("Prove the books", True), ("Collect", False)):
            add_schedule(
                wish=ScheduleWish(name, "ledger_check", "0 6 * * *"),
                is_active=is_active,
                actor=factories.CLERK,
                now=now_utc(),
            )
    return books.rows("SELECT id FROM schedules")


def list_broken(organisation_id: UUID) -> list[str]:
    """Name the proofs that the books do not pass."""
    with transaction(organisation_id):
        return [one.check for one in run_checks() if one.rows]


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX + 60)
def test_nothing_a_stranger_sends_is_answered_wrongly(
    organisation: UUID, make_machine: Callable[..., Machine], address: str, tmp_path: Path
) -> None:
    for name, ids in make_world().items():
        (tmp_path / f"{name}.dict").write_text("".join(f'"{one}"\n' for one in ids))
    broken_before = list_broken(organisation)
    config = shutil.copy(CONFIG, tmp_path)
    report = tmp_path / "report.json"

    run = subprocess.run(
        [
            str(TOOL),
            "--config-file",
            config,
            "run",
            f"{address}{PREFIX}/openapi.json",
            "--report-json-path",
            str(report),
            "--no-color",
        ],
        cwd=tmp_path,
        env={**os.environ, "PORTAL_KEY": make_machine().key},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    found = json.loads(report.read_text())
    assert found["test_cases"]["generated"] >= CASES_MIN, found["test_cases"]
    assert found["operations"]["tested"] == found["operations"]["total"]
    assert list_broken(organisation) == broken_before, "the books are as right as before"
