"""`portal organisation` and `portal import` as people call them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from portal.cli import context, portal
from portal.db import acting_for
from portal.queries.organisations import find_organisation_by_code
from portal.sql import fetch

LEDGER = """document,date,payer,item,description,quantity,unit_price,tax_code,revenue_code
1,2026-03-01,p1,a,Apples,2,1.25,Z,goods
2,2026-03-01,p1,b,Bread,0,1.25,Z,goods
"""
PAYERS = "reference,name,kind,email,country\np1,Pear & Co,company,pear@example.com,GB\n"

Call = Callable[..., Result]


@pytest.fixture
def call(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command on the test's database and tell how it ended."""

    @contextmanager
    def open_app() -> Iterator[Flask]:
        yield app

    monkeypatch.setattr(context, "open_app", open_app)

    def call(*arguments: str | Path) -> Result:
        return CliRunner().invoke(portal, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def ledger(call: Call, tmp_path: Path) -> Path:
    """A small ledger of an organisation `shop` that knows its payer."""
    added = call(
        "organisation", "add", "--code", "shop", "--name", "The Shop", "--currency", "GBP",
        "--rules", "retail",
    )  # fmt: skip
    assert added.exit_code == 0
    payers = tmp_path / "payers.csv"
    payers.write_text(PAYERS)
    known = call("import", "payers", payers, "--organisation", "shop", "--mapping", "payers")
    assert (known.exit_code, "1 payer imported" in known.output) == (0, True)
    path = tmp_path / "ledger.csv"
    path.write_text(LEDGER)
    return path


def test_organisations_are_added_and_listed(call: Call, ledger: Path) -> None:
    shown = json.loads(call("organisation", "list", "--json").output)
    assert [(row["code"], row["currency"]) for row in shown] == [("shop", "GBP")]
    assert "The Shop" in call("organisation", "list").output


def test_unknown_rules_are_answered_with_the_samples(call: Call) -> None:
    ended = call(
        "organisation", "add", "--code", "shop", "--name", "Shop", "--currency", "GBP",
        "--rules", "nonsense",
    )  # fmt: skip
    assert ended.exit_code == 2
    assert "harbour, retail, rivertown" in ended.stderr


def test_an_import_says_what_it_found_took_and_refused(call: Call, ledger: Path) -> None:
    ended = call("import", "invoices", ledger, "--organisation", "shop", "--mapping", "invoices")
    assert ended.exit_code == 1
    assert "utf-8, comma between the columns; 2 lines in 2 documents." in ended.output
    assert "1 invoice imported; 1 refused." in ended.output
    assert "1 refused: nothing_to_bill" in ended.output
    result = ledger.with_name("ledger.refused.csv")
    assert f"listed in {result}" in ended.output
    assert result.read_text(encoding="utf-8-sig").splitlines()[1].startswith("2,1,3,0,")


def test_a_dry_run_in_json_is_one_object_and_writes_nothing(call: Call, ledger: Path) -> None:
    ended = call(
        "import", "invoices", ledger, "--organisation", "shop", "--mapping", "invoices",
        "--dry-run", "--json",
    )  # fmt: skip
    report = json.loads(ended.output)
    assert (report["imported"], report["reasons"]) == ({"invoice": 1}, {"nothing_to_bill": 1})
    assert report["is_rehearsal"] is True
    assert not ledger.with_name("ledger.refused.csv").exists()
    organisation = find_organisation_by_code("shop")
    assert organisation is not None
    with acting_for(organisation.id):
        assert fetch("SELECT FROM invoices") == []
        assert len(fetch("SELECT FROM files")) == 1  # that of the payers


def test_a_second_import_of_a_file_ends_in_a_conflict(call: Call, ledger: Path) -> None:
    arguments = ("import", "invoices", ledger, "--organisation", "shop", "--mapping", "invoices")
    call(*arguments)
    again = call(*arguments)
    assert again.exit_code == 5
    assert "was imported before, as ledger.csv" in again.stderr


@pytest.mark.parametrize(
    ("over", "code", "sentence"),
    [
        ({"--organisation": "shpo"}, 4, "no organisation “shpo”; the known ones are shop"),
        ({"--mapping": "missing.toml"}, 2, "missing.toml cannot be used: it cannot be read"),
        ({"--mapping": "payers"}, 2, "its kind is “payers”"),
        ({"--mapping": "online_retail"}, 2, "no column “InvoiceNo”"),
        ({"--result": "/proc/none/result.csv"}, 2, "name another place with --result"),
    ],
)
def test_what_was_said_wrongly_is_answered_in_one_sentence(
    call: Call, ledger: Path, over: dict[str, str], code: int, sentence: str
) -> None:
    options = {"--organisation": "shop", "--mapping": "invoices", **over}
    pairs = [part for pair in options.items() for part in pair]
    ended = call("import", "invoices", ledger, *pairs)
    assert ended.exit_code == code
    assert len(ended.stderr.splitlines()) == 1
    assert sentence in ended.stderr
