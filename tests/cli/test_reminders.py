"""`portal reminder` as people call it: what it prints and how it ends."""

from __future__ import annotations

import json
from uuid import UUID

from flask import Flask

from portal.ids import public_id
from tests.commands import portal
from tests.factories import make_issued_invoice
from tests.services.noticing import make_told, message_of
from tests.services.reminding import make_reminder, make_reminders, remind_as_agreed


def test_reminders_are_listed_and_shown(organisation: UUID, app: Flask) -> None:
    first, second = (public_id("reminder", one.id) for one in remind_as_agreed())

    status, out, err = portal(app, "reminder", "list", "level:>1", "--json")
    assert (status, err) == (0, "")
    (listed,) = json.loads(out)
    assert (listed["id"], listed["level"], listed["charge"]) == (second, 2, "INV-2026-000002")
    status, out, _ = portal(app, "reminder", "list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == [second, first]

    status, out, _ = portal(app, "reminder", "show", second)
    shown = json.loads(out)
    assert (status, shown["invoice"], shown["charged_by"], shown["days_late"]) == (
        0, "INV-2026-000001", "INV-2026-000002", 21,
    )  # fmt: skip
    assert [shown[name] for name in ("open", "fee", "interest", "owed")] == [
        "119.00", "5.89", "0.00", "124.89",
    ]  # fmt: skip


def test_it_says_what_became_of_a_notice(organisation: UUID, app: Flask) -> None:
    (untold,) = make_reminders(1)
    (told,) = make_told("done")

    shown = json.loads(portal(app, "reminder", "show", public_id("reminder", told.id))[1])
    assert shown["notice"] == "done"
    assert shown["message"] == public_id("message", message_of(told).id)
    status, out, _ = portal(app, "message", "show", shown["message"])
    assert (status, json.loads(out)["kind"]) == (0, "payer.reminder")
    shown = json.loads(portal(app, "reminder", "show", public_id("reminder", untold.id))[1])
    assert (shown["notice"], shown["message"]) == (None, None)
    status, out, _ = portal(app, "reminder", "list", "notice:done", "--json")
    assert [one["id"] for one in json.loads(out)] == [public_id("reminder", told.id)]


def test_wrong_input_is_answered_with_a_sentence(
    organisation: UUID, other_organisation: UUID, app: Flask
) -> None:
    theirs = make_reminder(make_issued_invoice(organisation_id=other_organisation))

    for unknown in ("rmd_nonsense", "", "x" * 5_000, public_id("reminder", theirs.id)):
        status, out, err = portal(app, "reminder", "show", unknown)
        assert (status, out) == (4, "")
        assert "There is no such reminder here" in err
    assert portal(app, "reminder", "list", "level:high")[0] == 2
    assert portal(app, "reminder", "list", "state:open")[0] == 2
    assert portal(app, "reminder", "list") == (0, "", "")
