"""What values of the API look like: fields that read and check input, and describe answers."""

import re
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from portal.domain.errors import Invalid
from portal.domain.money import Money, parse_amount
from portal.ids import PREFIXES, parse_public_id, public_id

EXAMPLE_ID = UUID("0190a6e0-3c00-7000-8000-0123456789ab")
YEARS = (2000, 2100)
TEXT_MAX = 200

# Without blanks at its ends; written so that JSON Schema reads it as Python does.
_SEEN = r"[^\s\x00-\x1f\x7f-\x9f]"
TEXT_PATTERN = rf"^{_SEEN}([^\x00-\x1f\x7f-\x9f\u2028\u2029]*{_SEEN})?$"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DIGITS = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")


class Strict(Schema):
    """An object whose every member is known: others are refused, never ignored."""

    class Meta:
        """How the object is read."""

        unknown = RAISE


class PublicId(fields.String):
    """An id with its prefix outside, a UUID inside."""

    def __init__(self, noun: str, **options: Any) -> None:
        """Read ids of one noun."""
        self.noun = noun
        told = {
            "description": f"The id of {'an' if noun[0] in 'ai' else 'a'} {noun}.",
            "pattern": f"^{id_pattern(noun)}$",
            "example": public_id(noun, EXAMPLE_ID),
        }
        super().__init__(**{**options, "metadata": {**told, **options.get("metadata", {})}})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        text = str(super()._deserialize(value, attr, data, **options))
        if not re.fullmatch(id_pattern(self.noun), text):
            raise ValidationError(f"It is not the id of a {self.noun}.")
        return parse_public_id(self.noun, text)


class Text(fields.String):
    """A text of one line that a person could have written."""

    def __init__(self, *, longest: int = TEXT_MAX, shortest: int = 1, **options: Any) -> None:
        """Read texts of some length."""
        limits = validate.Length(min=shortest, max=longest)
        super().__init__(**options, validate=limits, metadata={"pattern": TEXT_PATTERN})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        text = str(super()._deserialize(value, attr, data, **options))
        if _CONTROL.search(text):
            raise ValidationError("It contains a control character or a line break.")
        if text != text.strip():
            raise ValidationError("It begins or ends with a blank.")
        return text


class Day(fields.Field[date]):
    """A calendar day, written as `2026-03-18`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> date:
        del attr, data, options
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            raise ValidationError("It is not a day such as 2026-03-18.")
        try:
            day = date.fromisoformat(value)
        except ValueError:
            raise ValidationError("There is no such day.") from None
        if not YEARS[0] <= day.year <= YEARS[1]:
            raise ValidationError(f"It is not within the years {YEARS[0]} to {YEARS[1]}.")
        return day


class Digits(fields.Integer):
    """A whole number of a parameter, in plain digits: no sign, blank or underscore."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if not isinstance(value, str) or not _DIGITS.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **options)


class Flag(fields.Boolean):
    """A yes or no, written as `true` or `false` alone."""

    def __init__(self, **options: Any) -> None:
        """Describe the two."""
        told = {"example": True}
        super().__init__(**{**options, "metadata": {**told, **options.get("metadata", {})}})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return bool(super()._deserialize(value, attr, data, **options))


class Amount(fields.String):
    """A decimal number as a text, so that nobody reads it as a float."""

    def __init__(self, **options: Any) -> None:
        """Describe the text."""
        told = {"pattern": r"^-?[0-9]{1,16}(\.[0-9]{1,4})?$", "example": "123.45"}
        super().__init__(**{**options, "metadata": {**told, **options.get("metadata", {})}})


class Number(fields.Field[Decimal]):
    """An exact number as a text, with up to six decimals."""

    def __init__(self, **options: Any) -> None:
        """Describe the text."""
        told = {"pattern": f"^{_NUMBER.pattern}$", "example": "12.5"}
        super().__init__(**{**options, "metadata": {**told, **options.get("metadata", {})}})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Decimal:
        del attr, data, options
        if not isinstance(value, str) or not _NUMBER.fullmatch(value):
            raise ValidationError('It is not a number as a text, such as "12.5".')
        return Decimal(value)


class MoneySchema(Strict):
    """An amount with its currency; all decimals of the currency are always written."""

    amount = Amount(required=True)
    currency = fields.String(
        required=True,
        validate=validate.Regexp(r"^[A-Z]{3}\Z", error="It is not a code of ISO 4217 such as EUR."),
        metadata={"pattern": "^[A-Z]{3}$", "example": "EUR"},
    )

    @post_load
    def make(self, found: dict[str, str], **_options: Any) -> Money:
        """Read the amount in its currency."""
        try:
            return Money(parse_amount(found["amount"], found["currency"]), found["currency"])
        except Invalid as error:
            place = "currency" if getattr(error, "currency", None) else "amount"
            raise ValidationError(error.message, place) from None


def id_pattern(noun: str) -> str:
    """Write the one spelling of ids of a noun as a pattern; the last letter has three bits."""
    return f"{PREFIXES[noun]}_[a-z2-7]{{25}}[aeimquy4]"


# What answers are made of: every member is always there, null where there is nothing to say.


def words(*, none: bool = False, **told: Any) -> fields.String:
    """Describe a text of an answer."""
    return fields.String(required=True, allow_none=none, metadata=told)


def whole(*, none: bool = False, **told: Any) -> fields.Integer:
    """Describe a whole number of an answer."""
    return fields.Integer(required=True, allow_none=none, strict=True, metadata=told)


def flag(**told: Any) -> fields.Boolean:
    """Describe a yes or no of an answer."""
    return fields.Boolean(required=True, metadata=told)


def one_of(*values: str, none: bool = False, **told: Any) -> fields.String:
    """Describe a text that is one of a few."""
    allowed: list[Any] = [*values, *([None] if none else [])]
    return fields.String(
        required=True, allow_none=none, validate=validate.OneOf(allowed), metadata=told
    )


def state_of(states: type[StrEnum], *, none: bool = False, **told: Any) -> fields.String:
    """Describe a state."""
    return one_of(*(one.value for one in states), none=none, **told)


def noun_name(name: str) -> fields.String:
    """Describe the member that says what an object is."""
    return one_of(name)


def own_id(noun: str, *, none: bool = False, **told: Any) -> PublicId:
    """Describe an id of an answer."""
    return PublicId(noun, required=True, allow_none=none, metadata=told)


def moment(*, none: bool = False, **told: Any) -> fields.String:
    """Describe an instant of an answer."""
    written = {"format": "date-time", "example": "2026-03-18T09:30:00Z"}
    return fields.String(required=True, allow_none=none, metadata={**written, **told})


def calendar_day(*, none: bool = False, **told: Any) -> fields.String:
    """Describe a day of an answer."""
    written = {"format": "date", "example": "2026-03-18"}
    return fields.String(required=True, allow_none=none, metadata={**written, **told})


def amount_of_money(*, none: bool = False, **told: Any) -> fields.Nested:
    """Describe an amount of an answer."""
    return fields.Nested(MoneySchema, required=True, allow_none=none, metadata=told)


def many(schema: type[Schema], **told: Any) -> fields.List[Any]:
    """Describe a list of objects of an answer."""
    return fields.List(fields.Nested(schema), required=True, metadata=told)


class FindingSchema(Strict):
    """One thing that is wrong with a request, and where."""

    pointer = fields.String(metadata={"description": "A JSON pointer into the body."})
    parameter = fields.String(metadata={"description": "The name of a parameter."})
    code = words()
    detail = words()


class ProblemSchema(Strict):
    """Problem details after RFC 9457."""

    type = words(description="An address that says what the code means and what to do.")
    title = words()
    status = whole()
    detail = words(description="What happened, what was not saved, and what to do.")
    instance = words()
    request_id = words(description="Tell it to the operator of the portal.")
    code = words(description="Stable; meant for programs.")
    errors = many(FindingSchema)
