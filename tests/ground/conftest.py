"""Folders and settings that belong to one test alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.config import Config


@pytest.fixture
def state_folder() -> Iterator[Path]:
    # Not `tmp_path`: as root that is closed to the database's user, which is a case of its own.
    folder = Path(tempfile.mkdtemp(prefix="portal-test-"))
    folder.chmod(0o711)
    yield folder / "state"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def config(state_folder: Path) -> Config:
    return Config.from_environment({"PORTAL_STATE_FOLDER": str(state_folder)})


@pytest.fixture
def bare_environment(state_folder: Path) -> dict[str, str]:
    """Our own environment for a process, without any setting of the portal."""
    names = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PORTAL_") and k not in names}
    root = str(Path(__file__).parents[2])
    return {**kept, "PYTHONPATH": root, "PORTAL_STATE_FOLDER": str(state_folder)}
