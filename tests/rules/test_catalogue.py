"""The catalogue: every clause documented, typed, and tested by name."""

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from rules import CATALOGUE, Clause
from rules.clauses import (
    Between,
    ClauseKind,
    ParameterType,
    Unit,
    check_parameters,
    clause,
    say,
)
from rules.types import Stage

MODULES = {"V": "validation", "C": "calculation", "P": "policies"}
TESTS = "".join(
    path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")
)
CLAUSES = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)


def test_the_catalogue_has_the_codes_that_agreements_use() -> None:
    expected = {f"V{number}" for number in range(101, 129)}
    expected |= {f"C{number}" for number in (*range(101, 112), *range(201, 205), *range(301, 308))}
    expected |= {f"P{number}" for number in range(101, 116)}
    assert set(CATALOGUE) == expected


@CLAUSES
def test_every_clause_is_documented(entry: Clause) -> None:
    assert entry.stages
    assert entry.title[0].isupper()
    assert entry.sentence.endswith(".")
    assert len(entry.sentence) > 30
    assert entry.function.__module__.startswith(f"rules.{MODULES[entry.code[0]]}")
    assert entry.function.__name__.startswith(entry.code.lower() + "_")


@CLAUSES
def test_every_clause_is_tested_by_name(entry: Clause) -> None:
    assert len(re.findall(rf"\b{entry.function.__name__}\b", TESTS)) >= 2


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
            assert parameter.unit is not None
        assert (parameter.type is ParameterType.CHOICE) <= bool(parameter.choices)


def test_parameters_are_read_off_the_signature() -> None:
    parameters = {parameter.name: parameter for parameter in CATALOGUE["C104"].parameters}
    assert list(parameters) == ["days", "roll", "keeps_stated"], "holidays are provided"
    assert parameters["days"].is_required
    assert parameters["days"].limits == Between(0, 3660, Unit.DAYS)
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
    ("value", "unit", "words"),
    [
        (75, Unit.BASIS_POINTS, "0.75 %"),
        ({"S": 1900, "Z": 0}, Unit.BASIS_POINTS, "S 19.00 %, Z 0.00 %"),
        ((3, 5, 7), Unit.DAYS, "3, 5 and 7 days"),
        ((3,), None, "3"),
        (1, Unit.DAYS, "1 day"),
        (0, Unit.BUSINESS_DAYS, "0 business days"),
        (500, Unit.MINOR, "500 minor units"),
        (1_234_500, Unit.PRICE, "1.234500"),
        ((1_000_000, 2_500_000), Unit.PRICE, "1.000000 and 2.500000"),
        (date(2026, 7, 1), None, "2026-07-01"),
        (("public_body", "person"), None, "public body and person"),
        (False, None, "no"),
        ("half_even", None, "half even"),
    ],
)
def test_values_are_said_in_words(value: object, unit: Unit | None, words: str) -> None:
    assert say(value, unit) == words


def test_an_empty_list_leaves_nothing_out() -> None:
    (kinds,) = CATALOGUE["V105"].parameters
    assert kinds.say(()) == "all"


@CLAUSES
def test_every_check_can_say_something(entry: Clause) -> None:
    assert bool(entry.findings) >= (entry.kind is ClauseKind.CHECK)
    assert all(" " in said and said[-1] != " " for said in entry.findings)


@pytest.mark.parametrize("code", ["C302", "C303"])
@pytest.mark.parametrize(
    ("up_to", "prices", "problem"),
    [
        ([10, 10], [1, 2, 3], "must rise"),
        ([20, 10], [1, 2, 3], "must rise"),
        ([10, 20], [1, 2], "one price more"),
        ([10], [1, 2, 3], "one price more"),
    ],
)
def test_tiers_must_agree(code: str, up_to: list[int], prices: list[int], problem: str) -> None:
    given = {"revenue_codes": ["water"], "up_to": up_to, "prices_micro": prices}
    _, (said,) = check_parameters(CATALOGUE[code], given)
    assert problem in said


@pytest.mark.parametrize(
    "given", ["1 July", "2026-02-30", 20260701, datetime(2026, 7, 1, tzinfo=UTC), True]
)
def test_a_day_is_a_day(given: object) -> None:
    values = {"tax_code": "S", "rate_bps": 1900, "from_on": given}
    _, (said,) = check_parameters(CATALOGUE["C108"], values)
    assert "must be a day" in said
    read, problems = check_parameters(CATALOGUE["C108"], {**values, "from_on": "2026-07-01"})
    assert (read["from_on"], problems) == (date(2026, 7, 1), [])


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
