"""Starts a whole portal behind the proxy, kills and stops what it is told to, starts it again.

Everything is started by one thread that lives as long as the bench: the kernel ends a child with
the thread that has started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, Self

import psycopg
import redis
import sqlalchemy

from portal import processes
from portal.cli.start import answers, child_environment, web_command
from portal.config import Config
from portal.local.errors import LocalServerFailed
from portal.local.folder import StateFolder
from portal.local.postgres import PrivatePostgres
from portal.local.valkey import PrivateValkey
from portal.migrate import upgrade_database
from tests.faults.holders import family_of, inode_of, inodes_of
from tests.faults.script import STOPPED_SECONDS
from tests.faults.world import COMPRESSED

WORKERS = 3
ROUTES = ("postgres", "redis", "gateway", "web")
# Below the ports that the kernel hands out by itself: a killed server must get its own back.
PORTS = range(20_000, 32_000)
POLL_SECONDS = 0.05
READY_SECONDS = 120.0
SETTINGS: dict[str, Any] = COMPRESSED | {
    "messages_claim_max": 10,
    "events_seconds": 15.0,
    "workers": WORKERS,
    "web_threads": 8,
    "skip_limit": 0,
}


@dataclass
class Service:
    """A process of the portal, started again whenever it ends."""

    command: list[str]
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0


@dataclass
class Supervisor:
    """Servers, services and proxy; what it did to them is counted by place and action."""

    seed: int
    payments: int
    fired: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._errands: queue.Queue[Callable[[], None]] = queue.Queue()
        self._services: dict[str, Service] = {}
        self._ready = threading.Event()
        self._is_over = threading.Event()
        self._failure: BaseException | None = None
        self._stopped: dict[int, float] = {}
        self._lock = threading.Lock()
        self._counts: queue.Queue[dict[str, int]] = queue.Queue()
        self._thread = threading.Thread(target=self._live, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        """Start everything and wait until it answers."""
        self._thread.start()
        self._ready.wait(READY_SECONDS)
        if self._failure or not self._ready.is_set():
            self.__exit__()
            raise RuntimeError(f"the bench did not start: {self._failure}\n{self.last_words()}")
        return self

    def __exit__(self, *_problem: object) -> None:
        """Stop everything."""
        self._is_over.set()
        self._thread.join(READY_SECONDS)

    # What the bench says

    def go_live(self, *, is_live: bool) -> None:
        """Have the proxy count events and ask for faults, or pass everything."""
        self._say_to_proxy(live=is_live)
        if not is_live:
            self._let_go(everyone=True)

    def count_events(self) -> dict[str, int]:
        """Ask the proxy how many events it has met at each place."""
        self._say_to_proxy(count=True)
        return self._counts.get(timeout=READY_SECONDS)

    def last_words(self) -> str:
        """Show the ends of all logs."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text('utf-8')[-600:]}" for log in logs)

    # The thread that starts everything

    def _live(self) -> None:
        self._state = StateFolder.throw_away()
        self.folder = self._state.path
        try:
            self._begin()
            self._ready.set()
            while not self._is_over.wait(POLL_SECONDS):
                self._tend()
        except BaseException as problem:  # noqa: BLE001 - told by the thread that waits
            self._failure = problem
            self._ready.set()
        finally:
            self._end()

    def _begin(self) -> None:
        self._state.hold()
        *ports, self._gateway_port, self._web_port = _free_ports(len(ROUTES) + 4)
        self._state.keep({"postgres_port": ports.pop(), "valkey_port": ports.pop()})
        # Fresh says that the folder is thrown away; the server itself waits for the disk.
        self._postgres = PrivatePostgres(self._state, pg_bin=None, fresh=True)
        self._valkey = PrivateValkey(self._state)
        app_url, self.owner_url = self._postgres.start()
        redis_url = self._valkey.start()
        upgrade_database(self.owner_url)
        fronts = dict(zip(ROUTES, ports, strict=True))
        self.config = Config(
            database_url=app_url,
            database_owner_url=self.owner_url,
            redis_url=redis_url,
            secret_key=self._state.secret("secret_key"),
            state_folder=self.folder,
            port=self._web_port,
            url=f"http://127.0.0.1:{fronts['web']}",
            sandbox_port=self._gateway_port,
            **SETTINGS,
        )
        behind = self.config.changed(
            database_url=_through(app_url, fronts["postgres"]),
            redis_url=_through(redis_url, fronts["redis"]),
            sandbox_url=f"http://127.0.0.1:{fronts['gateway']}",
        )
        self._start_proxy(fronts, {"postgres": app_url, "redis": redis_url})
        portal = [sys.executable, "-m", "portal"]
        env = child_environment(behind)
        commands = {"gateway": [*portal, "gateway"], "web": web_command(behind)}
        commands |= {f"worker-{n}": [*portal, "worker"] for n in range(1, WORKERS + 1)}
        commands["scheduler"] = [*portal, "scheduler"]
        for name, command in commands.items():
            self._services[name] = Service(command, env)
            self._spawn(name)
        self._wait_until(lambda: answers(str(self.config.sandbox_url)) and self.is_serving())

    def is_serving(self) -> bool:
        """Tell whether the web server answers, asked past the proxy."""
        return answers(f"http://127.0.0.1:{self._web_port}")

    def _start_proxy(self, fronts: dict[str, int], urls: dict[str, str]) -> None:
        leads_to = {kind: _port_of(url) for kind, url in urls.items()}
        leads_to |= {"gateway": self._gateway_port, "web": self._web_port}
        with (self.folder / "proxy.log").open("ab") as out:
            self._proxy = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.proxy"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                env=child_environment(self.config),
                start_new_session=True,
            )
        routes = {kind: (fronts[kind], leads_to[kind]) for kind in ROUTES}
        self._say_to_proxy(seed=self.seed, payments=self.payments, routes=routes)
        assert self._proxy.stdout is not None
        assert json.loads(self._proxy.stdout.readline()) == {"ready": True}
        threading.Thread(target=self._listen, name="proxy", daemon=True).start()

    def _spawn(self, name: str) -> None:
        service = self._services[name]
        with (self.folder / f"{name}.log").open("ab") as out:
            service.process = processes.spawn(
                service.command, env=service.env, death_signal=signal.SIGKILL, stdout=out
            )
        service.started_at = time.monotonic()
        self.starts[name] += 1

    def _wait_until(self, is_so: Callable[[], bool]) -> None:
        ends_at = time.monotonic() + READY_SECONDS / 2
        while not is_so():
            if time.monotonic() > ends_at:
                raise TimeoutError("a process does not answer")
            time.sleep(POLL_SECONDS)

    def _tend(self) -> None:
        """Start again what has ended, and let go on what was stopped long enough."""
        if self._proxy.poll() is not None:
            raise RuntimeError("the proxy has ended")
        for name, server in (("postgres", self._postgres), ("redis", self._valkey)):
            if _has_ended(server):
                self._start_again(name, server)
        for name, service in self._services.items():
            if service.process is not None and service.process.poll() is not None:
                # Nothing that the dead one has made may go on beside the new one.
                processes.kill_group(service.process)
                self._spawn(name)
        self._let_go(everyone=False)

    def _start_again(self, name: str, server: PrivatePostgres | PrivateValkey) -> None:
        """Start a server again, although it may be killed once more while it starts."""
        for is_last in (False, False, False, True):
            self.starts[name] += 1
            try:
                server.start()
            except (LocalServerFailed, psycopg.OperationalError):
                if is_last:
                    raise
            else:
                return

    def _let_go(self, *, everyone: bool) -> None:
        with self._lock:
            due = [p for p, at in self._stopped.items() if everyone or at <= time.monotonic()]
            for pid in due:
                del self._stopped[pid]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _end(self) -> None:
        for service in self._services.values():
            if service.process is not None:
                processes.kill_group(service.process)
        if hasattr(self, "_proxy"):
            processes.kill_group(self._proxy)
        if hasattr(self, "_postgres"):
            self._valkey.stop()
            self._postgres.stop()
            self._postgres.remove()
        self._state.remove()
        self._state.release()

    # What the proxy asks for

    def _say_to_proxy(self, **said: object) -> None:
        assert self._proxy.stdin is not None
        with self._lock:
            self._proxy.stdin.write(json.dumps(said).encode() + b"\n")
            self._proxy.stdin.flush()

    def _listen(self) -> None:
        """Do what the proxy asks for while it holds the bytes, and tell it when it is done."""
        assert self._proxy.stdout is not None
        for line in self._proxy.stdout:
            told = json.loads(line)
            if "counts" in told:
                self._counts.put(told["counts"])
                continue
            if self._is_done(told):
                self.fired[f"{told['place']} {told['action']}"] += 1
            with contextlib.suppress(OSError):
                self._say_to_proxy(done=told["number"])

    def _is_done(self, told: dict[str, Any]) -> bool:
        action: str = told["action"]
        if action in ("cut", "delay"):
            return True
        if action.startswith("kill_") and action != "kill_service":
            return self._kill_named(action.removeprefix("kill_"))
        if action == "flush_redis":
            return self._flush()
        found = self._web_process() if told["kind"] == "web" else self._find(told["port"])
        if found is None:
            return False
        service, pid = found
        if action == "stop":
            with self._lock:
                self._stopped[pid] = time.monotonic() + STOPPED_SECONDS
        return _send(signal.SIGSTOP if action == "stop" else signal.SIGKILL,
                     service if action == "kill_service" else pid)  # fmt: skip

    def _kill_named(self, name: str) -> bool:
        services = {
            known: service.process.pid
            for known, service in self._services.items()
            if service.process is not None
        }
        killed = False
        if name in ("postgres", "everything"):
            # As `pg_ctl stop -m immediate` does: no checkpoint, the log is replayed.
            killed |= _send(signal.SIGQUIT, _pid_of(self._postgres))
        if name in ("redis", "everything"):
            killed |= _send(signal.SIGKILL, _pid_of(self._valkey))
        for known, pid in services.items():
            if name in (known, "everything"):
                killed |= _send(signal.SIGKILL, pid)
        return killed

    def _flush(self) -> bool:
        try:
            with redis.Redis.from_url(self.config.required("redis_url")) as client:
                client.flushall()
        except redis.RedisError:
            return False
        return True

    def _find(self, port: int) -> tuple[int, int] | None:
        """Find who holds a connection: the process that the supervisor started, and the holder.

        Shape: of a family that shares the connection, the eldest has opened it.
        """
        inode = inode_of(port)
        for service in self._services.values():
            if inode is None or service.process is None:
                continue
            for pid in family_of(service.process.pid):
                if inode in inodes_of(pid):
                    return service.process.pid, pid
        return None

    def _web_process(self) -> tuple[int, int] | None:
        process = self._services["web"].process
        if process is None:
            return None
        *_, youngest = family_of(process.pid)
        return process.pid, youngest


def _free_ports(count: int) -> list[int]:
    chance, found = SystemRandom(), set[int]()
    while len(found) < count:
        port = chance.choice(PORTS)
        if processes.is_port_free("127.0.0.1", port):
            found.add(port)
    return list(found)


def _port_of(url: str) -> int:
    port = sqlalchemy.make_url(url).port
    assert port is not None
    return port


def _through(url: str, port: int) -> str:
    return url.replace(f":{_port_of(url)}/", f":{port}/")


def _pid_of(server: PrivatePostgres | PrivateValkey) -> int:
    process = server._process
    return process.pid if process is not None else 0


def _has_ended(server: PrivatePostgres | PrivateValkey) -> bool:
    process = server._process
    return process is not None and process.poll() is not None


def _send(number: signal.Signals, pid: int) -> bool:
    """Send a signal and say whether somebody was there to get it."""
    if not pid:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
