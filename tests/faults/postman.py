"""Carries the gateway's events to the web server as often, as late and as wrong as a test likes."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from standardwebhooks import Webhook

from portal.cli.ground import WEBHOOK_PATH
from portal.gateways.sandbox.keys import derive_key
from tests.faults.world import World


@dataclass
class Letter:
    """An event as it lies on the wire."""

    headers: Mapping[str, str]
    raw: bytes


@dataclass
class Postman:
    """Knows the keys of one gateway account."""

    world: World
    account_code: str

    def events(self) -> list[dict[str, Any]]:
        """List the events that the gateway has written for the account."""
        listed: list[dict[str, Any]] = self._ask("events?limit=1000&after=0")["events"]
        return listed

    def event(self, kind: str) -> dict[str, Any]:
        """Wait for the one event of a kind."""
        self.world.wait_until(
            f"the gateway has a {kind}",
            lambda: any(event["type"] == kind for event in self.events()),
        )
        (found,) = [event for event in self.events() if event["type"] == kind]
        return found

    def close_day(self, day: date) -> None:
        """Tell the gateway that a day is over, so that returns of it happen."""
        self._ask("close-day", {"business_date": day.isoformat()})

    def write(
        self,
        event: Mapping[str, Any],
        *,
        signed_for: str | None = None,
        secret: str | None = None,
        age: timedelta = timedelta(),
    ) -> Letter:
        """Sign an event as the gateway would, or as somebody else for another account."""
        raw = json.dumps(event, separators=(",", ":"))
        known = self.world.config.required("sandbox_secret")
        key = derive_key(secret or known, signed_for or self.account_code, "webhook")
        at = datetime.now(UTC) - age
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event["id"],
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(key).sign(event["id"], at, raw),
        }
        return Letter(headers, raw.encode())

    def deliver(self, letter: Letter, *, to: str | None = None) -> int:
        """Bring a letter to the web server and return what it answers."""
        place = urlsplit(self.world.config.url)
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
        try:
            path = f"{WEBHOOK_PATH}/{to or self.account_code}"
            connection.request("POST", path, letter.raw, dict(letter.headers))
            return connection.getresponse().status
        finally:
            connection.close()

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        config = self.world.config
        key = derive_key(config.required("sandbox_secret"), self.account_code, "api")
        request = urllib.request.Request(
            f"{config.sandbox_url}/v1/accounts/{self.account_code}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            said: dict[str, Any] = json.load(answer)
            return said
