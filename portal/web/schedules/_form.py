"""The form of a schedule: the usual rules as choices, and any other as it is written."""

import re
from datetime import time
from typing import Any, NamedTuple

from flask_wtf import FlaskForm
from wtforms import HiddenField, IntegerField, RadioField, SelectChoice, SelectField, StringField
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, ValidationError

from portal.domain.batches import list_startable_jobs
from portal.domain.schedules import Misfire, OnHoliday
from portal.ids import parse_public_id, public_id
from portal.queries.schedules import ScheduleRow
from portal.queries.sequences import list_sequences
from portal.services.schedules import ScheduleWish

NAME_CHARACTERS_MAX = 80
RULE_CHARACTERS_MAX = 200
WORKING_DAY, WEEKLY, MONTHLY, MONTH_END, OWN = (
    "working_day",
    "weekly",
    "monthly",
    "month_end",
    "own",
)
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"

_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::00)?")
_SINGLE = r"(?P<minute>[0-9]{1,2}) (?P<hour>[0-9]{1,2})"
_SHAPES = {
    WORKING_DAY: re.compile(rf"{_SINGLE} \* \* 1-5"),
    WEEKLY: re.compile(rf"{_SINGLE} \* \* (?P<weekday>[1-7])"),
    MONTHLY: re.compile(rf"{_SINGLE} (?P<day>[0-9]{{1,2}}) \* \*"),
    MONTH_END: re.compile(rf"{_SINGLE} LW \* \*"),
}


class ChosenRule(NamedTuple):
    """A rule as the choices of the form say it."""

    when: str
    at: str = "06:30"
    weekday: str = "1"
    day: int = 1
    rule: str = ""


def list_choices() -> list[SelectChoice]:
    """List the jobs, and the sequences by their ids."""
    return [
        *(SelectChoice(job.name, job.title) for job in list_startable_jobs()),
        *(
            SelectChoice(public_id("sequence", row.id), f"Sequence: {row.name}")
            for row in list_sequences()
        ),
    ]


class ScheduleForm(FlaskForm):  # type: ignore[misc]  # it carries no types
    """What a schedule is to be; kept in the address while it is only looked at."""

    version = HiddenField()
    request_key = HiddenField()
    name = StringField(
        "Name",
        [
            DataRequired("Give the schedule a name."),
            Length(max=NAME_CHARACTERS_MAX, message="Give it a name of at most 80 characters."),
        ],
    )
    job = SelectField("What is to be done", choices=list_choices)
    when = RadioField(
        "When",
        choices=[
            SelectChoice(WORKING_DAY, "Every working day"),
            SelectChoice(WEEKLY, "Every week"),
            SelectChoice(MONTHLY, "Every month"),
            SelectChoice(MONTH_END, "On the last working day of the month"),
            SelectChoice(OWN, "By a rule of its own"),
        ],
        default=WORKING_DAY,
    )
    at = StringField("Time", [InputRequired("Enter a time of the day.")], default="06:30")
    weekday = SelectField(
        "Day of the week",
        choices=[
            SelectChoice(str(number), name) for number, name in enumerate(WEEKDAYS.split(), start=1)
        ],
    )
    day = IntegerField(
        "Day of the month",
        [
            InputRequired("Enter a day of the month, 1 to 31."),
            NumberRange(1, 31, "Enter a day of the month, 1 to 31."),
        ],
        default=1,
    )
    rule = StringField("Rule", [Length(max=RULE_CHARACTERS_MAX)])
    on_holiday = RadioField(
        "When banks do not work on that day",
        choices=[SelectChoice(one.value, one.label) for one in OnHoliday],
        default=OnHoliday.SKIP.value,
    )
    misfire = RadioField(
        "When due times have passed and nothing ran",
        choices=[SelectChoice(one.value, one.label) for one in Misfire],
        default=Misfire.ONCE.value,
    )

    def validate_at(self, field: Any) -> None:
        """Ask for a time where one is needed."""
        if self.when.data != OWN and _TIME.fullmatch(field.data or "") is None:
            raise ValidationError("Enter a time of the day, such as 06:30.")

    def wish(self) -> ScheduleWish:
        """Return what was chosen; the form is valid."""
        sequence_id = parse_public_id("sequence", self.job.data)
        return ScheduleWish(
            self.name.data or "",
            None if sequence_id else self.job.data,
            write_rule(
                ChosenRule(
                    self.when.data, self.at.data, self.weekday.data, self.day.data,
                    self.rule.data or "",
                )
            ),
            OnHoliday(self.on_holiday.data),
            Misfire(self.misfire.data),
            sequence_id,
        )  # fmt: skip


def fields_of(row: ScheduleRow) -> dict[str, Any]:
    """Return a schedule as the form begins with it."""
    return {
        "name": row.name,
        "job": public_id("sequence", row.sequence_id) if row.sequence_id else row.job,
        "on_holiday": row.on_holiday.value,
        "misfire": row.misfire.value,
        "version": str(row.version),
        **read_rule(row.rule)._asdict(),
    }


def write_rule(chosen: ChosenRule) -> str:
    """Write the choices of the form as a rule."""
    if chosen.when == OWN:
        return chosen.rule
    found = _TIME.fullmatch(chosen.at)
    assert found is not None, "the form was not checked"
    at = f"{int(found[2])} {int(found[1])}"
    return {
        WORKING_DAY: f"{at} * * 1-5",
        WEEKLY: f"{at} * * {chosen.weekday}",
        MONTHLY: f"{at} {chosen.day} * *",
        MONTH_END: f"{at} LW * *",
    }[chosen.when]


def read_rule(rule: str) -> ChosenRule:
    """Find the choices of the form that a rule can be said by."""
    for when, shape in _SHAPES.items():
        found = shape.fullmatch(rule)
        if found is None:
            continue
        parts = found.groupdict()
        at = time(int(parts["hour"]), int(parts["minute"]))
        return ChosenRule(
            when, f"{at:%H:%M}", parts.get("weekday") or "1", int(parts.get("day") or 1)
        )
    return ChosenRule(OWN, rule=rule)
