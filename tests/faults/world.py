"""A portal of separate processes that a test may kill, stop and starve, in compressed time.

The gateway keeps its own record; `judge` compares it with our books and runs every proof.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from flask import current_app

from portal import processes
from portal.cli.checks import prove
from portal.cli.start import answers, child_environment, web_command
from portal.clock import now_utc
from portal.config import Config
from portal.db import acting_for, transaction
from portal.domain.batches import ItemOutcome
from portal.queries.batches import RunRow, get_run
from portal.queries.organisations import get_organisation
from portal.queries.summary import count_unsettled
from portal.queue import open_redis
from portal.services.batches import RunOrder, start_run
from portal.services.invoices import NewInvoice, NewLine, draft_invoices, issue_invoices
from portal.sql import fetch
from tests.factories import BUSINESS_ON, CLERK, EARLIER_ON, NOW, make_mandate, make_payer
from tests.servers import connect

# Every figure is far above what the work takes, and far below what a person would wait.
COMPRESSED: dict[str, Any] = {
    "chunk_items_max": 10,
    "chunk_lease_seconds": 3.0,
    "message_lease_seconds": 4.0,
    "gateway_timeout_seconds": 2.0,
    "query_delays_seconds": (0.3, 0.6, 1.0),
    "resend_delays_seconds": (0.2, 0.4, 0.8),
    "pending_query_seconds": 0.5,
    "not_found_quiet_seconds": 0.5,
    "events_seconds": 3600.0,
    "tick_seconds": 1.0,
    "message_tries_max": 50,
    "workers": 2,
    "drain_seconds": 5.0,
}
DEADLINE_SECONDS = 80.0
POLL_SECONDS = 0.05
DAY_OF_ISSUE, DAY_OF_COLLECTION = EARLIER_ON, BUSINESS_ON
NOBODY = "http://127.0.0.1:9"  # The port of the service that discards; nothing listens there.
APPROVED = 77700  # The sandbox approves amounts that end so, without any fault.


@dataclass
class World:
    """One organisation, its settings, and the processes that work for it."""

    config: Config
    organisation_id: UUID
    owner_url: str
    folder: Path
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    # Processes

    def change(self, **settings: Any) -> None:
        """Set settings, for this process and those started from now on."""
        self.config = current_app.config["PORTAL"] = self.config.changed(**settings)

    def start(self, name: str, command: Sequence[str], **over: Any) -> subprocess.Popen[bytes]:
        """Start a process of the portal that dies with this one, with settings of its own."""
        with (self.folder / f"{name}.log").open("ab") as out:
            self.children[name] = processes.spawn(
                command,
                env=child_environment(self.config.changed(**over)),
                death_signal=signal.SIGKILL,
                stdout=out,
            )
        return self.children[name]

    def start_workers(self, *names: str) -> None:
        """Start workers; nothing is rung, they look for work themselves."""
        for name in names or ("worker-1", "worker-2"):
            self.start(name, [sys.executable, "-m", "portal", "worker"])

    def start_gateway(self, *, pushes: bool = True) -> None:
        """Start the sandbox gateway over its kept record, and wait until it answers."""
        over = {} if pushes else {"url": NOBODY}
        self.start("gateway", [sys.executable, "-m", "portal", "gateway"], **over)
        self.wait_until("the gateway answers", lambda: answers(str(self.config.sandbox_url)))

    def start_web(self) -> None:
        """Start the real web server, which takes the gateway's webhooks."""
        self.start("web", web_command(self.config))
        self.wait_until("the web server answers", lambda: answers(self.config.url))

    def kill(self, *names: str) -> None:
        """Kill processes as the kernel does when memory is short: without a word."""
        killed = [self.children.pop(name) for name in names]
        for process in killed:
            process.kill()
        for process in killed:
            process.wait()

    def kill_workers(self) -> None:
        """Kill every worker's parent at once; the horses are left to the kernel."""
        self.kill(*(name for name in list(self.children) if name.startswith("worker")))

    def end(self) -> None:
        """Kill what is left, with the processes that it has made."""
        for process in self.children.values():
            processes.kill_group(process)
        self.children.clear()

    def wait_until(self, what: str, is_so: Callable[[], object]) -> None:
        """Wait for a condition; when it does not come true, tell what the processes said."""
        ends_at = time.monotonic() + DEADLINE_SECONDS
        while not is_so():
            assert time.monotonic() < ends_at, f"in vain: {what}\n{self.last_words()}"
            time.sleep(POLL_SECONDS)

    def last_words(self) -> str:
        """Show the ends of all logs."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text('utf-8')[-1500:]}" for log in logs)

    # What there is to do

    def draft(self, count: int, *, endings: Sequence[int] = (APPROVED,)) -> list[UUID]:
        """Write drafts of payers with mandates; their totals end as the sandbox is to behave."""
        with transaction(self.organisation_id):
            payers = [make_payer(organisation_id=self.organisation_id) for _ in range(4)]
            for payer in payers:
                make_mandate(organisation_id=self.organisation_id, payer_id=payer.id)
            wanted = [
                NewInvoice(
                    payer_id=payers[place % len(payers)].id,
                    currency="EUR",
                    lines=[_line((1 + place) * 100_000 + endings[place % len(endings)])],
                    external_ref=f"ORDER-{place}",
                    document_on=DAY_OF_ISSUE,
                )
                for place in range(count)
            ]
            return draft_invoices(invoices=wanted, on=DAY_OF_ISSUE, actor=CLERK, now=NOW)

    def issue(self, count: int, *, endings: Sequence[int] = (APPROVED,)) -> list[UUID]:
        """Write invoices that are due on the day of collection."""
        ids = self.draft(count, endings=endings)
        with transaction(self.organisation_id):
            results = issue_invoices(
                invoice_ids=ids, business_on=DAY_OF_ISSUE, actor=CLERK, now=NOW
            )
        assert {result.outcome for result in results} == {ItemOutcome.DONE}
        return ids

    def run(self, job: str, on: date, **over: Any) -> UUID:
        """Start a run as a person would."""
        order = RunOrder(job, on, chunk_items_max=self.config.chunk_items_max, **over)
        with acting_for(self.organisation_id):
            return start_run(order=order, actor=CLERK, now=now_utc())

    # What became of it

    def rows(self, statement: str, *parameters: Any) -> list[Any]:
        """Read as the organisation."""
        with acting_for(self.organisation_id):
            return fetch(statement, parameters)

    def count(self, statement: str, *parameters: Any) -> int:
        """Read one number as the organisation."""
        return int(self.rows(statement, *parameters)[0][0])

    def get_run(self, run_id: UUID) -> RunRow:
        """Return a run as people see it."""
        with acting_for(self.organisation_id):
            return get_run(run_id)

    def wait_for_run(self, run_id: UUID, state: str = "completed") -> RunRow:
        """Wait until a run has ended, and see that it ended so."""
        ended = ("completed", "failed", "stopped", "abandoned")
        self.wait_until("the run ends", lambda: self.get_run(run_id).state.value in ended)
        found = self.get_run(run_id)
        assert found.state.value == state, (found, self.last_words())
        return found

    def wait_until_settled(self) -> None:
        """Wait until no message, event or payment is under way."""

        def is_settled() -> bool:
            with acting_for(self.organisation_id):
                return count_unsettled() == 0

        self.wait_until("everything is settled", is_settled)

    def assert_each_item_once(self, run_id: UUID, item_ids: Sequence[UUID]) -> Counter[str]:
        """See that a run has exactly one outcome for each of these items, and count outcomes."""
        rows = self.rows("SELECT item_id, outcome FROM batch_items WHERE run_id = %s", run_id)
        assert sorted(row.item_id for row in rows) == sorted(item_ids)
        return Counter(row.outcome for row in rows)

    def assert_numbered(self, count: int) -> None:
        """See that invoices have the numbers from 1 on, each once."""
        rows = self.rows("SELECT number FROM invoices WHERE state = 'issued' ORDER BY number")
        assert [row.number for row in rows] == list(range(1, count + 1))

    def assert_attempts(self, count: int, state: str = "succeeded") -> None:
        """See that there is one attempt for each of so many payments, all in one state."""
        rows = self.rows("SELECT payment_id, state FROM payment_attempts")
        assert Counter(row.state for row in rows) == {state: count}, self.last_words()
        assert len({row.payment_id for row in rows}) == count

    def judge(self, *, with_gateway: bool = True) -> dict[str, Any]:
        """Run every proof, compare with the gateway's own record, and return its report."""
        with acting_for(self.organisation_id):
            organisation = get_organisation(self.organisation_id)
        found = prove(organisation, with_gateway=with_gateway)
        broken = [result for result in found.results if result.rows]
        assert broken == []
        assert [each for listed in found.gateways.values() for each in listed] == []
        if not with_gateway:
            return {}
        report = self.ask_gateway("/v1/report")
        assert report["charged_twice"] == 0, report
        assert report["charges_by_state"].keys() <= {"succeeded", "declined", "returned"}, report
        return report

    def ask_gateway(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Speak to the gateway as the holder of its master secret."""
        request = urllib.request.Request(
            f"{self.config.sandbox_url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.config.sandbox_secret}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            said: dict[str, Any] = json.load(answer)
            return said

    # What is done to it

    def holders(self) -> set[int]:
        """Name the processes that hold a chunk now."""
        rows = self.rows("SELECT worker FROM batch_chunks WHERE state = 'leased'")
        return {int(row.worker.rpartition(":")[2]) for row in rows}

    @contextlib.contextmanager
    def table_locked(self, table: str, mode: str = "SHARE") -> Iterator[None]:
        """Hold a lock on a table, so that whoever needs it waits in the middle of its work."""
        with connect(self.owner_url) as connection, connection.transaction():
            connection.execute(f"LOCK TABLE {table} IN {mode} MODE")
            yield

    def wait_until_waiting(self, count: int) -> None:
        """Wait until so many sessions wait for a lock of this database."""
        statement = (
            "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
            " WHERE NOT l.granted AND a.datname = current_database()"
        )
        self.wait_until(f"{count} workers wait", lambda: self.count(statement) >= count)

    def empty_redis(self) -> None:
        """Take everything from Redis: bells, entries, workers, locks."""
        open_redis().flushall()


def _line(net_minor: int) -> NewLine:
    return NewLine("Quayside services", Decimal(1), Decimal(net_minor) / 100, "4000", "E")


def assert_gone(*pids: int) -> None:
    """See that processes have ended, although nobody but the kernel has told them."""
    assert pids
    assert all(processes.wait_until_gone(pid, seconds=20) for pid in pids)


def send(number: signal.Signals, *pids: int) -> None:
    """Send a signal to processes."""
    for pid in pids:
        os.kill(pid, number)
