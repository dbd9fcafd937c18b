"""`portal rules`: checks without a database, and what an organisation has agreed."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask

from jobs.engine import drain_chunks
from portal.db import acting_for
from portal.ids import public_id
from portal.paths import RULE_SAMPLES
from portal.queries.rulesets import get_rule_set
from portal.services.rulesets import copy_rule_set
from rules import CATALOGUE
from rules.definitions import load_definition
from tests.commands import Ended, call_portal_bare, portal
from tests.factories import CLERK, NOW, make_issued_invoice, make_payment
from tests.services.books import rows

HARBOUR = str(RULE_SAMPLES / "harbour.toml")


def bare(*arguments: str, given: str = "") -> Ended:
    """Run a command where there is neither a database nor a Redis."""
    nowhere = {
        "DATABASE_URL": "postgresql://localhost:1/none",
        "REDIS_URL": "redis://localhost:1",
    }
    return call_portal_bare(nowhere, "rules", *arguments, given=given)


def test_samples_are_checked_without_a_database() -> None:
    status, out, _ = bare("check", *map(str, sorted(RULE_SAMPLES.glob("*.toml"))))
    assert status == 0, out
    assert "nothing is wrong" in out


def test_findings_end_with_one_and_what_cannot_be_read_with_two(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[[clause]]\ncode = 'V999'\n[[clause]]\ncode = 'V101'\n", encoding="utf-8")
    status, out, _ = bare("check", HARBOUR, str(wrong))
    assert status == 1
    assert "clause 1 (V999)" in out
    assert "clause 2 (V101)" in out
    based = tmp_path / "based.toml"
    based.write_text('base = "version 1"', encoding="utf-8")
    status, out, _ = bare("check", str(based))
    assert (status, "without a database" in out) == (1, True)
    based.write_text('base = "harbour"\n[[clause]]\ncode = "V102"\nremove = true\n', "utf-8")
    assert bare("check", str(based))[0] == 0
    unreadable = tmp_path / "unreadable.toml"
    unreadable.write_bytes(b"\xff\xfe")
    for file in (str(tmp_path / "nothing.toml"), str(tmp_path), str(unreadable)):
        assert bare("check", file)[0] == 2, file
    assert bare("check", "-", given="= 5")[0] == 2
    assert bare("check")[0] == 2


def test_a_document_is_tried_on_a_file() -> None:
    line = {"net_minor": 10_000, "revenue_code": "FEE", "tax_code": "S"}
    good = {"currency": "EUR", "payer_ref": "P-1", "external_ref": "A-1", "lines": [line]}
    options = ("test", "-", "--file", HARBOUR, "--on", "2026-03-18")
    status, out, _ = bare(*options, given=json.dumps(good))
    assert status == 0, out
    assert json.loads(out)["price"]["total_minor"] == 11_900
    status, out, _ = bare(*options, given=json.dumps({**good, "currency": "GBP"}))
    assert status == 1
    assert [one["code"] for one in json.loads(out)["findings"]] == ["V108"]
    for wrong in ("", "5", "[]", "{", '{"x": 1}', '{"lines": 5}', '{"lines": [{"net_minor": 1.5}]}',
                  '{"lines": [{"quantity": "1e999"}]}', '{"due_on": "soon"}',
                  '{"currency": "a\\u0000b"}', "[" * 50_000):  # fmt: skip
        status, _, error = bare(*options, given=wrong)
        assert status == 2, (wrong[:40], error)
        assert "Traceback" not in error
    assert bare("test", "-")[0] == 2


def test_the_catalogue_is_listed_and_explained() -> None:
    status, out, _ = bare("clauses")
    assert status == 0
    assert all(code in out for code in CATALOGUE)
    status, out, _ = bare("clauses", "c201")
    assert "rate_bps" in out
    assert bare("clauses", "V999")[0] == 2


def test_versions_are_listed_shown_compared_carried_out_and_in(
    organisation: UUID, app: Flask, tmp_path: Path
) -> None:
    status, exported, _ = portal(app, "rules", "export", "1")
    assert status == 0
    file = tmp_path / "next.toml"
    changed = exported.replace("rate_bps = 75", "rate_bps = 125")
    file.write_text(changed, encoding="utf-8")
    status, out, _ = portal(app, "rules", "import", str(file))
    assert (status, out.startswith("Version 2 is a draft")) == (0, True)
    status, out, _ = portal(app, "rules", "list", "--json")
    assert [(one["version"], one["state"]) for one in json.loads(out)] == [
        (2, "draft"), (1, "active")
    ]  # fmt: skip
    assert "Charge 1.25 %" in portal(app, "rules", "show", "2")[1]
    status, out, _ = portal(app, "rules", "diff", "1", "2")
    assert "was 0.75 % and is 1.25 % now" in out
    assert portal(app, "rules", "diff", "1", "1")[1] == "Both say the same.\n"
    assert portal(app, "rules", "show", "9")[0] == 4
    assert portal(app, "rules", "import", str(tmp_path / "none"))[0] == 2
    assert len(rows("SELECT id FROM rule_sets")) == 2
    from portal.db import acting_for

    with acting_for(organisation):
        assert get_rule_set(2).definition == load_definition(changed)


@pytest.mark.usefixtures("organisation")
def test_an_invoice_is_tried_on_a_version(app: Flask) -> None:
    invoice = make_issued_invoice()
    number = f"{invoice.series}-{invoice.year}-{invoice.number}"
    options = ("--version", "1", "--stage", "remind", "--on", "2026-12-01")
    status, out, _ = portal(app, "rules", "test", number, *options)
    assert status == 0
    assert [one["code"] for one in json.loads(out)["charges"]] == ["C201"]
    assert portal(app, "rules", "test", "INV-1999-1", *options)[0] == 4


@pytest.mark.usefixtures("organisation")
def test_a_document_says_why(app: Flask) -> None:
    invoice = make_issued_invoice()
    number = f"{invoice.series}-{invoice.year}-{invoice.number}"
    status, out, _ = portal(app, "rules", "why", number)
    assert status == 0
    assert "  C102 19.00 % of 100.00 EUR (tax code S) is 19.00 EUR.\n" in out
    status, out, _ = portal(app, "rules", "why", public_id("invoice", invoice.id), "--json")
    (decision,) = json.loads(out)
    assert (decision["stage"], decision["version"]) == ("issue", 1)
    assert decision["entries"][0]["inputs"] == {"tax_code": "S", "rate_bps": 1900, "net": 10_000}
    status, out, _ = portal(app, "rules", "why", public_id("payment", make_payment().id))
    assert (status, out) == (0, "No decision of a rule is on record about it.\n")
    for unknown in ("INV-1999-1", "nothing", public_id("payment", invoice.id)):
        assert portal(app, "rules", "why", unknown)[0] == 4


def test_a_version_is_rehearsed_on_the_command_line(organisation: UUID, app: Flask) -> None:
    make_issued_invoice()
    with acting_for(organisation):
        version = copy_rule_set(version=1, actor=CLERK, now=NOW)
    asked = ("rules", "rehearse", str(version))
    days = ("--from", "2026-03-01", "--to", "2026-03-31", "--against", "booked")

    status, out, err = portal(app, *asked, *days, "--json")

    assert (status, err) == (0, "")
    told = json.loads(out)
    assert (told["state"], told["against"], told["documents"]) == ("started", "booked", 1)
    assert drain_chunks() == 1
    status, out, _ = portal(app, *asked, *days, "--currency", "EUR")
    assert (status, "0 of 1 documents differ" in out) == (0, True)
    for wrong in ((), ("--drafts", *days), ("--from", "2026-03-01"), (*days[:4], "--against", "x")):
        assert portal(app, *asked, *wrong)[0] == 2, wrong
    assert portal(app, "rules", "rehearse", "99", *days)[0] == 4
    assert portal(app, *asked, "--drafts")[0] == 5
    assert len(rows("SELECT id FROM batch_runs")) == 2
