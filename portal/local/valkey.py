"""The private Valkey server: the doorbell of the workers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import redis

from portal import processes
from portal.local.binaries import BARE_ENVIRONMENT, valkey_program
from portal.local.errors import LocalServerFailed
from portal.local.folder import StateFolder

HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
PORT_TRIES = 3
LOG_BYTES_MAX = 4_000_000

# Given through standard input: a command line, and the password in it, can be seen by everyone.
CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
"""


class PrivateValkey:
    """One Valkey server that belongs to a state folder."""

    def __init__(self, state: StateFolder) -> None:
        """Name the state folder that keeps password, port and files; nothing is started."""
        self._state = state
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start the server and return its address.

        Raises: LocalServerFailed.
        """
        program = valkey_program()
        folder = self._state.path / "valkey"
        folder.mkdir(exist_ok=True, mode=0o700)
        self._end_previous()
        log = self._state.path / "valkey.log"
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.unlink()
        wanted = self._state.kept().get("valkey_port", 0)
        for _ in range(PORT_TRIES):
            port = processes.free_port(HOST, wanted=wanted)
            self._run(program, folder, log, port)
            if self._answers(port):
                return self._address(port)
            wanted, self._process = 0, None
        raise LocalServerFailed(
            f"The private Valkey did not start; its log is {log}. Mend what it tells, or name a "
            "running Redis with REDIS_URL=."
        )

    def stop(self) -> None:
        """Stop the server after its log is on disk; harmless when it does not run."""
        process, self._process = self._process, None
        if process is not None:
            processes.stop(process, signal.SIGTERM, seconds=STOP_SECONDS)

    def _run(self, program: Path, folder: Path, log: Path, port: int) -> None:
        with log.open("ab") as out:
            log.chmod(0o600)
            self._process = processes.spawn(
                [program, "-"],
                env=BARE_ENVIRONMENT,
                death_signal=signal.SIGTERM,
                stdin=subprocess.PIPE,
                stdout=out,
                cwd=folder,
            )
        told = CONFIGURATION.format(
            host=HOST, port=port, password=self._password(), folder=_quoted(folder)
        )
        assert self._process.stdin is not None
        # It may have ended at once; `_answers` sees that.
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(told.encode())
        kept = {"valkey_port": port, "valkey_pid": self._process.pid}
        self._state.keep({**self._state.kept(), **kept})

    def _answers(self, port: int) -> bool:
        assert self._process is not None
        ends_at = time.monotonic() + START_SECONDS
        while self._process.poll() is None:
            with contextlib.suppress(redis.RedisError), redis.Redis(
                host=HOST, port=port, password=self._password(), socket_timeout=5
            ) as client:  # fmt: skip
                if client.ping():
                    return True
            if time.monotonic() > ends_at:
                processes.kill_group(self._process)
                return False
            time.sleep(processes.POLL_SECONDS)
        return False

    def _end_previous(self) -> None:
        """End the server of a portal that was killed, before its files are opened again."""
        pid = self._state.kept().get("valkey_pid", 0)
        if pid and processes.is_alive(pid) and _is_server(pid, self._state.path / "valkey"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            if not processes.wait_until_gone(pid, seconds=STOP_SECONDS):
                os.kill(pid, signal.SIGKILL)
                processes.wait_until_gone(pid, seconds=STOP_SECONDS)

    def _password(self) -> str:
        return self._state.secret("valkey_password")

    def _address(self, port: int) -> str:
        return f"redis://:{self._password()}@{HOST}:{port}/0"


def _is_server(pid: int, folder: Path) -> bool:
    """Tell whether a process is the server of this folder and not a newcomer with its number."""
    if not any(name in processes.command_line(pid) for name in ("valkey-server", "redis-server")):
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cwd").resolve() == folder.resolve()
    # Where there is no /proc the name alone has to do.
    return not Path("/proc").is_dir()


def _quoted(folder: Path) -> str:
    return str(folder).replace("\\", "\\\\").replace('"', '\\"')
