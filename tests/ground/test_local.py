"""The private servers: they start, keep their data, keep apart and leave nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from portal import processes
from portal.config import Config
from portal.local import LocalServerFailed, LocalServers, binaries, running_environment

HOLD = """
import json, os, sys, time
from portal.config import Config
from portal.local import LocalServers
servers = LocalServers(Config.from_environment(os.environ))
config = servers.start()
pids = [servers._postgres._process.pid, servers._valkey._process.pid]
print(json.dumps({"pids": pids, "environment": config.environment()}), flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def state_folder() -> Iterator[Path]:
    """One folder for all tests of this file: making a database is the slow part."""
    folder = Path(tempfile.mkdtemp(prefix="portal-test-"))
    folder.chmod(0o711)
    yield folder / "state"
    shutil.rmtree(folder, ignore_errors=True)


def connect(url: str | None) -> psycopg.Connection:
    return psycopg.connect(str(url).replace("+psycopg", ""), autocommit=True)


def ask(url: str | None, query: str) -> Any:
    with connect(url) as connection:
        cursor = connection.execute(query)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, "the condition did not come true"
        time.sleep(0.02)


def processes_on(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            place = str((entry / "cwd").resolve())
        except OSError:
            continue
        if place.startswith(str(folder)) and processes.is_alive(pid):
            found.append(pid)
    return found


def test_data_stay_from_one_start_to_the_next_and_no_process_stays(config: Config) -> None:
    first = LocalServers(config)
    filled = first.start()
    ask(filled.database_owner_url, "CREATE TABLE kept AS SELECT 42 AS answer")
    redis.Redis.from_url(str(filled.redis_url)).set("kept", "yes")
    first.stop()
    first.stop()
    assert processes_on(config.state_folder) == []
    with LocalServers(config) as again:
        assert ask(again.database_owner_url, "SELECT answer FROM kept") == 42
        assert redis.Redis.from_url(str(again.redis_url)).get("kept") == b"yes"
        assert (again.database_url, again.redis_url) == (filled.database_url, filled.redis_url)
        assert again.secret_key == filled.secret_key
    assert processes_on(config.state_folder) == []


def test_the_roles_have_the_rights_they_need_and_no_more(config: Config) -> None:
    with LocalServers(config) as filled:
        rights = (
            "SELECT ROW(rolsuper, rolbypassrls, rolcreaterole, rolcreatedb)::text FROM pg_roles"
        )
        mine = f"{rights} WHERE rolname = current_user"
        assert ask(filled.database_owner_url, mine) == "(f,f,t,t)"
        assert ask(filled.database_url, mine) == "(f,f,f,f)"
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'portal'"
        assert ask(filled.database_url, owner) == "portal_owner"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(filled.database_url, "CREATE TABLE mine (a int)")
        assert ask(filled.database_url, "SHOW fsync") == "on"
        assert ask(filled.database_url, "SHOW server_encoding") == "UTF8"
        # The superuser has no way in by TCP, whatever the password.
        kept = json.loads((config.state_folder / "private.json").read_text())
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(
                host="127.0.0.1",
                port=kept["postgres_port"],
                user="bootstrap",
                password=kept["bootstrap_password"],
                dbname="portal",
            )
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=kept["valkey_port"]).ping()


def test_what_is_secret_can_be_read_by_its_owner_only(config: Config) -> None:
    with LocalServers(config) as filled:
        password = str(filled.database_url).split(":")[2].split("@")[0]
        for name in ("private.json", "lock", "postgresql.log", "valkey.log"):
            mode = (config.state_folder / name).stat().st_mode & 0o777
            assert mode == 0o600, name
        for folder in ("postgresql", "valkey"):
            assert (config.state_folder / folder).stat().st_mode & 0o077 == 0
        shown = [processes.command_line(pid) for pid in processes_on(config.state_folder)]
        assert shown
        assert not [line for line in shown if password in line or str(filled.secret_key) in line]


def test_two_portals_run_beside_each_other_but_not_on_one_folder(config: Config) -> None:
    with LocalServers(config) as one, LocalServers(config, fresh=True) as other:
        assert one.database_url != other.database_url
        assert ask(other.database_url, "SELECT 1") == 1
        with pytest.raises(LocalServerFailed) as refused:
            LocalServers(config).start()
        assert f"in use by another portal (process {os.getpid()})" in str(refused.value)
        assert ask(one.database_url, "SELECT 1") == 1
        thrown_away = other.state_folder
        assert thrown_away.exists()
    assert not thrown_away.exists()


def test_a_taken_port_is_exchanged_for_a_free_one(config: Config) -> None:
    with LocalServers(config):
        pass
    kept = json.loads((config.state_folder / "private.json").read_text())
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(("127.0.0.1", kept["postgres_port"]))
        taker.listen()
        with LocalServers(config) as filled:
            assert ask(filled.database_url, "SELECT 1") == 1
            assert f":{kept['postgres_port']}/" not in str(filled.database_url)


def test_only_what_is_missing_is_started(config: Config) -> None:
    with LocalServers(config) as filled:
        given = config.changed(
            database_url=filled.database_url,
            secret_key="k" * 32,
            state_folder=config.state_folder.with_name("second"),
        )
        with LocalServers(given) as second:
            assert second.database_url == filled.database_url
            assert second.redis_url != filled.redis_url
            assert not (second.state_folder / "postgresql").exists()
        complete = given.changed(redis_url=filled.redis_url, state_folder=Path("/no/such"))
        with LocalServers(complete) as third:
            assert third == complete


@pytest.fixture
def killed(bare_environment: dict[str, str]) -> dict[str, Any]:
    """A portal that was killed by SIGKILL while it ran."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], env=bare_environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        said: dict[str, Any] = json.loads(parent.stdout.readline())
        assert all(processes.is_alive(pid) for pid in said["pids"])
        assert running_environment(Config.from_environment(bare_environment)) is None
        parent.send_signal(signal.SIGKILL)
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_the_servers_die_with_a_killed_parent(killed: dict[str, Any]) -> None:
    for pid in killed["pids"]:
        wait_for(lambda pid=pid: not processes.is_alive(pid))  # type: ignore[misc]


def test_a_start_after_a_kill_finds_its_data(killed: dict[str, Any], config: Config) -> None:
    with LocalServers(config) as filled:
        assert ask(filled.database_url, "SELECT 1") == 1
        assert filled.secret_key == killed["environment"]["PORTAL_SECRET_KEY"]


def test_a_lock_file_with_the_number_of_another_program_does_not_stop_a_start(
    config: Config,
) -> None:
    with LocalServers(config):
        pass
    data = Path(json.loads((config.state_folder / "private.json").read_text())["cluster"]) / "data"
    with subprocess.Popen(["sleep", "600"]) as other:
        (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n1\n5432\n\n\n\n\n")
        with LocalServers(config) as filled:
            assert ask(filled.database_url, "SELECT 1") == 1
        assert processes.is_alive(other.pid)
        other.kill()


def test_an_announced_portal_is_found_as_long_as_it_runs(config: Config) -> None:
    servers = LocalServers(config)
    filled = servers.start()
    servers.announce(filled)
    found = running_environment(config)
    assert found is not None
    assert Config.from_environment(found) == filled
    assert (config.state_folder / "running.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(LocalServerFailed, match="in use"):
        LocalServers(config).start()
    assert running_environment(config) == found
    servers.stop()
    assert running_environment(config) is None
    # Left behind by a portal that was killed: nobody holds the lock, then somebody else does.
    (config.state_folder / "running.json").write_text(json.dumps(found))
    assert running_environment(config) is None
    with LocalServers(config):
        assert running_environment(config) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")
def test_root_in_a_closed_folder_gets_its_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Path(tempfile.mkdtemp(prefix="portal-closed-"))
    place = tempfile.mkdtemp(prefix="portal-open-")
    Path(place).chmod(0o755)
    monkeypatch.setattr(binaries, "OPEN_FOLDERS", (Path(place) / "billing-portal",))
    monkeypatch.setattr("portal.local.postgres.OPEN_FOLDERS", (Path(place) / "billing-portal",))
    try:
        install = binaries.postgres_folder(None).parent
        package = install.parent
        pg_bin = closed / package.name / install.name / "bin"
        shutil.copytree(install, pg_bin.parent, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, closed / libraries.name)
        config = Config.from_environment(
            {"PG_BIN": str(pg_bin), "PORTAL_STATE_FOLDER": str(closed / "state")}
        )
        assert closed.stat().st_mode & 0o077 == 0
        for _ in range(2):
            with LocalServers(config) as filled:
                assert ask(filled.database_url, "SELECT 1") == 1
                assert processes_on(Path(place))
            assert processes_on(Path(place)) == []
    finally:
        shutil.rmtree(closed)
        shutil.rmtree(place)


def test_missing_programs_are_said_in_one_sentence(config: Config, tmp_path: Path) -> None:
    with pytest.raises(LocalServerFailed) as refused:
        LocalServers(config.changed(pg_bin=tmp_path)).start()
    assert str(refused.value).startswith(
        f"No PostgreSQL 15 or newer was found in PG_BIN={tmp_path}"
    )
    assert "DATABASE_URL=" in str(refused.value)
    # The folder was let go: the next start is not refused.
    with pytest.raises(LocalServerFailed, match="No PostgreSQL"):
        LocalServers(config.changed(pg_bin=tmp_path)).start()


def test_a_state_folder_that_cannot_be_made_is_said_in_one_sentence(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalServerFailed, match="Not a directory") as refused:
        LocalServers(config.changed(state_folder=tmp_path / "file" / "state")).start()
    assert "PORTAL_STATE_FOLDER=" in str(refused.value)


def test_a_database_of_another_version_is_not_touched(config: Config) -> None:
    with LocalServers(config):
        pass
    data = Path(json.loads((config.state_folder / "private.json").read_text())["cluster"]) / "data"
    true_version = (data / "PG_VERSION").read_text()
    (data / "PG_VERSION").write_text("12\n")
    with pytest.raises(LocalServerFailed, match="made by PostgreSQL 12"):
        LocalServers(config).start()
    (data / "PG_VERSION").write_text(true_version)
