"""`portal payer` as people call it: what it changes, and what it refuses."""

from __future__ import annotations

from uuid import UUID

from flask import Flask

from portal.domain.users import Role
from tests.cli.test_disputes import hire
from tests.commands import portal
from tests.factories import make_payer, read_row


def test_terms_are_changed_and_what_is_not_named_stays(organisation: UUID, app: Flask) -> None:
    clerk, auditor = (hire(organisation, role) for role in (Role.CLERK, Role.AUDITOR))
    payer = make_payer()
    command = ("payer", "terms", payer.external_ref, "--reason", "Lost work.", "--by")

    assert portal(app, *command, auditor, "--hold")[0] == 5
    arranged = ("--arrangement", "hardship", "--until", "2100-06-30")
    status, out, _ = portal(app, *command, clerk, *arranged)
    assert status == 0
    assert f"{payer.external_ref}: not on hold, Hardship agreement until 2100-06-30." in out
    assert portal(app, *command, clerk, "--hold")[0] == 0
    row = read_row("payers", payer.id)
    assert (row.is_on_hold, row.arrangement, str(row.arranged_until)) == (
        True,
        "hardship",
        "2100-06-30",
    )
    status, out, _ = portal(app, *command, clerk, "--no-hold", "--arrangement", "none")
    assert (status, "not on hold, no arrangement." in out) == (0, True)
    assert portal(app, *command, clerk, "--until", "2100-01-01")[0] == 2
    unknown = ("payer", "terms", "NOBODY", "--reason", "x", "--by", clerk, "--hold")
    assert portal(app, *unknown)[0] == 4
    assert read_row("payers", payer.id).arrangement is None
