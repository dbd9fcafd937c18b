"""One condition, three faces: Python and SQL agree about every invoice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings

from portal.db import transaction
from portal.queries.conditions import INVOICE_COLUMNS, condition_sql
from portal.sql import fetch_plain, stage_rows
from rules.conditions import INVOICE_FIELDS, compile_condition, parse_condition
from rules.types import InvoiceFacts
from tests.factories import BUSINESS_ON, make_issued_invoice
from tests.rules.condition_trees import DAYS, NUMBERS, TEXTS, TREES

INVOICES = 10_000
TREES_TRIED = 60
INVOICE_TYPES = {
    "n": "int", "kind": "text", "currency": "text", "external_ref": "text",
    "purchase_order_ref": "text", "document_on": "date", "total_minor": "bigint",
    "open_minor": "bigint", "due_on": "date",
    "buyer_reference": "text", "cost_centre": "text", "payment_ref": "text",
    "period_from": "date", "period_to": "date",
}  # fmt: skip
PAYER_TYPES = {
    "n": "int",
    "kind": "text",
    "external_ref": "text",
    "is_default": "bool",
    "vat_id": "text",
}


def make_facts(count: int) -> list[InvoiceFacts]:
    chance = Random(7)
    maybe = [*TEXTS, None, None]
    days = [*DAYS, None]
    return [
        InvoiceFacts(
            invoice_id=str(place),
            kind=chance.choice(TEXTS),
            currency=chance.choice(TEXTS),
            payer_kind=chance.choice(maybe),
            payer_ref=chance.choice(maybe),
            has_default_payer=chance.random() < 0.5,
            external_ref=chance.choice(maybe),
            purchase_order_ref=chance.choice(maybe),
            document_on=chance.choice(days),
            business_date=BUSINESS_ON,
            is_duplicate=False,
            lines=(),
            total_minor=chance.choice(NUMBERS),
            open_minor=chance.choice(NUMBERS),
            due_on=chance.choice(days),
            buyer_reference=chance.choice(maybe),
            cost_centre=chance.choice(maybe),
            payment_ref=chance.choice(maybe),
            period_from=chance.choice(days),
            period_to=chance.choice(days),
            payer_vat_id=chance.choice(maybe),
        )
        for place in range(count)
    ]


FACTS = make_facts(INVOICES)


@pytest.fixture
def staged(organisation: UUID) -> Iterator[None]:
    with transaction(organisation):
        stage_rows(
            "staged_invoices",
            INVOICE_TYPES,
            (
                (n, one.kind, one.currency, one.external_ref, one.purchase_order_ref,
                 one.document_on, one.total_minor, one.open_minor, one.due_on,
                 one.buyer_reference, one.cost_centre, one.payment_ref, one.period_from,
                 one.period_to)
                for n, one in enumerate(FACTS)
            ),
        )  # fmt: skip
        stage_rows(
            "staged_payers",
            PAYER_TYPES,
            (
                (n, one.payer_kind, one.payer_ref, one.has_default_payer, one.payer_vat_id)
                for n, one in enumerate(FACTS)
            ),
        )
        yield


@settings(
    max_examples=TREES_TRIED,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tree=TREES)
def test_python_and_sql_agree_on_random_invoices(staged: None, tree: dict[str, Any]) -> None:
    condition = parse_condition(tree, INVOICE_FIELDS)
    expression, parameters = condition_sql(condition, on=BUSINESS_ON)
    found = fetch_plain(
        "SELECT i.n FROM pg_temp.staged_invoices i JOIN pg_temp.staged_payers p USING (n)"
        f" WHERE {expression}",
        parameters,
    )
    holds = compile_condition(condition)
    assert {row[0] for row in found} == {n for n, one in enumerate(FACTS) if holds(one)}


def test_every_fact_has_its_column(organisation: UUID) -> None:
    assert set(INVOICE_COLUMNS) == set(INVOICE_FIELDS)
    invoice = make_issued_invoice()
    values = {"text": "invoice", "number": 11_900, "day": "2026-03-18", "flag": False}
    for field in INVOICE_FIELDS.values():
        tree = {"field": field.name, "op": "eq", "value": values[field.type]}
        expression, parameters = condition_sql(
            parse_condition(tree, INVOICE_FIELDS), on=BUSINESS_ON
        )
        with transaction(organisation):
            rows = fetch_plain(
                "SELECT i.id FROM invoices i JOIN payers p ON p.id = i.payer_id"
                f" WHERE {expression}",
                parameters,
            )
        if field.name in {"kind", "total_minor", "business_date", "is_duplicate"}:
            assert rows == [(invoice.id,)], field.name


def test_a_condition_cannot_leave_its_place() -> None:
    text = "'; DROP TABLE invoices; --"
    tree = {"field": "payer_ref", "op": "in", "value": [text]}
    expression, parameters = condition_sql(
        parse_condition(tree, INVOICE_FIELDS), on=date(2026, 3, 18)
    )
    assert text not in expression
    assert [text] in parameters.values()
