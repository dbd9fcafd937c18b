"""A real ledger, from the file to proven books, through a whole portal of real processes.

By default a third of the way into the year; `WHOLE_LEDGER=1` plays all 541,909 lines.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Flask

from portal.app import create_app
from portal.cli.checks import prove
from portal.cli.demo import DEMO_SETTINGS
from portal.cli.scenario import (
    Scenario,
    ask_gateway,
    bring_bank_lines,
    run_everywhere,
    wait_until_settled,
)
from portal.cli.start import started_portal
from portal.config import Config
from portal.db import acting_for, transaction
from portal.domain.users import PORTAL
from portal.extensions import db
from portal.paths import MAPPING_SAMPLES, RULE_SAMPLES
from portal.queries.organisations import get_organisation
from portal.services.files import import_file, load_mapping
from portal.services.organisations import add_organisation
from portal.services.payers import NewMandate, add_mandates
from portal.services.seed import SeededOrganisation
from portal.sql import fetch, fetch_one
from rules.definitions import load_definition
from tests.factories import NOW

LEDGER = "invoice-ledger/online_retail.csv.gz"
CUT_LINES = 40_000
ISSUED_ON = date(2026, 3, 2)
COLLECTED_ON = ISSUED_ON + timedelta(days=31)
TRIED_AGAIN_ON = COLLECTED_ON + timedelta(days=10)


class Ledger(NamedTuple):
    """The file that is played, and what its own columns add up to."""

    path: Path
    lines: int
    documents: int
    amount: Decimal


@pytest.fixture
def ledger(shared_data: Path, tmp_path: Path) -> Ledger:
    source = shared_data / LEDGER
    wanted = None if os.environ.get("WHOLE_LEDGER") else CUT_LINES
    path = tmp_path / "ledger.csv"
    with (
        gzip.open(source, "rt", encoding="utf-8", newline="") as whole,
        path.open("w", encoding="utf-8", newline="") as cut,
    ):
        cut.writelines(islice(whole, None if wanted is None else wanted + 1))
    with path.open(encoding="utf-8", newline="") as cut:
        rows = list(csv.DictReader(cut))
    amount = sum(Decimal(row["Quantity"]) * Decimal(row["UnitPrice"]) for row in rows)
    return Ledger(path, len(rows), len({row["InvoiceNo"] for row in rows}), Decimal(amount))


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[Scenario]:
    config = Config.from_environment({}).changed(
        **DEMO_SETTINGS,
        port=0,
        sandbox_port=0,
        sandbox_faults="rough",
        messages_claim_max=500,
        state_folder=tmp_path / "state",
    )
    with started_portal(config, fresh=True, write=lambda _name, _line: None) as running:
        app: Flask = create_app(running.config)
        with app.app_context():
            organisation_id = add_organisation(
                code="retail",
                name="Retail Ledger",
                currency="GBP",
                zone="Europe/London",
                locale="en_GB",
                holiday_calendar="GB",
                rule_definition=load_definition(
                    (RULE_SAMPLES / "retail.toml").read_text(encoding="utf-8")
                ),
                actor=PORTAL,
                now=NOW,
            )
            retail = SeededOrganisation(organisation_id, "retail", "Retail Ledger", 0)
            yield Scenario(running.config, [retail], ISSUED_ON, lambda _line: None)
            db.session.remove()
            db.engine.dispose()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_real_ledger_is_billed_collected_and_proven(
    scenario: Scenario, ledger: Ledger, tmp_path: Path
) -> None:
    (retail,) = scenario.organisations
    seconds: dict[str, float] = {}

    def play(name: str, work: Callable[[], object]) -> Any:
        started = time.monotonic()
        result = work()
        seconds[name] = round(time.monotonic() - started, 1)
        return result

    report = play("import", lambda: _import(retail, ledger, tmp_path))
    assert (report.lines_count, report.documents_count) == (ledger.lines, ledger.documents)
    amounts = {name: Decimal(amount) for name, amount in report.amounts.items()}
    assert amounts["imported"] + amounts["refused"] == amounts["source"] == ledger.amount

    play("issue", lambda: run_everywhere(scenario, "invoice_issuing", ISSUED_ON))
    _give_mandates(retail)
    play("apply", lambda: run_everywhere(scenario, "deposit_matching", COLLECTED_ON))
    _assert_netted_before_collecting(retail)

    play("collect", lambda: _collect(scenario, "payment_collection", COLLECTED_ON))
    play("settle", lambda: _collect(scenario, "settlement_closing", COLLECTED_ON))
    bring_bank_lines(retail, COLLECTED_ON + timedelta(days=1))
    play("retry", lambda: _collect(scenario, "payment_retrying", TRIED_AGAIN_ON))
    play("settle again", lambda: _collect(scenario, "settlement_closing", TRIED_AGAIN_ON))

    proven = play("prove", lambda: prove(get_organisation(retail.id), with_gateway=True))
    assert [(each.check, each.rows) for each in proven.results if each.rows] == []
    assert proven.gateways == {"retail": ()}
    gateway = ask_gateway(scenario.config)
    assert gateway["charged_twice"] == 0
    figures = _figures(retail)
    assert figures["issued"] + figures["drafts"] == sum(report.imported.values())
    assert figures["unsettled_payments"] == 0
    # The figures of the run, for whoever asked to see them with -s.
    print(  # noqa: T201
        json.dumps(
            {
                "lines": ledger.lines,
                "documents": ledger.documents,
                "imported": report.imported,
                "refused": report.reasons,
                "amounts": report.amounts,
                "figures": figures,
                "gateway": gateway,
                "seconds": seconds,
            },
            default=str,
        )
    )


def _import(retail: SeededOrganisation, ledger: Ledger, folder: Path) -> Any:
    return import_file(
        path=ledger.path,
        mapping=load_mapping(MAPPING_SAMPLES / "online_retail.toml", kind="invoices"),
        organisation=get_organisation(retail.id),
        actor=PORTAL,
        now=NOW,
        business_on=ISSUED_ON,
        result_path=folder / "refused.csv",
    )


def _give_mandates(retail: SeededOrganisation) -> None:
    with transaction(retail.id):
        payers = fetch("SELECT external_ref FROM payers WHERE NOT is_default")
        add_mandates(
            (
                NewMandate(
                    payer_ref=payer.external_ref,
                    reference=f"M-{payer.external_ref}",
                    token=f"tok_{payer.external_ref}",
                    signed_on=ISSUED_ON,
                    currency="GBP",
                )
                for payer in payers
            ),
            actor=PORTAL,
            now=NOW,
        )


def _collect(scenario: Scenario, job: str, on: date) -> None:
    run_everywhere(scenario, job, on)
    wait_until_settled(scenario)


def _assert_netted_before_collecting(retail: SeededOrganisation) -> None:
    """No known payer has both a credit left and something open, and nothing was collected yet."""
    with acting_for(retail.id):
        row = fetch_one(
            "SELECT (SELECT count(*) FROM payments) AS payments, count(*) AS both FROM payers p"
            " WHERE NOT p.is_default AND EXISTS (SELECT FROM invoices c WHERE c.payer_id = p.id"
            " AND c.credit_left_minor > 0) AND EXISTS (SELECT FROM invoices i"
            " WHERE i.payer_id = p.id AND i.open_minor > 0)"
        )
    assert row is not None
    assert (row.payments, row.both) == (0, 0)


def _figures(retail: SeededOrganisation) -> dict[str, Any]:
    with acting_for(retail.id):
        row = fetch_one(
            "SELECT count(*) FILTER (WHERE i.state = 'issued') AS issued,"
            " count(*) FILTER (WHERE i.state = 'draft') AS drafts,"
            " count(*) FILTER (WHERE i.kind = 'credit_note' AND NOT p.is_default)"
            " AS credit_notes_with_customer,"
            " sum(total_minor) FILTER (WHERE i.kind = 'invoice')::bigint AS invoiced_minor,"
            " sum(total_minor) FILTER (WHERE i.kind = 'credit_note')::bigint AS credited_minor,"
            " sum(applied_minor)::bigint AS applied_minor, sum(paid_minor)::bigint AS paid_minor,"
            " sum(open_minor)::bigint AS open_minor,"
            " (SELECT count(*) FROM payments WHERE state = 'processing' AND worklist IS NULL)"
            " AS unsettled_payments, (SELECT count(*) FROM payments) AS payments,"
            " (SELECT count(*) FROM payment_attempts) AS attempts"
            " FROM invoices i JOIN payers p ON p.id = i.payer_id"
        )
    assert row is not None
    return dict(row._asdict())
