"""The list of reminders, one as a notice, and where an invoice tells of its own."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from flask.testing import FlaskClient

from portal.ids import public_id
from tests.factories import make_issued_invoice, read_row
from tests.services.reminding import make_reminder, make_reminders, remind_as_agreed
from tests.web.forms import read


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
