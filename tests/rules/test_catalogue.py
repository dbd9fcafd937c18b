"""The catalogue: every clause documented, typed, and tested by name."""

import re
from pathlib import Path

import pytest

from rules import CATALOGUE, Clause
from rules.clauses import Between, ClauseKind, ParameterType, check_parameters, clause, say
from rules.types import Stage

MODULES = {"V": "validation", "C": "calculation", "P": "policies"}
TESTS = {
    letter: Path(__file__).with_name(f"test_{module}.py").read_text(encoding="utf-8")
    for letter, module in MODULES.items()
}
CLAUSES = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)


def test_the_catalogue_has_the_codes_that_agreements_use() -> None:
    expected = {f"V{number}" for number in range(101, 117)}
    expected |= {"C101", "C102", "C103", "C104", "C201", "C202", "C203"}
    expected |= {f"P{number}" for number in range(101, 107)}
    assert set(CATALOGUE) == expected


@CLAUSES
def test_every_clause_is_documented(entry: Clause) -> None:
    assert entry.stages
    assert entry.title[0].isupper()
    assert entry.sentence.endswith(".")
    assert len(entry.sentence) > 30
    assert entry.function.__module__ == f"rules.{MODULES[entry.code[0]]}"
    assert entry.function.__name__.startswith(entry.code.lower() + "_")


@CLAUSES
def test_every_clause_is_tested_by_name(entry: Clause) -> None:
    assert len(re.findall(rf"\b{entry.function.__name__}\b", TESTS[entry.code[0]])) >= 2


@CLAUSES
def test_every_parameter_is_in_the_sentence_and_the_sentence_names_no_other(entry: Clause) -> None:
    named = set(re.findall(r"\{(\w+)\}", entry.sentence))
    assert named == {parameter.name for parameter in entry.parameters}


@CLAUSES
def test_every_number_of_a_clause_has_limits(entry: Clause) -> None:
    for parameter in entry.parameters:
        if parameter.type in (
            ParameterType.WHOLE_NUMBER,
            ParameterType.WHOLE_NUMBERS,
            ParameterType.RATES,
        ):
            assert parameter.limits is not None, parameter.name
        assert (parameter.type is ParameterType.CHOICE) <= bool(parameter.choices)


def test_parameters_are_read_off_the_signature() -> None:
    parameters = {parameter.name: parameter for parameter in CATALOGUE["C104"].parameters}
    assert list(parameters) == ["days", "roll", "keeps_stated"], "holidays are provided"
    assert parameters["days"].is_required
    assert parameters["days"].limits == Between(0, 3660)
    assert parameters["roll"].choices == ("following", "preceding", "none")
    assert (parameters["roll"].default, parameters["keeps_stated"].default) == ("following", True)
    assert CATALOGUE["C104"].provided == {"holidays"}
    assert CATALOGUE["C201"].parameters[0].label == "Rate (1/100 %)"
    assert CATALOGUE["P102"].parameters[0].choices == ("credit_note", "payer_credit", "deposit")


@pytest.mark.parametrize(
    ("code", "given", "problem"),
    [
        ("V101", {}, "“minimum_minor” is missing"),
        ("V101", {"minimum_minor": "5"}, "must be a whole number"),
        ("V101", {"minimum_minor": True}, "must be a whole number"),
        ("V101", {"minimum_minor": 5.0}, "must be a whole number"),
        ("V101", {"minimum_minor": -1}, "must lie between 0 and 9000000000000000"),
        ("V101", {"minimum_minor": 5, "maximum": 7}, "no parameter “maximum”"),
        ("V104", {"holidays": []}, "no parameter “holidays”"),
        ("V108", {"currencies": "EUR"}, "must be a list"),
        ("V108", {"currencies": []}, "must be a list"),
        ("V108", {"currencies": ["EUR", "EUR"]}, "twice"),
        ("V108", {"currencies": ["EUR", 5]}, "must be a text"),
        ("V108", {"currencies": ["x" * 81]}, "must be a text"),
        ("C101", {"rates": {}}, "must be a table"),
        ("C101", {"rates": [1900]}, "must be a table"),
        ("C101", {"rates": {"S": 10_001}}, "must lie between 0 and 10000"),
        ("C101", {"rates": {"": 1900}}, "must be a text"),
        ("C103", {"mode": "banker"}, "must be one of half_up, half_even, down, up"),
        ("C104", {"days": 14, "keeps_stated": "no"}, "must be true or false"),
        ("P101", {"attempts_max": 3, "days_between": [0]}, "must lie between 1 and 60"),
        ("P102", {"source_order": ["gift"]}, "must be one of credit_note"),
    ],
)
def test_wrong_parameters_are_named(code: str, given: dict[str, object], problem: str) -> None:
    _, problems = check_parameters(CATALOGUE[code], given)
    assert len(problems) == 1
    assert problem in problems[0]


def test_right_parameters_are_completed_and_made_unchangeable() -> None:
    given = {"attempts_max": 3, "days_between": [3, 5]}
    values, problems = check_parameters(CATALOGUE["P101"], given)
    assert problems == []
    assert values == {
        "attempts_max": 3,
        "days_between": (3, 5),
        "on_business_days": True,
        "days_total_max": 60,
    }


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rate_bps", 75, "0.75 %"),
        ("rates", {"S": 1900, "Z": 0}, "S 19.00 %, Z 0.00 %"),
        ("days_between", (3, 5, 7), "3, 5 and 7"),
        ("days_between", (3,), "3"),
        ("payer_kinds", (), "all"),
        ("payer_kinds", ("public_body", "person"), "public body and person"),
        ("keeps_stated", False, "no"),
        ("mode", "half_even", "half even"),
    ],
)
def test_values_are_said_in_words(name: str, value: object, words: str) -> None:
    assert say(name, value) == words


def test_a_code_cannot_be_taken_twice_and_names_have_a_form() -> None:
    enter = clause(ClauseKind.CHECK, Stage.ISSUE)

    def v101_again() -> None:
        """Claim a code that is taken."""

    def late_fee() -> None:
        """Have no code."""

    def v998_typed_wrongly(*, weight: complex) -> None:
        """Have a parameter that no form can show."""

    before = dict(CATALOGUE)
    for function in (v101_again, late_fee, v998_typed_wrongly):
        with pytest.raises(TypeError):
            enter(function)
    assert before == CATALOGUE
