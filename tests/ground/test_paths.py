"""Paths are right in the checkout and in the wheel."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from portal import paths

SHOW = """
import json, sys
sys.path.insert(0, sys.argv[1])
from portal import paths
names = ("TEMPLATES", "STATIC", "MIGRATIONS", "MAPPING_SAMPLES", "RULE_SAMPLES")
print(json.dumps({name: str(getattr(paths, name)) for name in names}))
"""


def test_the_checkout_has_every_folder() -> None:
    for folder in (paths.TEMPLATES, paths.STATIC, paths.MIGRATIONS, paths.RULE_SAMPLES):
        assert folder.is_dir()


@pytest.mark.slow
def test_the_wheel_carries_every_folder(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=root,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    names = [str(path.relative_to(installed)) for path in installed.rglob("*")]
    assert not [name for name in names if "node_modules" in name or "__pycache__" in name]
    said = subprocess.run(
        [sys.executable, "-c", SHOW, str(installed)],
        cwd="/",
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name, folder in json.loads(said).items():
        here: Path = getattr(paths, name)
        there = Path(folder)
        assert there.is_relative_to(installed)
        assert {file.name for file in here.glob("*.*")} - {"package.json", "package-lock.json"} <= (
            {file.name for file in there.glob("*.*")} | {".npmrc"}
        )
