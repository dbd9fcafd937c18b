"""The command line: one sentence per expected error, the documented exit code, no traceback."""

from __future__ import annotations

import importlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import psycopg
import pytest
import redis
import sqlalchemy
from click.testing import CliRunner

from portal import cli
from portal.cli import COMMANDS, portal
from portal.cli.start import PortOccupied, choose_ports, started_portal
from portal.config import Config
from portal.domain.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from portal.local import LocalServers
from portal.supervisor import ChildFailed


def run(
    environment: dict[str, str], *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portal", *arguments],
        env={**environment, **more},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists(name: str) -> None:
    module, attribute = COMMANDS[name][0].split(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)


def test_help_lists_every_command_and_exit_code_and_imports_no_framework() -> None:
    shown = CliRunner().invoke(portal, ["--help"]).output
    for name, (_, sentence) in COMMANDS.items():
        assert name in shown
        assert sentence in shown
    assert "Exit codes: 0 done" in shown
    code = "import sys, portal.cli; assert not {'flask', 'sqlalchemy', 'redis'} & set(sys.modules)"
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": root}, check=True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound(thing="invoice"), 4),
        (Invalid(reason="the amount is negative"), 2),
        (Conflict(reason="it is paid"), 5),
        (Forbidden(action="void invoices"), 5),
        (Unavailable(service="The gateway"), 3),
        (PortOccupied("Port 1 is taken."), 3),
        (ChildFailed("web ended."), 3),
        (redis.exceptions.ConnectionError("refused"), 3),
        (psycopg.OperationalError("refused"), 3),
        (sqlalchemy.exc.OperationalError("SELECT secret_column", {}, Exception("refused")), 3),
        (click.UsageError("no such option"), 2),
        (click.exceptions.Abort(), 130),
    ],
)
def test_an_expected_error_is_one_sentence_and_its_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.report(error) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "secret_column" not in said
    assert len(said.strip().splitlines()) <= 1 or isinstance(error, click.ClickException)


def test_a_fault_of_ours_shows_where_it_happened(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError) as fault:
        1 // 0  # noqa: B018
    assert cli.report(fault.value) == 70
    assert "test_cli.py" in capsys.readouterr().err


def test_a_wrong_setting_ends_with_code_2(bare_environment: dict[str, str]) -> None:
    done = run(bare_environment, "config", PORTAL_PROT="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "portal: There is no setting PORTAL_PROT; did you mean PORTAL_PORT?\n"
    )  # fmt: skip


def test_a_wrong_command_or_option_ends_with_code_2() -> None:
    assert CliRunner().invoke(portal, ["bury"]).exit_code == 2
    assert CliRunner().invoke(portal, ["config", "--nonsense"]).exit_code == 2


def test_an_unreachable_database_ends_with_code_3(bare_environment: dict[str, str]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # Bound but not listening: nobody else can take the port.
        port = held.getsockname()[1]
        done = run(
            bare_environment,
            "db",
            "upgrade",
            DATABASE_URL=f"postgres://a:hunter2@127.0.0.1:{port}/portal",
            REDIS_URL="redis://127.0.0.1:1",
            PORTAL_SECRET_KEY="k" * 32,
        )
    assert done.returncode == 3
    assert f"The database at 127.0.0.1:{port} cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_settings_are_shown_without_secrets(bare_environment: dict[str, str]) -> None:
    done = run(bare_environment, "config", "--json", PORTAL_SECRET_KEY="hunter2" * 8)
    rows = {row["variable"]: row for row in json.loads(done.stdout)}
    assert rows["PORTAL_SECRET_KEY"]["value"] == "(hidden)"
    assert rows["PORTAL_PORT"] == {
        "variable": "PORTAL_PORT",
        "value": "8000",
        "default": "8000",
        "sentence": "Port on which the pages and the API listen; 0 takes a free one.",
    }
    assert "hunter2" not in done.stdout


def test_an_occupied_port_is_refused_before_anything_is_started(
    config: Config, state_folder: Path
) -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        taken = config.changed(port=taker.getsockname()[1])
        refused = pytest.raises(PortOccupied, match=r"nothing was started.*PORTAL_PORT=")
        with refused, started_portal(taken):
            pass
    assert not state_folder.exists()


def test_port_0_becomes_a_free_one_that_the_address_follows(config: Config) -> None:
    chosen = choose_ports(config.changed(port=0))
    assert chosen.port != 0
    assert chosen.url == f"http://127.0.0.1:{chosen.port}"
    assert chosen.sandbox_url == f"http://127.0.0.1:{chosen.sandbox_port}"


def test_a_private_database_is_migrated_once_and_then_found_by_commands(
    bare_environment: dict[str, str], config: Config
) -> None:
    alone = run(bare_environment, "db", "upgrade")
    assert alone.returncode == 0, alone.stderr
    assert "The database is at revision" in alone.stdout
    servers = LocalServers(config)
    servers.announce(servers.start())
    try:
        beside = run(bare_environment, "db", "current")
        assert beside.returncode == 0, beside.stderr
        assert beside.stdout.split()[5] == alone.stdout.split()[5].rstrip(".") + ";"
        well = run(bare_environment, "--quiet", "doctor")
        assert "mend  database" not in well.stdout
    finally:
        servers.stop()


def test_doctor_finds_a_role_that_sees_too_much(
    bare_environment: dict[str, str], config: Config
) -> None:
    with LocalServers(config) as filled:
        kept = json.loads((config.state_folder / "private.json").read_text())
        with psycopg.connect(
            host=str(Path(kept["cluster"]) / "socket"),
            port=kept["postgres_port"],
            user="bootstrap",
            password=kept["bootstrap_password"],
            dbname="portal",
        ) as superuser:
            superuser.execute("ALTER ROLE portal_app BYPASSRLS")
        done = run(bare_environment, "doctor", **filled.environment())
        assert done.returncode == 1
        assert "may see rows of every organisation" in done.stdout


@pytest.fixture
def up(bare_environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A portal started by `portal up`, killed at the end if the test did not stop it."""
    more = {"PORTAL_PORT": "0", "PORTAL_WORKERS": "1", "PORTAL_DRAIN_SECONDS": "5"}
    with subprocess.Popen(
        [sys.executable, "-m", "portal", "up"],
        env={**bare_environment, **more},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.slow
def test_up_answers_and_leaves_nothing_behind_when_it_is_stopped(
    up: subprocess.Popen[str], state_folder: Path
) -> None:
    assert up.stdout is not None
    first = up.stdout.readline()
    assert first.startswith("The portal answers at http://127.0.0.1:"), first
    running = _processes_told_of(state_folder)
    # Itself, the gateway, and the web server with one child; worker and clock are just starting.
    assert len(running) >= 4
    up.send_signal(signal.SIGTERM)
    assert "nothing of it is left running" in up.stdout.read()
    assert up.wait() == 0
    assert _processes_told_of(state_folder) == []


def _processes_told_of(folder: Path) -> list[int]:
    """List the processes that have a folder in their environment or work in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = str(folder).encode() in (entry / "environ").read_bytes()
            inside = str((entry / "cwd").resolve()).startswith(str(folder))
        except OSError:
            continue
        if told or inside:
            found.append(int(entry.name))
    return found


COMMAND = """
from portal.cli.context import open_config
from portal.supervisor import wait_for_signal
with open_config() as config:
    print("open", flush=True)
    wait_for_signal()
print("went on", flush=True)
"""


def test_a_command_stopped_by_a_signal_stops_its_servers_and_does_not_go_on(
    bare_environment: dict[str, str], state_folder: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        env=bare_environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "open\n"
        command.send_signal(signal.SIGTERM)
        assert command.stdout.read() == ""
        assert command.wait() == 128 + signal.SIGTERM
    assert _processes_told_of(state_folder) == []
