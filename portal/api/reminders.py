"""Reminders for machines: what payers were told of overdue invoices, listed and read."""

from typing import Any
from uuid import UUID

from flask import Response
from marshmallow import fields

from portal.api.access import require
from portal.api.answers import answer, money, shown_id
from portal.api.doors import DoorBlueprint, answers
from portal.api.fields import (
    Strict,
    amount_of_money,
    calendar_day,
    moment,
    noun_name,
    own_id,
    state_of,
    whole,
    words,
)
from portal.api.lists import answer_list, list_schema, lists
from portal.domain.messages import NoticeState
from portal.domain.users import Permission
from portal.queries.reminders import ReminderRow, get_reminder
from portal.queries.tables import REMINDER_TABLE

bp = DoorBlueprint("reminders", "What payers were told of overdue invoices, level by level.")


class ReminderSchema(Strict):
    """A reminder with the document it is about and the charge that it made."""

    object = noun_name("reminder")
    id = own_id("reminder")
    invoice_id = own_id("invoice")
    invoice = words(description="The number of the invoice.")
    payer_id = own_id("payer")
    payer = words()
    level = whole(description="One higher than that of the reminder before.")
    day = calendar_day(description="The day it was written.")
    due = calendar_day(description="The day the invoice was due.")
    days_late = whole(description="How many days the invoice was overdue on that day.")
    open = amount_of_money(description="What was open on that day.")
    fee = amount_of_money()
    interest = amount_of_money()
    owed = amount_of_money(description="What was open, the fee and the interest.")
    currency = words()
    charge_id = own_id("invoice", none=True, description="The document of fee and interest.")
    charge = words(none=True, description="The number of that document.")
    charge_due = calendar_day(none=True, description="The day that document is due.")
    clauses = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "The clauses of the rules that charged."},
    )
    notice = state_of(
        NoticeState,
        none=True,
        description="What became of the notice to the payer; null where none was written.",
    )
    message_id = own_id("message", none=True, description="The message that brings the notice.")
    rules = whole(description="The version of the rules it was written by.")
    created = moment()


@bp.route("/reminders")
@lists(REMINDER_TABLE)
@answers(list_schema(REMINDER_TABLE))
@require(Permission.VIEW_INVOICES)
def list_reminders() -> Response:
    """List reminders."""
    return answer_list(REMINDER_TABLE)


@bp.route("/reminders/<api_id(reminder):reminder_id>")
@answers(ReminderSchema, refuses=(404,))
@require(Permission.VIEW_INVOICES)
def show_reminder(reminder_id: UUID) -> Response:
    """Show a reminder."""
    return answer(shown_reminder(get_reminder(reminder_id)))


def shown_reminder(reminder: ReminderRow) -> dict[str, Any]:
    """Write a reminder."""
    return {
        "object": "reminder",
        "id": shown_id("reminder", reminder.id),
        "invoice_id": shown_id("invoice", reminder.invoice_id),
        "invoice": reminder.invoice_number,
        "payer_id": shown_id("payer", reminder.payer_id),
        "payer": reminder.payer,
        "level": reminder.level,
        "day": reminder.reminded_on,
        "due": reminder.due_on,
        "days_late": reminder.days_late,
        "open": money(reminder.open_minor, reminder.currency),
        "fee": money(reminder.fee_minor, reminder.currency),
        "interest": money(reminder.interest_minor, reminder.currency),
        "owed": money(reminder.owed_minor, reminder.currency),
        "currency": reminder.currency,
        "charge_id": shown_id("invoice", reminder.charge_invoice_id),
        "charge": reminder.charge_number,
        "charge_due": reminder.charge_due_on,
        "clauses": reminder.clause_codes,
        "notice": reminder.notice,
        "message_id": shown_id("message", reminder.message_id),
        "rules": reminder.rule_set_version,
        "created": reminder.created_at,
    }
