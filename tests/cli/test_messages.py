"""`portal message` and `portal brake` as people call them: what they print and how they end."""

from __future__ import annotations

import json
from uuid import UUID

from flask import Flask

from portal.db import transaction
from portal.ids import public_id
from portal.sql import execute
from tests.commands import portal
from tests.factories import make_inbox_message, make_payment, read_row
from tests.services.books import rows


def test_messages_are_listed_shown_and_decided_about(organisation: UUID, app: Flask) -> None:
    make_payment()
    arrived = make_inbox_message(state="parked", last_error="no attempt is ours")
    with transaction(organisation):
        execute("UPDATE messages SET state = 'parked', kind = 'gateway.list_events'")
    (message,) = rows("SELECT * FROM messages")
    name, arrived_name = public_id("message", message.id), public_id("inbox_message", arrived.id)

    status, out, err = portal(app, "message", "list", "state:parked", "--json")
    assert (status, err) == (0, "")
    assert [row["id"] for row in json.loads(out)] == [name]
    status, out, _ = portal(app, "message", "list", "--inbox")
    assert status == 0
    assert arrived_name in out
    status, out, _ = portal(app, "message", "show", name)
    assert (status, json.loads(out)["state"]) == (0, "parked")

    assert portal(app, "message", "send-again", name)[0] == 0
    assert read_row("messages", message.id).state == "ready"
    assert portal(app, "message", "withdraw", name, "--reason", "not wanted")[0] == 0
    assert read_row("messages", message.id).state == "will_not_send"
    assert portal(app, "message", "send-again", name)[0] == 5
    assert portal(app, "message", "handle-again", arrived_name)[0] == 0
    assert read_row("inbox_messages", arrived.id).state == "ready"
    assert portal(app, "message", "handle-again", name)[0] == 4
    assert portal(app, "message", "show", "msg_nonsense")[0] == 4


def test_a_brake_is_pulled_listed_and_released(organisation: UUID, app: Flask) -> None:
    pull = ("brake", "pull", "--reason", "Odd answers.", "--account", "harbour", "--hours", "2")
    status, out, err = portal(app, *pull)
    assert (status, err) == (0, "")
    name = out.split()[0]
    assert portal(app, *pull)[0] == 5

    status, out, _ = portal(app, "brake", "list", "--json")
    (row,) = json.loads(out)
    assert (status, row["id"], row["state"], row["account"]) == (0, name, "active", "harbour")
    assert portal(app, "brake", "release", name)[:2] == (0, f"{name} is released.\n")
    assert portal(app, "brake", "release", name)[0] == 5
    assert portal(app, "brake", "pull", "--reason", "x", "--account", "nobody")[0] == 2
    assert [tuple(row) for row in rows("SELECT state, released_by FROM brakes")] == [
        ("released", "command line")
    ]
