"""Errors: the message is the docstring, the code is stable, and each belongs to a family."""

import pickle

import pytest

from portal.domain.errors import (
    FAMILIES,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PortalError,
    Unavailable,
    family_of,
    snake_case,
)


class InvoiceNotOpen(Conflict):
    """The invoice {number} is not open,
    so nothing was changed.

    This paragraph is for engineers only.
    """

    number: str


class HTTPAnswerLate(Unavailable):
    """The gateway {gateway!s:.4} answered late."""

    code = "answer_late"


def test_the_message_is_the_first_paragraph_filled_in() -> None:
    error = InvoiceNotOpen(number="2026-0007")
    assert error.message == "The invoice 2026-0007 is not open, so nothing was changed."
    assert str(error) == error.message
    assert error.number == "2026-0007"
    assert error.attributes == {"number": "2026-0007"}


def test_the_code_is_the_name_in_snake_case_unless_declared() -> None:
    assert InvoiceNotOpen.code == "invoice_not_open"
    assert HTTPAnswerLate.code == "answer_late"
    assert HTTPAnswerLate(gateway="sandbox").message == "The gateway sand answered late."


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("NotFound", "not_found"),
        ("HTTPAnswerLate", "http_answer_late"),
        ("IBANWrong", "iban_wrong"),
        ("Base64Broken", "base64_broken"),
    ],
)
def test_names_become_codes(name: str, code: str) -> None:
    assert snake_case(name) == code


def test_a_missing_attribute_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match=r"missing attribute.*number"):
        InvoiceNotOpen()


@pytest.mark.parametrize("name", ["code", "message", "args", "template"])
def test_an_attribute_cannot_hide_the_error_itself(name: str) -> None:
    with pytest.raises(TypeError, match="reserved"):
        InvoiceNotOpen(number="1", **{name: "x"})


def test_braces_in_an_attribute_are_not_filled_in_again() -> None:
    assert "{number}" in InvoiceNotOpen(number="{number}").message


def test_an_error_survives_the_way_between_processes() -> None:
    again = pickle.loads(pickle.dumps(InvoiceNotOpen(number="7")))
    assert (type(again), again.message, again.number) == (
        InvoiceNotOpen,
        "The invoice 7 is not open, so nothing was changed.",
        "7",
    )


def test_each_family_has_a_message_of_its_own() -> None:
    raised = [
        NotFound(thing="invoice"),
        Invalid(reason="the amount is missing", field="amount"),
        Conflict(reason="someone else changed it"),
        Forbidden(action="void invoices"),
        Unavailable(service="The gateway", retry_after_seconds=30),
    ]
    assert tuple(family_of(error) for error in raised) == FAMILIES
    assert len({error.message for error in raised}) == len(FAMILIES)
    assert (raised[1].field, raised[4].retry_after_seconds) == ("amount", 30)  # type: ignore[attr-defined]
    assert Invalid(reason="x").field is None


def test_a_concrete_error_belongs_to_its_family_and_a_bare_one_to_none() -> None:
    assert family_of(InvoiceNotOpen) is Conflict
    with pytest.raises(TypeError):
        family_of(PortalError())
