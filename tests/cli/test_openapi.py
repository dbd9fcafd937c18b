"""`portal openapi`: the description without a database."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from portal.cli.openapi import openapi


def test_the_description_is_printed_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    printed = CliRunner().invoke(openapi, catch_exceptions=False)
    assert printed.exit_code == 0
    described = json.loads(printed.stdout)
    assert described["openapi"] == "3.1.0"
    assert "/api/v1/invoices" in described["paths"]
