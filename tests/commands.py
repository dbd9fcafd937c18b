"""The command line as people call it: a process for each call, without waiting for imports.

Python takes longer to start and to import the portal than most commands take to work, so one
process imports it and forks itself for each call, as a shell would start another.
"""

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

from flask import Flask

from portal.cli import main
from portal.config import Config
from portal.paths import ROOT

# What a command finds in its environment wherever it is called.
KEPT = ("PATH", "HOME")
# A command that takes longer hangs.
SECONDS_MAX = 60


class Ended(NamedTuple):
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str


def portal(app: Flask, *arguments: str, **settings: str) -> Ended:
    """Call a command for the harbour, on the database of an application."""
    return call_portal(app.config["PORTAL"], *arguments, "--organisation", "harbour", **settings)


def call_portal(config: Config, *arguments: str, **settings: str) -> Ended:
    """Call a command on the database of a configuration; settings win over what that says."""
    return call_portal_bare({**config.environment(), **settings}, *arguments)


def call_portal_bare(environment: dict[str, str], *arguments: str, given: str = "") -> Ended:
    """Call a command with nothing in its environment but what is told; `given` is its input."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    host = _host()
    assert host.stdin is not None
    assert host.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in").write_text(given, encoding="utf-8")
        wanted = {"folder": folder, "environment": kept | environment, "arguments": arguments}
        host.stdin.write(json.dumps(wanted) + "\n")
        host.stdin.flush()
        status = json.loads(host.stdout.readline())
        return Ended(status, *(Path(folder, name).read_text("utf-8") for name in ("out", "err")))


@cache
def _host() -> subprocess.Popen[str]:
    """Start the process that forks; it ends with its input, when the tests end."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.commands"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _serve(asked: IO[str], answers: IO[str]) -> None:
    """Fork for each line that asks for a command, and answer with its exit code."""
    for module in pkgutil.walk_packages([str(ROOT / "portal")], "portal."):
        if module.name != "portal.__main__":
            importlib.import_module(module.name)
    for line in asked:
        wanted = json.loads(line)
        child = os.fork()
        if not child:
            _become(wanted["folder"], wanted["environment"], wanted["arguments"])
        _, ended = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(ended)}\n")
        answers.flush()


def _become(folder: str, environment: dict[str, str], arguments: list[str]) -> NoReturn:
    """Be the command: its environment, its input and outputs, its exit code."""
    signal.alarm(SECONDS_MAX)
    os.environ.clear()
    os.environ.update(environment)
    for number, name in enumerate(("in", "out", "err")):
        flags = os.O_RDONLY if name == "in" else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(Path(folder, name), flags), number)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, encoding="utf-8") for number, mode in enumerate("rww")
    )
    sys.argv = ["portal", *arguments]
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)
