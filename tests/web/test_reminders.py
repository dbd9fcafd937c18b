"""The list of reminders, one as a notice, and where an invoice tells of its own."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

from flask.testing import FlaskClient

from portal.db import acting_for, transaction
from portal.ids import public_id
from portal.services.reminders import remind_invoices
from tests.factories import CLERK, NOW, make_issued_invoice
from tests.services.books import rows
from tests.services.reminding import make_reminders
from tests.web.forms import read

# The levels of the harbour city, in days after an invoice is due: 7 free, 21 with a fee of 5.00.
LEVELS = (7, 21)


def remind(organisation_id: UUID) -> tuple[UUID, date]:
    """Remind of an invoice as the job does, on the days of both levels."""
    invoice = make_issued_invoice()
    with acting_for(organisation_id):
        for late in LEVELS:
            on = invoice.due_on + timedelta(days=late)
            remind_invoices(invoice_ids=[invoice.id], business_on=on, actor=CLERK, now=NOW)
    return invoice.id, invoice.due_on


def test_a_notice_says_what_is_owed_and_for_what(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    remind(organisation)
    with transaction(organisation):
        (second,) = rows("SELECT * FROM reminders WHERE level = 2")

    found = read(signed_in, f"/reminders/{public_id('reminder', second.id)}")

    notice = found.find("section", id="notice").text
    assert second.fee_minor == 589
    assert "we charge a fee of 5,89" in notice
    assert "by the document INV-2026-000002, due on" in notice
    assert "Please pay 124,89" in notice
    assert "naming INV-2026-000001 and INV-2026-000002" in notice
    addresses = {one.attributes["href"] for one in found.find("main").find_all("a")}
    assert f"/invoices/{public_id('invoice', second.charge_invoice_id)}" in addresses
    assert f"/invoices/{public_id('invoice', second.invoice_id)}/why" in addresses


def test_an_invoice_and_its_charge_tell_of_the_reminders(
    signed_in: FlaskClient, organisation: UUID
) -> None:
    invoice_id, _ = remind(organisation)
    (charge,) = rows("SELECT charge_invoice_id AS id FROM reminders WHERE level = 2")

    told = read(signed_in, f"/invoices/{public_id('invoice', invoice_id)}")
    charged = read(signed_in, f"/invoices/{public_id('invoice', charge.id)}")

    assert len(told.find("section", id="reminders").find("tbody").find_all("tr")) == 2
    assert len(charged.find("section", id="reminders").find("tbody").find_all("tr")) == 1


def test_reminders_are_found_by_level_and_day(signed_in: FlaskClient, organisation: UUID) -> None:
    make_reminders(3)

    assert len(read(signed_in, "/reminders?level[gte]=2").rows) == 2
    assert len(read(signed_in, "/reminders?day[lt]=2026-05-05").rows) == 1


def test_reminders_of_others_do_not_exist(
    signed_in: FlaskClient, organisation: UUID, other_organisation: UUID
) -> None:
    (mine,) = make_reminders(1)
    shown = f"/reminders/{public_id('reminder', mine.id)}"
    assert read(signed_in, shown).find("h1").text == "Reminder 1"
    missing = signed_in.get(f"/reminders/{public_id('reminder', mine.invoice_id)}")
    assert missing.status_code == 404
    assert "There is no such reminder here" in missing.text
