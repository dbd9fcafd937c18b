"""The condition of a clause as people write it: rows of a field, a word and a value, or a line."""

from collections.abc import Mapping
from typing import Any, Final

from wtforms import FieldList, Form, FormField, RadioField, SelectChoice, SelectField, StringField
from wtforms.validators import Length, Optional

from portal.domain.money import NumberMalformed
from portal.web.rulesets._values import ValueUnreadable, read_number, write_number
from rules.clauses import Unit
from rules.condition_texts import (
    CONDITION_CHARACTERS_MAX,
    ConditionTextInvalid,
    parse_condition_text,
    write_condition_text,
)
from rules.conditions import (
    OPS,
    Compare,
    Condition,
    ConditionInvalid,
    Field,
    Group,
    Not,
    dump_condition,
    parse_condition,
)

ALWAYS, ROWS, TEXT = "always", "rows", "text"
ROWS_MAX: Final = 12
# The words between a field and its value, in the order in which they are offered.
WORDS: Final = {
    "eq": "is",
    "not eq": "is not",
    "in": "is one of",
    "not in": "is none of",
    "lt": "is below or before",
    "le": "is at most",
    "gt": "is above or after",
    "ge": "is at least",
    "starts_with": "starts with",
    "not starts_with": "does not start with",
    "present": "is given",
    "not present": "is missing",
    "ne": "is given, but not",
}
_YES: Final = {"yes": True, "no": False, "true": True, "false": False}


class RowForm(Form):  # type: ignore[misc]  # it carries no types
    """One comparison; a row without a field is none."""

    field = SelectField("Field", validate_choice=False)
    op = SelectField("Comparison", choices=[SelectChoice(op, words) for op, words in WORDS.items()])
    value = StringField("Value", [Optional(), Length(max=1000)])


class ConditionForm(Form):  # type: ignore[misc]  # it carries no types
    """When a clause applies."""

    way = RadioField(
        "It applies",
        choices=[
            SelectChoice(ALWAYS, "Always"),
            SelectChoice(ROWS, "When what the rows say holds"),
            SelectChoice(TEXT, "When the line of text holds"),
        ],
        default=ALWAYS,
    )
    word = RadioField(
        "Of the rows",
        choices=[SelectChoice("all", "All must hold"), SelectChoice("any", "One is enough")],
        default="all",
    )
    rows = FieldList(FormField(RowForm), min_entries=1, max_entries=ROWS_MAX)
    text = StringField("Line of text", [Optional(), Length(max=CONDITION_CHARACTERS_MAX)])

    def offer(self, fields: Mapping[str, Field]) -> None:
        """Offer the fields that there are."""
        for row in self.rows:
            row.form.field.choices = [
                SelectChoice("", "–"),
                *(SelectChoice(name, label_of(field)) for name, field in fields.items()),
            ]

    def read(self, fields: Mapping[str, Field], currency: str) -> dict[str, Any] | None:
        """Read what was entered; what is wrong is said at its field.

        Shape: the condition as data; none when it applies always or is wrong.
        """
        if self.way.data == ALWAYS:
            return None
        if self.way.data == TEXT:
            return self._read_text(fields)
        parts = [_read_row(row.form, fields, currency) for row in self.rows if row.form.field.data]
        if not parts:
            self.way.errors = ["Choose a field in a row, or let the clause apply always."]
        found = [part for part in parts if part is not None]
        if len(found) < len(parts) or not found:
            return None
        return found[0] if len(found) == 1 else {self.word.data: found}

    def _read_text(self, fields: Mapping[str, Field]) -> dict[str, Any] | None:
        try:
            return dump_condition(parse_condition_text(self.text.data or "", fields))
        except ConditionTextInvalid as invalid:
            self.text.errors = [f"At character {invalid.position}: {invalid.reason}."]
            return None


def label_of(field: Field) -> str:
    """Return the name of a field as people read it."""
    return field.label[:1].upper() + field.label[1:]


def fields_of_condition(
    when: Mapping[str, Any] | None, fields: Mapping[str, Field], currency: str
) -> dict[str, Any]:
    """Return a condition as the form begins with it: as rows where rows can say it."""
    if when is None:
        return {"way": ALWAYS, "rows": [{}]}
    try:
        condition = parse_condition(when, fields)
    except ConditionInvalid:
        return {"way": TEXT, "rows": [{}], "text": ""}
    text = write_condition_text(condition)
    is_group = isinstance(condition, Group)
    parts = condition.parts if isinstance(condition, Group) else (condition,)
    rows = [_write_row(part, currency) for part in parts]
    if len(rows) > ROWS_MAX or None in rows:
        return {"way": TEXT, "rows": [{}], "text": text}
    word = condition.word if is_group and isinstance(condition, Group) else "all"
    return {"way": ROWS, "word": word, "rows": rows, "text": text}


def _write_row(part: Condition, currency: str) -> dict[str, str] | None:
    """Say a part as a row; None where a row cannot."""
    negation, compared = ("not ", part.part) if isinstance(part, Not) else ("", part)
    if not isinstance(compared, Compare) or f"{negation}{compared.op}" not in WORDS:
        return None
    value = compared.value
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    words = [_write_item(compared.field, item, currency) for item in values]
    if any(";" in word or word != word.strip() for word in words):
        return None
    return {
        "field": compared.field.name,
        "op": f"{negation}{compared.op}",
        "value": "; ".join(words),
    }


def _write_item(field: Field, value: Any, currency: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return write_number(value, _unit(field), currency) if field.type == "number" else str(value)


def _read_row(row: Any, fields: Mapping[str, Field], currency: str) -> dict[str, Any] | None:
    field = fields.get(row.field.data)
    if field is None:
        row.field.errors = ["Choose a field from the list."]
        return None
    op = (row.op.data or "").removeprefix("not ")
    if op not in OPS[field.type]:
        row.op.errors = [f"{label_of(field)} cannot be compared so; choose another comparison."]
        return None
    tree: dict[str, Any] = {"field": field.name, "op": op}
    try:
        if op == "in":
            items = [item.strip() for item in (row.value.data or "").split(";") if item.strip()]
            tree["value"] = [_read_item(field, item, currency) for item in items]
        elif op != "present":
            tree["value"] = _read_item(field, (row.value.data or "").strip(), currency)
        parse_condition(tree, fields)
    except (ConditionInvalid, NumberMalformed, ValueUnreadable) as refused:
        reason = refused.reason if isinstance(refused, ConditionInvalid) else str(refused)
        row.value.errors = [f"{reason[:1].upper()}{reason[1:]}."]
        return None
    return {"not": tree} if row.op.data.startswith("not ") else tree


def _read_item(field: Field, text: str, currency: str) -> Any:
    if field.type == "number":
        return read_number(text, _unit(field), currency)
    if field.type == "flag":
        if text.lower() not in _YES:
            raise ValueUnreadable("write yes or no")
        return _YES[text.lower()]
    return text


def _unit(field: Field) -> Unit | None:
    return Unit.MINOR if field.name.endswith("_minor") else None
