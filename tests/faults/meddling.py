"""Does beside the load what nobody should: repeats events, forges them, begins second attempts."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import psycopg
from flask import Flask
from sqlalchemy.exc import DBAPIError

from portal.db import acting_for, transaction
from portal.ids import new_id
from portal.queries.organisations import list_gateway_accounts
from portal.sql import fetch_one
from tests.factories import insert_row
from tests.faults.load import patiently
from tests.faults.postman import Postman
from tests.faults.script import APPROVED, HUNDRED
from tests.faults.world import World

LIVE_INDEX = "uq_payment_attempts_live"
# How many of each, for a hundred payments.
WANTED = {"event repeated": 16.0, "event forged": 4.0, "second attempt": 6.0}
TAKEN, REFUSED = 204, 401
EVENTS_MAX = 1_000


@dataclass
class Meddler:
    """One more thread beside the load, until it has done all that was drawn."""

    world: World
    app: Flask
    seed: int
    payments: int
    happened: Counter[str] = field(default_factory=Counter)
    # What was let in although it must not be.
    let_in: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = Random(f"{self.seed} meddling")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._meddle, name="meddler", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Come to an end."""
        self._is_over.set()
        self._thread.join()

    def _meddle(self) -> None:
        acts: dict[str, Callable[[], bool]] = {
            "event repeated": self._repeat,
            "event forged": self._forge,
            "second attempt": self._begin_second,
        }
        todo = [
            name
            for name, wanted in WANTED.items()
            for _ in range(round(wanted * self.payments / HUNDRED))
        ]
        self._chance.shuffle(todo)
        with self.app.app_context():
            self._postman = patiently(self._find_postman)
            while todo and not self._is_over.wait(self._chance.uniform(0.02, 0.2)):
                name = todo.pop()
                # Whatever is away just now is met later; nothing was done then.
                with suppress(OSError, http.client.HTTPException, DBAPIError, psycopg.Error):
                    if acts[name]():
                        self.happened[name] += 1
                        continue
                todo.insert(0, name)

    def _find_postman(self) -> Postman:
        with acting_for(self.world.organisation_id):
            (account,) = list_gateway_accounts()
        return Postman(self.world, account.code)

    def _repeat(self) -> bool:
        """Deliver an event once more, several times at once."""
        event = self._draw_event()
        if event is None:
            return False
        letter = self._postman.write(event)
        threads = [
            threading.Thread(target=self._deliver, args=(letter,))
            for _ in range(self._chance.randint(1, 3))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return True

    def _deliver(self, letter: object) -> None:
        with suppress(OSError, http.client.HTTPException):
            self._postman.deliver(letter)  # type: ignore[arg-type]  # it came from this postman

    def _forge(self) -> bool:
        """Deliver an event of another amount, signed with a guessed secret."""
        event = self._draw_event()
        if event is None:
            return False
        changed = dict(event, id=f"evt_{new_id().hex}", type="charge.succeeded")
        answered = self._postman.deliver(self._postman.write(changed, secret="a guess"))
        if answered == TAKEN:
            self.let_in.append(f"forged {changed['id']}")
        return answered in (TAKEN, REFUSED)

    def _draw_event(self) -> dict[str, object] | None:
        after = self._chance.randrange(self.payments)
        for start in (after, 0):
            listed = self._postman._ask(f"events?limit={EVENTS_MAX}&after={start}")["events"]
            if listed:
                chosen: dict[str, object] = self._chance.choice(listed)
                return chosen
        return None

    def _begin_second(self) -> bool:
        """Begin a second attempt of a payment that has a live one, as faulty code would.

        Shape: the database is to refuse it; where it does not, the gateway will be asked for it.
        """
        try:
            with transaction(self.world.organisation_id):
                row = fetch_one(
                    "SELECT * FROM payment_attempts WHERE state IN"
                    " ('sending', 'pending', 'unknown') AND amount_minor %% 100000 >= %s"
                    " ORDER BY amount_minor %% 100000, id"
                    " LIMIT 1 FOR UPDATE SKIP LOCKED",
                    (APPROVED,),
                )
                if row is None:
                    return False
                self._insert_second(row._asdict())
        except (psycopg.errors.UniqueViolation, DBAPIError) as error:
            refused = error.orig if isinstance(error, DBAPIError) else error
            if not isinstance(refused, psycopg.errors.UniqueViolation):
                raise
            return refused.diag.constraint_name == LIVE_INDEX
        self.let_in.append(f"second attempt of {row.payment_id}")
        return True

    def _insert_second(self, first: dict[str, object]) -> None:
        attempt_id, number = new_id(), first["number"]
        assert isinstance(number, int)
        kept = ("organisation_id", "payment_id", "currency", "amount_minor", "business_on")
        insert_row(
            "payment_attempts",
            **{name: first[name] for name in kept},
            id=attempt_id,
            gateway_account_id=first["gateway_account_id"],
            number=number + 1,
            state="created",
            merchant_ref=attempt_id.hex,
            idempotency_key=attempt_id.hex,
        )
        insert_row(
            "messages",
            organisation_id=first["organisation_id"],
            id=new_id(),
            aggregate_id=attempt_id,
            sequence=1,
            kind="gateway.charge",
            gateway_account_id=first["gateway_account_id"],
            payload={},
        )
