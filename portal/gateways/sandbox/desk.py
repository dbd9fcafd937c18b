"""What every door of the sandbox shares: the record, keys, the switches, and how answers look."""

import hmac
import json
import re
import sqlite3
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web

from portal.gateways.sandbox.control import Control
from portal.gateways.sandbox.deliveries import Deliveries
from portal.gateways.sandbox.keys import derive_key
from portal.gateways.sandbox.orders import count_fault
from portal.gateways.sandbox.profile import Fault
from portal.gateways.sandbox.record import record_request
from portal.gateways.sandbox.writer import GroupWriter

PAGE_ROWS_MAX = 1_000

Found = TypeVar("Found")


class Refused(Exception):
    """The request is answered with an error and had no effect.

    Shape: is_noted says that the record has this request already.
    """

    def __init__(self, status: int, code: str, message: str, *, is_noted: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.is_noted = is_noted


class Desk:
    """The parts a door works with; one per server."""

    def __init__(
        self,
        *,
        writer: GroupWriter,
        deliveries: Deliveries,
        control: Control,
        secret: str,
        seed: str,
        delay_ms_range: tuple[int, int],
        held_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self.writer = writer
        self.deliveries = deliveries
        self.control = control
        self.seed = seed
        self.delay_ms_range = delay_ms_range
        self.held_seconds = held_seconds
        self.clock = clock
        self._secret = secret
        self._key_of = lru_cache(maxsize=4_096)(lambda code: derive_key(secret, code, "api"))

    async def enter(self, request: web.Request) -> str:
        """Return the account whose key a request bears, unless a switch makes it fail.

        Raises: Refused.
        """
        account_code = request.match_info["account_code"]
        if not _bears(request, self._key_of(account_code)):
            raise Refused(401, "key_refused", "This key does not open this account.")
        if self.control.take_failure():
            status = self.control.fail_status
            now = self.clock()
            await self.writer.do(
                lambda record: count_fault(record, Fault.FAILED_BY_CONTROL, account_code, "", now)
            )
            raise Refused(status, "failed_by_control", "This request was failed by a switch.")
        return account_code

    def enter_as_master(self, request: web.Request) -> None:
        """Let only the holder of the master secret in.

        Raises: Refused.
        """
        if not _bears(request, self._secret):
            raise Refused(401, "key_refused", "Only the master secret opens this.")

    async def do(
        self,
        request: web.Request,
        work: Callable[[sqlite3.Connection], Found],
        *,
        status_of: Callable[[Found], int] = lambda _found: 200,
        merchant_ref: str = "",
    ) -> Found:
        """Run a work and note its request beside it, both in one commit."""
        now = self.clock()
        account_code = request.match_info.get("account_code", "")

        def noted(record: sqlite3.Connection) -> Found:
            found = work(record)
            record_request(
                record,
                account_code=account_code,
                method=request.method,
                path=request.path,
                status=status_of(found),
                merchant_ref=merchant_ref,
                now=now,
            )
            return found

        return await self.writer.do(noted)


def answered(body: dict[str, Any], status: int = 200) -> web.Response:
    """Answer with one JSON object."""
    raw = json.dumps(body, separators=(",", ":")).encode()
    return web.Response(body=raw, status=status, content_type="application/json")


def refusal(refused: Refused) -> web.Response:
    """Answer with an error."""
    body = {"error": {"code": refused.code, "message": refused.message}}
    response = answered(body, refused.status)
    if refused.status == HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = "1"
    return response


def page_of(request: web.Request) -> tuple[int, int]:
    """Read after which key and how many rows a page starts and has.

    Raises: Refused.
    """
    after, limit = request.query.get("after", "0"), request.query.get("limit", "100")
    for text in (after, limit):
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise Refused(400, "page_malformed", "after and limit are whole numbers.")
    return int(after), min(max(int(limit), 1), PAGE_ROWS_MAX)


def cursor_of(keys: list[int], limit: int) -> str | None:
    """Return the cursor behind a full page, or None when nothing can follow."""
    return str(keys[-1]) if len(keys) == limit else None


def _bears(request: web.Request, key: str) -> bool:
    told = request.headers.get("Authorization", "")
    return hmac.compare_digest(told.encode(errors="replace"), f"Bearer {key}".encode())
