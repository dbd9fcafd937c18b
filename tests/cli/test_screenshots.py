"""Pictures of a running portal: taken, and refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from flask import Flask

from portal.cli import screenshots as command
from portal.cli.screenshots import NoBrowser, SignInFailed, screenshots
from portal.clock import now_utc
from portal.domain.users import Role
from portal.services.users import add_user
from tests.browser.conftest import EMAIL, PASSWORD, served


def call(address: str, out: Path, password: str = PASSWORD) -> Any:
    arguments = [address, "--email", EMAIL, "--password", password, "--out", str(out)]
    return CliRunner().invoke(
        screenshots, [*arguments, "--page", "runs", "--page", "/nothing"], catch_exceptions=True
    )


@pytest.mark.browser
def test_each_page_is_taken_wide_and_narrow_light_and_dark(
    app: Flask, organisation: UUID, chromium: str, tmp_path: Path
) -> None:
    roles = [(organisation, Role.MANAGER)]
    add_user(email=EMAIL, name="Mara", password=PASSWORD, memberships=roles, now=now_utc())
    with served(app) as address:
        refused = call(address, tmp_path, password="not the password")
        assert isinstance(refused.exception, SignInFailed)
        taken = call(address, tmp_path / "pictures")
    assert taken.exit_code == 0, taken.exception
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [
        "runs-narrow-dark.png", "runs-narrow-light.png",
        "runs-wide-dark.png", "runs-wide-light.png",
    ]  # fmt: skip


def test_without_a_browser_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "CHROMIUM_NAMES", ())
    refused = call("http://127.0.0.1:1", tmp_path)
    assert isinstance(refused.exception, NoBrowser)
    assert "Install Chromium" in str(refused.exception)
