"""The supervisor: ready, restart, order, and nobody left."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from portal import processes
from portal.supervisor import ChildFailed, MergedLog, Supervisor

SLEEPER = "import time; print('here', flush=True); time.sleep(600)"
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"])
print("child", child.pid, flush=True)
time.sleep(600)
"""
PARENT = """
import os, sys, threading
from portal.supervisor import Supervisor
supervisor = Supervisor(drain_seconds=1)
for name in ("one", "two"):
    supervisor.start(name, ["sleep", "600"], env=os.environ)
while len(supervisor.pids()) < 2:
    pass
print(*supervisor.pids().values(), flush=True)
threading.Event().wait()
"""


class Lines:
    """Collects what the children wrote."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.all.append((name, line))

    def of(self, name: str) -> list[str]:
        return [line for who, line in self.all if who == name]


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, "the condition did not come true"
        time.sleep(0.01)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


def test_a_killed_child_starts_again_and_its_lines_carry_its_name() -> None:
    lines = Lines()
    with Supervisor(drain_seconds=5, write=lines) as supervisor:
        supervisor.start("web", python(SLEEPER), env=os.environ)
        supervisor.wait_ready("web", lambda: "here" in lines.of("web"))
        first = supervisor.pids()["web"]
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: supervisor.pids().get("web", first) != first)
        assert any("SIGKILL" in line for line in lines.of("web"))
        second = supervisor.pids()["web"]
    assert not processes.is_alive(second)


def test_children_stop_in_reverse_order_and_a_stage_at_once() -> None:
    lines = Lines()
    polite = """
        import signal, sys, time
        def end(*_):
            print("asked", flush=True); time.sleep(0.1); print("gone", flush=True); sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("here", flush=True)
        time.sleep(600)
    """
    with Supervisor(drain_seconds=20, write=lines) as supervisor:
        for name, stage in (("gateway", None), ("worker-1", "workers"), ("worker-2", "workers")):
            supervisor.start(name, python(polite), env=os.environ, stage=stage)
            supervisor.wait_ready(name, lambda name=name: "here" in lines.of(name))  # type: ignore[misc]
    for worker in ("worker-1", "worker-2"):
        assert lines.of(worker) == ["here", "asked", "gone"]
        assert lines.all.index((worker, "gone")) < lines.all.index(("gateway", "asked"))


def test_what_does_not_stop_in_time_is_killed_with_its_own_children() -> None:
    lines = Lines()
    with Supervisor(drain_seconds=0.2, write=lines) as supervisor:
        supervisor.start("stubborn", python(STUBBORN), env=os.environ)
        supervisor.wait_ready("stubborn", lambda: bool(lines.of("stubborn")))
        pids = [supervisor.pids()["stubborn"], int(lines.of("stubborn")[0].split()[1])]
        assert all(processes.is_alive(pid) for pid in pids)
    wait_for(lambda: not any(processes.is_alive(pid) for pid in pids))


def test_waiting_for_a_child_that_ends_tells_its_last_words() -> None:
    with Supervisor(drain_seconds=1, write=Lines()) as supervisor:
        supervisor.start(
            "web", python("print('no such table'); raise SystemExit(4)"), env=os.environ
        )
        with pytest.raises(ChildFailed, match="web ended before it was ready: no such table"):
            supervisor.wait_ready("web", lambda: False)


def test_a_program_that_does_not_exist_is_told() -> None:
    with Supervisor(drain_seconds=1, write=Lines()) as supervisor:
        supervisor.start("web", ["/no/such/program"], env=os.environ)
        with pytest.raises(ChildFailed, match="No such file"):
            supervisor.wait_ready("web", lambda: False)


def test_the_pause_before_a_restart_grows() -> None:
    lines = Lines()
    with Supervisor(drain_seconds=1, write=lines) as supervisor:
        supervisor.start("web", ["false"], env=os.environ)
        wait_for(lambda: len(lines.of("web")) == 3)
    pauses = [line.split("again in ")[1] for line in lines.of("web")]
    assert pauses == ["0.5 s", "1 s", "2 s"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_children_die_with_a_killed_parent() -> None:
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], env=env, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    wait_for(lambda: not any(processes.is_alive(pid) for pid in pids))


def test_the_log_keeps_names_in_a_column_and_control_signs_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    with Supervisor(drain_seconds=1, write=MergedLog(out)) as supervisor:
        supervisor.start("web", python(r"print('a [bold]\x1b[2Jb'); input()"), env=os.environ)
        wait_for(lambda: "│" in out.getvalue())
    assert out.getvalue().startswith("web │ a [bold][2Jb\n")
