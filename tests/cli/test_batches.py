"""`portal run` as people call it: what it prints and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from typing import Any
from uuid import UUID

from flask import Flask

from jobs.engine import drain_chunks
from portal.config import Config
from portal.domain.users import Role
from portal.paths import ROOT
from portal.services.batches import work_chunk
from portal.services.users import add_user
from tests.commands import Ended, portal
from tests.factories import NOW, make_issued_invoice
from tests.services.books import rows
from tests.services.running import begin, finish, make_drafts, must_lease, refuse, run_of


def command(config: Config, *arguments: str) -> subprocess.Popen[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "portal", "run", *arguments, "--organisation", "harbour"],
        env={**kept, **config.environment()},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_command(app: Flask, *arguments: str) -> Ended:
    return portal(app, "run", *arguments)


def wait_while_working(app: Flask, *arguments: str) -> tuple[int | None, Any]:
    """Run a command that waits, and be the worker that it waits for."""
    started = command(app.config["PORTAL"], *arguments)
    while started.poll() is None:
        drain_chunks()
    out, err = started.communicate(timeout=60)
    assert err == ""
    return started.returncode, json.loads(out)


def test_a_run_is_started_listed_stopped_restarted_and_shown(
    organisation: UUID, app: Flask
) -> None:
    make_drafts(3)

    status, out, err = run_command(app, "start", "invoice_issuing", "--date", "2026-03-18")
    assert (status, err) == (0, "")
    assert "invoice_issuing" in out
    assert "2026-03-18" in out
    (run,) = rows("SELECT id, items_count, started_by FROM batch_runs")
    assert (run.items_count, run.started_by) == (3, "command line")

    status, out, err = run_command(app, "start", "invoice_issuing", "--date", "2026-03-18")
    assert (status, out) != (0, "")
    assert len(err.strip().splitlines()) == 1
    assert "not finished yet" in err

    must_lease()
    assert run_command(app, "stop", "1")[:2] == (0, "Run 1 is stopping.\n")
    status, out, _ = run_command(app, "list", "--json")
    assert status == 0
    (listed,) = json.loads(out)
    assert (listed["number"], listed["state"], listed["items_count"]) == (1, "stopping", 3)
    assert run_of(run.id).state == "stopping"


def test_waiting_for_a_run_ends_with_its_figures(organisation: UUID, app: Flask) -> None:
    make_drafts(2)
    arguments = ("start", "invoice_issuing", "--date", "2026-03-18", "--wait", "--json")

    status, (run,) = wait_while_working(app, *arguments)

    assert status == 0
    assert (run["state"], run["items_count"], run["done"]) == ("completed", 2, 2)
    assert (run["filtered"], run["failed"], run["exit_message"]) == (0, 0, None)


def test_a_run_that_does_not_complete_ends_with_one_and_is_explained(
    organisation: UUID, app: Flask
) -> None:
    make_issued_invoice(business_on=date(2026, 3, 19))
    make_drafts(3)
    app.config["PORTAL"] = app.config["PORTAL"].changed(skip_limit=0)
    # The day before the last of the series, so that every document fails.
    arguments = ("start", "invoice_issuing", "--date", "2026-03-18", "--wait", "--json")

    status, (run,) = wait_while_working(app, *arguments)

    assert status == 1
    assert (run["state"], run["failed"]) == ("failed", 3)
    assert "more than this run may skip" in run["exit_message"]
    status, out, err = run_command(app, "show", "1")
    assert (status, err) == (0, "")
    assert "failed issued_before_last" in out


def test_a_number_nobody_has_is_named_in_one_sentence(organisation: UUID, app: Flask) -> None:
    begin()

    for arguments in (("show", "7"), ("stop", "7"), ("restart", "7")):
        status, out, err = run_command(app, *arguments)
        assert (status, out) == (4, "")
        assert "no run 7" in err
        assert len(err.strip().splitlines()) == 1
    status, _, err = run_command(app, "restart", "1")
    assert status == 5
    assert "Completed" in err


def test_a_run_waits_is_approved_and_what_failed_is_repeated(
    organisation: UUID, app: Flask
) -> None:
    app.config["PORTAL"] = app.config["PORTAL"].changed(approval_items_min=2)
    ids = make_drafts(2)
    add_user(
        email="bo@harbour.example", name="Bo Manager", password="four quiet harbour boats",
        memberships=[(organisation, Role.MANAGER)], now=NOW,
    )  # fmt: skip
    add_user(
        email="cy@harbour.example", name="Cy Clerk", password="four quiet harbour boats",
        memberships=[(organisation, Role.CLERK)], now=NOW,
    )  # fmt: skip
    run_id = begin()
    status, out, _ = run_command(app, "show", "1")
    assert status == 0
    assert "2 all: " in out
    assert "Not approved by a second person" in out

    for email, code in (("nobody@harbour.example", 4), ("cy@harbour.example", 5)):
        status, out, err = run_command(app, "approve", "1", "--by", email)
        assert (status, out, len(err.strip().splitlines())) == (code, "", 1), err
    assert run_command(app, "approve", "1", "--by", "bo@harbour.example")[:2] == (
        0, "Run 1 is running.\n",
    )  # fmt: skip
    assert run_of(run_id).approved_by == "Bo Manager"

    work_chunk(lease=must_lease(), work=refuse(ids))
    assert finish(run_id) == "completed"
    # It waits as well, and nobody can be second to a nameless first.
    assert run_command(app, "repeat", "1", "--json")[:2] == (5, "")
    status, out, _ = run_command(app, "repeat", "1", "--by", "cy@harbour.example", "--json")
    assert (status, json.loads(out)[0]["number"], json.loads(out)[0]["items_count"]) == (0, 2, 2)
    assert run_command(app, "abandon", "2", "--reason", "Wrong.")[:2] == (
        0, "Run 2 is abandoned.\n",
    )  # fmt: skip
    (run,) = rows("SELECT exit_message FROM batch_runs WHERE number = 2")
    assert run.exit_message == "given up by command line: Wrong"
