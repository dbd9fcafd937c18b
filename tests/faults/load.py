"""Makes payments through the real ways while everything fails, as patient clients would.

A client that got no answer sends the same again, with the same key, until it gets one.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import UUID, uuid4

import psycopg
from flask import Flask
from sqlalchemy.exc import DBAPIError

from portal.db import acting_for, transaction
from portal.domain.users import Role, Scope
from portal.ids import parse_public_id, public_id
from portal.queries.summary import count_unsettled
from portal.services.api_keys import add_key
from portal.services.invoices import NewInvoice, NewLine, draft_invoices, issue_invoices
from portal.services.users import add_user
from tests.factories import BUSINESS_ON, CLERK, EARLIER_ON, NOW, make_mandate, make_payer
from tests.faults.script import Order
from tests.faults.world import World

PATIENCE_SECONDS = 180.0
SLOW_SECONDS, STUCK_SECONDS = 45.0, 240.0  # In which not less was left than ever before.
PAUSE_SECONDS = 0.2
ANSWER_SECONDS = 15.0
PAYERS = 8
SHOWN_MAX = 10
AT_ONCE = 500
ROUNDS_MAX = 12  # Of trying again what was declined or returned.
EMAIL, PASSWORD = "mara@bench.example", "four quiet harbour boats"
# What is under way, or is still asked for while a person is called: a gateway may be away for long.
LEFT = (
    "SELECT count(*)::int AS left FROM payments WHERE state = 'processing'"
    " AND worklist = 'outcome_unknown'"
)
SLOW = (
    "SELECT concat_ws(' ', kind, 'try', tries, 'due', next_at - clock_timestamp()) AS what"
    " FROM messages WHERE state = 'ready'"
    " UNION ALL SELECT concat_ws(' ', 'event', kind, 'try', tries, last_error)"
    " FROM inbox_messages WHERE state = 'ready'"
    " UNION ALL SELECT concat_ws(' ', 'attempt', a.state, 'asked', queries_count, 'next',"
    " next_query_at - clock_timestamp()) FROM payment_attempts a"
    " JOIN payments y ON y.id = a.payment_id WHERE y.state = 'processing'"
    " AND a.state IN ('created', 'sending', 'pending', 'unknown')"
)
# What a client sends again: nobody has answered, or the server says that it cannot now.
AGAIN = frozenset({409, 429, 500, 502, 503, 504})
ENDED = frozenset({"completed", "failed", "stopped", "abandoned"})

Result = TypeVar("Result")


class Placed(NamedTuple):
    """An order as it lies in the database: its invoice is drafted, or issued already."""

    order: Order
    invoice_id: UUID
    reference: str


@dataclass
class Ledger:
    """What clients have ordered, and what they were told of it."""

    placed: list[Placed] = field(default_factory=list)
    runs: list[UUID] = field(default_factory=list)
    # Reference of a recorded payment → what each answer to it named.
    answers: dict[str, set[str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)  # Told, and no fault as long as it ends well.
    happened: Counter[str] = field(default_factory=Counter)


def patiently(work: Callable[[], Result]) -> Result:
    """Do something with the database again until it is there."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return work()
        except (DBAPIError, psycopg.OperationalError):
            if time.monotonic() > ends_at:
                raise
            time.sleep(PAUSE_SECONDS)


@dataclass
class Wire:
    """One client's way to the web server: lost answers are met here."""

    world: World
    happened: Counter[str]
    headers: dict[str, str] = field(default_factory=dict)
    cookie: str = ""

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request again and again until it is answered for good."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self.ask_once(method, path, body, headers)
            if found is not None and found[0] not in AGAIN:
                return found
            self.happened["client sends again"] += 1
            assert time.monotonic() < ends_at, f"in vain: {method} {path} {found}"
            time.sleep(PAUSE_SECONDS)

    def ask_once(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes] | None:
        """Send a request; None when its answer was lost."""
        place = urlsplit(self.world.config.url)
        connection = http.client.HTTPConnection(
            str(place.hostname), place.port, timeout=ANSWER_SECONDS
        )
        kept = {"Cookie": self.cookie} if self.cookie else {}
        try:
            connection.request(method, path, body, {**self.headers, **headers, **kept})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        cookie = answer.headers.get("Set-Cookie")
        if cookie:
            self.cookie = cookie.partition(";")[0]
        return answer.status, dict(answer.headers), text


@dataclass
class Load:
    """Everything that is asked of the portal in one bench."""

    world: World
    app: Flask
    orders: Sequence[Order]
    ledger: Ledger = field(default_factory=Ledger)
    is_stuck: bool = False

    def prepare(self) -> None:
        """Write payers, drafts, a key and a person; nothing goes wrong yet."""
        organisation_id = self.world.organisation_id
        _, key = add_key(
            organisation_id=organisation_id, name="bench", scopes=list(Scope), actor=CLERK, now=NOW
        )
        self.key = key
        add_user(
            email=EMAIL, name="Mara Weber", password=PASSWORD, now=NOW,
            memberships=[(organisation_id, Role.MANAGER)],
        )  # fmt: skip
        with transaction(organisation_id):
            collected = [make_payer(organisation_id=organisation_id) for _ in range(PAYERS)]
            for payer in collected:
                make_mandate(organisation_id=organisation_id, payer_id=payer.id)
            others = [make_payer(organisation_id=organisation_id) for _ in range(PAYERS)]
        for first in range(0, len(self.orders), AT_ONCE):
            with transaction(organisation_id):
                self._place(first, collected, others)

    def _place(self, first: int, collected: Sequence[Any], others: Sequence[Any]) -> None:
        part = self.orders[first : first + AT_ONCE]
        drafts = [
            NewInvoice(
                payer_id=(collected if order.way == "run" else others)[place % PAYERS].id,
                currency="EUR",
                lines=[
                    NewLine(
                        "Quayside services", Decimal(1), Decimal(order.amount_minor) / 100,
                        "4000", "E",
                    )
                ],
                external_ref=f"ORDER-{place}",
                document_on=EARLIER_ON,
            )
            for place, order in enumerate(part, start=first)
        ]  # fmt: skip
        ids = draft_invoices(invoices=drafts, on=EARLIER_ON, actor=CLERK, now=NOW)
        placed = [
            Placed(order, invoice_id, f"REF-{place}")
            for place, (order, invoice_id) in enumerate(zip(part, ids, strict=True), start=first)
        ]
        issued = [each.invoice_id for each in placed if each.order.way != "run"]
        issue_invoices(invoice_ids=issued, business_on=EARLIER_ON, actor=CLERK, now=NOW)
        self.ledger.placed += placed

    # What clients do

    def run_everything(self) -> None:
        """Bill, collect, settle and try again, with clients recording payments beside it."""
        by_way: dict[str, list[Placed]] = {"api": [], "page": [], "run": []}
        for each in self.ledger.placed:
            by_way[each.order.way].append(each)
        halves = (by_way["api"][::2], by_way["api"][1::2])
        with ThreadPoolExecutor(3) as clients:
            waiting = [clients.submit(self.record_by_api, half) for half in halves]
            waiting.append(clients.submit(self.record_by_page, by_way["page"]))
            self.bill()
            for client in waiting:
                client.result()

    def bill(self) -> None:
        """Play the business dates until nothing is planned any more."""
        self.finish_run("invoice_issuing", EARLIER_ON)
        self.finish_run("payment_collection", BUSINESS_ON)
        self.wait_until_settled()
        self.finish_run("settlement_closing", BUSINESS_ON)
        next_on = "SELECT min(next_attempt_on) AS next_on FROM payments WHERE state = 'scheduled'"
        for _ in range(ROUNDS_MAX):
            self.wait_until_settled()
            if self.is_stuck:
                break
            on = patiently(lambda: self.world.rows(next_on))[0].next_on
            if on is None:
                break
            self.finish_run("payment_retrying", on)
            self.wait_until_settled()
            self.finish_run("settlement_closing", on)
        self.wait_until_settled()

    def finish_run(self, job: str, on: date) -> None:
        """Order a run by the API and wait for it; what was given up is restarted by a person."""
        wire = self.machine()
        body = json.dumps({"job": job, "date": on.isoformat()}).encode()
        status, _, text = wire.ask("POST", "/api/v1/runs", body, **keyed())
        run_id = parse_public_id("run", json.loads(text).get("id", "_")) if status == 202 else None
        if run_id is None:
            self.ledger.refused.append(f"{job} on {on}: {status} {text[:200]!r}")
            return
        self.ledger.runs.append(run_id)
        statement = (
            "SELECT state, (SELECT count(*)::int FROM batch_items WHERE run_id = r.id) AS handled"
            " FROM batch_runs r WHERE id = %s"
        )

        def count_left() -> int:
            row = patiently(lambda: self.world.rows(statement, run_id))[0]
            if row.state in ENDED and row.state != "completed":
                self.ledger.happened["run restarted"] += 1
                address = f"/api/v1/runs/{public_id('run', run_id)}/restart"
                wire.ask_once("POST", address, None, keyed())
            return 0 if row.state == "completed" else 1 + len(self.orders) - int(row.handled)

        self._wait(count_left)

    def wait_until_settled(self) -> None:
        """Wait until nothing is under way."""
        self._wait(lambda: patiently(self.count_left))

    def count_left(self) -> int:
        """Count what is under way."""
        with acting_for(self.world.organisation_id):
            left = count_unsettled()
        return left + int(self.world.rows(LEFT)[0].left)

    def _wait(self, count_left: Callable[[], int]) -> None:
        """Wait until nothing is left, as long as less and less is."""
        left = least = count_left()
        until = time.monotonic() + STUCK_SECONDS
        while left and not self.is_stuck:
            time.sleep(PAUSE_SECONDS)
            left = count_left()
            if left < least:
                least, until = left, time.monotonic() + STUCK_SECONDS
            self.is_stuck = time.monotonic() > until
            slow_at = until - STUCK_SECONDS + SLOW_SECONDS
            if slow_at < time.monotonic() < slow_at + PAUSE_SECONDS:
                rows = patiently(lambda: self.world.rows(SLOW))
                self.ledger.slow += [row.what for row in rows][:SHOWN_MAX]

    def record_by_api(self, placed: Sequence[Placed]) -> None:
        """Record payments as another system does; half of them are sent twice at once."""
        wire = self.machine()
        for each in placed:
            body = {
                "invoice_id": public_id("invoice", each.invoice_id),
                "amount": {"amount": _decimal(each), "currency": "EUR"},
                "paid": BUSINESS_ON.isoformat(),
                "method": "transfer",
                "reference": each.reference,
            }
            raw, headers = json.dumps(body).encode(), keyed()

            def send(
                raw: bytes = raw, headers: dict[str, str] = headers, at: Placed = each
            ) -> None:
                status, _, text = wire.ask("POST", "/api/v1/payments", raw, **headers)
                named = json.loads(text).get("id") if status == 201 else None
                self._note(at, named, status, text)

            self._send(send, each)

    def record_by_page(self, placed: Sequence[Placed]) -> None:
        """Record payments as a clerk does; half of the forms are sent twice at once."""
        wire = Wire(self.world, self.ledger.happened)
        self.sign_in(wire)
        for each in placed:
            address = f"/invoices/{public_id('invoice', each.invoice_id)}/payment"
            _, _, page = wire.ask("GET", address)
            fields = {
                "csrf_token": _field(page, "csrf_token"),
                "request_key": _field(page, "request_key"),
                "amount": _decimal(each).replace(".", ","),
                "paid_on": BUSINESS_ON.isoformat(),
                "method": "by_hand",
                "reference": each.reference,
            }
            raw = urlencode(fields).encode()

            def send(raw: bytes = raw, address: str = address, at: Placed = each) -> None:
                status, headers, text = wire.ask("POST", address, raw, **FORM)
                named = headers.get("Location") if status == 303 else None
                self._note(at, named, status, text)

            self._send(send, each)

    def _send(self, send: Callable[[], None], each: Placed) -> None:
        senders = [threading.Thread(target=send) for _ in range(1 + each.order.is_sent_twice)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        self.ledger.happened["request sent twice at once"] += each.order.is_sent_twice

    def _note(self, each: Placed, named: str | None, status: int, text: bytes) -> None:
        if named is None:
            self.ledger.refused.append(f"{each.reference}: {status} {text[:200]!r}")
        else:
            self.ledger.answers.setdefault(each.reference, set()).add(named)

    def sign_in(self, wire: Wire) -> None:
        """Sign the person in."""
        _, _, page = wire.ask("GET", "/sign-in")
        fields = {
            "email": EMAIL,
            "password": PASSWORD,
            "csrf_token": _field(page, "csrf_token"),
        }
        status, _, text = wire.ask("POST", "/sign-in", urlencode(fields).encode(), **FORM)
        if status != 303:
            self.ledger.refused.append(f"sign-in: {status} {text[:200]!r}")

    def machine(self) -> Wire:
        """Give another system its way in."""
        return Wire(
            self.world, self.ledger.happened, {"Authorization": f"Bearer {self.key}", **JSON}
        )


JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def keyed() -> dict[str, str]:
    """Give a request a key of its own."""
    return {"Idempotency-Key": str(uuid4())}


def _decimal(each: Placed) -> str:
    whole, cents = divmod(each.order.amount_minor, 100)
    return f"{whole}.{cents:02d}"


def _field(page: bytes, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]* value="([^"]*)"', page.decode())
    return found[1] if found else ""
