"""The README tells the truth: it names every command, job, layer file and setting that matters."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import JOBS
from portal.cli import COMMANDS
from portal.paths import ROOT
from rules import CATALOGUE

README = (ROOT / "README.md").read_text(encoding="utf-8")
LAYERS = ("services", "queries", "web")
# Frames of their layers, not nouns.
FRAMES = {"__init__", "access", "assets", "errors", "formats", "htmx", "menu", "visitors", "health"}
FRAMES |= {"outcomes", "seed"}


def nouns(layer: str) -> list[str]:
    found = (ROOT / "portal" / layer).iterdir()
    names = {path.stem for path in found if not path.name.startswith("__")}
    return sorted(names - FRAMES)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_file_of_a_layer_stands_in_the_grid(layer: str) -> None:
    grid = [line for line in README.splitlines() if line.startswith("| ")]
    unnamed = [noun for noun in nouns(layer) if not any(noun in line for line in grid)]

    assert unnamed == []


def test_every_job_is_named() -> None:
    assert [name for name in JOBS if f"`{name}`" not in README] == []


def test_every_command_is_named() -> None:
    assert [name for name in COMMANDS if name not in README] == []


def test_the_picture_is_there() -> None:
    assert (ROOT / "docs" / "overview-wide-dark.png").is_file()


def test_every_rule_code_is_tested_by_name() -> None:
    told = "".join(path.read_text("utf-8") for path in sorted((ROOT / "tests/rules").glob("*.py")))

    unnamed = [code for code in CATALOGUE if code not in told and f"{code.lower()}_" not in told]

    assert unnamed == []


def test_each_link_of_the_readme_leads_somewhere() -> None:
    targets = [part.split(")")[0] for part in README.split("](")[1:]]

    assert [target for target in targets if not Path(ROOT, target).exists()] == []
