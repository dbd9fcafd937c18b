"""A real ledger imported whole: 541,909 lines, of which nothing may be lost or invented."""

from __future__ import annotations

import resource
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask

from portal.db import acting_for
from portal.paths import MAPPING_SAMPLES, RULE_SAMPLES
from portal.queries.organisations import get_organisation
from portal.services.files import import_file, load_mapping
from portal.sql import fetch, fetch_one
from rules.ruleset import load_definition
from tests.factories import CLERK, NOW, make_organisation

LEDGER = "invoice-ledger/online_retail.csv.gz"
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.timeout(600)
def test_the_retail_ledger_adds_up_to_the_published_totals(app: Flask, tmp_path: Path) -> None:
    path = SHARED / LEDGER
    if not path.is_file():
        pytest.skip("the shared sample data is not beside this checkout")
    organisation_id = make_organisation(
        "rivertown",
        code="retail",
        rule_definition=load_definition((RULE_SAMPLES / "retail.toml").read_text("utf-8")),
    )
    with acting_for(organisation_id):
        organisation = get_organisation(organisation_id)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = import_file(
        path=path,
        mapping=load_mapping(MAPPING_SAMPLES / "online_retail.toml", kind="invoices"),
        organisation=organisation,
        actor=CLERK,
        now=NOW,
        business_on=date(2026, 3, 18),
        result_path=tmp_path / "refused.csv",
    )
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    assert grown_kb < 250 * 1024

    # Source: the catalogue of the sample data, and the sums of its own columns.
    assert report.detected["encoding"] == "utf-8"
    assert (report.lines_count, report.documents_count) == (541_909, 25_900)
    assert report.imported == {"credit_note": 3_838, "invoice": 19_960}
    assert report.reasons == {"nothing_to_bill": 2_102}
    assert sum(report.lines.values()) == 541_909
    amounts = {name: Decimal(amount) for name, amount in report.amounts.items()}
    assert amounts["source"] == amounts["imported"] + amounts["refused"] == Decimal("9747747.934")
    assert amounts["refused"] == 0
    assert amounts["imported_rounded"] - amounts["imported"] == amounts["rounding_difference"]

    with (tmp_path / "refused.csv").open(encoding="utf-8-sig") as opened:
        assert sum(1 for _ in opened) == 2_102 + 1
    with acting_for(organisation_id):
        check_books(report.lines["imported"], amounts["imported_rounded"])


def check_books(lines_count: int, rounded: Decimal) -> None:
    """Compare what stands in the database with the ledger, not with the import's own report."""
    signed = "CASE i.kind WHEN 'credit_note' THEN -1 ELSE 1 END"
    booked = fetch_one(
        "SELECT count(DISTINCT i.id) AS documents, count(*) AS lines,"
        f" sum({signed} * l.net_minor) AS net,"
        f" sum({signed} * l.quantity * l.unit_price) AS gross"
        " FROM invoices i JOIN invoice_lines l ON l.invoice_id = i.id WHERE i.state = 'draft'"
    )
    assert booked is not None
    assert booked.documents == 23_798
    assert booked.lines == lines_count
    assert booked.gross == Decimal("9747747.934")
    assert Decimal(booked.net).scaleb(-2) == rounded
    wrong = fetch(
        "SELECT i.id FROM invoices i JOIN invoice_lines l ON l.invoice_id = i.id"
        " GROUP BY i.organisation_id, i.id HAVING sum(l.net_minor) <> i.net_minor"
    )
    assert wrong == []
    cancelled = fetch_one(
        "SELECT count(*) AS documents FROM invoices"
        " WHERE kind = 'credit_note' AND external_ref LIKE 'C%'"
    )
    assert cancelled is not None
    assert cancelled.documents == 3_836
    payers = fetch("SELECT external_ref FROM payers WHERE is_default")
    assert [payer.external_ref for payer in payers] == ["no-customer"]
    assert fetch("SELECT FROM payers WHERE external_ref LIKE '%.0'") == []
    assert fetch("SELECT FROM staged_lines LIMIT 1") == []
