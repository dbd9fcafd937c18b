"""`portal dispute` as people call it: what it prints and how it ends."""

from __future__ import annotations

import json
from uuid import UUID

from flask import Flask

from portal.clock import now_utc
from portal.domain.users import Role
from portal.ids import public_id
from portal.services.users import add_user
from tests.commands import portal
from tests.factories import read_row
from tests.services.disputing import make_dispute
from tests.services.refunding import make_refund


def hire(organisation_id: UUID, role: Role) -> str:
    """Add a person with a role and return their address."""
    email = f"{role.value}@harbour.example"
    add_user(
        email=email,
        name=role.label,
        password="four quiet harbour boats",
        memberships=[(organisation_id, role)],
        now=now_utc(),
    )
    return email


def test_disputes_are_listed_shown_answered_and_accepted(organisation: UUID, app: Flask) -> None:
    clerk, auditor = (hire(organisation, role) for role in (Role.CLERK, Role.AUDITOR))
    first, second = make_dispute(), make_dispute()
    name, other = (public_id("dispute", one.id) for one in (first, second))

    status, out, _ = portal(app, "dispute", "list", "state:needs_response", "--json")
    assert (status, {row["id"] for row in json.loads(out)}) == (0, {name, other})
    status, out, _ = portal(app, "dispute", "show", name)
    assert (status, json.loads(out)["state"]) == (0, "needs_response")

    said = ("--text", "The water was delivered.")
    assert portal(app, "dispute", "answer", name, *said, "--by", auditor)[0] == 5
    assert portal(app, "dispute", "answer", name, "--text", " ", "--by", clerk)[0] == 2
    assert portal(app, "dispute", "answer", name, *said, "--by", clerk)[:2] == (
        0,
        f"{name} is answered.\n",
    )
    assert portal(app, "dispute", "answer", name, *said, "--by", clerk)[0] == 5
    assert portal(app, "dispute", "accept", other, "--by", clerk)[:2] == (0, f"{other} is lost.\n")
    assert portal(app, "dispute", "show", "dsp_nonsense")[0] == 4

    assert read_row("disputes", first.id).state == "under_review"
    assert read_row("payments", second.payment_id).worklist == "dispute_lost"


def test_refunds_are_approved_by_somebody_who_may(organisation: UUID, app: Flask) -> None:
    clerk, manager = (hire(organisation, role) for role in (Role.CLERK, Role.MANAGER))
    refund = make_refund("requested", amount_minor=11_900)
    name = public_id("refund", refund.id)

    assert portal(app, "refund", "approve", name, "--by", clerk)[0] == 5
    assert portal(app, "refund", "approve", name, "--by", manager)[0] == 0
    assert read_row("refunds", refund.id).state == "approved"
    assert name in portal(app, "refund", "list")[1]
