"""`portal sequence` as people call it, and who starts what on the command line."""

from __future__ import annotations

import json
from uuid import UUID

from flask import Flask

from portal.clock import now_utc
from portal.domain.users import Role
from portal.services.users import add_user
from tests.commands import portal
from tests.services.books import rows
from tests.services.running import make_drafts


def add_person(organisation: UUID, name: str, role: Role) -> str:
    email = f"{name}@harbour.example"
    add_user(
        email=email,
        name=name.title(),
        password="four quiet harbour boats",
        memberships=[(organisation, role)],
        now=now_utc(),
    )
    return email


def test_a_sequence_is_added_changed_started_and_shown(organisation: UUID, app: Flask) -> None:
    make_drafts(1)
    steps = ("--step", "invoice_issuing", "--step", "ledger_check:clean")
    status, out, err = portal(app, "sequence", "add", "Month end", *steps)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "Month end (version 1)",
        "  1  invoice_issuing",
        "  2  ledger_check  if the step before completed and nothing failed",
    ]

    status, out, _ = portal(app, "sequence", "change", "Month end", "--name", "All", "--json")
    (changed,) = json.loads(out)
    assert (changed["name"], changed["version"], len(changed["steps"])) == ("All", 2, 2)

    status, out, err = portal(app, "sequence", "start", "All", "--date", "2026-03-18")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "For 2026-03-18: running",
        "  1  invoice_issuing  run 1, running",
        "  2  ledger_check  not begun",
    ]
    status, _, err = portal(app, "sequence", "start", "All", "--date", "2026-03-18")
    assert (status, len(rows("SELECT id FROM sequence_runs"))) == (5, 1)
    assert "is not over yet" in err

    status, out, _ = portal(app, "sequence", "show", "All", "--json")
    assert json.loads(out)["executions"][0]["steps"][0]["run"] == 1
    status, out, _ = portal(app, "sequence", "list", "--json")
    assert [one["name"] for one in json.loads(out)] == ["All"]


def test_wrong_input_is_one_sentence_and_saves_nothing(organisation: UUID, app: Flask) -> None:
    for arguments, expected in (
        (("add", "Month end"), 2),
        (("add", "Month end", "--step", "ledger_check:sometimes"), 2),
        (("add", "Month end", "--step", "message_delivery"), 2),
        (("start", "Nothing"), 4),
    ):
        status, _, err = portal(app, "sequence", *arguments)
        assert (status, err.count("\n")) == (expected, 1), err
    assert rows("SELECT id FROM sequences") == []


def test_a_large_run_of_the_command_line_needs_somebody_and_then_another(
    organisation: UUID, app: Flask
) -> None:
    make_drafts(2)
    ada = add_person(organisation, "ada", Role.MANAGER)
    ben = add_person(organisation, "ben", Role.MANAGER)
    large = {"PORTAL_APPROVAL_ITEMS_MIN": "2"}

    status, _, err = portal(app, "run", "start", "invoice_issuing", **large)
    assert (status, rows("SELECT id FROM batch_runs")) == (5, [])
    assert "with --by and an address" in err

    status, _, err = portal(app, "run", "start", "invoice_issuing", "--by", ada, **large)
    assert (status, err) == (0, "")
    status, _, err = portal(app, "run", "approve", "1", "--by", ada)
    assert status != 0
    assert "another person must approve it" in err
    status, _, err = portal(app, "run", "approve", "1", "--by", ben)
    assert (status, err) == (0, "")

    (event,) = rows("SELECT * FROM events WHERE kind = 'run.submitted'")
    assert (event.actor_kind, event.actor_name) == ("person", "Ada")
    assert event.details["account"]


def test_a_person_who_may_not_or_is_not_there_starts_nothing(
    organisation: UUID, app: Flask
) -> None:
    auditor = add_person(organisation, "eve", Role.AUDITOR)
    for email in (auditor, "nobody@harbour.example"):
        status, _, err = portal(app, "run", "start", "ledger_check", "--by", email)
        assert status != 0
        assert err
    assert rows("SELECT id FROM batch_runs") == []
