"""The private PostgreSQL server: made once, started for a run, stopped cleanly.

Two roles as in production: `portal_owner` owns and migrates the tables, `portal_app` owns nothing.
The superuser that made the cluster can come in through the unix socket only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from portal import processes
from portal.local import binaries
from portal.local.binaries import BARE_ENVIRONMENT, OPEN_FOLDERS, ServerUser
from portal.local.errors import ELSEWHERE, LocalServerFailed
from portal.local.folder import StateFolder

DATABASE = "portal"
SUPERUSER = "bootstrap"
OWNER = "portal_owner"
APP = "portal_app"
HOST = "127.0.0.1"
SOCKET_PATH_LENGTH_MAX = 90  # The kernel allows 107 bytes, of which the file's name takes 16.
START_SECONDS = 60.0  # Generous: after a crash the server first replays its log.
STOP_SECONDS = 30.0
PORT_TRIES = 3
LOG_BYTES_MAX = 4_000_000
BUILTIN_LOCALE_MAJOR = 17

SETTINGS = {
    "listen_addresses": HOST,
    "max_connections": "100",
    "shared_buffers": "256MB",
    # Parallel queries find their memory here even where /dev/shm is tiny, as in containers.
    "min_dynamic_shared_memory": "64MB",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # A new organisation's rows come by the ten thousand; plans must hear of them soon.
    "autovacuum_naptime": "15s",
    "password_encryption": "scram-sha-256",
    # Our statements are short; compiling them costs more than it gains.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
}
HOST_RULES = """\
# Written at each start of the portal.
local all {superuser} scram-sha-256
host all {owner},{app} 127.0.0.1/32 scram-sha-256
"""


class PrivatePostgres:
    """One PostgreSQL server that belongs to a state folder."""

    def __init__(self, state: StateFolder, *, pg_bin: Path | None, fresh: bool = False) -> None:
        """Name the state folder that keeps passwords, port and place; nothing is started."""
        self._state = state
        self._fresh = fresh
        self._pg_bin = pg_bin
        self._process: subprocess.Popen[bytes] | None = None
        self._own_folders: list[Path] = []
        self._sockets: Path | None = None

    def start(self) -> tuple[str, str]:
        """Start the server and return the addresses for the app role and for the owner.

        Raises: LocalServerFailed.
        """
        user = binaries.server_user()
        programs = binaries.readable_folder(binaries.postgres_folder(self._pg_bin), user)
        cluster = self._cluster(user)
        data = cluster / "data"
        if not (data / "PG_VERSION").exists():
            self._make(programs, data, user)
        _refuse_other_version(programs, data)
        _end_previous(data)
        rules = HOST_RULES.format(superuser=SUPERUSER, owner=OWNER, app=APP)
        (data / "pg_hba.conf").write_text(rules, encoding="utf-8")
        self._sockets = self._socket_folder(cluster, user)
        port = self._run(programs, data, user)
        self._set_up(port)
        return self._address(APP, port), self._address(OWNER, port)

    def stop(self) -> None:
        """Stop the server, ending its sessions; harmless when it does not run."""
        process, self._process = self._process, None
        if process is not None:
            # The "fast" way: sessions end, the log is written out, nothing is left to recover.
            processes.stop(process, signal.SIGINT, seconds=STOP_SECONDS)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None

    def remove(self) -> None:
        """Delete what lies outside the state folder, for a throw-away run."""
        for folder in self._own_folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _cluster(self, user: ServerUser) -> Path:
        """Choose, make and remember the folder of the cluster."""
        kept = self._state.kept()
        inside = self._state.path / "postgresql"
        places = [Path(kept["cluster"])] if "cluster" in kept else [inside]
        if "cluster" not in kept and not user.may_reach(self._state.path):
            # Root's home is closed to the server's user.
            name = f"data-{secrets.token_hex(8)}"
            places = [base / name for base in OPEN_FOLDERS]
        problem: OSError | None = None
        for place in places:
            try:
                place.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
                place.mkdir(exist_ok=True)
                user.own(place)
            except OSError as refused:
                problem = refused
                continue
            if place.parent != self._state.path:
                self._own_folders.append(place)
            if "cluster" not in kept:
                self._state.keep({**self._state.kept(), "cluster": str(place)})
            return place
        reason = problem.strerror if problem else "unknown"
        raise LocalServerFailed(
            f"The private database cannot be kept in {places[-1]} ({reason}); name an open, "
            f"writable folder with PORTAL_STATE_FOLDER=, {ELSEWHERE}."
        )

    def _make(self, programs: Path, data: Path, user: ServerUser) -> None:
        """Make an empty cluster beside its place and move it there in one step."""
        locale = ["--locale=C"]
        if binaries.major_version(programs) >= BUILTIN_LOCALE_MAJOR:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        new = data.with_name("data.new")
        # Left by a start that was killed; nothing was ever stored in it.
        shutil.rmtree(new, ignore_errors=True)
        handle, password = tempfile.mkstemp(dir=data.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self._state.secret("bootstrap_password"))
            if user.user:
                os.chown(password, *user.user)
            done = self._call(
                [
                    *user.prefix,
                    programs / "initdb",
                    f"--pgdata={new}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--text-search-config=simple",
                    *locale,
                    # What is thrown away at the end need not survive a power cut while it is made.
                    *(["--no-sync"] if self._fresh else []),
                ],
                user,
                data.parent,
            )
        finally:
            Path(password).unlink(missing_ok=True)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise LocalServerFailed(
                f"The private database could not be made in {data} ({' '.join(said)}); free some "
                f"space, name another folder with PORTAL_STATE_FOLDER=, {ELSEWHERE}."
            )
        new.rename(data)

    def _call(
        self, command: list[str | Path], user: ServerUser, cwd: Path
    ) -> subprocess.CompletedProcess[str]:
        uid, gid = user.user or (None, None)
        return subprocess.run(  # noqa: S603
            command,
            env=BARE_ENVIRONMENT,
            user=uid,
            group=gid,
            extra_groups=[] if user.user else None,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )

    def _run(self, programs: Path, data: Path, user: ServerUser) -> int:
        """Start the server on the remembered port, or on another when that is taken."""
        log = self._state.path / "postgresql.log"
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.unlink()
        wanted = self._state.kept().get("postgres_port", 0)
        for _ in range(PORT_TRIES):
            port = processes.free_port(HOST, wanted=wanted)
            options = SETTINGS | {"port": str(port), "unix_socket_directories": str(self._sockets)}
            command: list[str | Path] = [*user.prefix, programs / "postgres", "-D", data]
            for name, value in options.items():
                command += ["-c", f"{name}={value}"]
            with log.open("ab") as out:
                log.chmod(0o600)
                begins_at = out.tell()
                self._process = processes.spawn(
                    command,
                    env=BARE_ENVIRONMENT,
                    death_signal=signal.SIGINT,
                    stdout=out,
                    user=user.user,
                    cwd=data,
                )
            if self._answers(port):
                self._state.keep({**self._state.kept(), "postgres_port": port})
                return port
            said = log.read_bytes()[begins_at:].decode(errors="replace")
            wanted = 0
            self._process = None
            if "Address already in use" not in said:
                break
        last = [line for line in said.splitlines() if "FATAL" in line or "PANIC" in line]
        raise LocalServerFailed(
            f"The private database did not start ({' '.join(last[:1]) or 'no reason given'}); its "
            f"log is {log}. Mend what it tells, {ELSEWHERE}."
        )

    def _answers(self, port: int) -> bool:
        """Wait until the server takes a connection; say no when it ended instead."""
        assert self._process is not None
        ends_at = time.monotonic() + START_SECONDS
        while self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError), self._superuser(port):
                return True
            if time.monotonic() > ends_at:
                processes.stop(self._process, signal.SIGQUIT, seconds=5)
                return False
            time.sleep(processes.POLL_SECONDS)
        return False

    def _superuser(self, port: int, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host=str(self._sockets),
            port=port,
            user=SUPERUSER,
            password=self._state.secret("bootstrap_password"),
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def _set_up(self, port: int) -> None:
        """Make the two roles and the database where they are missing; run at each start."""
        roles = ((OWNER, "CREATEROLE CREATEDB"), (APP, "NOCREATEROLE NOCREATEDB"))
        with self._superuser(port) as connection:
            known = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
            for role, rights in roles:
                verb = "ALTER" if role in known else "CREATE"
                connection.execute(
                    sql.SQL(
                        f"{verb} ROLE {{}} LOGIN NOSUPERUSER NOBYPASSRLS {rights} PASSWORD {{}}"
                    ).format(sql.Identifier(role), sql.Literal(self._password(role)))
                )
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, [DATABASE]).fetchone() is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(DATABASE), sql.Identifier(OWNER)
                    )
                )

    def _password(self, role: str) -> str:
        return self._state.secret(f"{role}_password")

    def _address(self, role: str, port: int) -> str:
        password = quote(self._password(role), safe="")
        return f"postgresql+psycopg://{role}:{password}@{HOST}:{port}/{DATABASE}"

    def _socket_folder(self, cluster: Path, user: ServerUser) -> Path:
        """Make a folder for the socket whose path is short enough for the kernel."""
        folder = cluster / "socket"
        if len(bytes(folder)) > SOCKET_PATH_LENGTH_MAX:
            folder = Path(tempfile.mkdtemp(prefix="billing-portal-socket-", dir="/tmp"))
        folder.mkdir(exist_ok=True)
        user.own(folder)
        return folder


def _refuse_other_version(programs: Path, data: Path) -> None:
    made_by = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    now = binaries.major_version(programs)
    if made_by != str(now):
        raise LocalServerFailed(
            f"The private database in {data} was made by PostgreSQL {made_by}, but {programs} is "
            f"PostgreSQL {now}; name the programs of version {made_by} with PG_BIN=, or start "
            "anew with another PORTAL_STATE_FOLDER=."
        )


def _end_previous(data: Path) -> None:
    """End the server of a portal that was killed, and clear the lock it left behind."""
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text(encoding="utf-8").splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    if processes.is_alive(pid) and str(data) in processes.command_line(pid):
        # We hold the state folder's lock, so nobody else uses this server.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        if not processes.wait_until_gone(pid, seconds=STOP_SECONDS):
            raise LocalServerFailed(
                f"The database server of an earlier run (process {pid}) does not end; stop that "
                f"process, {ELSEWHERE}."
            )
    elif processes.is_alive(pid):
        # The number was given to another program since; PostgreSQL would take that for itself.
        lock.unlink(missing_ok=True)
