"""Sizes, and words that have one home: who asks the clock, who commits, where money is counted."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lint.sources import PRODUCT, ROOT, list_sources, module_name, parse, shown

FILE_LINES_MAX = 400
TEST_LINES_MAX = 700  # Cases stand side by side; a reader looks one up and leaves.
FUNCTION_LINES_MAX = 60
LINE_CHARACTERS_MAX = 100
CONFTEST_LINES_MAX = 250
# Written once by the tool, one table after the other, and never read as a whole.
LONG_FILES = {"migrations/versions/0001_tables.py"}

PYTHON = list_sources(*PRODUCT, "tests", "migrations")
PRODUCT_SOURCES = list_sources(*PRODUCT)

# What may be called only in its home: the call, and the modules that are it.
HOMES = {
    "datetime.now": {"portal.clock"},
    "datetime.utcnow": set(),
    "datetime.today": set(),
    "date.today": set(),
    "time.time": set(),
}
# Whose call commits is told by the name alone: sessions and connections have many names.
COMMIT_HOME = {"portal.db"}
# Money is whole minor units here, so nothing is ever turned into a float.
MONEY_LAYERS = ("portal.domain", "portal.models", "portal.queries", "portal.services", "rules")
# Figures that are no money: seconds, shares of a picture.
FLOAT_HOMES: set[str] = set()

TEXT_SUFFIXES = {".css", ".html", ".js", ".json", ".md", ".py", ".sh", ".sql", ".toml", ".txt"}
# Put together here, so that this file does not contain what it forbids.
FORBIDDEN = {
    "an unfinished place": re.compile(r"\b(?:FIX" + r"ME|TO" + r"DO|HA" + r"CK)\b"),
    "a path of this machine": re.compile(r"/wo" + r"rk/|/ro" + r"ot/"),
    "a host of a registry": re.compile(
        r"py" + r"pi\.org|pythonho" + r"sted|registry\.np" + r"mjs|index-" + r"url"
    ),
}
# Names of hosts that must be told to people, per file.
ALLOWED: dict[str, set[str]] = {}


def list_texts() -> list[Path]:
    """List the text files that would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no checkout, so nobody knows what would be committed")
    paths = (ROOT / name for name in listed.stdout.splitlines())
    return [path for path in paths if path.suffix in TEXT_SUFFIXES and path.is_file()]


def _lines_max(path: Path) -> int:
    if path.name == "conftest.py":
        return CONFTEST_LINES_MAX
    return TEST_LINES_MAX if path.name.startswith("test_") else FILE_LINES_MAX


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in PYTHON}
    wrong = [
        f"{shown(path)} has {length} lines"
        for path, length in lengths.items()
        if length > _lines_max(path) and str(path.relative_to(ROOT)) not in LONG_FILES
    ]

    assert wrong == []


def test_functions_are_short() -> None:
    wrong = [
        f"{shown(path, node.lineno)} {node.name} has {length} lines"
        for path in PYTHON
        # A migration is a list of statements, in order.
        if not path.is_relative_to(ROOT / "migrations")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]

    assert wrong == []


def test_lines_are_short() -> None:
    wrong = [
        shown(path, number)
        for path in PYTHON
        if str(path.relative_to(ROOT)) not in LONG_FILES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        # What a tool is told behind a line does not count.
        if len(line.partition("  # type:")[0].partition("  # noqa")[0]) > LINE_CHARACTERS_MAX
    ]

    assert wrong == []


def list_calls(path: Path) -> Iterator[tuple[int, str]]:
    """List the calls in a file by their last two names: `datetime.now`, `.commit`."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            yield node.lineno, f"{name}.{node.func.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.lineno, node.func.id


@pytest.mark.parametrize("call", HOMES)
def test_only_the_clock_asks_the_time(call: str) -> None:
    wrong = [
        f"{shown(path, line)} calls {call}"
        for path in PRODUCT_SOURCES
        if module_name(path) not in HOMES[call]
        for line, called in list_calls(path)
        if called == call
    ]

    assert wrong == []


def test_only_one_file_commits() -> None:
    wrong = [
        f"{shown(path, line)} calls {called}"
        for path in PRODUCT_SOURCES
        if module_name(path) not in COMMIT_HOME
        for line, called in list_calls(path)
        if called.endswith(".commit")
    ]

    assert wrong == []


def test_money_is_never_a_float() -> None:
    wrong = [
        f"{shown(path, line)} calls float"
        for path in PRODUCT_SOURCES
        if module_name(path).startswith(MONEY_LAYERS) and module_name(path) not in FLOAT_HOMES
        for line, called in list_calls(path)
        if called == "float"
    ]

    assert wrong == []


def test_models_and_domain_name_no_float_for_an_amount() -> None:
    wrong = [
        shown(path, node.lineno)
        for path in list_sources(*(layer.replace(".", "/") for layer in MONEY_LAYERS))
        for node in ast.walk(parse(path))
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id.endswith(("_minor", "amount", "total"))
        and "float" in ast.unparse(node.annotation)
    ]

    assert wrong == []


@pytest.mark.parametrize("fault", FORBIDDEN)
def test_no_text_contains(fault: str) -> None:
    wrong = [
        f"{shown(path, number)}: {found.group()}"
        for path in list_texts()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1)
        if (found := FORBIDDEN[fault].search(line))
        and found.group() not in ALLOWED.get(str(path.relative_to(ROOT)), set())
    ]

    assert wrong == []


def test_each_module_says_what_lives_in_it() -> None:
    wrong = [
        shown(path)
        for path in PRODUCT_SOURCES
        if not ast.get_docstring(parse(path)) and path.read_text("utf-8").strip()
    ]

    assert wrong == []


def test_no_name_says_nothing() -> None:
    empty = {"common", "handler", "helpers", "manager", "misc", "processor", "util", "utils"}

    assert [shown(path) for path in PYTHON if path.stem in empty] == []
