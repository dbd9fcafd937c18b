"""What is handed out works by itself: the installed wheel serves pages from its own files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from portal.config import Config
from portal.paths import ROOT

ASK = """
import json, os, re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import portal
from portal.app import create_app
client = create_app().test_client()
page = client.get("/sign-in")
ways = re.findall(r'(?:src|href)="(/static/[^"#]+|/[^"]*[.]css[^"]*)"', page.text)
bodies = {way: client.get(way) for way in ways}
print(json.dumps({
    "home": str(Path(portal.__file__).parent),
    "status": page.status_code,
    "files": {way: [answer.status_code, len(answer.data)] for way, answer in bodies.items()},
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, installed by pip into a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    # What it depends on is in this environment already.
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], check=False, capture_output=True).returncode:
        pip = [str(Path(sys.executable).parent / "uv"), "pip"]
    install = [*pip, "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return target


@pytest.fixture
def environment(installed: Path, servers: Config, database: str, owner_url: str) -> dict[str, str]:
    """The settings of a migrated database, and the folder of the wheel before all others."""
    settings = servers.changed(database_url=database, database_owner_url=owner_url)
    return {**os.environ, **settings.environment(), "PYTHONPATH": str(installed)}


@pytest.mark.slow
def test_the_installed_wheel_serves_its_own_pages_and_scripts(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    answered = subprocess.run(
        [sys.executable, "-c", ASK, str(installed)],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(answered.stdout.splitlines()[-1])
    assert found["home"] == str(installed / "portal")
    assert found["status"] == 200
    files = found["files"]
    assert all(status == 200 and size > 100 for status, size in files.values()), files
    for wanted in ("htmx.min.js", "portal.js", "icon.svg", ".css"):
        assert any(wanted in way for way in files), wanted


@pytest.mark.slow
def test_the_installed_wheel_runs_its_commands(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    doctor = subprocess.run(
        [sys.executable, "-m", "portal", "doctor"],
        cwd=tmp_path,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "portal", "states"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "stateDiagram-v2" in shown.stdout
