"""The list of reminders, one as a notice, and where an invoice tells of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from uuid import UUID

from flask.testing import FlaskClient

from portal.domain.users import Role
from portal.ids import public_id
from tests.factories import make_issued_invoice, read_row
from tests.services.noticing import make_told, message_of
from tests.services.reminding import make_reminder, make_reminders, remind_as_agreed
from tests.web.conftest import sign_in
from tests.web.forms import read, send


def test_a_notice_says_what_is_owed_and_for_what(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    first, second = remind_as_agreed()

    found = read(signed_in, f"/reminders/{public_id('reminder', second.id)}")

    notice = found.find("section", id="notice").text
    assert second.fee_minor == 589
    assert "we charge a fee of 5,89" in notice
    assert "by the document INV-2026-000002." in notice
    assert "Please pay 124,89" in notice
    assert "naming INV-2026-000001 and INV-2026-000002: 119,00" in notice
    assert "at once, 5,89 € by 20 Apr 2026" in notice
    assert read_row("invoices", second.charge_invoice_id).due_on == date(2026, 4, 20)
    addresses = {one.attributes["href"] for one in found.find("main").find_all("a")}
    assert f"/invoices/{public_id('invoice', second.charge_invoice_id)}" in addresses
    assert f"/invoices/{public_id('invoice', second.invoice_id)}/why" in addresses
    assert f"/payers/{public_id('payer', second.payer_id)}" in addresses

    free = read(signed_in, f"/reminders/{public_id('reminder', first.id)}")
    notice = free.find("section", id="notice").text
    assert "we charge" not in notice
    assert "naming INV-2026-000001: 119,00" in notice
    assert "at once. If" in notice


def test_an_invoice_and_its_charge_tell_of_the_reminders(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    _, second = remind_as_agreed()

    told = read(signed_in, f"/invoices/{public_id('invoice', second.invoice_id)}")
    charged = read(signed_in, f"/invoices/{public_id('invoice', second.charge_invoice_id)}")

    assert len(told.find("section", id="reminders").find("tbody").find_all("tr")) == 2
    assert len(charged.find("section", id="reminders").find("tbody").find_all("tr")) == 1


def test_the_list_leads_to_what_charges_for_a_reminder(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    _, second = remind_as_agreed()

    found = read(signed_in, "/reminders?sort=-level")

    charging, free = found.find("div", id="list").find_all("td", data_label="Charged by")
    link = charging.find("a")
    assert link.text == "INV-2026-000002"
    assert link.attributes["href"] == f"/invoices/{public_id('invoice', second.charge_invoice_id)}"
    assert (free.text, free.find_all("a")) == ("–", [])


def test_reminders_are_found_by_level_and_day(signed_in: FlaskClient, organisation: UUID) -> None:
    make_reminders(3)

    assert len(read(signed_in, "/reminders?level[gte]=2").rows) == 2
    assert len(read(signed_in, "/reminders?day[lt]=2026-05-05").rows) == 1


def test_reminders_of_others_do_not_exist(
    signed_in: FlaskClient, organisation: UUID, other_organisation: UUID
) -> None:
    (mine,) = make_reminders(1)
    theirs = make_reminder(make_issued_invoice(organisation_id=other_organisation))
    shown = f"/reminders/{public_id('reminder', mine.id)}"
    assert read(signed_in, shown).find("h1").text == "Reminder 1"
    for unknown in (theirs.id, mine.invoice_id):
        missing = signed_in.get(f"/reminders/{public_id('reminder', unknown)}")
        assert missing.status_code == 404
        assert "There is no such reminder here" in missing.text
    assert len(read(signed_in, "/reminders").rows) == 1


SAID = {
    "ready": "Waiting",
    "done": "Sent on 24 Mar 2026",
    "parked": "Parked It could not be delivered; a person decides about its message.",
    "will_not_send": "Will not be sent Before it left, nothing was open any more",
}


def test_a_reminder_says_what_became_of_its_notice(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    (untold,) = make_reminders(1)
    for state, reminder in zip(SAID, make_told(*SAID), strict=True):
        found = read(signed_in, f"/reminders/{public_id('reminder', reminder.id)}")
        facts = " ".join(found.find("section", id="facts").text.split())
        assert SAID[state] in facts, state
        address = f"/messages/{public_id('message', message_of(reminder).id)}"
        assert found.find_all("a", href=address)
        message = read(signed_in, address)
        assert message.find("h1").text == "Remind a payer"
        assert message.find_all("a", href=f"/reminders/{public_id('reminder', reminder.id)}")
    found = read(signed_in, f"/reminders/{public_id('reminder', untold.id)}")
    assert "No notice was sent: there was no gateway account for notices." in found.text
    assert not [one for one in found.find_all("a") if "/messages/" in one.attributes["href"]]


def test_who_may_not_see_messages_reads_what_became_of_it_without_a_link(
    client: FlaskClient, organisation: UUID, add_person: Callable[..., str]
) -> None:
    (reminder,) = make_told("parked")
    sign_in(client, add_person(Role.CLERK))
    found = read(client, f"/reminders/{public_id('reminder', reminder.id)}")
    assert "It could not be delivered" in found.text
    links = [one.attributes["href"] for one in found.find("main").find_all("a")]
    may_see = client.get("/messages").status_code == 200
    assert any("/messages/" in each for each in links) is may_see


def test_reminders_are_found_by_what_became_of_their_notices(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    make_reminders(2)
    make_told(*SAID, "done")

    def count(*states: str) -> int:
        wanted = "&".join(f"notice={state}" for state in states)
        return len(read(signed_in, f"/reminders?{wanted}").rows)

    assert [count(state) for state in SAID] == [1, 2, 1, 1]
    assert count("none") == 2
    assert count("parked", "none") == 3
    assert "Parked" in read(signed_in, "/reminders?notice=parked").rows[0]
    kinds = read(signed_in, "/messages?kind=payer.reminder")
    assert len(kinds.rows) == 5
    assert "Remind a payer" in kinds.rows[0]


def test_a_parked_notice_is_sent_again_or_withdrawn_by_a_person(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    first, second = make_told("parked", "parked")
    again = f"/messages/{public_id('message', message_of(first).id)}/send"
    assert "by the state of the invoice and its payer" in read(signed_in, again).text
    assert send(signed_in, read(signed_in, again), again).status_code == 303
    away = f"/messages/{public_id('message', message_of(second).id)}/withdraw"
    page = read(signed_in, away)
    assert "The reminder stays written, and what it charged is still owed" in page.text
    assert send(signed_in, page, away, reason="Told on the telephone.").status_code == 303

    assert [message_of(one).state for one in (first, second)] == ["ready", "will_not_send"]
