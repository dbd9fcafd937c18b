"""Starting a whole portal: private servers, schema, gateway, web, workers and clock.

`portal up` and `portal demo` both begin with this.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from portal import processes
from portal.config import PREFIX, UNPREFIXED, Config
from portal.local import LocalServers
from portal.migrate import upgrade_database
from portal.paths import PACKAGE
from portal.supervisor import Supervisor, WriteLine

READY_SECONDS = 60.0
HEALTH_SECONDS = 2.0
REQUEST_SECONDS_MAX = 60  # Longer than any page may take; a hung thread is then replaced.
HTTP_OK = 200


class PortOccupied(Exception):
    """A port the portal was to listen on is taken."""

    exit_code = 3


@dataclass(frozen=True)
class StartedPortal:
    """A portal that answers: its settings with all addresses, and its processes."""

    config: Config
    supervisor: Supervisor


@contextmanager
def started_portal(
    config: Config, *, fresh: bool = False, write: WriteLine | None = None
) -> Iterator[StartedPortal]:
    """Start everything, yield when web and gateway answer, stop everything in reverse order.

    Put `signals_stop()` around it where a signal is to end it. `fresh` uses a database that is
    thrown away; `write` takes the lines of the processes.
    Raises: PortOccupied before anything is started; LocalServerFailed; ChildFailed.
    """
    config = choose_ports(config)
    servers = LocalServers(config, fresh=fresh)
    with servers as filled:
        upgrade_database(filled.required("database_owner_url"))
        with Supervisor(drain_seconds=filled.drain_seconds, write=write) as supervisor:
            start_processes(filled, supervisor)
            servers.announce(filled)
            yield StartedPortal(filled, supervisor)


def choose_ports(config: Config) -> Config:
    """Fill in free ports where any will do, and refuse taken ones.

    Raises: PortOccupied.
    """
    wanted = [(config.host, config.port, "PORTAL_PORT")]
    if runs_own_gateway(config):
        wanted.append(("127.0.0.1", config.sandbox_port, "PORTAL_SANDBOX_PORT"))
    for host, port, variable in wanted:
        if port and not processes.is_port_free(host, port):
            raise PortOccupied(
                f"Port {port} on {host} is taken or may not be used; nothing was started. Stop "
                f"what listens there, or choose another with {variable}= (0 takes a free one)."
            )
    changes: dict[str, object] = {}
    if not config.port:
        changes["port"] = processes.free_port(config.host)
    if runs_own_gateway(config) and not config.sandbox_port:
        changes["sandbox_port"] = processes.free_port()
    return config.changed(**changes)


def runs_own_gateway(config: Config) -> bool:
    """Tell whether the sandbox gateway is ours to start, or runs elsewhere under its address."""
    own = f"http://127.0.0.1:{config.sandbox_port}" if config.sandbox_port else None
    return config.sandbox_url in {None, own}


def start_processes(config: Config, supervisor: Supervisor) -> None:
    """Start gateway, web, workers and clock, each once what it needs answers.

    Raises: ChildFailed.
    """
    env = child_environment(config)
    portal = [sys.executable, "-m", "portal"]
    if runs_own_gateway(config):
        supervisor.start("gateway", [*portal, "gateway"], env=env)
    supervisor.start("web", web_command(config), env=env)
    if runs_own_gateway(config):
        address = str(config.sandbox_url)
        supervisor.wait_ready("gateway", lambda: answers(address), seconds=READY_SECONDS)
    place = _loopback(config)
    supervisor.wait_ready("web", lambda: answers(place), seconds=READY_SECONDS)
    for number in range(1, config.workers + 1):
        supervisor.start(f"worker-{number}", [*portal, "worker"], env=env, stage="workers")
    supervisor.start("scheduler", [*portal, "scheduler"], env=env)


def web_command(config: Config) -> list[str]:
    """Write the command line of the web server."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread"]
    command += ["--workers", str(config.web_processes), "--threads", str(config.web_threads)]
    command += ["--bind", f"{host}:{config.port}", "--timeout", str(REQUEST_SECONDS_MAX)]
    command += ["--graceful-timeout", str(max(1, round(config.drain_seconds)))]
    command += ["--log-level", "warning", "--no-control-socket"]
    # The heartbeat file must not wait for a slow disk.
    if Path("/dev/shm").is_dir():  # noqa: S108
        command += ["--worker-tmp-dir", "/dev/shm"]  # noqa: S108
    return [*command, "portal.app:create_app()"]


def child_environment(config: Config) -> dict[str, str]:
    """Write the environment of the processes: ours, with the settings as they now are."""
    ours = {v.upper() for v in UNPREFIXED}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) and name.removesuffix("_FILE") not in ours
    }
    # The clock of rq-scheduler counts in local time whatever it is told.
    env = {**kept, **config.environment(), "TZ": "UTC", "PYTHONUNBUFFERED": "1"}
    if PACKAGE.parent.name != "site-packages":
        # A checkout that is not installed is found by its children as well.
        env["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")])
        )
    return env


def answers(address: str) -> bool:
    """Tell whether a process answers under /health."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=HEALTH_SECONDS)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", "/health")
        return connection.getresponse().status == HTTP_OK
    return False


def _loopback(config: Config) -> str:
    """Return the address under which this machine reaches the web server, whatever its name."""
    return config.changed(url="").url
