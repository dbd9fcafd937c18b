"""What an issued document says is said for good; the amounts paid on it go on moving."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from portal.db import transaction
from portal.sql import execute, fetch_one
from tests.factories import Line, columns_of, make_draft_invoice, make_issued_invoice, read_row

CHANGES = {
    "currency": "'USD'",
    "due_on": "due_on + 1",
    "external_ref": "'another'",
    "issued_on": "issued_on + 1",
    "kind": "'charge'",
    "net_minor": "net_minor + 1, total_minor = total_minor + 1",
    "number": "number + 1",
    "payer_id": "gen_random_uuid()",
    "rule_set_version": "rule_set_version + 1",
    "series": "'X'",
    "tax_minor": "tax_minor + 1, total_minor = total_minor + 1",
    "year": "year + 1",
}


def refusing(organisation: UUID, statement: str, **parameters: object) -> str | None:
    """Run a statement and name the guard that refuses it."""
    with pytest.raises(psycopg.errors.IntegrityError) as refused, transaction(organisation):
        execute(statement, parameters)
    return refused.value.diag.constraint_name


def test_an_issued_document_is_immutable(organisation: UUID, subtests: pytest.Subtests) -> None:
    invoice = make_issued_invoice()

    for column, value in CHANGES.items():
        with subtests.test(column):
            statement = f"UPDATE invoices SET {column} = {value} WHERE id = %(id)s"
            assert refusing(organisation, statement, id=invoice.id) == "issued_is_immutable"

    assert read_row("invoices", invoice.id) == invoice


def test_what_is_paid_of_an_issued_document_moves(organisation: UUID) -> None:
    invoice = make_issued_invoice()

    with transaction(organisation):
        execute("UPDATE invoices SET paid_minor = 100 WHERE id = %s", (invoice.id,))

    moved = read_row("invoices", invoice.id)
    assert (moved.open_minor, moved.payment_status) == (11_800, "partially_paid")


STATUSES: list[tuple[dict[str, int], str, int]] = [
    ({"version": 7}, "unpaid", 11_900),
    ({"in_payment_minor": 11_900}, "in_payment", 11_900),
    ({"paid_minor": 1}, "partially_paid", 11_899),
    ({"paid_minor": 1, "in_payment_minor": 5}, "in_payment", 11_899),
    ({"paid_minor": 10_000, "credited_minor": 1_900}, "paid", 0),
    ({"written_off_minor": 11_900}, "paid", 0),
]


def test_the_payment_status_follows_from_the_amounts(
    organisation: UUID, subtests: pytest.Subtests
) -> None:
    invoice = make_issued_invoice()

    for amounts, status, open_minor in STATUSES:
        with subtests.test(status, **amounts), transaction(organisation) as session:
            settings = ", ".join(f"{column} = {amount}" for column, amount in amounts.items())
            moved = fetch_one(
                f"UPDATE invoices SET {settings} WHERE id = %s"
                " RETURNING payment_status, open_minor",
                (invoice.id,),
            )
            session.rollback()
            assert moved == (status, open_minor)


LINES_CHANGED = {
    "changed": "UPDATE invoice_lines SET net_minor = net_minor + 1 WHERE invoice_id = %(id)s",
    "removed": "DELETE FROM invoice_lines WHERE invoice_id = %(id)s",
    "added": (
        "INSERT INTO invoice_lines (organisation_id, invoice_id, position, description, quantity,"
        " unit_price, net_minor, revenue_code, tax_code) SELECT organisation_id, invoice_id, 77,"
        " description, quantity, unit_price, net_minor, revenue_code, tax_code FROM invoice_lines"
        " WHERE invoice_id = %(id)s"
    ),
}


def test_the_lines_of_an_issued_document_are_immutable(
    organisation: UUID, subtests: pytest.Subtests
) -> None:
    invoice = make_issued_invoice()

    for change, statement in LINES_CHANGED.items():
        with subtests.test(change):
            assert refusing(organisation, statement, id=invoice.id) == "issued_lines"


def test_a_draft_changes_with_its_lines(organisation: UUID) -> None:
    draft = make_draft_invoice(lines=(Line(100), Line(200)))

    with transaction(organisation):
        execute("DELETE FROM invoice_lines WHERE invoice_id = %s AND position = 2", (draft.id,))
        execute("UPDATE invoices SET net_minor = 100, total_minor = 100 WHERE id = %s", (draft.id,))

    assert columns_of(read_row("invoices", draft.id))["total_minor"] == 100
