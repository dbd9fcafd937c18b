"""The form of a clause, made from its typed parameters."""

from collections.abc import Mapping
from typing import Any

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    FormField,
    HiddenField,
    RadioField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired, Length, Optional

from portal.web.rulesets._conditions import ConditionForm, fields_of_condition
from portal.web.rulesets._reading import STAGE_WORDS
from portal.web.rulesets._values import (
    LISTS,
    ValueUnreadable,
    describe_limits,
    read_value,
    unit_words,
    write_value,
)
from rules.clauses import Clause, ClauseKind, Parameter, ParameterType
from rules.compiling import Problem, bind_clause, condition_fields
from rules.types import Severity

VALUE_CHARACTERS_MAX = 20_000
SEVERITY_WORDS = {
    Severity.BLOCK: "Stop the document",
    Severity.WARN: "Warn",
    Severity.INFORM: "Only tell",
}


class ClauseForm:
    """The fields of one clause with what they hold, and the clause that they come to."""

    def __init__(
        self, clause: Clause, currency: str, *, entry: Mapping[str, Any] | None, hidden: Any
    ) -> None:
        """Make the form as it was sent, or filled with a clause, or with the catalogue's defaults.

        Shape: with `hidden` (fields that belong to one showing) it is new, without it was sent.
        """
        self.clause = clause
        self.currency = currency
        self.fields = condition_fields(clause)
        kind = type("ClauseFields", (FlaskForm,), _fields(clause))
        if hidden is None:
            self.form = kind()
        else:
            self.form = kind(formdata=None, data={**self._data(entry or {}), **hidden})
        if self.fields:
            self.form.when.form.offer(self.fields)

    @property
    def parameters(self) -> list[tuple[Any, str, str | None]]:
        """The fields of the parameters, each with its hint and what stands behind it."""
        return [
            (
                self.form[f"value_{each.name}"],
                describe_limits(each, self.currency),
                unit_words(each.unit, self.currency) if each.type not in LISTS else None,
            )
            for each in self.clause.parameters
        ]

    @property
    def stages(self) -> list[Any]:
        """The boxes of the stages, where there is a choice."""
        return [self.form[f"stage_{stage}"] for stage in _chosen_stages(self.clause)]

    def add_row(self) -> None:
        """Add an empty row to the condition."""
        rows = self.form.when.form.rows
        if len(rows) < (rows.max_entries or 0):
            rows.append_entry({})
            self.form.when.form.offer(self.fields)

    def read(self) -> dict[str, Any] | None:
        """Read the clause that was entered; None when something is wrong, said at its field."""
        is_valid = bool(self.form.validate_on_submit())
        entry: dict[str, Any] = {"code": self.clause.code}
        stages = [str(s) for s in _chosen_stages(self.clause) if self.form[f"stage_{s}"].data]
        if stages and len(stages) < len(self.clause.stages):
            entry["stage"] = stages if len(stages) > 1 else stages[0]
        elif self.stages and not stages:
            self.stages[0].errors = ["Choose at least one moment."]
            is_valid = False
        if "severity" in self.form and self.form.severity.data != self.clause.severity.value:
            entry["severity"] = self.form.severity.data
        values = {each.name: self._value(each) for each in self.clause.parameters}
        parameters = {name: value for name, value in values.items() if value is not None}
        if parameters:
            entry["parameters"] = parameters
        if self.fields:
            when = self.form.when.form.read(self.fields, self.currency)
            entry |= {"when": when} if when is not None else {}
        note = " ".join((self.form.note.data or "").split())
        entry |= {"note": note} if note else {}
        if is_valid and not self.has_errors():
            self.place(bind_clause(entry)[1])
        return None if not is_valid or self.has_errors() else entry

    def has_errors(self) -> bool:
        """Whether something is said to be wrong anywhere in the form."""
        return bool(self.form.errors) or any(_list_errors(self.form))

    def place(self, problems: list[Problem] | tuple[Problem, ...]) -> None:
        """Say each problem at the field that it names, or above all of them."""
        for problem in problems:
            named = [each for each in self.clause.parameters if f"“{each.name}”" in problem.message]
            words = problem.message[:1].upper() + problem.message[1:]
            if named:
                field = self.form[f"value_{named[0].name}"]
                field.errors = [words.replace(f"“{named[0].name}”", f"“{field.label.text}”") + "."]
            else:
                self.form.form_errors = [*self.form.form_errors, f"{words}."]

    def _value(self, parameter: Parameter) -> Any:
        """Read one value; None where the default of the catalogue holds."""
        field = self.form[f"value_{parameter.name}"]
        if parameter.type is ParameterType.YES_NO:
            return field.data if field.data != parameter.default else None
        if not (field.data or "").strip():
            return None
        try:
            value = read_value(parameter, field.data, self.currency)
        except ValueUnreadable as refused:
            field.errors = [f"{refused}."]
            return None
        is_default = value == parameter.default or (
            isinstance(value, list) and tuple(value) == parameter.default
        )
        return None if is_default else value

    def _data(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        given = entry.get("stage", list(self.clause.stages))
        stages = given if isinstance(given, list) else [given]
        values = entry.get("parameters", {})
        data: dict[str, Any] = {f"stage_{stage}": stage in stages for stage in self.clause.stages}
        for each in self.clause.parameters:
            value = values.get(each.name, each.default)
            is_flag = each.type is ParameterType.YES_NO
            data[f"value_{each.name}"] = (
                bool(value) if is_flag else write_value(each, value, self.currency)
            )
        return {
            **data,
            "severity": str(entry.get("severity", self.clause.severity)),
            "note": entry.get("note", ""),
            "when": fields_of_condition(entry.get("when"), self.fields, self.currency),
        }


def _chosen_stages(clause: Clause) -> list[str]:
    return [str(stage) for stage in clause.stages] if len(clause.stages) > 1 else []


def _fields(clause: Clause) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "request_key": HiddenField(validators=[InputRequired()]),
        "seen": HiddenField(),
    }
    for each in clause.parameters:
        fields[f"value_{each.name}"] = _field(each)
    for stage in _chosen_stages(clause):
        fields[f"stage_{stage}"] = BooleanField(
            next(words for known, words in STAGE_WORDS.items() if known == stage)
        )
    if clause.kind is ClauseKind.CHECK:
        fields["severity"] = RadioField(
            "When it finds something",
            choices=[SelectChoice(one.value, words) for one, words in SEVERITY_WORDS.items()],
        )
    if condition_fields(clause):
        fields["when"] = FormField(ConditionForm)
    fields["note"] = StringField("Note", [Optional(), Length(max=200)])
    return fields


def _field(parameter: Parameter) -> Any:
    words = parameter.name
    for ending in ("_bps", "_minor", "_micro"):
        words = words.removesuffix(ending)
    label = words.replace("_", " ").capitalize()
    rules = [Length(max=VALUE_CHARACTERS_MAX)]
    rules.insert(
        0, InputRequired(f"{label}: enter a value.") if parameter.is_required else Optional()
    )
    if parameter.type is ParameterType.YES_NO:
        return BooleanField(label)
    if parameter.type is ParameterType.CHOICE:
        choices = [
            SelectChoice(one, one.replace("_", " ").capitalize()) for one in parameter.choices
        ]
        return SelectField(label, choices=choices)
    if parameter.type in LISTS:
        return TextAreaField(label, rules)
    return StringField(label, rules)


def _list_errors(fields: Any) -> list[Any]:
    """List what is wrong in fields, those in rows as well."""
    found: list[Any] = []
    for one in fields:
        if one.type == "FormField":
            found += _list_errors(one.form)
        elif one.type == "FieldList":
            found += [each for entry in one for each in _list_errors(entry.form)]
        else:
            found += one.errors
    return found
