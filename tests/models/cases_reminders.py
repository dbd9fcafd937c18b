"""One faulty row per named constraint of the reminders."""

from __future__ import annotations

from tests.models.breaking import Copy

_NEXT_REMINDER = {
    "level": "77",
    "reminded_on": "'2027-01-01'",
    "charge_invoice_id": "NULL",
    "fee_minor": "0",
    "interest_minor": "0",
}
REMINDERS = {
    f"ck_reminders_{name}": Copy("reminders", {**_NEXT_REMINDER, **changes})
    for name, changes in {
        "level_from_one": {"level": "0"},
        "something_open": {"open_minor": "0"},
        "parts_not_negative": {"interest_minor": "-1"},
        "charged_by_document": {"fee_minor": "1"},
    }.items()
}
REMINDERS["uq_reminders_organisation_id_invoice_id_level"] = Copy(
    "reminders", {**_NEXT_REMINDER, "level": "level"}
)
REMINDERS["uq_reminders_organisation_id_invoice_id_reminded_on"] = Copy(
    "reminders", {**_NEXT_REMINDER, "reminded_on": "reminded_on"}
)
REMINDERS["uq_reminders_charge"] = Copy(
    "reminders",
    {**_NEXT_REMINDER, "charge_invoice_id": "charge_invoice_id", "fee_minor": "1"},
    "charge_invoice_id IS NOT NULL",
)
