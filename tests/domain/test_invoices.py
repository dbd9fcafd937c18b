"""The number of a document as people write it, and when an invoice may be voided."""

from __future__ import annotations

from typing import Any

import pytest

from portal.domain.invoices import (
    INVOICE_MOVES,
    DocumentNumber,
    InvoiceKind,
    InvoiceState,
    VoidFacts,
    find_void_refusal,
    format_document_number,
    parse_document_number,
)

UNTOUCHED = VoidFacts(InvoiceKind.INVOICE, InvoiceState.ISSUED, 0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (DocumentNumber("INV", 2026, 1), "INV-2026-000001"),
        (DocumentNumber("CN", 2026, 999_999), "CN-2026-999999"),
        (DocumentNumber("INV", 2026, 1_234_567), "INV-2026-1234567"),
    ],
)
def test_a_number_is_written_and_read_back(number: DocumentNumber, text: str) -> None:
    assert format_document_number(number) == text
    assert parse_document_number(text) == number


@pytest.mark.parametrize("text", [" inv-2026-123 ", "INV-2026-0000123", "Inv-2026-000123\n"])
def test_a_number_is_read_as_people_type_it(text: str) -> None:
    assert parse_document_number(text) == DocumentNumber("INV", 2026, 123)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "INV",
        "2026-000123",
        "INV-26-000123",
        "INV-2026-",
        "INV-2026--1",
        "INV-2026-١٢٣",
        "INV-2026-" + "1" * 19,
        "INV 2026 000123",
        "INV-2026-000123\0",
    ],
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert parse_document_number(text) is None


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"paid_minor": 1}, "paid"),
        ({"credited_minor": 1}, "credited"),
        ({"written_off_minor": 1}, "written off"),
        ({"in_payment_minor": 1}, "under way"),
        ({"live_count": 1, "paid_minor": 1}, "under way"),
        ({"scheduled_count": 1}, "planned"),
        ({"contradicted_count": 1, "scheduled_count": 1}, "two things"),
        ({"kind": InvoiceKind.CREDIT_NOTE}, "credit note"),
        *(
            ({"state": state}, "it")
            for state in InvoiceState
            if state not in INVOICE_MOVES.sources("void")
        ),
    ],
)
def test_an_invoice_is_not_voided_while_something_depends_on_it(
    over: dict[str, Any], words: str
) -> None:
    refusal = find_void_refusal(UNTOUCHED._replace(**over))

    assert refusal is not None
    assert words in refusal.reason
    assert refusal.advice


@pytest.mark.parametrize("kind", [InvoiceKind.INVOICE, InvoiceKind.CHARGE, InvoiceKind.CORRECTION])
def test_an_issued_invoice_that_nothing_depends_on_may_be_voided(kind: InvoiceKind) -> None:
    assert find_void_refusal(UNTOUCHED._replace(kind=kind)) is None


def test_moves_are_recorded_in_the_past_form() -> None:
    assert [INVOICE_MOVES.recorded(event) for event in INVOICE_MOVES.events] == [
        "invoice.submitted",
        "invoice.issued",
        "invoice.discarded",
        "invoice.sent_back",
        "invoice.voided",
    ]
