"""The Python files of the product, as the lint tests look at them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from portal.paths import PACKAGE

ROOT = PACKAGE.parent
PRODUCT = ("portal", "jobs", "rules")


def list_sources(*folders: str) -> list[Path]:
    """List the Python files below some folders of the checkout, in order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def parse(path: Path) -> ast.Module:
    """Parse a file once."""
    return ast.parse(path.read_text("utf-8"), str(path))


def module_name(path: Path) -> str:
    """Name the module of a file: `portal.services.payments._start`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def shown(path: Path, line: int = 0) -> str:
    """Name a place in the checkout as editors understand it."""
    return f"{path.relative_to(ROOT)}:{line}"


def list_imports(path: Path) -> Iterator[tuple[int, str]]:
    """List what a file imports, as (line, module); a name of a package counts as its module.

    Shape: `from portal import db` yields `portal.db`; relative imports yield a leading dot.
    """
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "." * node.level + (node.module or "")
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = ROOT.joinpath(*node.module.split("."))
            for alias in node.names:
                part = whole / alias.name
                is_module = part.is_dir() or part.with_suffix(".py").exists()
                yield node.lineno, f"{node.module}.{alias.name}" if is_module else node.module
