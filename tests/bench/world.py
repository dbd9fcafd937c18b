"""A database of its own for the benchmarks, and worlds of any size written by SQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from uuid import UUID

from flask import Flask
from sqlalchemy import create_engine, text

from portal.app import create_app
from portal.config import Config
from portal.db import transaction
from portal.domain.users import PORTAL
from portal.local import LocalServers
from portal.migrate import upgrade_database
from portal.paths import RULE_SAMPLES
from portal.services.organisations import add_organisation
from portal.sql import execute
from rules.definitions import load_definition

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ON = date(2026, 3, 2)
INVOICES_PER_PAYER = 10
ROWS_AT_ONCE = 20_000


@contextmanager
def bench_app(**settings: object) -> Iterator[tuple[Flask, Config]]:
    """Start servers of our own and yield an application on them."""
    config = Config.from_environment({}).changed(
        log_level="error", sandbox_url="http://127.0.0.1:9", **settings
    )
    with LocalServers(config, fresh=True) as filled:
        upgrade_database(filled.required("database_owner_url"))
        app = create_app(filled)
        with app.app_context():
            yield app, filled


def make_organisation(code: str) -> UUID:
    """Add an organisation with the harbour's agreement."""
    return add_organisation(
        code=code,
        name=code,
        currency="EUR",
        zone="Europe/Berlin",
        locale="de_DE",
        holiday_calendar="ECB",
        rule_definition=load_definition((RULE_SAMPLES / "harbour.toml").read_text()),
        actor=PORTAL,
        now=NOW,
    )


def make_drafts(organisation_id: UUID, count: int) -> None:
    """Write payers with mandates, and drafts of three lines each."""
    with transaction(organisation_id):
        execute(
            "INSERT INTO payers (organisation_id, id, external_ref, name, name_sort, kind)"
            " SELECT %s, uuidv7(), 'P' || n, 'Payer ' || n, 'payer ' || n, 'person'"
            " FROM generate_series(1, %s::int) n",
            (organisation_id, max(1, count // INVOICES_PER_PAYER)),
        )
        execute(
            "INSERT INTO mandates (organisation_id, id, payer_id, gateway_account_id, currency,"
            " reference, token, state, signed_on) SELECT p.organisation_id, uuidv7(), p.id, g.id,"
            " 'EUR', 'M' || p.number, 'tok_' || p.number, 'active', '2026-01-02'"
            " FROM payers p CROSS JOIN gateway_accounts g",
        )
    for first in range(0, count, ROWS_AT_ONCE):
        _make_drafts(organisation_id, first, min(ROWS_AT_ONCE, count - first))


def analyse(config: Config) -> None:
    """Give the planner its statistics, as the server does by itself after a while."""
    engine = create_engine(config.required("database_owner_url"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Not the empty tables: a vacuum would have the planner believe that they stay so.
        connection.execute(text("VACUUM ANALYZE payers, mandates, invoices, invoice_lines"))
    engine.dispose()


def _make_drafts(organisation_id: UUID, first: int, count: int) -> None:
    with transaction(organisation_id):
        execute(
            "WITH drafted AS (INSERT INTO invoices (organisation_id, id, currency, kind, state,"
            " payer_id, external_ref, document_on, net_minor, total_minor)"
            " SELECT %(o)s, uuidv7(), 'EUR', 'invoice', 'draft', p.id, 'X' || n, %(on)s,"
            " 6000 + n %% 977, 6000 + n %% 977"
            " FROM generate_series(%(first)s::int, %(last)s::int) n"
            " JOIN (SELECT id, row_number() OVER (ORDER BY id) AS place FROM payers) p"
            " ON p.place = 1 + n %% (SELECT count(*) FROM payers)"
            " RETURNING organisation_id, id, net_minor)"
            " INSERT INTO invoice_lines (organisation_id, invoice_id, position, description,"
            " quantity, unit_price, net_minor, revenue_code, tax_code)"
            " SELECT i.organisation_id, i.id, n, 'Line ' || n, 1, 20,"
            " CASE n WHEN 3 THEN i.net_minor - 4000 ELSE 2000 END,"
            " CASE n WHEN 1 THEN 'water' ELSE 'waste' END, CASE n WHEN 2 THEN 'R' ELSE 'S' END"
            " FROM drafted i CROSS JOIN generate_series(1, 3) n",
            {"o": organisation_id, "on": ON, "first": first + 1, "last": first + count},
        )
