"""`portal case` and what `portal doctor` says of it: what they print and how they end."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID

from flask import Flask

from portal.cli.doctor import _watch
from portal.clock import now_utc
from portal.db import transaction
from portal.ids import public_id
from portal.services.cases import watch_organisations
from portal.sql import execute
from tests.commands import portal
from tests.factories import make_inbox_message, read_row
from tests.services.books import rows


def test_cases_are_looked_for_listed_shown_and_closed(organisation: UUID, app: Flask) -> None:
    message = make_inbox_message(received_at=now_utc() - timedelta(hours=2))
    assert portal(app, "case", "watch") == (0, "1 opened, 0 resolved.\n", "")
    (case,) = rows("SELECT * FROM cases")
    name = public_id("case", case.id)

    status, out, _ = portal(app, "case", "list", "state:open", "kind:webhook_stuck", "--json")
    assert (status, [row["id"] for row in json.loads(out)]) == (0, [name])
    status, out, _ = portal(app, "case", "show", name)
    shown = json.loads(out)
    assert (status, shown["subject_id"]) == (0, str(message.id))
    assert shown["advice"].startswith("Look at the message")
    assert [one["kind"] for one in shown["history"]] == ["case.opened"]

    assert portal(app, "case", "close", name, "--reason", " ")[0] == 2
    assert portal(app, "case", "close", name, "--reason", "Known.")[0] == 0
    assert read_row("cases", case.id).closed_by == "command line"
    assert portal(app, "case", "close", name, "--reason", "Again.")[0] == 5
    assert portal(app, "case", "show", "cas_nonsense")[0] == 4
    assert portal(app, "case", "list", "state:lost")[0] == 2


def test_doctor_says_when_nobody_has_looked_for_long(organisation: UUID, app: Flask) -> None:
    config = app.config["PORTAL"]
    for seconds, is_late in ((30, False), (601, True)):
        with transaction(organisation):
            execute(
                "UPDATE organisations SET watched_at = now() - make_interval(secs => %s)",
                (seconds,),
            )
        found = _watch(config)
        assert found.said.startswith("harbour was last looked after")
        assert bool(found.mend) is is_late
    assert watch_organisations(now=now_utc()) == 1
    assert not _watch(config).mend
