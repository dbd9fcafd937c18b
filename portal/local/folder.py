"""The state folder: who uses it, and the small files with passwords and ports in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from portal.local.errors import ELSEWHERE, LocalServerFailed

PRIVATE_FILE = "private.json"
RUNNING_FILE = "running.json"
LOCK_FILE = "lock"


class StateFolder:
    """A folder that one portal at a time holds, by a lock that falls with its process."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is made yet."""
        self.path = path
        self._lock: int | None = None

    @classmethod
    def throw_away(cls, beneath: Path | None = None) -> StateFolder:
        """Make a new folder for one run, beneath the folder for temporary files or another."""
        try:
            return cls(Path(tempfile.mkdtemp(prefix="billing-portal-", dir=beneath)))
        except OSError as problem:
            raise LocalServerFailed(
                f"No temporary folder can be made ({problem.strerror}); set TMPDIR to a folder "
                "with space."
            ) from problem

    def hold(self, *, patience_seconds: float = 0.0) -> None:
        """Make the folder where needed and take it for this process.

        Raises: LocalServerFailed when it cannot be made or another portal holds it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.path.stat().st_uid != os.geteuid() and os.geteuid() != 0:
                raise LocalServerFailed(
                    f"The state folder {self.path} belongs to somebody else; name one of your own "
                    "with PORTAL_STATE_FOLDER=."
                )
            # Root's servers run as another user, who must get through but needs to list nothing.
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._lock = os.open(self.path / LOCK_FILE, flags, 0o600)
        except OSError as problem:
            raise LocalServerFailed(
                f"The state folder {self.path} cannot be used ({problem.strerror}); make it "
                f"writable, name another with PORTAL_STATE_FOLDER=, {ELSEWHERE}."
            ) from problem
        self._take(patience_seconds)
        # Left behind by a portal that was killed; nothing answers there any more.
        self.withdraw()

    def _take(self, patience_seconds: float) -> None:
        assert self._lock is not None
        ends_at = time.monotonic() + patience_seconds
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() < ends_at:
                    time.sleep(0.05)
                    continue
                holder = os.pread(self._lock, 20, 0).decode(errors="replace").strip()
                self.release()
                raise LocalServerFailed(
                    f"The state folder {self.path} is in use by another portal (process "
                    f"{holder or 'unknown'}); stop that one, or name another folder with "
                    "PORTAL_STATE_FOLDER=."
                ) from None
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
            return

    def release(self) -> None:
        """Let the folder go; harmless when it is not held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Delete a throw-away folder with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def kept(self) -> dict[str, Any]:
        """Read what earlier runs kept: passwords, ports, the place of the database."""
        file = self.path / PRIVATE_FILE
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as problem:
            raise LocalServerFailed(
                f"{file} cannot be read, and it holds the passwords of the private database; "
                "restore it from a backup, or name an empty folder with PORTAL_STATE_FOLDER=."
            ) from problem
        assert isinstance(kept, dict)
        return kept

    def keep(self, kept: dict[str, Any]) -> None:
        """Write what later runs need, so that a crash leaves the old or the new file."""
        self._write(PRIVATE_FILE, kept)

    def secret(self, name: str) -> str:
        """Return a secret that is made once per folder."""
        kept = self.kept()
        if name not in kept:
            kept[name] = secrets.token_urlsafe(48)
            self.keep(kept)
        value: str = kept[name]
        return value

    def announce(self, running: dict[str, str]) -> None:
        """Record the addresses of a running portal for the commands started beside it."""
        self._write(RUNNING_FILE, running)

    def withdraw(self) -> None:
        """Take the announced addresses back, unless they are those of another holder."""
        if self._lock is not None:
            (self.path / RUNNING_FILE).unlink(missing_ok=True)

    def running(self) -> dict[str, str] | None:
        """Read the addresses of the portal that now holds this folder, if one does."""
        try:
            lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                found: dict[str, str] = json.loads(
                    (self.path / RUNNING_FILE).read_text(encoding="utf-8")
                )
                return found
        finally:
            os.close(lock)
        # Nobody holds the folder: what is announced was left behind by a killed portal.
        return None

    def _write(self, name: str, content: dict[str, Any]) -> None:
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=self.path)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.path / name)
        except OSError as problem:
            raise LocalServerFailed(
                f"{self.path / name} cannot be written ({problem.strerror}); free some space, "
                f"name another folder with PORTAL_STATE_FOLDER=, {ELSEWHERE}."
            ) from problem
