"""`portal schedule` as people call it: what it prints and how it ends."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from flask import Flask

from tests.commands import Ended, portal
from tests.services.books import rows

NIGHTLY = ("Nightly", "--job", "payment_collection", "--rule", "30 22 * * 1-5")


def run_command(app: Flask, *arguments: str) -> Ended:
    return portal(app, "schedule", *arguments)


def schedule_of() -> Any:
    (row,) = rows("SELECT * FROM schedules")
    return row


def test_a_schedule_is_added_shown_changed_paused_and_resumed(
    organisation: UUID, app: Flask
) -> None:
    status, out, err = run_command(app, "add", *NIGHTLY, "--json")
    assert (status, err) == (0, "")
    (added,) = json.loads(out)
    assert (added["name"], added["is_active"], added["misfire"]) == ("Nightly", True, "once")
    assert schedule_of().next_at is not None

    status, out, err = run_command(app, "show", "Nightly")
    assert (status, err) == (0, "")
    first, second, *others = out.splitlines()
    assert first == (
        "Nightly: payment_collection, every working day at 22:30 (Europe/Berlin, holidays of ECB)"
    )
    assert second == "After a time in which nothing ran: one run for all of them."
    assert [line.count("22:30 CE") for line in others] == [0, 1, 1, 1, 1, 1]

    status, out, err = run_command(
        app, "change", "Nightly", "--rule", "0 6 LW * *", "--misfire", "each_business_date"
    )
    assert (status, err) == (0, "")
    assert "on the last working day of the month at 06:00" in out
    assert (schedule_of().job, schedule_of().misfire) == (
        "payment_collection", "each_business_date"
    )  # fmt: skip

    assert run_command(app, "pause", "Nightly") == (
        0, "“Nightly” is paused; it starts nothing.\n", ""
    )  # fmt: skip
    assert schedule_of().next_at is None
    status, out, _ = run_command(app, "list")
    assert status == 0
    assert "paused" in out
    status, out, _ = run_command(app, "resume", "Nightly")
    assert status == 0
    assert out.startswith("“Nightly” starts next on ")
    assert schedule_of().is_active


def test_what_cannot_be_done_is_one_sentence_and_a_code(organisation: UUID, app: Flask) -> None:
    assert run_command(app, "add", *NIGHTLY, "--paused")[0] == 0
    assert not schedule_of().is_active

    for arguments, code, words in (
        (("add", *NIGHTLY), 5, "already"),
        (("add", "Other", "--job", "nothing", "--rule", "0 6 * * *"), 2, "no job nothing"),
        (("add", "Other", "--job", "ledger_check", "--rule", "daily"), 2, "is not a rule"),
        (("add", "Other", "--job", "ledger_check", "--rule", "0 6 1 1 *"), 2, "never due"),
        (("show", "Other"), 4, "no schedule “Other”"),
        (("change", "Other", "--rule", "0 6 * * *"), 4, "no schedule “Other”"),
        (("pause", "Other"), 4, "no schedule “Other”"),
    ):
        status, out, err = run_command(app, *arguments)
        assert (status, out) == (code, ""), arguments
        assert words in err
        assert len(err.strip().splitlines()) == 1
    assert schedule_of().name == "Nightly"
