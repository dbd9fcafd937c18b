"""Issuing by tariffs: what is written of lines, taxes and postings, and what is left alone."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.db import acting_for
from portal.domain.batches import ItemOutcome
from portal.paths import RULE_SAMPLES
from portal.services.invoices import (
    NewInvoice,
    NewLine,
    assess_draft,
    draft_invoices,
    issue_invoices,
)
from portal.sql import fetch
from rules.definitions import load_definition
from tests import factories
from tests.factories import BUSINESS_ON, CLERK, NOW, make_payer, read_row
from tests.services.books import assert_books_hold

FIRST, LAST = date(2026, 2, 1), date(2026, 3, 2)  # thirty days


@pytest.fixture
def home(app: Flask) -> Iterator[UUID]:
    """Let the water utility be at home, with a second agreement where a test wants one."""
    organisation_id = factories.make_organisation("rivertown")
    factories.home.set(organisation_id)
    with acting_for(organisation_id):
        yield organisation_id


def _draft(quantity: str, **over: Any) -> UUID:
    lines = [
        NewLine("Water, m³", Decimal(quantity), Decimal("9.99"), "metered_water", "R"),
        NewLine("Green bin", Decimal(1), Decimal("33.33"), "waste", "S"),
    ]
    invoice = NewInvoice(
        make_payer().id, "GBP", lines, document_on=BUSINESS_ON, external_ref=f"W-{quantity}",
        period_from=FIRST, period_to=LAST,
    )  # fmt: skip
    (made,) = draft_invoices(
        invoices=[invoice._replace(**over)], on=BUSINESS_ON, actor=CLERK, now=NOW
    )
    return made


def _issue(*ids: UUID) -> list[Any]:
    return issue_invoices(invoice_ids=ids, business_on=BUSINESS_ON, actor=CLERK, now=NOW)


def _lines(invoice_id: UUID) -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for row in fetch(
            "SELECT position, description, quantity, unit_price, net_minor, revenue_code, tax_code"
            " FROM invoice_lines WHERE invoice_id = %s ORDER BY position",
            (invoice_id,),
        )
    ]


def test_a_metered_quantity_is_issued_by_tiers(home: UUID) -> None:
    """Price 50.55 m³: 12.50 + 56.25 + 25.32 = 94.07; with 33.33 and the base charge of 6.00 that is
    133.40; tax is 5 % of 94.07 = 4.70 and 20 % of 33.33 = 6.67."""
    made = _draft("50.55")
    before = _lines(made)
    promised = assess_draft(invoice_id=made, on=BUSINESS_ON).price
    assert _lines(made) == before, "looking writes nothing"

    (result,) = _issue(made)

    assert (result.outcome, result.amount_minor) == (ItemOutcome.DONE, 14_477)
    assert promised is not None
    assert promised.total_minor == 14_477
    assert _lines(made) == [
        (1, "Water, m³", Decimal("50.55"), Decimal("1.860930"), 9_407, "metered_water", "R"),
        (2, "Green bin", Decimal(1), Decimal("33.33"), 3_333, "waste", "S"),
        (3, "Base charge", Decimal(1), Decimal("6.00"), 600, "connections", "Z"),
    ]
    after = read_row("invoices", made)
    assert (after.net_minor, after.tax_minor, after.total_minor) == (13_340, 1_137, 14_477)
    taxes = fetch("SELECT tax_code, net_minor, tax_minor FROM invoice_taxes ORDER BY 1")
    assert [tuple(row) for row in taxes] == [("R", 9_407, 470), ("S", 3_333, 667), ("Z", 600, 0)]
    assert_books_hold()


def test_documents_with_and_without_tariffs_are_issued_together(home: UUID) -> None:
    metered, other = _draft("10"), _draft("1")
    plain = _draft("2", lines=[NewLine("Bin", Decimal(3), Decimal("1.11"), "waste", "S")])
    results = {each.item_id: each.amount_minor for each in _issue(metered, other, plain)}
    # 12.50 + 33.33 + 6.00 and 0.63 (0.625 up) + 6.67; 1.25 + 33.33 + 6.00 and 0.06 + 6.67.
    assert results == {metered: 5_913, other: 4_731, plain: 333 + 67}
    assert len(_lines(plain)) == 1
    assert_books_hold()


def test_what_a_clause_asks_for_is_looked_up(home: UUID) -> None:
    """Let the agreement ask for repeated bills, and for notice of a debit."""
    definition = load_definition((RULE_SAMPLES / "rivertown.toml").read_text("utf-8"))
    due = {"code": "C107", "parameters": {"business_days": 3}}
    definition["clause"] = [{"code": "V120"}, due, *definition["clause"]]
    factories.activate_rule_set(definition=definition, starts_on=date(2026, 1, 1))
    first = _draft("5")
    payer_id = read_row("invoices", first).payer_id
    factories.make_mandate(payer_id=payer_id, currency="GBP")
    again = _draft("5", payer_id=payer_id, external_ref="W-5b")
    other = _draft("5", payer_id=payer_id, external_ref="W-5c", period_to=date(2026, 3, 1))

    said = {each.item_id: each.code for each in _issue(first, again, other)}

    assert said == {first: "V120", again: "V120", other: None}
    # Three business days after the 18th of March, and not the thirty days of others.
    assert read_row("invoices", first).due_on == date(2026, 3, 23)
