"""Starting and stopping child processes so that none outlives the process that started it.

What is started, in which order and with which output, is said by `portal.local` and
`portal.supervisor`.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

PR_SET_PDEATHSIG = 1  # From <sys/prctl.h>.
POLL_SECONDS = 0.02


@functools.cache
def _prctl() -> Any:
    # Looked up before the fork: the child may only do what is safe between fork and exec.
    return ctypes.CDLL(None, use_errno=True).prctl if platform.system() == "Linux" else None


def spawn(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    death_signal: signal.Signals,
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any] | None = None,
    user: tuple[int, int] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own that is told when its parent dies.

    The kernel sends `death_signal` when the *thread* that called this ends, so call it from one
    that lives as long as the child should (Linux; elsewhere a child outlives a killed parent).
    Shape: `user` is (uid, gid); standard error goes where standard output goes.
    Raises: OSError when the program cannot be started.
    """
    prctl, parent = _prctl(), os.getpid()

    def before_exec() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            # The parent may have died before the line above.
            if os.getppid() != parent:
                os._exit(1)

    uid, gid = user or (None, None)
    return subprocess.Popen(  # noqa: S603 – commands come from this code base, never from people
        [str(part) for part in command],
        env=dict(env),
        stdin=stdin,
        stdout=stdout,
        stderr=None if stdout is None else subprocess.STDOUT,
        user=uid,
        group=gid,
        extra_groups=[] if user else None,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=before_exec,  # noqa: PLW1509 – only async-signal-safe calls are made
    )


def die_with_parent(parent: int, death_signal: signal.Signals) -> None:
    """Have the kernel end this process when its parent ends (Linux; elsewhere nothing happens)."""
    prctl = _prctl()
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def stop(process: subprocess.Popen[bytes], ask: signal.Signals, *, seconds: float) -> None:
    """Ask a child to stop; kill its whole group when the time is over or something is left."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(ask)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)
    kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of a child's process group and take its exit status."""
    # The group carries the child's number, which is not given away while a member lives.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def is_alive(pid: int) -> bool:
    """Tell whether a process runs under this number; one that is only a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return state[0] not in {"Z", "X"}
    return True


def command_line(pid: int) -> str:
    """Read the command line of a process, empty when there is none to see."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b" ".join(words).decode(errors="replace")
    if platform.system() == "Linux":
        return ""
    shown = subprocess.run(  # noqa: S603
        ["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()


def wait_until_gone(pid: int, *, seconds: float) -> bool:
    """Wait for a process that is not our child to end."""
    ends_at = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() >= ends_at:
            return False
        time.sleep(POLL_SECONDS)
    return True


def is_port_free(host: str, port: int) -> bool:
    """Tell whether a server could listen here now."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As servers do, so that connections of the last run do not count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        return False
    return True


def free_port(host: str = "127.0.0.1", *, wanted: int = 0) -> int:
    """Choose a port: the wanted one when it is free, else any."""
    if wanted and is_port_free(host, wanted):
        return wanted
    family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port
