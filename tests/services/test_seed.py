from collections import Counter
from datetime import date
from typing import Any

import sqlalchemy
from flask import Flask

from portal.app import create_app
from portal.config import Config
from portal.db import transaction
from portal.extensions import db
from portal.queries.checks import run_checks
from portal.services.seed import SeededOrganisation, seed_world
from portal.sql import fetch
from tests.factories import NOW
from tests.servers import address, clone_database

ON = date(2026, 3, 18)
COUNT = 120
# What was invented, without ids and instants.
INVENTED = (
    "SELECT external_ref, name, kind, email, country FROM payers ORDER BY external_ref",
    "SELECT reference, token, signed_on, currency FROM mandates ORDER BY reference",
    "SELECT p.external_ref, d.amount_minor, d.received_on, d.may_set_off FROM deposits d"
    " JOIN payers p ON p.id = d.payer_id ORDER BY p.external_ref",
    "SELECT i.external_ref, i.kind, i.state, i.currency, i.net_minor, i.document_on,"
    " i.purchase_order_ref, p.external_ref AS payer FROM invoices i JOIN payers p"
    " ON p.id = i.payer_id ORDER BY i.external_ref",
    "SELECT i.external_ref, l.position, l.description, l.quantity, l.unit_price, l.net_minor,"
    " l.revenue_code, l.tax_code FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id"
    " ORDER BY i.external_ref, l.position",
)


def seed(number: int) -> list[SeededOrganisation]:
    return seed_world(invoices_count=COUNT, seed=number, on=ON, now=NOW)


def invented(organisations: list[SeededOrganisation]) -> list[list[tuple[Any, ...]]]:
    found = []
    for organisation in organisations:
        with transaction(organisation.id):
            found += [[tuple(row) for row in fetch(statement)] for statement in INVENTED]
    return found


def world_of(servers: Config, number: int) -> list[list[tuple[Any, ...]]]:
    """Seed a database of its own and return what was invented."""
    with clone_database(servers) as url:
        mine = address(servers.required("database_url"), sqlalchemy.make_url(url).database)
        with create_app(servers.changed(database_url=mine, queue="seeded")).app_context():
            found = invented(seed(number))
            db.session.remove()
            db.engine.dispose()
        return found


def test_the_same_seed_invents_the_same_world_and_another_another(
    app: Flask, servers: Config
) -> None:
    first = invented(seed(7))

    assert world_of(servers, 7) == first
    assert world_of(servers, 8) != first


def test_a_seeded_world_is_believable_and_its_books_hold(app: Flask) -> None:
    organisations = seed(7)

    assert [each.drafts_count for each in organisations] == [COUNT / 2, COUNT / 2]
    for organisation in organisations:
        with transaction(organisation.id):
            invoices = fetch("SELECT kind, state, net_minor, document_on FROM invoices")
            kinds = Counter(row.kind for row in invoices)
            assert {row.state for row in invoices} == {"draft"}
            assert len(invoices) == COUNT / 2
            assert 0 < kinds["credit_note"] < kinds["invoice"]
            assert all(row.net_minor >= 0 and row.document_on <= ON for row in invoices)
            payers = fetch("SELECT DISTINCT email FROM payers")
            assert all(row.email.endswith("@example.org") for row in payers)
            assert not fetch("SELECT FROM deposits WHERE received_on > %s", (ON,))
            assert [result.check for result in run_checks() if result.rows] == []
